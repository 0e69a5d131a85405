// SPDX-License-Identifier: Apache-2.0
//
// Asks the test image to break itself: `fault=N` of the boot arguments.
#include "hyp/abi.h"
#include "platforms/qemu_virt/payload/runtime.h"

namespace holdfast::payload {

int PayloadMain() {
  // For the panic report to tell.
  Hvc(HF_RESERVE_VM);
  Hvc(HF_HOST_SHARE_HYP, {0});
  Smc(0xc400'0020);
  const uint64_t fault = BootNumber("fault");
  Print("host: asks EL2 for fault ", fault, "\n");
  AskForFault(fault);
  Print("host: EL2 lives\n");
  return 1;
}

}  // namespace holdfast::payload
