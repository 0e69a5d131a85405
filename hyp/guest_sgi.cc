// SPDX-License-Identifier: Apache-2.0
#include "hyp/guest_sgi.h"

#include "absl/base/thread_annotations.h"
#include "base/machine.h"
#include "base/spinlock.h"

namespace holdfast::hyp {

using vm_table::Vcpu;
using vm_table::Vm;

// TargetList 15:0, Aff1 23:16, INTID 27:24, Aff2 39:32, IRM 40, RS 47:44, Aff3
// 55:48. A vCPU's affinity is its index.
std::optional<RunExit> SendSgi(vm_table::VmTable& vms, Vcpu& vcpu,
                               uint64_t value) {
  constexpr uint64_t kAffinity32 = uint64_t{0xff} << 48 | uint64_t{0xff} << 32;
  const auto intid = static_cast<uint32_t>(value >> 24 & 15);
  const bool all_others = (value >> 40 & 1) != 0;
  Vm& vm = vcpu.vm();
  RunExit exit = {.exit = HF_EXIT_KICK, .value = all_others};
  bool others = false;
  SpinlockHolder hold(vms.lock);
  const auto send = [&](uint64_t index)
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(vms.lock) {
                          Vcpu* const target = vms.VcpuAt(vm, index);
                          if (target == nullptr) return;
                          machine::PendGuestInterrupt(target->guest, intid);
                          if (target == &vcpu) return;
                          others = true;
                          if (index < exit.x.size() * 64) {
                            exit.x[index / 64] |= uint64_t{1} << index % 64;
                          } else {
                            exit.value = 1;
                          }
                        };
  if (all_others) {
    for (uint64_t i = 0; i < vm.vcpu_count(); ++i) {
      if (i != vcpu.index()) send(i);
    }
  } else if ((value & kAffinity32) == 0) {
    const uint64_t first = (value >> 16 & 0xff) << 8 | (value >> 44 & 15) << 4;
    for (unsigned i = 0; i < 16; ++i) {
      if ((value >> i & 1) != 0) send(first + i);
    }
  }
  if (!others) return std::nullopt;
  return exit;
}

}  // namespace holdfast::hyp
