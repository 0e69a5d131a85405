// SPDX-License-Identifier: Apache-2.0
#include "tests/story/story.h"

#include "hyp/abi.h"
#include "tests/story/race.h"
#include "tests/story/teller.h"
#include "tests/story/vm.h"

namespace holdfast::story {
namespace {

constexpr uint64_t kPattern = 0x5ec2e7'c0ffee'5ec2;
constexpr uint64_t kGfn = 0x40;
constexpr uint64_t kOtherGfn = 0x41;

void FillAndDonate(Teller& tell, const Vm& vm, uint64_t page) {
  tell.Step(
      "The host writes a secret into page D and gives D to the guest, at gfn "
      "0x40.");
  Host& host = tell.host();
  for (uint64_t offset = 0; offset < host.page_size(); offset += 8) {
    tell.Quietly(host.Store(page * host.page_size() + offset, kPattern).done,
                 "the host can write its own page");
  }
  tell.Call("host_donate_guest(D, 0x40)", vm.Donate(page, kGfn), 0);
  tell.Owns('D', Owner::kGuest);
  tell.GuestHas(kGfn, 'D');
  tell.Map();
}

void Touch(Teller& tell, uint64_t page) {
  tell.Step(
      "The host reads D, which is no longer its own. EL2 answers with an "
      "abort.");
  const Access access = tell.host().Load(page * tell.host().page_size());
  tell.Check("load from D", access.done ? "went through" : "aborted",
             !access.done);
  tell.Check("kind of abort",
             access.external ? "synchronous external abort" : "another",
             !access.done && access.external);
}

void TakeBack(Teller& tell, uint64_t page) {
  tell.Step("The host cannot do without D: it takes the page back by force.");
  Host& host = tell.host();
  tell.Call("force_reclaim_guest_page(D)",
            host.Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), 0);
  tell.Owns('D', Owner::kHost);
  tell.GuestIsPoisonedAt(kGfn);
  uint64_t leaked = 0;
  bool readable = true;
  for (uint64_t offset = 0; offset < host.page_size(); offset += 8) {
    const Access access = host.Load(page * host.page_size() + offset);
    readable = readable && access.done;
    if (access.done && access.value != 0) ++leaked;
  }
  tell.Check("the host reads D", readable ? "works again" : "aborted",
             readable);
  tell.Check("words of D that are not zero",
             leaked == 0 ? "none: the secret is gone" : "some", leaked == 0);
  tell.Map();
}

void Poison(Teller& tell, const Vm& vm, uint64_t page) {
  tell.Step(
      "The guest must not be fooled: gfn 0x40 is poisoned for the VM's life.");
  tell.Call("host_donate_guest(D, 0x40)", vm.Donate(page, kGfn), -HF_EPERM);
  tell.Call("host_donate_guest(D, 0x41)", vm.Donate(page, kOtherGfn), 0);
  tell.Owns('D', Owner::kGuest);
  tell.GuestHas(kOtherGfn, 'D');
  tell.Map();
  tell.Call("force_reclaim_guest_page(D)",
            tell.host().Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), 0);
  tell.Owns('D', Owner::kHost);
  tell.GuestIsPoisonedAt(kOtherGfn);
  tell.Map();
}

