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
#include "platforms/aarch64/guest_state.h"
#include "platforms/aarch64/stage2_switch.h"
#include "platforms/aarch64/tlbi.h"
#include "platforms/stream/notes.h"
// Of recorder_off/ or recorder_on/, as the build says.
#include "machine_recorder.h"

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
  aarch64::Record(stream::EventType::kZeroPage, page.value());
  const aarch64::FixmapWindow window(page);
  aarch64::ZeroRange(window.address(), kPageSize);
  aarch64::CleanInvalidateRangeToPoc(window.address(), kPageSize,
                                     aarch64::This().machine.caches);
}

inline void CleanInvalidateToPoc(PhysAddr start, uint64_t size) {
  aarch64::Record(stream::EventType::kCleanInvalidate, start.value(), size);
  for (uint64_t done = 0; done < size; done += kPageSize) {
    const aarch64::FixmapWindow window(start + done);
    aarch64::CleanInvalidateRangeToPoc(window.address(), kPageSize,
                                       aarch64::This().machine.caches);
  }
}

inline void InvalidateICache(PhysAddr start, uint64_t size) {
  aarch64::Record(stream::EventType::kInvalidateICache, start.value(), size);
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
  if constexpr (aarch64::kRecords) {
    aarch64::Record(stream::EventType::kStorePte, VirtToPhys(entry).value(),
                    LoadPte(entry), value);
  }
  __atomic_store_n(entry, value, __ATOMIC_RELAXED);
}
inline void PublishPte(uint64_t* entry, uint64_t value) {
  if constexpr (aarch64::kRecords) {
    aarch64::Record(stream::EventType::kPublishPte, VirtToPhys(entry).value(),
                    LoadPte(entry), value);
  }
  __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

// ---- Barriers --------------------------------------------------------------

inline void DsbIshst() {
  aarch64::DsbIshst();
  aarch64::Record(stream::EventType::kDsbIshst);
}
inline void DsbIsh() {
  aarch64::DsbIsh();
  aarch64::Record(stream::EventType::kDsbIsh);
}
inline void DsbNsh() {
  aarch64::DsbNsh();
  aarch64::Record(stream::EventType::kDsbNsh);
}
inline void Isb() {
  aarch64::Isb();
  aarch64::Record(stream::EventType::kIsb);
}

// ---- TLB maintenance -------------------------------------------------------

// The VMID that VTTBR_EL2 has. Only for recorders.
inline uint64_t RecordedVmid() {
  return aarch64::kRecords ? aarch64::VttbrEl2::Read() >> 48 : 0;
}

// A hint that the CPU does not take is none.
inline uint64_t RecordedLevel(Level hint) {
  return aarch64::kRecords && aarch64::This().machine.ttl
             ? static_cast<uint64_t>(static_cast<int64_t>(hint.value()))
             : ~uint64_t{0};
}

inline void EnterStage2Context(const Stage2Context& context) {
  aarch64::EnterStage2(context);
  aarch64::Record(stream::EventType::kEnterContext, context.vttbr(),
                  context.vtcr);
}
inline void LeaveStage2Context() {
  if constexpr (aarch64::kRecords) {
    aarch64::Record(stream::EventType::kLeaveContext, aarch64::VttbrEl2::Read(),
                    aarch64::VtcrEl2::Read());
  }
  aarch64::LeaveStage2();
}

inline void TlbiIpas2e1is(Ipa ipa, Level level_hint) {
  aarch64::Record(stream::EventType::kTlbiIpas2e1is, RecordedVmid(),
                  ipa.value(), RecordedLevel(level_hint));
  aarch64::TlbiIpas2e1is(ipa.value(),
                         aarch64::This().machine.ttl ? level_hint.value() : -1);
}
inline void TlbiIpas2e1(Ipa ipa, Level level_hint) {
  aarch64::Record(stream::EventType::kTlbiIpas2e1, RecordedVmid(), ipa.value(),
                  RecordedLevel(level_hint));
  aarch64::TlbiIpas2e1(ipa.value(),
                       aarch64::This().machine.ttl ? level_hint.value() : -1);
}
inline void TlbiRipas2e1is(Ipa start, uint64_t size) {
  aarch64::Record(stream::EventType::kTlbiRipas2e1is, RecordedVmid(),
                  start.value(), size);
  aarch64::TlbiRipas2e1is(start.value(), size);
}
inline void TlbiVmalle1is() {
  aarch64::Record(stream::EventType::kTlbiVmalle1is, RecordedVmid());
  aarch64::TlbiVmalle1is();
}
inline void TlbiVmalle1() {
  aarch64::Record(stream::EventType::kTlbiVmalle1, RecordedVmid());
  aarch64::TlbiVmalle1();
}
inline void TlbiVmalls12e1is() {
  aarch64::Record(stream::EventType::kTlbiVmalls12e1is, RecordedVmid());
  aarch64::TlbiVmalls12e1is();
}
inline void TlbiAlle1is() {
  aarch64::Record(stream::EventType::kTlbiAlle1is);
  aarch64::TlbiAlle1is();
}
inline void TlbiVale2is(HypVa va) {
  aarch64::Record(stream::EventType::kTlbiVale2is, va.value());
  aarch64::TlbiVale2is(va.value());
}
inline void TlbiVae2is(HypVa va) {
  aarch64::Record(stream::EventType::kTlbiVae2is, va.value());
  aarch64::TlbiVae2is(va.value());
}
inline void IcIallu() {
  aarch64::Record(stream::EventType::kIcIallu);
  asm volatile("ic iallu" : : : "memory");
}

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
inline void OnLockAcquired(const void* lock) {
  aarch64::Record(stream::EventType::kLock, reinterpret_cast<uintptr_t>(lock));
}
inline void OnLockReleased(const void* lock) {
  aarch64::Record(stream::EventType::kUnlock,
                  reinterpret_cast<uintptr_t>(lock));
}

// ---- Hints for checkers ----------------------------------------------------

inline void OnStage2Created(const Stage2Context& context, const void* lock) {
  aarch64::Record(stream::EventType::kStage2Created, context.vttbr(),
                  context.vtcr, reinterpret_cast<uintptr_t>(lock));
}
inline void OnStage2Destroyed(const Stage2Context& context) {
  aarch64::Record(stream::EventType::kStage2Destroyed, context.vttbr(),
                  context.vtcr);
}
inline void OnTablePage(PhysAddr page) {
  if constexpr (aarch64::kRecords) {
    const auto* const words = static_cast<const uint64_t*>(PhysToVirt(page));
    uint64_t nonzero = 0;
    for (uint64_t i = 0; i < kPageSize / sizeof(uint64_t); ++i)
      nonzero += words[i] != 0;
    aarch64::Record(stream::EventType::kTablePage, page.value(), nonzero);
  }
}
inline void OnNote(EventKind kind, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f) {
  if constexpr (aarch64::kRecords) {
    aarch64::Record(
        stream::EventOf(aarch64::This().local.index, kind, a, b, c, d, e, f));
  }
}

// ---- Console ---------------------------------------------------------------

inline void ConsoleWrite(const char* bytes, size_t size) {
  aarch64::BoardConsoleWrite(bytes, size);
}

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_AARCH64_MACHINE_BACKEND_H_
