// SPDX-License-Identifier: Apache-2.0
//
// The fixmap: one page-sized window per CPU through which EL2 reaches a page it
// does not map, for the length of one operation. Never nested: the slot is one.
#ifndef HOLDFAST_PLATFORMS_AARCH64_FIXMAP_H_
#define HOLDFAST_PLATFORMS_AARCH64_FIXMAP_H_

#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "base/granule.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/tlbi.h"

namespace holdfast::aarch64 {

// A level-3 entry of EL2's stage 1 for the window: normal write-back (index 0
// of MAIR_EL2), read-write, never executable, inner shareable, accessed
// (Arm ARM D8.3.1, single VA range). Bits: 54 XN, 10 AF, 9:8 SH, 7:6 AP with
// AP[1] RES1, 1:0 page.
constexpr uint64_t FixmapEntry(uint64_t page) {
  uint64_t address = page;
  // 52-bit addresses with the 64 KiB granule: PA[51:48] is in bits 15:12.
  if constexpr (kPageShift == 16) {
    address = (page & 0x0000ffffffff0000) | ((page >> 48) & 0xf) << 12;
  }
  return address | Bit(54) | Bit(10) | (3u << 8) | Bit(6) | 3;
}

class FixmapWindow {
 public:
  // `page` is page-aligned.
  explicit FixmapWindow(PhysAddr page) : cpu_(This()) {
    HOLDFAST_CHECK(!cpu_.fixmap_used && page.IsAligned(kPageSize));
    cpu_.fixmap_used = true;
    if (cpu_.fixmap_entry == nullptr) {  // still on the boot tables
      address_ = page.value();
      return;
    }
    address_ = cpu_.fixmap_window;
    entry_ = FixmapEntry(page.value());
    __atomic_store_n(cpu_.fixmap_entry, entry_, __ATOMIC_RELAXED);
    // The entry was invalid, and invalid entries are not cached (D8.16.1); the
    // ISB keeps later accesses from having been translated before the store.
    DsbIshst();
    Isb();
  }
  ~FixmapWindow() {
    cpu_.fixmap_used = false;
    if (cpu_.fixmap_entry == nullptr) return;
    // Only the valid bit goes: the table counts its non-zero entries, and this
    // one is written behind its back.
    __atomic_store_n(cpu_.fixmap_entry, entry_ & ~uint64_t{1},
                     __ATOMIC_RELAXED);
    // Broadcast: the tables are shared, so another CPU may have speculated
    // through this slot.
    do {
      DsbIshst();
      TlbiVale2is(address_);
      DsbIsh();
    } while (Repeat());
    Isb();
  }
  FixmapWindow(const FixmapWindow&) = delete;
  FixmapWindow& operator=(const FixmapWindow&) = delete;

  uint64_t address() const { return address_; }

 private:
  // True once, on machines that need the TLBI twice.
  bool Repeat() {
    const bool again = cpu_.machine.errata.repeat_tlbi && !repeated_;
    repeated_ = true;
    return again;
  }

  Cpu& cpu_;
  uint64_t address_ = 0;
  uint64_t entry_ = 0;
  bool repeated_ = false;
};

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_FIXMAP_H_