void Refusals(Teller& tell, const Vm& vm, uint64_t page, uint64_t shared) {
  tell.Step(
      "A compromised host tries frames that are not for the taking. EL2 "
      "refuses each.");
  Host& host = tell.host();
  const auto force = [&](const char* what, uint64_t pfn, int64_t want) {
    tell.Call(what, host.Call(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1), want);
  };
  const uint64_t last_frame =
      ((uint64_t{1} << host.pa_bits()) / host.page_size()) - 1;
  force("force_reclaim: a page of the host's own", page, -HF_EAGAIN);
  force("force_reclaim: EL2's code", host.el2_frame(), -HF_EPERM);
  force("force_reclaim: the VM's own object", vm.memory(), -HF_EPERM);
  force("force_reclaim: a device", host.mmio_frame(), -HF_EFAULT);
  force("force_reclaim: beyond RAM", host.beyond_ram_frame(), -HF_EFAULT);
  force("force_reclaim: the last frame there can be", last_frame, -HF_EFAULT);
  force("force_reclaim: beyond the PA size", last_frame + 1, -HF_EFAULT);
  force("force_reclaim: all ones", ~uint64_t{0}, -HF_EFAULT);
  tell.Call("host_share_hyp(S)", host.Call(HF_HOST_SHARE_HYP, shared), 0);
  tell.Owns('S', Owner::kShared);
  force("force_reclaim: a page shared with EL2", shared, -HF_EAGAIN);
  tell.Call("host_donate_guest: the shared page", vm.Donate(shared, 0x50),
            -HF_EPERM);
  tell.Call("host_donate_guest: EL2's code", vm.Donate(host.el2_frame(), 0x50),
            -HF_EPERM);
  tell.Call("host_donate_guest: a device", vm.Donate(host.mmio_frame(), 0x50),
            -HF_EPERM);
  tell.Call("host_donate_guest: beyond the PA size",
            vm.Donate(last_frame + 1, 0x50), -HF_EINVAL);
  tell.Call("host_donate_guest: gfn beyond the input size",
            vm.Donate(page, last_frame + 1), -HF_ERANGE);
  const Access access = host.Load(host.el2_frame() * host.page_size());
  tell.Check("the host reads EL2's code",
             access.done ? "went through" : "aborted", !access.done);
  tell.Call("host_unshare_hyp(S)", host.Call(HF_HOST_UNSHARE_HYP, shared), 0);
  tell.Owns('S', Owner::kHost);
  tell.Unserved("an id that nobody serves", host.Call(HF_CALL(0x3f)));
  tell.Map();
}

void Dma(Teller& tell) {
  Host& host = tell.host();
  if (!host.has_fw_cfg()) return;
  tell.Step(
      "DMA goes round stage 2. The host aims the fw_cfg device at EL2's code.");
  const bool taken = host.TryFwCfgDma(host.el2_frame() * host.page_size());
  tell.Check("the device's DMA register",
             taken ? "took the request" : "is out of reach", !taken);
  tell.Call("EL2 still answers: force_reclaim of its code",
            host.Call(HF_FORCE_RECLAIM_GUEST_PAGE, host.el2_frame(), 1),
            -HF_EPERM);
}

void TearDown(Teller& tell, Vm& vm, uint64_t page) {
  tell.Step("The VM ends while it still owns D. Each page comes back clean.");
  Host& host = tell.host();
  tell.Quietly(host.Store(page * host.page_size(), kPattern).done,
               "the host can write D");
  tell.Call("host_donate_guest(D, 0x42)", vm.Donate(page, 0x42), 0);
  tell.Owns('D', Owner::kGuest);
  tell.GuestHas(0x42, 'D');
  tell.Call("start_teardown_vm, with a vCPU loaded",
            host.Call(HF_START_TEARDOWN_VM, vm.handle()), -HF_EBUSY);
  tell.Call("vcpu_put()", host.Call(HF_VCPU_PUT), 0);
  tell.Call("start_teardown_vm(vm)",
            host.Call(HF_START_TEARDOWN_VM, vm.handle()), 0);
  tell.Call("vcpu_load of a dying VM", host.Call(HF_VCPU_LOAD, vm.handle(), 0),
            -HF_EINVAL);
  const Reply early = host.Call(HF_FINALIZE_TEARDOWN_VM, vm.handle());
  tell.Call("finalize_teardown_vm, too early", early, -HF_EBUSY);
  tell.Number("    pages and frames it still misses", early.x2,
              early.x2 == vm.outstanding() + 1);
  tell.Call("drain_vm, while the guest has a page",
            host.Call(HF_DRAIN_VM, vm.handle()), -HF_EBUSY);
  tell.Map();
  tell.Call("reclaim_dying_guest_page(vm, 0x40): poisoned",
            host.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle(), kGfn, 1), 0);
  const Reply reclaim =
      host.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle(), 0x42, 1);
  tell.Call("reclaim_dying_guest_page(vm, 0x42): D", reclaim, 0);
  tell.Check("    it names as next",
             reclaim.x2 == HF_NO_GFN ? "no gfn: that was all" : "a gfn",
             reclaim.x2 == HF_NO_GFN);
  tell.Owns('D', Owner::kHost);
  Reply drain;
  uint64_t came_back = 0;
  do {
    drain = host.Call(HF_DRAIN_VM, vm.handle());
    came_back += drain.x3;
  } while (drain.x1 == 0 && drain.x2 != 0);
  tell.Call("drain_vm(vm), until nothing is left", drain, 0);
  tell.Number("    frames that came back", came_back,
              came_back == vm.stock_and_vcpus());
  tell.Call("finalize_teardown_vm(vm)",
            host.Call(HF_FINALIZE_TEARDOWN_VM, vm.handle()), 0);
  tell.Call("host_unshare_hyp(R): the run page",
            host.Call(HF_HOST_UNSHARE_HYP, vm.run_page()), 0);
  tell.AllOwnedBy(Owner::kHost);
  tell.GuestEnds();
  tell.Map();
}

