// SPDX-License-Identifier: Apache-2.0
//
// The translation granule this build uses for pages at EL2: chosen once, with
// the build setting `--//base:granule=4k|16k|64k|tiny`, so that every room
// above pgtable/ can speak of pages without being a template. pgtable/ itself
// is parameterised and takes all four in one binary.
#ifndef HOLDFAST_BASE_GRANULE_H_
#define HOLDFAST_BASE_GRANULE_H_

#include <cstdint>

#ifndef HOLDFAST_PAGE_SHIFT
#error "build through //base:granule_config, which sets the page shift"
#endif

namespace holdfast {

// log2 of the page size in bytes: 12, 14, 16, or 5 for the test granule, whose
// tables have four entries.
inline constexpr unsigned kPageShift = HOLDFAST_PAGE_SHIFT;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageShift;

// How many pages hold `bytes`.
constexpr uint64_t PagesFor(uint64_t bytes) {
  return (bytes + kPageSize - 1) >> kPageShift;
}

}  // namespace holdfast

#endif  // HOLDFAST_BASE_GRANULE_H_
