// SPDX-License-Identifier: Apache-2.0
#include "platforms/toolchain/tests/el2_headers.h"

#ifdef __cpp_exceptions
#error "EL2 code is built without exceptions"
#endif
#ifdef __cpp_rtti
#error "EL2 code is built without RTTI"
#endif

namespace holdfast {

tl::expected<std::uint64_t, int> SumOf(std::span<const std::uint64_t> words) {
  std::array<std::uint64_t, 2> total = {};
  for (const std::uint64_t word : words) {
    total[0] += word;
    total[1] += static_cast<std::uint64_t>(std::popcount(word));
  }
  std::atomic<std::uint64_t> sum = 0;
  sum.fetch_add(total[0], std::memory_order_relaxed);
  if (total[1] == 0) return tl::unexpected(-1);
  const std::optional<std::uint64_t> found =
      sum.load(std::memory_order_relaxed);
  return *found;
}

}  // namespace holdfast
