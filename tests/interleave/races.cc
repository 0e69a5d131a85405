// SPDX-License-Identifier: Apache-2.0
#include "tests/interleave/races.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/explore/small_machine.h"

namespace holdfast::interleave {
namespace {

using explore::Call;
using explore::kData;
using explore::VmFrames;

using Lines = std::vector<std::string>;

constexpr uint64_t kStock = 3;

std::string Access(const char* what, uint64_t pfn) {
  return absl::StrFormat("host %s %#x%s", what, pfn << 12,
                         what[0] == 'w' ? " 0x11" : "");
}

// What the guest of a VM does on whichever of its vCPUs runs on that CPU.
Lines Guest(uint64_t handle, const std::string& what) {
  return {absl::StrFormat("guest %#x.0 %s", handle, what),
          absl::StrFormat("guest %#x.1 %s", handle, what)};
}

class Builder {
 public:
  Builder(const char* name, const char* what, unsigned cpus,
          const char* ram = "4M") {
    it_.name = name;
    it_.what = what;
    it_.setup = {"machine ipa=40 tlb=adversarial seed=1",
                 absl::StrCat("ram 0x40000000 ", ram),
                 absl::StrCat("cpus ", cpus), "call probe"};
  }

  Builder& Before(const std::string& line) {
    it_.setup.push_back(line);
    return *this;
  }
  Builder& Do(const std::string& line, bool hot = false) {
    it_.operations.push_back(line);
    if (hot) it_.hot.push_back(line);
    return *this;
  }
  Builder& Hot(const std::string& line) { return Do(line, /*hot=*/true); }
  Builder& Guest(uint64_t handle, const std::string& what, bool hot = false) {
    for (const std::string& line : interleave::Guest(handle, what))
      Do(line, hot);
    return *this;
  }

  // A VM with vCPUs 0 and 1, with stock. It may have more.
  Builder& Make(const VmFrames& vm, bool is_protected, uint64_t most = 2) {
    Before("call reserve_vm");
    Before(
        Call("init_vm", vm.handle, vm.memory(), vm.root(), most, is_protected));
    for (const uint64_t index : {0, 1}) {
      Before(Call("host_share_hyp", vm.run_page(index)));
      Before(Call("init_vcpu", vm.handle, index, vm.vcpu(index),
                  vm.run_page(index)));
    }
    return Before(Call("topup_vm", vm.handle, vm.stock(), kStock));
  }
  // Its vCPUs 0 and 1, on CPUs 0 and 1.
  Builder& Load(const VmFrames& vm) {
    Before(Call("vcpu_load", vm.handle, 0));
    return Before(absl::StrCat("on 1 ", Call("vcpu_load", vm.handle, 1)));
  }

  // What a host can do to a VM as a whole.
  Builder& Life(const VmFrames& vm) {
    Hot(Call("start_teardown_vm", vm.handle));
    Hot(Call("drain_vm", vm.handle));
    Hot(Call("finalize_teardown_vm", vm.handle));
    Hot(Call("reclaim_dying_guest_page", vm.handle, 0, 1));
    Do(Call("reclaim_dying_guest_page", vm.handle, 1, 1));
    Hot(Call("vcpu_load", vm.handle, 0));
    Do(Call("vcpu_load", vm.handle, 1));
    Hot("call vcpu_put");
    Do(Call("topup_vm", vm.handle, vm.stock() + kStock, 2));
    Do(Call("host_unshare_hyp", vm.run_page(0)));
    return Do("call vcpu_in_poison_fault");
  }
  // A page, as what it may be asked for.
  Builder& Page(uint64_t pfn) {
    Do(Call("host_share_hyp", pfn));
    Do(Call("host_unshare_hyp", pfn));
    Hot(Call("force_reclaim_guest_page", pfn, 1));
    Hot(Access("read", pfn));
    return Do(Access("write", pfn));
  }
  Builder& Protected(const VmFrames& vm) {
    Hot(Call("host_donate_guest", kData, 0, 1));
    Do(Call("host_donate_guest", kData, 1, 1));
    Do(Call("host_donate_guest", kData + 1, 0, 1));
    Do(Call("host_donate_guest", kData + 1, 0x201, 1));  // a table more
    Guest(vm.handle, "call mem_share 0", /*hot=*/true);
    Guest(vm.handle, "call mem_unshare 0");
    Guest(vm.handle, "write 0 0x22", /*hot=*/true);
    return Guest(vm.handle, "read 0");
  }
  Builder& Shared(const VmFrames& vm) {
    Hot(Call("host_share_guest", kData, 0, 1, 0xf));
    Do(Call("host_share_guest", kData, 1, 1, 0xf));
    Do(Call("host_share_guest", kData + 1, 0x201, 1, 0xf));
    Hot(Call("host_unshare_guest", vm.handle, 0, 1));
    Do(Call("host_unshare_guest", vm.handle, 1, 1));
    Do(Call("host_relax_perms_guest", 0, 0xf));
    Do(Call("host_mkyoung_guest", 0));
    Do(Call("host_wrprotect_guest", vm.handle, 0, 1));
    Do(Call("host_test_clear_young_guest", vm.handle, 0, 1, 1));
    Do(Call("tlb_flush_vmid", vm.handle));
    Guest(vm.handle, "write 0 0x22", /*hot=*/true);
    return Guest(vm.handle, "read 0");
  }

