// SPDX-License-Identifier: Apache-2.0
//
// SErrors while a guest runs (fault_vectors.S makes them of its aborts): the
// host is told of each, and learns nothing else; the guest goes on as if
// nothing had been.
#include "platforms/qemu_virt/faults.h"
#include "platforms/qemu_virt/payload/guest_vm.h"
#include "platforms/qemu_virt/payload/registers.h"

extern "C" const unsigned char guest_hello[];
extern "C" const uint64_t guest_hello_size;

namespace holdfast::payload {
namespace {

constexpr uint64_t kPattern = 0x4057'0000'0000'0000;
// Of its first exits, all of which are pages that are missing.
constexpr unsigned kErrors = 8;

// The vCPU runs until an SError. All of the run page that is EL2's says so.
void TakeOne(GuestVm& vm) {
  volatile hf_run_page& page = vm.run_page(0);
  auto* const words = reinterpret_cast<volatile uint64_t*>(&page);
  for (unsigned i = 0; i < 64; ++i) words[i] = ~uint64_t{0};
  AskForFault(static_cast<uint64_t>(qemu_virt::Fault::kSErrorOfGuest));
  WriteFreeRegisters(kPattern);
  Registers after;
  CallWithAllRegisters(kPattern, &after, HF_VCPU_RUN, 0, 0, 0);
  const FreeRegisters free = ReadFreeRegisters();
  Expect(after.x[0] == 0 && after.x[1] == HF_EXIT_SERROR &&
             page.exit == HF_EXIT_SERROR,
         "the host is told of an SError");
  bool zero = true;
  for (unsigned i = 1; i < 64; ++i) zero &= words[i] == 0;
  Expect(zero, "and of nothing else");
  bool same = after.x[2] == 0 && after.x[3] == 0;
  for (unsigned i = 4; i < 29; ++i) same &= after.x[i] == kPattern + i;
  for (unsigned i = 0; i < kFreeRegisters; ++i)
    same &= free.value[i] == kPattern + 0x100 + i;
  Expect(same, "its registers outlive it");
}

void Run(bool is_protected) {
  GuestVm vm({guest_hello, guest_hello_size}, 1, is_protected);
  vm.Load(0);
  for (unsigned i = 0; i < kErrors; ++i) {
    TakeOne(vm);
    const uint64_t exit = vm.RunOnce();
    Expect(exit == HF_EXIT_FAULT && vm.Everyday(0, exit),
           "then the guest does again what it was at");
  }
  const uint64_t exit = vm.Run(0);
  Expect(vm.IsDone(0, exit) && vm.run_page(0).x[1] == 0, "the guest ends well");
  vm.Put();
  vm.End();
}

}  // namespace

int PayloadMain() {
  OpenFp();
  Run(true);
  Run(false);
  if (AllExpectationsMet()) Print("host: SErrors are told\n");
  return 0;
}

}  // namespace holdfast::payload
