// SPDX-License-Identifier: Apache-2.0
//
// Cache maintenance over EL2 addresses (Arm ARM B2.7.4, D7.5), and zeroing.
// Steps are a machine's smallest line, not this CPU's: an operation by address
// reaches one line in every CPU's cache, and those may be shorter.
#ifndef HOLDFAST_PLATFORMS_AARCH64_CACHE_H_
#define HOLDFAST_PLATFORMS_AARCH64_CACHE_H_

#include <cstdint>

#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cpu_id.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

// DC CIVAC over [start, start + size); complete on return, for observers
// outside the Inner Shareable domain too.
inline void CleanInvalidateRangeToPoc(uint64_t start, uint64_t size,
                                      const CacheShape& caches) {
  const uint64_t line = caches.dcache_line;
  for (uint64_t va = start & ~(line - 1); va < start + size; va += line) {
    asm volatile("dc civac, %0" : : "r"(va) : "memory");
  }
  DsbSy();
}

// Makes what was written to [start, start + size) fetchable by every CPU. By
// address this is enough only for PIPT caches, since the page will be fetched
// through another address than EL2's; else the whole cache goes (B2.7.4.2).
// Whether any of it is needed (CTR_EL0.DIC) is the caller's to know.
inline void InvalidateICacheRange(uint64_t start, uint64_t size,
                                  const CacheShape& caches) {
  const uint64_t dline = caches.dcache_line;
  for (uint64_t va = start & ~(dline - 1); va < start + size; va += dline) {
    asm volatile("dc cvau, %0" : : "r"(va) : "memory");
  }
  DsbIsh();
  if (caches.icache_pipt) {
    const uint64_t iline = caches.icache_line;
    for (uint64_t va = start & ~(iline - 1); va < start + size; va += iline) {
      asm volatile("ic ivau, %0" : : "r"(va) : "memory");
    }
  } else {
    asm volatile("ic ialluis" : : : "memory");
  }
  DsbIsh();
  Isb();
}

// Zeroes [start, start + size), a multiple of 2 KiB (the largest block DC ZVA
// can have) and aligned to it.
inline void ZeroRange(uint64_t start, uint64_t size) {
  const uint64_t dczid = DczidEl0::Read();
  if ((dczid & DczidEl0::kDzp) == 0) {
    const uint64_t block = uint64_t{4} << DczidEl0::Bs::Get(dczid);
    for (uint64_t va = start; va < start + size; va += block) {
      asm volatile("dc zva, %0" : : "r"(va) : "memory");
    }
    return;
  }
  for (uint64_t va = start; va < start + size; va += 16) {
    asm volatile("stp xzr, xzr, [%0]" : : "r"(va) : "memory");
  }
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_CACHE_H_
