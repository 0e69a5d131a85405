// SPDX-License-Identifier: Apache-2.0
//
// Borrowing VTTBR_EL2 for TLB maintenance of another VM. Stage-2 TLB operations
// act on the VMID in VTTBR_EL2 (Arm ARM D8.17), so it must change for a while.
#ifndef HOLDFAST_PLATFORMS_AARCH64_STAGE2_SWITCH_H_
#define HOLDFAST_PLATFORMS_AARCH64_STAGE2_SWITCH_H_

#include "base/check.h"
#include "base/stage2_context.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

// At EL2 no walk of the EL1&0 regime is made on speculation - except, on the
// CPUs of errata.h, for a speculated AT. There TCR_EL1.EPD0/1 forbid such walks
// while VTTBR_EL2 and the EL1 registers belong to different VMs; they count
// only with the stage-1 MMU on, so SCTLR_EL1.M is set meanwhile (with it off,
// an AT would go straight to stage 2 and fill the TLB under the wrong VMID).
// The order of the two writes matters: walks off, then MMU "on".
inline void EnterStage2(const Stage2Context& context) {
  Cpu& cpu = This();
  HOLDFAST_CHECK(!cpu.stage2_entered);
  cpu.stage2_entered = true;
  const uint64_t vttbr = VttbrEl2::Read();
  if (vttbr == context.vttbr()) return;
  // Speculative walks of EL1&0 that began before the trap must end in the
  // context they began in; a DSB for stores only does not wait for them.
  DsbNsh();
  cpu.stage2_switched = true;
  cpu.saved_vttbr = vttbr;
  cpu.saved_vtcr = VtcrEl2::Read();
  if (cpu.machine.errata.speculative_at) {
    cpu.saved_tcr_el1 = TcrEl1::Read();
    TcrEl1::Write(cpu.saved_tcr_el1 | TcrEl1::kEpd0 | TcrEl1::kEpd1);
    Isb();
    cpu.saved_sctlr_el1 = SctlrEl1::Read();
    if ((cpu.saved_sctlr_el1 & SctlrEl1::kM) == 0) {
      SctlrEl1::Write(cpu.saved_sctlr_el1 | SctlrEl1::kM);
      Isb();
    }
  }
  VttbrEl2::Write(context.vttbr());
  VtcrEl2::Write(context.vtcr);
  Isb();
}

// The reverse, in the reverse order.
inline void LeaveStage2() {
  Cpu& cpu = This();
  HOLDFAST_CHECK(cpu.stage2_entered);
  cpu.stage2_entered = false;
  if (!cpu.stage2_switched) return;
  cpu.stage2_switched = false;
  VttbrEl2::Write(cpu.saved_vttbr);
  VtcrEl2::Write(cpu.saved_vtcr);
  Isb();
  if (cpu.machine.errata.speculative_at) {
    if ((cpu.saved_sctlr_el1 & SctlrEl1::kM) == 0) {
      SctlrEl1::Write(cpu.saved_sctlr_el1);
      Isb();
    }
    TcrEl1::Write(cpu.saved_tcr_el1);
    Isb();
  }
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_STAGE2_SWITCH_H_
