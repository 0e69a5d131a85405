// SPDX-License-Identifier: Apache-2.0
//
// A guest that takes an interrupt only when its host tells it to.
#include "platforms/qemu_virt/guest/patient_steps.h"
#include "platforms/qemu_virt/guest/runtime.h"
#include "platforms/qemu_virt/payload/gic.h"

namespace holdfast::guest {

int GuestMain() {
  payload::OpenInterrupts();
  uint64_t taken = 0;
  for (;;) {
    switch (Step(0, taken)) {
      case kEnd:
        return 0;
      case kTake:
        taken = payload::TakeInterrupt();
        break;
      default:
        taken = 0;
        break;
    }
  }
}

}  // namespace holdfast::guest
