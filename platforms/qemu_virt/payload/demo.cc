// SPDX-License-Identifier: Apache-2.0
//
// The demonstration: tells the story of tests/story/ on this machine.
#include "platforms/qemu_virt/payload/qemu_host.h"
#include "tests/story/story.h"

namespace holdfast::payload {

int PayloadMain() {
  if (CpuCount() < 2) {
    Print("demo: needs two CPUs (-smp 2)\n");
    return 1;
  }
  QemuHost host;
  return story::Tell(host, {}) == 0 ? 0 : 1;
}

}  // namespace holdfast::payload
