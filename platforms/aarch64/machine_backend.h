// SPDX-License-Identifier: Apache-2.0
//
// platforms/aarch64: the facade of base/machine.h on real hardware at EL2
// (E2H = 0, identity map). It knows base/ and the architecture, no board: a
// board provides the per-CPU block (cpu.h), a console and holdfast::Panic.
//
// Included by base/machine.h at its end; don't include it directly.
#ifndef HOLDFAST_PLATFORMS_AARCH64_MACHINE_BACKEND_H_
#define HOLDFAST_PLATFORMS_AARCH64_MACHINE_BACKEND_H_

#include <cstddef>
#include <cstdint>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/stage2_context.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cache.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/fixmap.h"
#include "platforms/aarch64/stage2_switch.h"
#include "platforms/aarch64/tlbi.h"

namespace holdfast::aarch64 {
// Given by the board.
void BoardConsoleWrite(const char* bytes, size_t size);
}  // namespace holdfast::aarch64

namespace holdfast::machine {

// ---- CPUs ------------------------------------------------------------------

inline CpuLocal& ThisCpu() { return aarch64::This().local; }

// ---- Memory ----------------------------------------------------------------

inline void* PhysToVirt(PhysAddr address) {
  return reinterpret_cast<void*>(address.value());
}
inline PhysAddr VirtToPhys(const void* address) {
  return PhysAddr(reinterpret_cast<uintptr_t>(address));
}

inline void ZeroPage(PhysAddr page) {
  const aarch64::FixmapWindow window(page);
  aarch64::ZeroRange(window.address(), kPageSize);
  aarch64::CleanInvalidateRangeToPoc(window.address(), kPageSize,
                                     aarch64::This().machine.caches);
}

inline void CleanInvalidateToPoc(PhysAddr start, uint64_t size) {
  for (uint64_t done = 0; done < size; done += kPageSize) {
    const aarch64::FixmapWindow window(start + done);
    aarch64::CleanInvalidateRangeToPoc(window.address(), kPageSize,
                                       aarch64::This().machine.caches);
  }
}

inline void InvalidateICache(PhysAddr start, uint64_t size) {
  for (uint64_t done = 0; done < size; done += kPageSize) {
    const aarch64::FixmapWindow window(start + done);
    aarch64::InvalidateICacheRange(window.address(), kPageSize,
                                   aarch64::This().machine.caches);
  }
}

// ---- Translation table entries ---------------------------------------------
// Aligned 64-bit LDR, STR and STLR: single-copy atomic (Arm ARM B2.2.1).

inline uint64_t LoadPte(const uint64_t* entry) {
  return __atomic_load_n(entry, __ATOMIC_RELAXED);
}
inline void StorePte(uint64_t* entry, uint64_t value) {
  __atomic_store_n(entry, value, __ATOMIC_RELAXED);
}
inline void PublishPte(uint64_t* entry, uint64_t value) {
  __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

// ---- Barriers --------------------------------------------------------------

inline void DsbIshst() { aarch64::DsbIshst(); }
inline void DsbIsh() { aarch64::DsbIsh(); }
inline void DsbNsh() { aarch64::DsbNsh(); }
inline void Isb() { aarch64::Isb(); }

// ---- TLB maintenance -------------------------------------------------------

inline void EnterStage2Context(const Stage2Context& context) {
  aarch64::EnterStage2(context);
}
inline void LeaveStage2Context() { aarch64::LeaveStage2(); }

inline void TlbiIpas2e1is(Ipa ipa, Level level_hint) {
  aarch64::TlbiIpas2e1is(ipa.value(),
                         aarch64::This().machine.ttl ? level_hint.value() : -1);
}
inline void TlbiIpas2e1(Ipa ipa, Level level_hint) {
  aarch64::TlbiIpas2e1(ipa.value(),
                       aarch64::This().machine.ttl ? level_hint.value() : -1);
}
inline void TlbiRipas2e1is(Ipa start, uint64_t size) {
  aarch64::TlbiRipas2e1is(start.value(), size);
}
inline void TlbiVmalle1is() { aarch64::TlbiVmalle1is(); }
inline void TlbiVmalle1() { aarch64::TlbiVmalle1(); }
inline void TlbiVmalls12e1is() { aarch64::TlbiVmalls12e1is(); }
inline void TlbiAlle1is() { aarch64::TlbiAlle1is(); }
inline void TlbiVale2is(HypVa va) { aarch64::TlbiVale2is(va.value()); }
inline void TlbiVae2is(HypVa va) { aarch64::TlbiVae2is(va.value()); }
inline void IcIallu() { asm volatile("ic iallu" : : : "memory"); }

inline bool HasRangeTlbi() { return aarch64::This().machine.range_tlbi; }
inline bool TlbiNeedsRepeat() {
  return aarch64::This().machine.errata.repeat_tlbi;
}

// ---- Locks -----------------------------------------------------------------

// YIELD, not WFE: a ticket lock is released by a plain store-release, which is
// no wake-up event for a waiter that polls with plain loads (no exclusive
// monitor is set), and the release comes after OnLockReleased, so that an SEV
// there would come too early.
inline void LockWait() { asm volatile("yield" : : : "memory"); }
inline void OnLockRequested(const void*) {}
inline void OnLockAcquired(const void*) {}
inline void OnLockReleased(const void*) {}

// ---- Hints for checkers ----------------------------------------------------

inline void OnStage2Created(const Stage2Context&, const void*) {}
inline void OnStage2Destroyed(const Stage2Context&) {}

// ---- Console ---------------------------------------------------------------

inline void ConsoleWrite(const char* bytes, size_t size) {
  aarch64::BoardConsoleWrite(bytes, size);
}

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_AARCH64_MACHINE_BACKEND_H_
