// SPDX-License-Identifier: Apache-2.0
//
// The demonstration: tells the story of tests/story/ on this machine, and then
// lets a guest speak.
#include "platforms/qemu_virt/payload/qemu_host.h"
#include "platforms/qemu_virt/payload/witness.h"
#include "tests/story/story.h"

namespace holdfast::payload {

int PayloadMain() {
  if (CpuCount() < 2) {
    Print("demo: needs two CPUs (-smp 2)\n");
    return 1;
  }
  QemuHost host;
  const bool held = story::Tell(host, {}) == 0;
  HearTheWitness();
  return held ? 0 : 1;
}

}  // namespace holdfast::payload
