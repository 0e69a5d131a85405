// SPDX-License-Identifier: Apache-2.0
//
// Machines, and sequences of calls, accesses and CPU changes, out of the
// fuzzer's bytes. Each call is held against the executable specification; at
// the end, the rules of the hardware and the invariants. What fails is printed
// as a short script for the simulator.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/fuzz/shrink.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string trouble;
  const holdfast::fuzz::Lines lines =
      holdfast::fuzz::LinesOf(data, size, &trouble);
  if (trouble.empty()) return 0;
  std::fprintf(stderr, "%s\n\nAs a script:\n\n%s\n", trouble.c_str(),
               holdfast::fuzz::ScriptOf(holdfast::fuzz::Shrink(lines)).c_str());
  std::abort();
}
