// SPDX-License-Identifier: Apache-2.0
//
// What a CPU does when it takes an exception to EL1, as arithmetic on register
// values (Arm ARM D1.3, AArch64.TakeException), so that it is tested on the
// host.
#ifndef HOLDFAST_PLATFORMS_AARCH64_EXCEPTION_ENTRY_H_
#define HOLDFAST_PLATFORMS_AARCH64_EXCEPTION_ENTRY_H_

#include <cstdint>

#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

constexpr bool IsFromEl0(uint64_t spsr) {
  using aarch64::Spsr;
  return (spsr & Spsr::kAArch32) != 0 ||
         Spsr::Mode::Get(spsr) == Spsr::kModeEl0t;
}

// Of a synchronous exception, into EL1's vector table, by where it comes from
// (D1.3.1.3).
constexpr uint64_t VectorOffset(uint64_t spsr) {
  using aarch64::Spsr;
  if (spsr & Spsr::kAArch32) return 0x600;
  switch (Spsr::Mode::Get(spsr)) {
    case Spsr::kModeEl0t:
      return 0x400;
    case Spsr::kModeEl1t:
      return 0x000;
    default:
      return 0x200;
  }
}

// The extensions that have a part in it.
struct PstateExtensions {
  bool pan = false, ssbs = false, mte = false, nmi = false;
};

// PSTATE at the handler's first instruction, as SPSR_EL2 has it. Given what the
// interrupted code ran with, and SCTLR_EL1.
constexpr uint64_t HandlerPstate(uint64_t spsr, uint64_t sctlr,
                                 PstateExtensions extensions) {
  using aarch64::SctlrEl1;
  using aarch64::Spsr;
  uint64_t pstate = Spsr::kModeEl1h | Spsr::kDaif;
  pstate |= spsr & (Spsr::kNzcv | Spsr::kDit);
  if (extensions.pan) {
    pstate |= spsr & Spsr::kPan;
    if ((sctlr & SctlrEl1::kSpan) == 0) pstate |= Spsr::kPan;
  }
  if (extensions.ssbs && (sctlr & SctlrEl1::kDssbs) != 0) pstate |= Spsr::kSsbs;
  if (extensions.mte) pstate |= Spsr::kTco;
  if (extensions.nmi && (sctlr & SctlrEl1::kSpintmask) == 0)
    pstate |= Spsr::kAllInt;
  return pstate;
}

// The class at EL1 of an abort that EL2 took as `esr`.
constexpr aarch64::ExceptionClass AbortClass(uint64_t esr, uint64_t spsr) {
  using aarch64::EsrEl2;
  using aarch64::ExceptionClass;
  const bool data = EsrEl2::Ec::Get(esr) ==
                    static_cast<uint64_t>(ExceptionClass::kDataAbortLower);
  if (IsFromEl0(spsr)) {
    return data ? ExceptionClass::kDataAbortLower
                : ExceptionClass::kInstructionAbortLower;
  }
  return data ? ExceptionClass::kDataAbortSame
              : ExceptionClass::kInstructionAbortSame;
}

// ESR_EL1 of a synchronous external abort, for an access that EL2 took as
// `esr`, an instruction or data abort from a lower EL. Of EL2's syndrome
// remains what describes the access; FnV says if FAR is any good. IL is 1 for
// instruction aborts and for data aborts without ISV, which these are.
constexpr uint64_t ExternalAbortSyndrome(uint64_t esr, uint64_t spsr) {
  using aarch64::EsrEl2;
  using aarch64::ExceptionClass;
  // Fault status 0b010000: synchronous external abort, not on a walk.
  constexpr uint64_t kExternalAbort = 0x10;
  uint64_t syndrome =
      EsrEl2::Ec::Put(static_cast<uint64_t>(AbortClass(esr, spsr))) |
      EsrEl2::kIl | EsrEl2::FaultStatus::Put(kExternalAbort) |
      (esr & EsrEl2::kFnv);
  if (EsrEl2::Ec::Get(esr) ==
      static_cast<uint64_t>(ExceptionClass::kDataAbortLower)) {
    syndrome |= esr & (EsrEl2::kWnr | EsrEl2::kCm);
  }
  return syndrome;
}

// ESR_EL1 of the abort as it was, for hosts that know this hypervisor: a fault
// status of stage 2's with S1PTW set, which hardware never shows EL1.
constexpr uint64_t Stage2FaultSyndrome(uint64_t esr, uint64_t spsr) {
  using aarch64::EsrEl2;
  constexpr uint64_t kEc = EsrEl2::Ec::Put(0x3f);
  return (esr & ~kEc) |
         EsrEl2::Ec::Put(static_cast<uint64_t>(AbortClass(esr, spsr))) |
         EsrEl2::kS1ptw;
}

// ESR_EL1 of an undefined instruction.
constexpr uint64_t UndefinedSyndrome() {
  using aarch64::EsrEl2;
  return EsrEl2::Ec::Put(
             static_cast<uint64_t>(aarch64::ExceptionClass::kUnknown)) |
         EsrEl2::kIl;
}

// HPFAR_EL2 is valid for stage-2 translation, access flag and address size
// faults, and for every fault on a stage-1 walk; for permission faults it is
// UNKNOWN (Arm ARM, HPFAR_EL2). The status groups are four levels wide; the two
// odd ones are level -1.
constexpr bool HpfarIsValid(uint64_t esr) {
  if (esr & EsrEl2::kS1ptw) return true;
  const uint64_t status = EsrEl2::FaultStatus::Get(esr);
  return status <= 0x0b || status == 0x29 || status == 0x2b;
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_EXCEPTION_ENTRY_H_
