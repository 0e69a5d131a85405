// SPDX-License-Identifier: Apache-2.0
#include "hyp/hypervisor.h"

#include "base/machine.h"
#include "hyp/calls.h"

namespace holdfast::hyp {

void Hypervisor::HandleHostCall(HostRegs& regs) {
  EventRing& events = machine::ThisCpu().events;
  const Call* call = FindCall(regs.x[0]);
  if (call == nullptr) {
    events.Record(EventKind::kCallExit, regs.x[0],
                  static_cast<uint64_t>(HF_NOT_SUPPORTED));
    regs.x[0] = static_cast<uint64_t>(int64_t{HF_NOT_SUPPORTED});
    regs.x[1] = regs.x[2] = regs.x[3] = 0;
    return;
  }
  events.Record(EventKind::kCallEnter, regs.x[0], regs.x[1], regs.x[2]);
  const Args args = {regs.x[1], regs.x[2], regs.x[3], regs.x[4], regs.x[5]};
  const CallResult result = call->handler(*this, args);
  events.Record(EventKind::kCallExit, call->id,
                static_cast<uint64_t>(result.x1), result.x2);
  regs.x[0] = 0;
  regs.x[1] = static_cast<uint64_t>(result.x1);
  regs.x[2] = result.x2;
  regs.x[3] = result.x3;
}

mem_protect::FaultAction Hypervisor::HandleHostAbort(const HostAbort& abort) {
  const mem_protect::FaultAction action =
      abort.ipa.has_value() ? mem_.HandleHostFault(*abort.ipa, abort.kind)
                            : mem_protect::FaultAction::kInject;
  machine::ThisCpu().events.Record(
      EventKind::kHostAbort, abort.ipa.has_value() ? abort.ipa->value() : 0,
      abort.syndrome, static_cast<uint64_t>(action));
  return action;
}

void Hypervisor::OnCpuOff() { Calls::VcpuPut(*this, {}); }

}  // namespace holdfast::hyp
