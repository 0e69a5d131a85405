// SPDX-License-Identifier: Apache-2.0
//
// Calls on the vCPU of a CPU: load, put, and what it last stopped at.
#include <optional>

#include "hyp/arguments.h"
#include "hyp/calls.h"
#include "hyp/syndrome.h"
#include "pgtable/tlb.h"

namespace holdfast::hyp {

// C: nothing is loaded here (EBUSY); VmTable::Load.
CallResult Calls::VcpuLoad(Hypervisor& hv, const Args& args) {
  Hypervisor::PerCpu& cpu = hv.ThisCpu();
  if (cpu.loaded != nullptr) return Failed(Errno::kEbusy);
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEnoent);
  SpinlockHolder hold(hv.vms_.lock);
  const Result<vm_table::LoadedVcpu> loaded = hv.vms_.Load(*handle, args[1]);
  if (!loaded.has_value()) return Failed(loaded.error());
  if (loaded->stale_context) {
    pgtable::tlb::InvalidateCpuContext(loaded->vcpu->vm().stage2.context());
  }
  cpu.loaded = loaded->vcpu;
  return {};
}

CallResult Calls::VcpuPut(Hypervisor& hv, const Args&) {
  Hypervisor::PerCpu& cpu = hv.ThisCpu();
  SpinlockHolder hold(hv.vms_.lock);
  hv.vms_.Put(*cpu.loaded);
  cpu.loaded = nullptr;
  return {};
}

// C: it stopped at a stage-2 translation fault (EINVAL);
// MemProtect::IsPoisoned. The address is EL2's own record of that fault, never
// the host's: it learns nothing of any other gfn.
CallResult Calls::VcpuInPoisonFault(Hypervisor& hv, const Args&) {
  vm_table::Vcpu& vcpu = *hv.ThisCpu().loaded;
  if (!IsTranslationAbort(vcpu.exit.esr)) return Failed(Errno::kEinval);
  const Result<bool> poisoned =
      hv.mem_.IsPoisoned(vcpu.vm(), FaultPage(vcpu.exit));
  if (!poisoned.has_value()) return Failed(poisoned.error());
  return {*poisoned};
}

}  // namespace holdfast::hyp
