// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/key.h"

#include <cstddef>

#include "platforms/sim/machine.h"

namespace holdfast::explore {
namespace {

// What is asked of it: whether it is a translation fault, and where.
void Forget(spec::Exit& exit) {
  const uint64_t exception_class = exit.esr >> 26 & 0x3f;
  const uint64_t status = exit.esr & 0x3f;
  const bool is_abort = exception_class == 0x20 || exception_class == 0x24;
  if (is_abort && (status >> 2 == 1 || status == 0x2b)) {
    exit.esr = exit.far = 0;
    exit.hpfar |= 1;  // not as if it were none; FIPA begins at bit 4
  } else {
    exit = {};
  }
}

}  // namespace

Key KeyOf(fuzz::ScriptRun& run) {
  Key key{run.oracle().state(), {}};
  for (auto& [handle, cow] : key.state.vms) {
    spec::Vm& vm = cow.Mut();
    for (auto& [at, frame] : vm.tables) frame = 0;
    const size_t free = vm.stock.size();
    vm.stock.clear();
    vm.stock.insert(free);
  }
  for (auto& [handle, slot] : key.state.table.Mut().slots) {
    for (auto& [index, vcpu] : slot.vcpus) Forget(vcpu.exit);
  }
  for (spec::Cpu& cpu : key.state.cpus) Forget(cpu.exit);
  for (auto& [handle, guest] : key.state.guests) {
    for (auto& [index, cpu] : guest.cpus) {
      cpu.x = {};
      cpu.pc = 0;
    }
  }
  for (const sim::StaleEntry& entry : run.board().machine().StaleEntries()) {
    key.stale.push_back({entry.vmid.value(), entry.ipa.value(), entry.size,
                         static_cast<uint64_t>(entry.level),
                         entry.entry.address.value(), entry.stage2_cpus,
                         entry.combined_cpus});
  }
  return key;
}

}  // namespace holdfast::explore