  Situation Take() { return std::move(it_); }

 private:
  Situation it_;
};

}  // namespace

std::vector<Situation> Situations(unsigned cpus) {
  const VmFrames vm(0);
  const VmFrames second(1);
  std::vector<Situation> all;

  Builder reserved("reserved", "a handle without a VM yet", cpus);
  reserved.Before("call reserve_vm")
      .Before(Call("host_share_hyp", vm.run_page(0)))
      .Hot("call reserve_vm")
      .Hot(Call("unreserve_vm", vm.handle))
      .Hot(Call("init_vm", vm.handle, vm.memory(), vm.root(), 2, 1))
      .Hot(Call("init_vm", vm.handle, second.memory(), second.root(), 2, 0))
      .Hot(Call("init_vm", vm.handle, second.memory(), vm.root(), 2, 1))
      .Do(Call("init_vcpu", vm.handle, 0, vm.vcpu(0), vm.run_page(0)))
      .Do(Call("topup_vm", vm.handle, vm.stock(), 2))
      .Do(Call("topup_vm", vm.handle, vm.memory(), 1))
      .Do(Call("vcpu_load", vm.handle, 0))
      .Hot(Call("start_teardown_vm", vm.handle))
      .Do(Call("finalize_teardown_vm", vm.handle))
      .Page(vm.memory())
      .Do(Call("host_share_hyp", vm.root()))
      .Do(Access("read", vm.root()));
  all.push_back(reserved.Take());

  Builder made("made", "a VM without vCPUs", cpus);
  made.Before("call reserve_vm")
      .Before(Call("init_vm", vm.handle, vm.memory(), vm.root(), 2, 1))
      .Before(Call("host_share_hyp", vm.run_page(0)))
      .Before(Call("host_share_hyp", vm.run_page(1)))
      .Hot(Call("init_vcpu", vm.handle, 0, vm.vcpu(0), vm.run_page(0)))
      .Hot(Call("init_vcpu", vm.handle, 0, vm.vcpu(1), vm.run_page(1)))
      .Do(Call("init_vcpu", vm.handle, 1, vm.vcpu(0), vm.run_page(0)))
      .Hot(Call("topup_vm", vm.handle, vm.stock(), kStock))
      .Do(Call("topup_vm", vm.handle, vm.vcpu(0), 1))
      .Do(Call("host_share_hyp", vm.vcpu(0)))
      .Do(Access("write", vm.vcpu(0)))
      .Life(vm);
  all.push_back(made.Take());

  Builder idle("idle", "a protected VM that does not run", cpus);
  idle.Make(vm, true).Life(vm).Page(kData).Protected(vm);
  all.push_back(idle.Take());

  Builder empty("empty", "a protected VM that runs, without memory", cpus);
  empty.Make(vm, true).Load(vm).Life(vm).Page(kData).Protected(vm);
  all.push_back(empty.Take());

  Builder owned("owned", "a protected VM that runs, with a page", cpus);
  owned.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before(Guest(vm.handle, "write 0 0x33")[0])
      .Life(vm)
      .Page(kData)
      .Protected(vm);
  all.push_back(owned.Take());

  Builder lent("lent", "a protected VM that runs and shares its page", cpus);
  lent.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before(Guest(vm.handle, "call mem_share 0")[0])
      .Before(Access("read", kData))
      .Life(vm)
      .Page(kData)
      .Protected(vm);
  all.push_back(lent.Take());

  // Any of them splits it, while the guest and the host are at other pages of
  // it.
  constexpr uint64_t kBlock = explore::kFirst + 0x200;
  Builder block("block", "a protected VM that runs, with a block", cpus, "8M");
  block.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kBlock, 0x200, 0x200))
      .Before(Guest(vm.handle, "write 0x200000 0x33")[0])
      .Hot(Call("force_reclaim_guest_page", kBlock + 1, 1))
      .Hot(Call("force_reclaim_guest_page", kBlock + 2, 2))
      .Do(Access("read", kBlock + 2))
      .Guest(vm.handle, "call mem_share 0x203000 1")
      .Guest(vm.handle, "call mem_unshare 0x203000 1")
      .Guest(vm.handle, "write 0x200000 0x22", /*hot=*/true)
      .Guest(vm.handle, "read 0x201000")
      // Whoever wants a page while it is on its way to the host.
      .Do(Call("force_reclaim_guest_page", kBlock + 2, 1))
      .Do(Call("host_share_hyp", kBlock + 2))
      .Do(Call("host_donate_guest", kBlock + 2, 1, 1))
      .Do(Call("topup_vm", vm.handle, kBlock + 2, 1))
      .Do("call vcpu_put")
      .Do(Call("start_teardown_vm", vm.handle));
  all.push_back(block.Take());

  Builder ending("ending", "a protected VM in teardown, with a block", cpus,
                 "8M");
  ending.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kBlock, 0x200, 0x200))
      .Before(Guest(vm.handle, "write 0x200000 0x33")[0])
      .Before("call vcpu_put")
      .Before("on 1 call vcpu_put")
      .Before(Call("start_teardown_vm", vm.handle))
      .Hot(Call("reclaim_dying_guest_page", vm.handle, 0x200, 0x200))
      .Do(Call("reclaim_dying_guest_page", vm.handle, 0x200, 2))
      .Hot(Call("force_reclaim_guest_page", kBlock, 0x200))
      .Do(Call("force_reclaim_guest_page", kBlock, 1))
      .Do(Call("drain_vm", vm.handle))
      .Hot(Call("finalize_teardown_vm", vm.handle))
      .Do(Access("read", kBlock))
      .Do(Call("host_share_hyp", kBlock))
      .Do(Call("topup_vm", vm.handle, kBlock, 1));
  all.push_back(ending.Take());

  Builder poisoned("poisoned", "a protected VM whose page was taken", cpus);
  poisoned.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before(Call("force_reclaim_guest_page", kData, 1))
      .Life(vm)
      .Page(kData)
      .Protected(vm);
  all.push_back(poisoned.Take());

  Builder dying("dying", "a protected VM in teardown, with two pages", cpus);
  dying.Make(vm, true)
      .Load(vm)
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before(Call("host_donate_guest", kData + 1, 1, 1))
      .Before(Guest(vm.handle, "call mem_share 0x1000")[0])
      .Before("call vcpu_put")
      .Before("on 1 call vcpu_put")
      .Before(Call("start_teardown_vm", vm.handle))
      .Life(vm)
      .Page(kData)
      .Hot(Call("force_reclaim_guest_page", kData + 1, 1))
      .Do(Access("write", kData + 1))
      .Hot("call reserve_vm")
      .Do(Call("host_donate_guest", kData + 2, 2, 1));
  all.push_back(dying.Take());

  Builder loan("loan", "a VM that is not protected, lent a page", cpus);
  loan.Make(vm, false)
      .Load(vm)
      .Before(Call("host_share_guest", kData, 0, 1, 0xf))
      .Before(Guest(vm.handle, "write 0 0x33")[0])
      .Life(vm)
      .Page(kData)
      .Shared(vm);
  all.push_back(loan.Take());

  // vCPUs 0 and 1 run, on CPUs 0 and 1; vCPU 2 is off.
  Builder guests("guests", "a protected VM whose vCPUs run, with a page", cpus);
  guests.Make(vm, true, 3)
      .Before(Call("host_share_hyp", second.run_page(0)))
      .Before(
          Call("init_vcpu", vm.handle, 2, second.vcpu(0), second.run_page(0)))
      .Load(vm)
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before("run : hvc 0xc4000003 1 0x8000 7")
      .Before("on 1 run : hvc 0x1234")
      .Do("run : write 0; read 0")
      .Hot("run : write 0")
      .Do("run : hvc 0xc6000003 0; write 0")   // MEM_SHARE
      .Do("run : hvc 0xc6000004 0; read 0")    // MEM_UNSHARE
      .Do("run : hvc 0xc6000006 1; read 0")    // POISON_ABORTS
      .Hot("run : hvc 0xc4000003 2 0x4000 5")  // CPU_ON
      .Do("run : hvc 0xc4000003 1 0x4000 6")
      .Do("run : hvc 0xc4000004 0; hvc 0xc4000004 1")  // AFFINITY_INFO
      .Do("run : hvc 0xc4000004 2")
      .Do("run : hvc 0x84000002")   // CPU_OFF
      .Hot("run : hvc 0x84000008")  // SYSTEM_OFF
      .Do("run : hvc 0x84000009")
      .Do("run : hvc 0xc6000005 0x1000 1; write 0x1008")  // MMIO_MAP
      .Do("run : read 0x1008 4")
      .Do("run : sgi 0x3000006; sgi 0x10005000000")
      .Do("run : wfi; ack; wfi 7")
      .Do("run answered=1 value=1 result=10 interrupts=1 intid=40 : wfe")
      .Hot("call vcpu_put")
      .Do(Call("vcpu_load", vm.handle, 0))
      .Do(Call("vcpu_load", vm.handle, 2))
      .Do("call vcpu_in_poison_fault")
      .Hot(Call("force_reclaim_guest_page", kData, 1))
      .Do(Call("host_donate_guest", kData + 1, 1, 1))
      .Hot(Call("start_teardown_vm", vm.handle))
      .Do(Call("drain_vm", vm.handle))
      .Do(Access("read", kData));
  all.push_back(guests.Take());

  // One CPU runs the one, one the other.
  Builder two("two", "a VM of each kind, each with a page", cpus);
  two.Make(vm, true)
      .Make(second, false)
      .Before(Call("vcpu_load", vm.handle, 0))
      .Before(absl::StrCat("on 1 ", Call("vcpu_load", second.handle, 1)))
      .Before(Call("host_donate_guest", kData, 0, 1))
      .Before(
          absl::StrCat("on 1 ", Call("host_share_guest", kData + 1, 0, 1, 0xf)))
      .Life(vm)
      .Page(kData)
      .Page(kData + 1)
      .Hot(Call("host_donate_guest", kData + 1, 1, 1))
      .Hot(Call("host_share_guest", kData, 1, 1, 0xf))
      .Hot(Call("host_unshare_guest", second.handle, 0, 1))
      .Do(Guest(vm.handle, "call mem_share 0")[0])
      .Do(Guest(vm.handle, "write 0 0x22")[0])
      .Do(Guest(second.handle, "write 0 0x22")[1])
      .Do(Call("start_teardown_vm", second.handle))
      .Do(Call("host_donate_guest", kData + 2, 2, 1))
      .Do(Call("host_share_guest", kData + 2, 2, 1, 0xf));
  all.push_back(two.Take());

  return all;
}

}  // namespace holdfast::interleave
