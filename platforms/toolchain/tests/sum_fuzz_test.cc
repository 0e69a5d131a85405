// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "platforms/toolchain/tests/el2_headers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  std::array<std::uint64_t, 2> words = {};
  if (size < sizeof(words)) return 0;
  std::memcpy(words.data(), data, sizeof(words));
  const auto sum = holdfast::SumOf(words);
  const bool zero = words[0] == 0 && words[1] == 0;
  if (sum.has_value() == zero) std::abort();
  return 0;
}
