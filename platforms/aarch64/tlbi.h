// SPDX-License-Identifier: Apache-2.0
//
// TLB maintenance instructions (Arm ARM D8.17, C5.5). One function, one kind of
// instruction; the sequences round them are pgtable/tlb.h's.
#ifndef HOLDFAST_PLATFORMS_AARCH64_TLBI_H_
#define HOLDFAST_PLATFORMS_AARCH64_TLBI_H_

#include <algorithm>
#include <cstdint>

#include "base/granule.h"

namespace holdfast::aarch64 {

// The granule as TLBI operands name it (TG / TTL bits 47:46 of C5.5).
inline constexpr uint64_t kTlbiGranule = kPageShift == 16   ? 3
                                         : kPageShift == 14 ? 2
                                                            : 1;

// Operand for one page: address bits 55:12 in 43:0. With FEAT_TTL a level hint
// in 47:44; level 0 has none (it would need LPA2), nor has "any" (-1).
constexpr uint64_t TlbiPageOperand(uint64_t address, int level_hint) {
  const uint64_t page = (address >> 12) & ((uint64_t{1} << 44) - 1);
  if (level_hint < 1) return page;
  return page | (kTlbiGranule << 46) |
         (static_cast<uint64_t>(level_hint) << 44);
}

// IPA[51:12] in 39:0; the rest as above. Bit 63 (NS) is for Secure state only.
inline void TlbiIpas2e1is(uint64_t ipa, int level_hint) {
  const uint64_t operand =
      TlbiPageOperand(ipa & ((uint64_t{1} << 52) - 1), level_hint);
  asm volatile("tlbi ipas2e1is, %0" : : "r"(operand) : "memory");
}

inline void TlbiIpas2e1(uint64_t ipa, int level_hint) {
  const uint64_t operand =
      TlbiPageOperand(ipa & ((uint64_t{1} << 52) - 1), level_hint);
  asm volatile("tlbi ipas2e1, %0" : : "r"(operand) : "memory");
}

// One TLBI RIPAS2E1IS covers (NUM + 1) * 2^(5 * SCALE + 1) pages from BaseADDR
// (C5.5, FEAT_TLBIRANGE).
constexpr uint64_t RangePages(unsigned scale, unsigned num) {
  return uint64_t{num + 1} << (5 * scale + 1);
}
constexpr uint64_t TlbiRangeOperand(uint64_t address, unsigned scale,
                                    unsigned num) {
  return (kTlbiGranule << 46) | (uint64_t{scale} << 44) |
         (uint64_t{num} << 39) |
         ((address >> kPageShift) & ((uint64_t{1} << 37) - 1));
}
// Any number of whole pages up to kMaxRangeTlbiPages: biggest scale first, at
// most one instruction a scale, and one for an odd last page. Assembled by
// encoding (sys #4, C8, C0, #2), so that plain Armv8.0 code carries it.
inline void TlbiRipas2e1is(uint64_t start, uint64_t size) {
  uint64_t pages = size >> kPageShift;
  for (int scale = 3; scale >= 0; --scale) {
    const uint64_t units = std::min<uint64_t>(pages >> (5 * scale + 1), 32);
    if (units == 0) continue;
    const uint64_t operand = TlbiRangeOperand(
        start, static_cast<unsigned>(scale), static_cast<unsigned>(units - 1));
    asm volatile("sys #4, c8, c0, #2, %0" : : "r"(operand) : "memory");
    const uint64_t covered = RangePages(static_cast<unsigned>(scale),
                                        static_cast<unsigned>(units - 1));
    pages -= covered;
    start += covered << kPageShift;
  }
  if (pages != 0) TlbiIpas2e1is(start, -1);
}

inline void TlbiVmalle1is() { asm volatile("tlbi vmalle1is" : : : "memory"); }
inline void TlbiVmalle1() { asm volatile("tlbi vmalle1" : : : "memory"); }
inline void TlbiVmalls12e1is() {
  asm volatile("tlbi vmalls12e1is" : : : "memory");
}
inline void TlbiVmalls12e1() { asm volatile("tlbi vmalls12e1" : : : "memory"); }
inline void TlbiAlle1is() { asm volatile("tlbi alle1is" : : : "memory"); }
inline void TlbiAlle1() { asm volatile("tlbi alle1" : : : "memory"); }
inline void TlbiAlle2() { asm volatile("tlbi alle2" : : : "memory"); }
inline void TlbiVale2is(uint64_t va) {
  asm volatile("tlbi vale2is, %0" : : "r"(TlbiPageOperand(va, -1)) : "memory");
}
inline void TlbiVae2is(uint64_t va) {
  asm volatile("tlbi vae2is, %0" : : "r"(TlbiPageOperand(va, -1)) : "memory");
}

static_assert(RangePages(3, 31) == uint64_t{1} << 21);
static_assert(TlbiPageOperand(0x12345000, -1) == 0x12345);

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_TLBI_H_
