// SPDX-License-Identifier: Apache-2.0
//
// The facade of base/machine.h on the simulated machine. Included by that
// header only. Hot paths are inline: a thread-local load, one predictable
// branch (Cpu::hooks) and the access. Everything else is in machine.cc.
#ifndef HOLDFAST_PLATFORMS_SIM_MACHINE_BACKEND_H_
#define HOLDFAST_PLATFORMS_SIM_MACHINE_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/stage2_context.h"
#include "platforms/sim/cpu.h"
#include "platforms/sim/events.h"
#include "platforms/sim/guest.h"
#include "platforms/sim/operations.h"
#include "platforms/stream/notes.h"

namespace holdfast::sim {

// The model's side of the facade (machine.cc): called when Cpu::hooks is set,
// or for what is slow anyway. All panic on unbound_cpu.
namespace hooks {
[[noreturn]] void NotOnACpu();
void* PhysToVirt(Cpu& cpu, PhysAddr address);
PhysAddr VirtToPhys(Cpu& cpu, const void* address);
void ZeroPage(Cpu& cpu, PhysAddr page);
void CleanInvalidateToPoc(Cpu& cpu, PhysAddr start, uint64_t size);
void InvalidateICache(Cpu& cpu, PhysAddr start, uint64_t size);
void StorePte(Cpu& cpu, uint64_t* entry, uint64_t value, bool release);
void Barrier(Cpu& cpu, BarrierKind kind);
void EnterStage2Context(Cpu& cpu, const Stage2Context& context);
void LeaveStage2Context(Cpu& cpu);
// `level` and `size` as in the facade; `address` an IPA or a HypVa.
void Tlbi(Cpu& cpu, TlbiKind kind, uint64_t address, uint64_t size, int level);
void IcIallu(Cpu& cpu);
void LockWait(Cpu& cpu);
void OnLockRequested(Cpu& cpu, const void* lock);
void OnLockAcquired(Cpu& cpu, const void* lock);
void OnLockReleased(Cpu& cpu, const void* lock);
void OnStage2Created(Cpu& cpu, const Stage2Context& context, const void* lock);
void OnStage2Destroyed(Cpu& cpu, const Stage2Context& context);
void OnTablePage(Cpu& cpu, PhysAddr page);
void OnNote(Cpu& cpu, const Event& event);
void ConsoleWrite(Cpu& cpu, const char* bytes, size_t size);
GuestTrap RunGuest(Cpu& cpu, machine::GuestState& guest,
                   const Stage2Context& stage2);
}  // namespace hooks

inline void Barrier(BarrierKind kind) {
  Cpu& cpu = *current_cpu;
  if (cpu.hooks) [[unlikely]] {
    hooks::Barrier(cpu, kind);
  } else {
    // Without the model there is no walker to order stores for; what threads
    // see of each other, the atomics of locks and entries order.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

inline void Tlbi(TlbiKind kind, uint64_t address, uint64_t size, int level) {
  Cpu& cpu = *current_cpu;
  if (cpu.hooks) [[unlikely]]
    hooks::Tlbi(cpu, kind, address, size, level);
}

}  // namespace holdfast::sim

namespace holdfast::machine {

inline CpuLocal& ThisCpu() {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.machine == nullptr) [[unlikely]]
    sim::hooks::NotOnACpu();
  return cpu.local;
}

inline void* PhysToVirt(PhysAddr address) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    return sim::hooks::PhysToVirt(cpu, address);
  return reinterpret_cast<void*>(cpu.ram_bias + address.value());
}
inline PhysAddr VirtToPhys(const void* address) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    return sim::hooks::VirtToPhys(cpu, address);
  return PhysAddr(reinterpret_cast<uintptr_t>(address) - cpu.ram_bias);
}

inline void ZeroPage(PhysAddr page) {
  sim::hooks::ZeroPage(*sim::current_cpu, page);
}
inline void CleanInvalidateToPoc(PhysAddr start, uint64_t size) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::CleanInvalidateToPoc(cpu, start, size);
}
inline void InvalidateICache(PhysAddr start, uint64_t size) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::InvalidateICache(cpu, start, size);
}

inline uint64_t LoadPte(const uint64_t* entry) {
  return __atomic_load_n(entry, __ATOMIC_RELAXED);
}
inline void StorePte(uint64_t* entry, uint64_t value) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]] {
    sim::hooks::StorePte(cpu, entry, value, /*release=*/false);
  } else {
    __atomic_store_n(entry, value, __ATOMIC_RELAXED);
  }
}
inline void PublishPte(uint64_t* entry, uint64_t value) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]] {
    sim::hooks::StorePte(cpu, entry, value, /*release=*/true);
  } else {
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
  }
}

