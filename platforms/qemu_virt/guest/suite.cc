// SPDX-License-Identifier: Apache-2.0
//
// What a guest does in the tests of payload/guests.cc.
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/runtime.h"

namespace holdfast::guest {

int GuestMain() { return 0; }

}  // namespace holdfast::guest
