// SPDX-License-Identifier: Apache-2.0
//
// What the host traps into: calls, SMCs, aborts, and the rest. Nothing that a
// host does ends in a panic: what EL2 does not provide is undefined for it.
#include <optional>

#include "platforms/aarch64/exception_entry.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/inject.h"
#include "platforms/qemu_virt/redistributor.h"

namespace holdfast::qemu_virt {

using aarch64::ElrEl2;
using aarch64::EsrEl2;
using aarch64::ExceptionClass;
using aarch64::FarEl2;
using aarch64::HpfarEl2;
using aarch64::HpfarIsValid;
using mem_protect::FaultKind;

namespace {

// The page that was accessed, or nothing if the syndrome does not tell. Nor is
// the host's stage 1 walked for it (AT): an external abort on that walk would
// be EL2's own, and the host chooses where its tables are.
std::optional<Ipa> FaultPage(uint64_t esr) {
  if (!HpfarIsValid(esr)) return std::nullopt;
  return Ipa(HpfarEl2::Fipa::Get(HpfarEl2::Read()) << 12);
}

// Fault status codes, in groups of four levels, and translation at level -1.
FaultKind KindOf(uint64_t esr) {
  const uint64_t status = EsrEl2::FaultStatus::Get(esr);
  if (status >> 2 == 1 || status == 0x2b) return FaultKind::kTranslation;
  if (status >> 2 == 3) return FaultKind::kPermission;
  return FaultKind::kOther;
}

// Two things a board makes of an access that no table allows: a register that
// EL2 stands in for, or an abort.
void HandleAbort(BoardCpu& cpu, TrapFrame& frame, uint64_t esr) {
  const uint64_t far = FarEl2::Read();
  const hyp::HostAbort abort = {
      .ipa = FaultPage(esr), .kind = KindOf(esr), .syndrome = esr};
  const bool data = EsrEl2::Ec::Get(esr) ==
                    static_cast<uint64_t>(ExceptionClass::kDataAbortLower);
  if (data && abort.kind == FaultKind::kTranslation && abort.ipa.has_value() &&
      HandleRedistributor(frame, esr, abort.ipa->value() | (far & 0xfff))) {
    return;
  }
  switch (cpu.board->hypervisor->HandleHostAbort(abort)) {
    case hyp::HostAbortAction::kRetry:
      return;
    case hyp::HostAbortAction::kInjectExternal:
      InjectExternalAbort(esr, far);
      return;
    case hyp::HostAbortAction::kInjectTranslation:
      InjectStage2Fault(esr, far);
      return;
  }
}

}  // namespace

extern "C" void HandleHostHvc(TrapFrame* frame) {
  ThisBoardCpu().board->hypervisor->HandleHostCall(frame->call);
}

extern "C" void HandleLowerException(TrapFrame* frame, uint64_t kind) {
  // Interrupts and SErrors go to EL1 while the host runs (HCR_EL2.IMO, FMO and
  // AMO are 0), so only synchronous exceptions come here.
  HOLDFAST_CHECK(kind == 8 || kind == 12);
  BoardCpu& cpu = ThisBoardCpu();
  const uint64_t esr = EsrEl2::Read();
  switch (static_cast<ExceptionClass>(EsrEl2::Ec::Get(esr))) {
    case ExceptionClass::kHvc64:
      // Calls are HVC #0, and not here; the immediate of any other is nobody's,
      // but for images that are built to fail.
      if (!HandleFaultCall(*frame, EsrEl2::Immediate::Get(esr)))
        frame->x[0] = ~uint64_t{0};
      return;
    case ExceptionClass::kSmc64:
      // A trapped SMC returns to itself (D1.3.1.4), unlike HVC.
      ElrEl2::Write(ElrEl2::Read() + 4);
      HandleHostSmc(*frame, EsrEl2::Immediate::Get(esr));
      return;
    case ExceptionClass::kInstructionAbortLower:
    case ExceptionClass::kDataAbortLower:
      HandleAbort(cpu, *frame, esr);
      return;
    default:
      InjectUndefined();
      return;
  }
}

}  // namespace holdfast::qemu_virt
