// SPDX-License-Identifier: Apache-2.0
//
// What EL2 keeps of a vCPU while it does not run: all that a guest can have in
// registers. Included by machine_backend.h.
#ifndef HOLDFAST_PLATFORMS_AARCH64_GUEST_STATE_H_
#define HOLDFAST_PLATFORMS_AARCH64_GUEST_STATE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/guest.h"
#include "platforms/aarch64/fp_state.h"
#include "platforms/aarch64/layout.h"

namespace holdfast::aarch64 {

// Registers of EL1 and EL0 that host and guests each have (Arm ARM D19.2), in
// no order; TCR_EL1 and SCTLR_EL1 besides, because order matters for them.
// clang-format off
#define HOLDFAST_EL1_REGISTERS(X)                                            \
  X(cpacr_el1) X(ttbr0_el1) X(ttbr1_el1) X(mair_el1) X(amair_el1)            \
  X(esr_el1) X(far_el1) X(afsr0_el1) X(afsr1_el1) X(vbar_el1)                \
  X(contextidr_el1) X(tpidr_el0) X(tpidrro_el0) X(tpidr_el1) X(sp_el0)       \
  X(sp_el1) X(elr_el1) X(spsr_el1) X(par_el1) X(cntkctl_el1) X(csselr_el1)   \
  X(mdscr_el1)
// clang-format on

struct El1Registers {
#define HOLDFAST_X(name) uint64_t name;
  HOLDFAST_EL1_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
  uint64_t tcr_el1, sctlr_el1;
  // The virtual timer.
  uint64_t cntv_ctl, cntv_cval;
  // FEAT_PAuth's keys but A for instructions: B, data A and B, generic.
  uint64_t keys[8];
};

inline constexpr unsigned kMaxListRegisters = 16;

// The virtual CPU interface (GICv3, IHI 0069, 12.4).
struct VirtualGic {
  uint64_t vmcr, ap1r0;
  std::array<uint64_t, kMaxListRegisters> lr;
  // Interrupts that wait for a list register, a bit each. Any CPU sets them.
  std::array<std::atomic<uint64_t>, (kSpiEnd + 63) / 64> pending;
};

// Their reset values are UNKNOWN (IHI 0069, 12.4). On a CPU that has a GIC's
// interface, each time it comes up, before it runs a guest.
void ClearListRegisters();

}  // namespace holdfast::aarch64

namespace holdfast::machine {

struct GuestState {
  GuestRegs regs;
  uint64_t key_a[2];
  uint64_t mpidr;
  aarch64::El1Registers el1;
  aarch64::FpState fp;
  aarch64::VirtualGic gic;
};
static_assert(offsetof(GuestState, regs) == 0);
static_assert(offsetof(GuestRegs, pc) == HF_GUEST_PC);
static_assert(offsetof(GuestRegs, pstate) == HF_GUEST_PC + 8);
static_assert(offsetof(GuestState, key_a) == HF_GUEST_KEY_A);

// guest_switch.cc; see base/machine.h.
void ResetGuest(GuestState& guest, uint64_t mpidr, uint64_t entry,
                uint64_t context);
GuestTrap RunGuest(GuestState& guest, const Stage2Context& stage2);
void InjectGuestAbort(GuestState& guest, const GuestTrap& trap);
void InjectGuestUndefined(GuestState& guest);
uint64_t GuestDeadline(const GuestState& guest);
inline void PendGuestInterrupt(GuestState& guest, uint32_t intid) {
  guest.gic.pending[intid / 64].fetch_or(uint64_t{1} << intid % 64,
                                         std::memory_order_relaxed);
}

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_AARCH64_GUEST_STATE_H_
