// SPDX-License-Identifier: Apache-2.0
//
// How the test image is told to break itself: HVC #HF_FAULT_IMMEDIATE, x0 =
// which, x1 and x2 = its arguments. Boot argument `mixed=N`: the CPUs look
// different from each other, in way N (faults.cc).
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_FAULTS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_FAULTS_H_

#define HF_FAULT_IMMEDIATE 0x7e57
// ESR_EL2 of the SErrors: class 0x2f, IL, uncontainable or not classified
// (DFSC 0x11; Arm ARM D19.2.37). Also read by the assembler.
#define HF_FAULT_SERROR_HIGH 0xbe00
#define HF_FAULT_SERROR_LOW 0x0011

#ifndef __ASSEMBLER__
#include <cstdint>

namespace holdfast::qemu_virt {

enum class Fault : uint64_t {
  kNone,
  kStackOverflow,
  kWildPointer,
  kWriteText,
  kWriteRodata,
  kExecuteData,
  kFailedCheck,
  kWildJump,
  // Nothing breaks: x0 becomes a digest of this CPU's EL2 registers.
  kDigestRegisters,
  // As CPU_SUSPEND with power down, which QEMU does not do: EL2's registers are
  // lost and the CPU comes back where firmware would let it. x1: the host's
  // entry, x2: what it gets in x0.
  kLosePower,
  // An array is written past its end, and a return address as an overflow that
  // leaves the canary alone would have it.
  kSmashStack,
  kForgeReturn,
  // A function is called behind its landing pad.
  kMissLandingPad,
  kWriteAfterInit,
  // Nothing breaks yet: the next synchronous exception of a guest on this CPU
  // comes as an SError.
  kSErrorOfGuest,
  // EL2 itself takes an SError.
  kSErrorOfEl2,
};

}  // namespace holdfast::qemu_virt
#endif  // __ASSEMBLER__

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_FAULTS_H_
