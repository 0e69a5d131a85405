// SPDX-License-Identifier: Apache-2.0
//
// The least that a guest can do.
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/runtime.h"

namespace holdfast::guest {

int GuestMain() {
  const uint64_t page_bytes = Hvc(HF_GUEST_MEMINFO).x[0];
  Print("guest: hello, with pages of ", page_bytes, " bytes\n");
  return 0;
}

}  // namespace holdfast::guest