// Every frame that was anybody else's is the host's again, and none holds what
// the guest had.
void Sweep(Teller& tell, const Vm& vm, uint64_t page) {
  tell.Step("A last look at every page that was given away.");
  Host& host = tell.host();
  uint64_t looked = 0;
  uint64_t lost = 0;
  uint64_t dirty = 0;
  const auto look = [&](uint64_t first, uint64_t count) {
    for (uint64_t frame = first; frame < first + count; ++frame) {
      ++looked;
      for (uint64_t offset = 0; offset < host.page_size(); offset += 8) {
        const Access access = host.Load(frame * host.page_size() + offset);
        if (!access.done) {
          ++lost;
          break;
        }
        if (access.value != 0) {
          ++dirty;
          break;
        }
      }
    }
  };
  look(page, 1);
  vm.ForEachRange(look);
  tell.Number("pages looked at", looked, looked > 0);
  tell.Number("pages lost", lost, lost == 0);
  tell.Number("pages that hold guest data", dirty, dirty == 0);
}

}  // namespace

unsigned Tell(Host& host, const Options& options) {
  Teller tell(host);
  tell.Title("Holdfast: a page is taken back from a protected VM");

  Vm vm(host);
  const uint64_t page = host.Frames(1, 1);
  const uint64_t shared = host.Frames(1, 1);
  tell.Name('D', "the page it is about", page);
  tell.Name('S', "another page of the host", shared);
  tell.Name('V', "memory of the VM object", vm.memory());
  tell.Name('T', "root of the VM's stage 2", vm.root());
  tell.Name('C', "memory of its vCPU", vm.vcpu_memory());
  tell.Name('K', "stock for its tables", vm.stock());
  tell.Name('R', "the vCPU's run page", vm.run_page());
  tell.Name('E', "EL2's code", host.el2_frame());
  tell.Owns('E', Owner::kEl2);

  tell.Step("Before: all of RAM is the host's, but for EL2's own.");
  tell.Map();

  tell.Step(
      "The host makes a protected VM. What the VM needs, the host donates to "
      "EL2.");
  vm.Make(tell);
  tell.Map();

  FillAndDonate(tell, vm, page);
  Touch(tell, page);
  TakeBack(tell, page);
  Poison(tell, vm, page);
  Refusals(tell, vm, page, shared);
  Dma(tell);
  TearDown(tell, vm, page);
  Sweep(tell, vm, page);
  Race(tell, options.race_rounds);
  return tell.Verdict();
}

}  // namespace holdfast::story
