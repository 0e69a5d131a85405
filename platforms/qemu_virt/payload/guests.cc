// SPDX-License-Identifier: Apache-2.0
//
// Runs guests and tries all that a host can do to them. `only=N` of the boot
// arguments runs one part.
#include "platforms/qemu_virt/payload/guest_vm.h"

extern "C" const unsigned char guest_hello[];
extern "C" const unsigned long guest_hello_size;
extern "C" const unsigned char guest_suite[];
extern "C" const unsigned long guest_suite_size;

namespace holdfast::payload {
namespace {

// Whoever it is says hello, and ends well.
void Hello(bool is_protected) {
  GuestVm vm({guest_hello, guest_hello_size}, 1, is_protected);
  vm.Load(0);
  const uint64_t exit = vm.Run(0);
  Expect(vm.IsDone(0, exit), "the guest ends");
  Expect(vm.run_page(0).x[1] == 0, "with status 0");
  vm.Put();
  uint64_t value;
  Expect(
      is_protected == static_cast<bool>(TryRead64(
                          vm.FrameOf(GuestVm::kFirstGfn) * kPageSize, &value)),
      "the guest's memory is out of reach if it is protected");
  vm.End();
  Expect(!TryRead64(vm.FrameOf(GuestVm::kFirstGfn) * kPageSize, &value),
         "and the host's again at the end");
  Print("host: hello done\n");
}

}  // namespace

int PayloadMain() {
  Hello(true);
  Hello(false);
  if (AllExpectationsMet()) Print("host: guests done\n");
  return 0;
}

}  // namespace holdfast::payload
