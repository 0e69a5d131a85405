// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/payload/witness.h"

#include "platforms/qemu_virt/guest/witness_steps.h"
#include "platforms/qemu_virt/payload/guest_vm.h"
#include "platforms/qemu_virt/payload/registers.h"

extern "C" const unsigned char guest_witness[];
extern "C" const uint64_t guest_witness_size;

namespace holdfast::payload {
namespace {

// The host tries to read the secret, in memory and in the registers that the
// guest left.
void Look(uint64_t address, const Registers& after) {
  uint64_t value = 0;
  const bool read = !TryRead64(address, &value);
  bool seen = false;
  for (const uint64_t x : after.x) seen |= x == guest::kSecret;
  Print("    host:  I read that page: ", read ? "it went through" : "an abort",
        ". In my registers: ", seen ? "the secret" : "nothing of the guest's",
        ".\n");
  Expect(!read && !seen, "the guest's secret stays with it");
}

void Take(uint64_t address) {
  const uint64_t result =
      Hvc(HF_FORCE_RECLAIM_GUEST_PAGE, {address / kPageSize, 1}).x[1];
  uint64_t value = ~uint64_t{0};
  const bool read = !TryRead64(address, &value);
  Print("    host:  I take that page by force: ", static_cast<int64_t>(result),
        ". Now I read ", Hex(value), " there.\n");
  Expect(result == 0 && read && value == 0, "the page comes back clean");
}

}  // namespace

void HearTheWitness() {
  Print(
      "\nA witness: this protected guest runs, and speaks through a page that "
      "it "
      "shares.\n");
  GuestVm vm({guest_witness, guest_witness_size}, 1, /*is_protected=*/true);
  vm.Load(0);
  for (;;) {
    Registers after;
    OpenFp();
    CallWithAllRegisters(0x4057'0000'0000'0000, &after, HF_VCPU_RUN, 0, 0, 0);
    const uint64_t exit = after.x[1];
    volatile hf_run_page& page = vm.run_page(0);
    if (vm.Everyday(0, exit)) continue;
    if (exit != HF_EXIT_CALL || page.x[0] != guest::kCallStep) {
      Expect(vm.IsDone(0, exit) && page.x[1] == 0, "the witness is content");
      break;
    }
    const uint64_t address = vm.FrameOf(page.x[2] / kPageSize) * kPageSize;
    if (page.x[1] == guest::kLookAtSecret) {
      Look(address, after);
    } else {
      Take(address);
    }
    vm.Answer(0, 0);
  }
  vm.Put();
  vm.End();
  Print("    host:  the guest has ended, and every page is mine again.\n");
}

}  // namespace holdfast::payload
