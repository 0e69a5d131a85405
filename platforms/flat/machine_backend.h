// SPDX-License-Identifier: Apache-2.0
//
// The facade of base/machine.h on a machine that is nothing but RAM: no model,
// no hooks, TLB and cache maintenance are numbers. What is measured on it is
// what the libraries themselves cost. Included by that header only.
//
// A build may ask that it watch more (BUILD.bazel, `watch`); in all others that
// is no instruction.
#ifndef HOLDFAST_PLATFORMS_FLAT_MACHINE_BACKEND_H_
#define HOLDFAST_PLATFORMS_FLAT_MACHINE_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/granule.h"
#include "base/guest.h"
#include "base/stage2_context.h"

namespace holdfast::flat {

inline constexpr bool kWatchesWork = HOLDFAST_FLAT_WORK != 0;
inline constexpr bool kWatchesLocks = HOLDFAST_FLAT_LOCKS != 0;

// What a CPU has done, if kWatchesWork.
struct Work {
  uint64_t pte_loads = 0;
  uint64_t pte_stores = 0;
  uint64_t pages_zeroed = 0;
  // Pages whose data or instruction cache was cleaned, that of zeroing apart.
  uint64_t pages_cleaned = 0;
};

// How long this CPU held one lock, in Ticks(), if kWatchesLocks.
struct LockTimes {
  const void* lock = nullptr;  // set by who measures
  uint64_t since = 0;
  uint64_t held = 0;
  uint64_t times = 0;
};

// A CPU is a host thread, and shares no cache line with another.
struct alignas(128) Cpu {
  CpuLocal local;
  uint64_t barriers = 0;
  uint64_t tlb_operations = 0;
  uint64_t cache_operations = 0;
  // ZeroPage zeroes nothing, for measuring all else.
  bool keeps_pages = false;
  Work work;
  LockTimes lock_times;
};

// The CPU this thread is (machine.h), and the host address of physical address
// 0.
inline constinit thread_local Cpu* current_cpu = nullptr;
inline constinit uintptr_t ram_bias = 0;

// What threads see of each other, the atomics of locks and entries order.
inline void Barrier() {
  ++current_cpu->barriers;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
inline void Tlbi() { ++current_cpu->tlb_operations; }

[[gnu::always_inline]] inline void Count(uint64_t Work::* what,
                                         uint64_t number = 1) {
  if constexpr (kWatchesWork) current_cpu->work.*what += number;
}

// A clock of the machine that the program runs on; waits for what is before.
inline uint64_t Ticks() {
#if defined(__x86_64__)
  unsigned aux;
  return __builtin_ia32_rdtscp(&aux);
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
#endif
}

}  // namespace holdfast::flat

namespace holdfast::machine {

inline CpuLocal& ThisCpu() { return flat::current_cpu->local; }

inline void* PhysToVirt(PhysAddr address) {
  return reinterpret_cast<void*>(flat::ram_bias + address.value());
}
inline PhysAddr VirtToPhys(const void* address) {
  return PhysAddr(reinterpret_cast<uintptr_t>(address) - flat::ram_bias);
}

inline void ZeroPage(PhysAddr page) {
  flat::Count(&flat::Work::pages_zeroed);
  if (flat::current_cpu->keeps_pages) return;
  std::memset(PhysToVirt(page), 0, kPageSize);
}
inline void CleanInvalidateToPoc(PhysAddr, uint64_t size) {
  ++flat::current_cpu->cache_operations;
  flat::Count(&flat::Work::pages_cleaned, size >> kPageShift);
}
inline void InvalidateICache(PhysAddr, uint64_t size) {
  ++flat::current_cpu->cache_operations;
  flat::Count(&flat::Work::pages_cleaned, size >> kPageShift);
}

inline uint64_t LoadPte(const uint64_t* entry) {
  flat::Count(&flat::Work::pte_loads);
  return __atomic_load_n(entry, __ATOMIC_RELAXED);
}
inline void StorePte(uint64_t* entry, uint64_t value) {
  flat::Count(&flat::Work::pte_stores);
  __atomic_store_n(entry, value, __ATOMIC_RELAXED);
}
inline void PublishPte(uint64_t* entry, uint64_t value) {
  flat::Count(&flat::Work::pte_stores);
  __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

inline void DsbIshst() { flat::Barrier(); }
inline void DsbIsh() { flat::Barrier(); }
inline void DsbNsh() { flat::Barrier(); }
inline void Isb() { flat::Barrier(); }

inline void EnterStage2Context(const Stage2Context&) {}
inline void LeaveStage2Context() {}

inline void TlbiIpas2e1is(Ipa, Level) { flat::Tlbi(); }
inline void TlbiIpas2e1(Ipa, Level) { flat::Tlbi(); }
inline void TlbiRipas2e1is(Ipa, uint64_t) { flat::Tlbi(); }
inline void TlbiVmalle1is() { flat::Tlbi(); }
inline void TlbiVmalle1() { flat::Tlbi(); }
inline void TlbiVmalls12e1is() { flat::Tlbi(); }
inline void TlbiAlle1is() { flat::Tlbi(); }
inline void TlbiVale2is(HypVa) { flat::Tlbi(); }
inline void TlbiVae2is(HypVa) { flat::Tlbi(); }
inline void IcIallu() { ++flat::current_cpu->cache_operations; }
inline bool HasRangeTlbi() { return true; }
inline bool TlbiNeedsRepeat() { return false; }

inline void LockWait() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}
inline void OnLockRequested(const void*) {}
inline void OnLockAcquired(const void* lock) {
  if constexpr (flat::kWatchesLocks) {
    flat::LockTimes& times = flat::current_cpu->lock_times;
    if (times.lock == lock) times.since = flat::Ticks();
  }
}
inline void OnLockReleased(const void* lock) {
  if constexpr (flat::kWatchesLocks) {
    flat::LockTimes& times = flat::current_cpu->lock_times;
    if (times.lock != lock) return;
    times.held += flat::Ticks() - times.since;
    ++times.times;
  }
}

// A guest's turn ends with an interrupt at once.
struct GuestState {
  GuestRegs regs;
};
inline void ResetGuest(GuestState& guest, uint64_t, uint64_t entry,
                       uint64_t context) {
  guest.regs = GuestRegs{.x = {}, .pc = entry};
  guest.regs.x[0] = context;
}
inline GuestTrap RunGuest(GuestState&, const Stage2Context&) { return {}; }
inline void InjectGuestAbort(GuestState&, const GuestTrap&) {}
inline void InjectGuestUndefined(GuestState&) {}
inline void PendGuestInterrupt(GuestState&, uint32_t) {}
inline uint64_t GuestDeadline(const GuestState&) { return ~uint64_t{0}; }

inline void OnStage2Created(const Stage2Context&, const void*) {}
inline void OnStage2Destroyed(const Stage2Context&) {}
inline void OnTablePage(PhysAddr) {}
inline void OnNote(EventKind, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                   uint64_t) {}

inline void ConsoleWrite(const char* bytes, size_t size) {
  std::fwrite(bytes, 1, size, stderr);
}

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_FLAT_MACHINE_BACKEND_H_
