// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/inject.h"

#include "platforms/aarch64/exception_entry.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::qemu_virt {

using aarch64::ElrEl1;
using aarch64::ElrEl2;
using aarch64::EsrEl1;
using aarch64::EsrEl2;
using aarch64::ExternalAbortSyndrome;
using aarch64::FarEl1;
using aarch64::HandlerPstate;
using aarch64::IdAa64Mmfr1El1;
using aarch64::IdAa64Pfr1El1;
using aarch64::SctlrEl1;
using aarch64::SpsrEl1;
using aarch64::SpsrEl2;
using aarch64::Stage2FaultSyndrome;
using aarch64::UndefinedSyndrome;
using aarch64::VbarEl1;
using aarch64::VectorOffset;

namespace {

void TakeAtEl1(uint64_t esr) {
  const uint64_t spsr = SpsrEl2::Read();
  const uint64_t pfr1 = IdAa64Pfr1El1::Read();
  EsrEl1::Write(esr);
  ElrEl1::Write(ElrEl2::Read());
  SpsrEl1::Write(spsr);
  ElrEl2::Write(VbarEl1::Read() + VectorOffset(spsr));
  SpsrEl2::Write(HandlerPstate(
      spsr, SctlrEl1::Read(),
      {.pan = IdAa64Mmfr1El1::Pan::Get(IdAa64Mmfr1El1::Read()) != 0,
       .ssbs = IdAa64Pfr1El1::Ssbs::Get(pfr1) != 0,
       .mte = IdAa64Pfr1El1::Mte::Get(pfr1) >= 2,
       .nmi = IdAa64Pfr1El1::Nmi::Get(pfr1) != 0}));
}

}  // namespace

void InjectExternalAbort(uint64_t esr, uint64_t far) {
  if ((esr & EsrEl2::kFnv) == 0) FarEl1::Write(far);
  TakeAtEl1(ExternalAbortSyndrome(esr, SpsrEl2::Read()));
}

void InjectStage2Fault(uint64_t esr, uint64_t far) {
  FarEl1::Write(far);
  TakeAtEl1(Stage2FaultSyndrome(esr, SpsrEl2::Read()));
}

void InjectUndefined() { TakeAtEl1(UndefinedSyndrome()); }

}  // namespace holdfast::qemu_virt