inline void DsbIshst() { sim::Barrier(sim::BarrierKind::kDsbIshst); }
inline void DsbIsh() { sim::Barrier(sim::BarrierKind::kDsbIsh); }
inline void DsbNsh() { sim::Barrier(sim::BarrierKind::kDsbNsh); }
inline void Isb() {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::Barrier(cpu, sim::BarrierKind::kIsb);
}

inline void EnterStage2Context(const Stage2Context& context) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::EnterStage2Context(cpu, context);
}
inline void LeaveStage2Context() {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::LeaveStage2Context(cpu);
}

inline void TlbiIpas2e1is(Ipa ipa, Level level_hint) {
  sim::Tlbi(sim::TlbiKind::kIpas2e1is, ipa.value(), 0, level_hint.value());
}
inline void TlbiIpas2e1(Ipa ipa, Level level_hint) {
  sim::Tlbi(sim::TlbiKind::kIpas2e1, ipa.value(), 0, level_hint.value());
}
inline void TlbiRipas2e1is(Ipa start, uint64_t size) {
  sim::Tlbi(sim::TlbiKind::kRipas2e1is, start.value(), size, -1);
}
inline void TlbiVmalle1is() { sim::Tlbi(sim::TlbiKind::kVmalle1is, 0, 0, -1); }
inline void TlbiVmalle1() { sim::Tlbi(sim::TlbiKind::kVmalle1, 0, 0, -1); }
inline void TlbiVmalls12e1is() {
  sim::Tlbi(sim::TlbiKind::kVmalls12e1is, 0, 0, -1);
}
inline void TlbiAlle1is() { sim::Tlbi(sim::TlbiKind::kAlle1is, 0, 0, -1); }
inline void TlbiVale2is(HypVa va) {
  sim::Tlbi(sim::TlbiKind::kVale2is, va.value(), 0, -1);
}
inline void TlbiVae2is(HypVa va) {
  sim::Tlbi(sim::TlbiKind::kVae2is, va.value(), 0, -1);
}
inline void IcIallu() {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::IcIallu(cpu);
}
inline bool HasRangeTlbi() { return sim::current_cpu->has_range_tlbi; }
inline bool TlbiNeedsRepeat() { return sim::current_cpu->tlbi_needs_repeat; }

inline void LockWait() { sim::hooks::LockWait(*sim::current_cpu); }
inline void OnLockRequested(const void* lock) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::OnLockRequested(cpu, lock);
}
inline void OnLockAcquired(const void* lock) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::OnLockAcquired(cpu, lock);
}
inline void OnLockReleased(const void* lock) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::OnLockReleased(cpu, lock);
}

inline void ResetGuest(GuestState& guest, uint64_t mpidr, uint64_t entry,
                       uint64_t context) {
  guest.regs = GuestRegs{.x = {}, .pc = entry};
  guest.regs.x[0] = context;
  guest.mpidr = mpidr;
  guest.abort_injected = guest.undefined_injected = false;
  guest.deadline = ~uint64_t{0};
  for (auto& word : guest.pending) word.store(0, std::memory_order_relaxed);
}
inline GuestTrap RunGuest(GuestState& guest, const Stage2Context& stage2) {
  return sim::hooks::RunGuest(*sim::current_cpu, guest, stage2);
}
inline void InjectGuestAbort(GuestState& guest, const GuestTrap&) {
  guest.abort_injected = true;
}
inline void InjectGuestUndefined(GuestState& guest) {
  guest.undefined_injected = true;
}
inline void PendGuestInterrupt(GuestState& guest, uint32_t intid) {
  guest.pending[intid / 64].fetch_or(uint64_t{1} << intid % 64,
                                     std::memory_order_relaxed);
}
inline uint64_t GuestDeadline(const GuestState& guest) {
  for (const auto& word : guest.pending) {
    if (word.load(std::memory_order_relaxed) != 0) return 0;
  }
  return guest.deadline;
}

inline void OnStage2Created(const Stage2Context& context, const void* lock) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::OnStage2Created(cpu, context, lock);
}
inline void OnStage2Destroyed(const Stage2Context& context) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.hooks) [[unlikely]]
    sim::hooks::OnStage2Destroyed(cpu, context);
}

inline void OnTablePage(PhysAddr page) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.records) [[unlikely]]
    sim::hooks::OnTablePage(cpu, page);
}
inline void OnNote(EventKind kind, uint64_t a, uint64_t b, uint64_t c,
                   uint64_t d, uint64_t e, uint64_t f) {
  sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.records) [[unlikely]] {
    sim::hooks::OnNote(
        cpu, stream::EventOf(cpu.local.index, kind, a, b, c, d, e, f));
  }
}

inline void ConsoleWrite(const char* bytes, size_t size) {
  sim::hooks::ConsoleWrite(*sim::current_cpu, bytes, size);
}

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_SIM_MACHINE_BACKEND_H_
