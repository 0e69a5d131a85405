// SPDX-License-Identifier: Apache-2.0
//
// The smallest host: says hello on every CPU.
#include "platforms/qemu_virt/payload/runtime.h"

namespace holdfast::payload {

int PayloadMain() {
  RunOnCpus(CpuCount(),
            [](unsigned cpu) { Print("host: hello from cpu ", cpu, "\n"); });
  Print("host: ", CpuCount(), " cpus up\n");
  return 0;
}

}  // namespace holdfast::payload
