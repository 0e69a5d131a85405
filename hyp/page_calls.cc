// SPDX-License-Identifier: Apache-2.0
//
// Calls that move or share single pages.
#include "hyp/arguments.h"
#include "hyp/calls.h"

namespace holdfast::hyp {

CallResult Calls::ShareHyp(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.ShareHyp(args[0]));
}

CallResult Calls::UnshareHyp(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.UnshareHyp(args[0]));
}

// C: a vCPU of a protected VM is loaded here (EINVAL); MemProtect::DonateGuest.
CallResult Calls::DonateGuest(Hypervisor& hv, const Args& args) {
  const vm_table::Vcpu* vcpu = hv.ThisCpu().loaded;
  if (vcpu == nullptr || !vcpu->vm().is_protected())
    return Failed(Errno::kEinval);
  uint64_t short_of = 0;
  const Status status =
      hv.mem_.DonateGuest(vcpu->vm(), args[0], args[1], &short_of);
  if (!status.has_value()) return Failed(status.error(), short_of);
  return {};
}

CallResult Calls::ForceReclaim(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.ForceReclaim(hv.vms_, args[0]));
}

// C: a dying VM (EINVAL); MemProtect::ReclaimDying.
CallResult Calls::ReclaimDying(Hypervisor& hv, const Args& args) {
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  std::optional<vm_table::VmRef> vm;
  {
    SpinlockHolder hold(hv.vms_.lock);
    vm_table::Vm* found = hv.vms_.Find(*handle);
    if (found == nullptr || !hv.vms_.IsDying(*found))
      return Failed(Errno::kEinval);
    vm.emplace(hv.vms_.Reference(*found));
  }
  uint64_t next = 0;
  const Status status = hv.mem_.ReclaimDying(**vm, args[1], &next);
  CallResult result = ResultOf(status);
  result.x2 = next;
  return result;
}

}  // namespace holdfast::hyp
