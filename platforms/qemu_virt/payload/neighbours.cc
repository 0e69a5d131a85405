// SPDX-License-Identifier: Apache-2.0
//
// Two guests take turns on one CPU: an interrupt that waits for one of them is
// never the other's (list registers are the CPU's, not the guest's).
#include "platforms/qemu_virt/guest/patient_steps.h"
#include "platforms/qemu_virt/payload/gic.h"
#include "platforms/qemu_virt/payload/guest_vm.h"

extern "C" const unsigned char guest_patient[];
extern "C" const uint64_t guest_patient_size;

namespace holdfast::payload {
namespace {

constexpr uint32_t kInterrupt = 40;

class Patient {
 public:
  explicit Patient(bool is_protected)
      : vm_({guest_patient, guest_patient_size}, 1, is_protected) {
    vm_.Load(0);
    Expect(vm_.Run(0) == HF_EXIT_CALL, "the guest begins");
    vm_.Put();
  }
  // Does what it is told, and comes back. What it took, if it was to.
  uint64_t Turn(uint64_t step, uint32_t inject = 0) {
    vm_.Load(0);
    volatile hf_run_page& page = vm_.run_page(0);
    vm_.Answer(0, step);
    page.interrupts = inject != 0 ? 1 : 0;
    page.intid[0] = inject;
    const uint64_t exit = vm_.Run(0);
    const uint64_t taken = page.x[2];
    Expect(exit == HF_EXIT_CALL, "the guest comes back");
    vm_.Put();
    return taken;
  }
  void End() {
    vm_.Load(0);
    vm_.Answer(0, guest::kEnd);
    vm_.run_page(0).interrupts = 0;
    Expect(vm_.IsDone(0, vm_.Run(0)), "the guest ends");
    vm_.Put();
    vm_.End();
  }

 private:
  GuestVm vm_;
};

void Neighbours(bool is_protected) {
  Patient one(is_protected), other(true);
  // It waits in one's list register, then in its memory.
  one.Turn(guest::kWait, kInterrupt);
  Expect(other.Turn(guest::kTake) == kNoInterrupt, "it is not the other's");
  Expect(one.Turn(guest::kTake) == kInterrupt, "it is still one's");
  // Active there, and free for another of the same number here.
  Expect(other.Turn(guest::kTake) == kNoInterrupt, "nor once it is taken");
  Expect(other.Turn(guest::kTake, kInterrupt) == kInterrupt,
         "each has its own");
  one.End();
  other.End();
}

}  // namespace

int PayloadMain() {
  Neighbours(true);
  Neighbours(false);
  if (AllExpectationsMet()) Print("host: neighbours done\n");
  return 0;
}

}  // namespace holdfast::payload
