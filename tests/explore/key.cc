// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/key.h"

#include <cstddef>

#include "platforms/sim/machine.h"

namespace holdfast::explore {
namespace {

void Forget(spec::Exit& exit) {
  constexpr uint64_t kClass = uint64_t{0x3f} << 26;
  constexpr uint64_t kStatus = 0x3f;
  exit.esr &= kClass | kStatus;
  exit.far = 0;
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
  for (const sim::StaleEntry& entry : run.board().machine().StaleEntries()) {
    key.stale.push_back({entry.vmid.value(), entry.ipa.value(), entry.size,
                         static_cast<uint64_t>(entry.level),
                         entry.entry.address.value(), entry.stage2_cpus,
                         entry.combined_cpus});
  }
  return key;
}

}  // namespace holdfast::explore
