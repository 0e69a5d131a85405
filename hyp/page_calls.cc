// SPDX-License-Identifier: Apache-2.0
//
// Calls that move or share pages, and tune what a guest may do with them.
#include <optional>

#include "hyp/arguments.h"
#include "hyp/calls.h"
#include "pgtable/tlb.h"

namespace holdfast::hyp {
namespace {

using vm_table::Vm;
using vm_table::VmRef;

// The non-protected VM of a handle, live or dying. EINVAL.
Result<VmRef> NonProtected(vm_table::VmTable& vms, uint64_t raw_handle) {
  const std::optional<VmHandle> handle = HandleOf(raw_handle);
  if (!handle.has_value()) return Error(Errno::kEinval);
  SpinlockHolder hold(vms.lock);
  Vm* vm = vms.Find(*handle);
  if (vm == nullptr || vm->is_protected()) return Error(Errno::kEinval);
  return vms.Reference(*vm);
}

}  // namespace

CallResult Calls::ShareHyp(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.ShareHyp(args[0]));
}

CallResult Calls::UnshareHyp(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.UnshareHyp(args[0]));
}

// C: MemProtect::DonateGuest.
CallResult Calls::DonateGuest(Hypervisor& hv, const Args& args) {
  uint64_t short_of = 0;
  const Result<uint64_t> done = hv.mem_.DonateGuest(
      hv.ThisCpu().loaded->vm(), args[0], args[1], args[2], &short_of);
  if (!done.has_value()) return Failed(done.error(), short_of);
  return {0, *done};
}

// C: prot is HF_PROT_ only (EINVAL); MemProtect::ShareGuest.
CallResult Calls::ShareGuest(Hypervisor& hv, const Args& args) {
  const auto [pfn, gfn, pages, raw_prot, unused] = args;
  const std::optional<pgtable::Prot> prot = ProtOf(raw_prot);
  if (!prot.has_value()) return Failed(Errno::kEinval);
  uint64_t short_of = 0;
  const Status status = hv.mem_.ShareGuest(hv.ThisCpu().loaded->vm(), pfn, gfn,
                                           pages, *prot, &short_of);
  if (!status.has_value()) return Failed(status.error(), short_of);
  return {};
}

// C: a non-protected VM, dying or not (EINVAL); MemProtect::UnshareGuest.
CallResult Calls::UnshareGuest(Hypervisor& hv, const Args& args) {
  const Result<VmRef> vm = NonProtected(hv.vms_, args[0]);
  if (!vm.has_value()) return Failed(vm.error());
  return ResultOf(hv.mem_.UnshareGuest(**vm, args[1], args[2]));
}

// C: prot is HF_PROT_ only (EINVAL); MemProtect::RelaxPerms.
CallResult Calls::RelaxPermsGuest(Hypervisor& hv, const Args& args) {
  const std::optional<pgtable::Prot> prot = ProtOf(args[1]);
  if (!prot.has_value()) return Failed(Errno::kEinval);
  return ResultOf(
      hv.mem_.RelaxPerms(hv.ThisCpu().loaded->vm(), args[0], *prot));
}

// C: a non-protected VM (EINVAL); MemProtect::WriteProtect.
CallResult Calls::WrprotectGuest(Hypervisor& hv, const Args& args) {
  const Result<VmRef> vm = NonProtected(hv.vms_, args[0]);
  if (!vm.has_value()) return Failed(vm.error());
  return ResultOf(hv.mem_.WriteProtect(**vm, args[1], args[2]));
}

// C: a non-protected VM (EINVAL); MemProtect::TestClearYoung.
CallResult Calls::TestClearYoungGuest(Hypervisor& hv, const Args& args) {
  const auto [handle, gfn, pages, mkold, unused] = args;
  const Result<VmRef> vm = NonProtected(hv.vms_, handle);
  if (!vm.has_value()) return Failed(vm.error());
  const Result<bool> young =
      hv.mem_.TestClearYoung(**vm, gfn, pages, mkold != 0);
  if (!young.has_value()) return Failed(young.error());
  return {*young};
}

// C: MemProtect::MakeYoung.
CallResult Calls::MkyoungGuest(Hypervisor& hv, const Args& args) {
  return ResultOf(hv.mem_.MakeYoung(hv.ThisCpu().loaded->vm(), args[0]));
}

// C: a non-protected VM (EINVAL). E: no CPU uses a translation of it from
// before.
CallResult Calls::TlbFlushVmid(Hypervisor& hv, const Args& args) {
  const Result<VmRef> vm = NonProtected(hv.vms_, args[0]);
  if (!vm.has_value()) return Failed(vm.error());
  pgtable::tlb::InvalidateVmid((*vm)->stage2.context());
  return {};
}

CallResult Calls::ForceReclaim(Hypervisor& hv, const Args& args) {
  const Result<uint64_t> done = hv.mem_.ForceReclaim(hv.vms_, args[0], args[1]);
  if (!done.has_value()) return Failed(done.error());
  return {0, *done};
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
  const Status status = hv.mem_.ReclaimDying(**vm, args[1], args[2], &next);
  CallResult result = ResultOf(status);
  result.x2 = next;
  return result;
}

}  // namespace holdfast::hyp
