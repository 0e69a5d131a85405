// SPDX-License-Identifier: Apache-2.0
#include "hyp/hypervisor.h"

#include <algorithm>
#include <array>

#include "base/machine.h"
#include "base/note.h"
#include "hyp/calls.h"

namespace holdfast::hyp {

namespace {

// What a call needs is loaded on this CPU.
bool IsMet(Needs needs, const vm_table::Vcpu* loaded) {
  switch (needs) {
    case Needs::kNothing:
      return true;
    case Needs::kVcpu:
      return loaded != nullptr;
    case Needs::kProtectedVcpu:
      return loaded != nullptr && loaded->vm().is_protected();
    case Needs::kNonProtectedVcpu:
      return loaded != nullptr && !loaded->vm().is_protected();
  }
  return false;
}

// SMCCC's probes of a vendor hypervisor service, which answer in x0 (DEN0028
// 6.2). Any other id is nobody's.
void AnswerProbe(HostRegs& regs) {
  const uint64_t id = regs.x[0];
  regs.x[1] = regs.x[2] = regs.x[3] = 0;
  switch (id) {
    case HF_SMCCC_UID:
      std::copy_n(
          std::array<uint64_t, 4>{HF_UID_0, HF_UID_1, HF_UID_2, HF_UID_3}
              .begin(),
          4, regs.x.begin());
      return;
    case HF_SMCCC_REVISION:
      regs.x[0] = HF_ABI_MAJOR;
      regs.x[1] = HF_ABI_MINOR;
      return;
    default:
      regs.x[0] = static_cast<uint64_t>(int64_t{HF_NOT_SUPPORTED});
      return;
  }
}

[[gnu::noinline]] void AnswerOther(HostRegs& regs) {
  const uint64_t id = regs.x[0];
  machine::OnNote(EventKind::kCallEnter, id, regs.x[1], regs.x[2], regs.x[3],
                  regs.x[4], regs.x[5]);
  AnswerProbe(regs);
  machine::ThisCpu().events.Record(EventKind::kCallExit, id, regs.x[0]);
  machine::OnNote(EventKind::kCallExit, id, regs.x[1], regs.x[2], regs.x[3],
                  regs.x[0], 0);
}

}  // namespace

// Both out of line: neither sets up a stack frame for the other.
void Hypervisor::HandleHostCall(HostRegs& regs) {
  const Call* call = FindCall(regs.x[0]);
  if (call == nullptr) {
    AnswerOther(regs);
    return;
  }
  Serve(*call, regs);
}

[[gnu::noinline]] void Hypervisor::Serve(const Call& call, HostRegs& regs) {
  Note(EventKind::kCallEnter, regs.x[0], regs.x[1], regs.x[2], regs.x[3],
       regs.x[4], regs.x[5]);
  const Args args = {regs.x[1], regs.x[2], regs.x[3], regs.x[4], regs.x[5]};
  const CallResult result = IsMet(call.needs, ThisCpu().loaded)
                                ? call.handler(*this, args)
                                : Failed(Errno::kEinval);
  Note(EventKind::kCallExit, call.id, static_cast<uint64_t>(result.x1),
       result.x2, result.x3);
  regs.x[0] = 0;
  regs.x[1] = static_cast<uint64_t>(result.x1);
  regs.x[2] = result.x2;
  regs.x[3] = result.x3;
}

HostAbortAction Hypervisor::HandleHostAbort(const HostAbort& abort) {
  using mem_protect::FaultAction;
  const FaultAction fault = abort.ipa.has_value()
                                ? mem_.HandleHostFault(*abort.ipa, abort.kind)
                                : FaultAction::kInject;
  HostAbortAction action = HostAbortAction::kRetry;
  if (fault == FaultAction::kInject) {
    action = abort_as_translation_.load(std::memory_order_relaxed)
                 ? HostAbortAction::kInjectTranslation
                 : HostAbortAction::kInjectExternal;
  }
  Note(EventKind::kHostAbort, abort.ipa.has_value() ? abort.ipa->value() : 0,
       abort.syndrome, static_cast<uint64_t>(action), abort.ipa.has_value());
  return action;
}

void Hypervisor::OnCpuOff() {
  if (ThisCpu().loaded != nullptr) Calls::VcpuPut(*this, {});
}

}  // namespace holdfast::hyp
