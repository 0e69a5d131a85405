// SPDX-License-Identifier: Apache-2.0
//
// Numbers as people write them: 12, 0x40, -1, $NAME, and @ADDR for the frame of
// an address; and how they are printed. Knows nothing of commands.
#ifndef HOLDFAST_PLATFORMS_SHELL_NUMBER_H_
#define HOLDFAST_PLATFORMS_SHELL_NUMBER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "platforms/shell/lexer.h"
#include "platforms/shell/parsed.h"

namespace holdfast::shell {

// What `let` kept.
using Names = std::map<std::string, uint64_t>;

// Digits only: "12", "0x40", "-1".
std::optional<uint64_t> PlainNumber(const std::string& text);

// `what` says in an error what the number is for: "pfn".
Parsed<uint64_t> NumberOf(const Word& word, const Names& names,
                          const std::string& what);
// Bytes: a number with K, M or G behind it, if any.
Parsed<uint64_t> SizeOf(const Word& word, const Names& names,
                        const std::string& what);

// "7", "0x40": up to nine as it is, else hexadecimal.
std::string Show(uint64_t number);
// "4K", "64M", "0x1234".
std::string ShowSize(uint64_t bytes);

// What may follow a $ or `let`.
bool IsName(const std::string& text);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_NUMBER_H_
