// SPDX-License-Identifier: Apache-2.0
//
// A script that fails, made as short as one that still fails.
#ifndef HOLDFAST_TESTS_FUZZ_SHRINK_H_
#define HOLDFAST_TESTS_FUZZ_SHRINK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::fuzz {

using Lines = std::vector<std::string>;

// What a script comes to: its trouble, or "". Lines that are bad do nothing.
std::string TroubleOf(const Lines& lines);

// The lines that a fuzzer's bytes are, up to the first trouble.
Lines LinesOf(const uint8_t* data, size_t size, std::string* trouble);

// Fewer lines that still end in trouble, or in a panic. Each attempt is a
// process of its own.
Lines Shrink(const Lines& lines);

// As a script for the simulator: after each line that needs one, an `expect`;
// the trouble as comments at the end.
std::string ScriptOf(const Lines& lines);

}  // namespace holdfast::fuzz

#endif  // HOLDFAST_TESTS_FUZZ_SHRINK_H_
