// SPDX-License-Identifier: Apache-2.0
//
// Each domain is a machine of a few MiB, the frames that its host plays with,
// and every call with every argument that means something there, or lies right
// beside, or means nothing at all.
#include "tests/explore/domains.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/explore/small_machine.h"

namespace holdfast::explore {
namespace {

using spec::State;

class Builder {
 public:
  Builder(const char* name, const char* what, unsigned cpus, const char* ram)
      : cpus_(cpus) {
    domain_.name = name;
    domain_.what = what;
    domain_.setup = {"machine ipa=40 tlb=adversarial seed=1",
                     absl::StrCat("ram 0x40000000 ", ram),
                     absl::StrCat("cpus ", cpus), "call probe"};
  }

  // Done before the first state.
  void Before(const std::string& line) { domain_.setup.push_back(line); }

  // On CPU 0: for what does not depend on the CPU.
  void Do(const std::string& line,
          std::function<bool(const State&)> when = {}) {
    domain_.operations.push_back({line, std::move(when)});
  }
  // On every CPU.
  void OnEach(const std::string& line) {
    for (unsigned cpu = 0; cpu < cpus_; ++cpu)
      Do(cpu == 0 ? line : absl::StrCat("on ", cpu, " ", line));
  }

  // The life of a VM from reserved on, with all that can be wrong.
  void Life(uint64_t n, uint64_t vcpus, bool is_protected, uint64_t stock) {
    const VmFrames vm(n);
    const auto handle = vm.handle;
    Do(Call("init_vm", handle, vm.memory(), vm.root(), vcpus, is_protected));
    Do(Call("unreserve_vm", handle));
    for (uint64_t index = 0; index < vcpus; ++index) {
      Do(Call("host_share_hyp", vm.run_page(index)));
      Do(Call("host_unshare_hyp", vm.run_page(index)));
      Do(Call("init_vcpu", handle, index, vm.vcpu(index), vm.run_page(index)));
      OnEach(Call("vcpu_load", handle, index));
    }
    Do(Call("topup_vm", handle, vm.stock(), stock));
    Do(Call("start_teardown_vm", handle));
    Do(Call("drain_vm", handle));
    Do(Call("finalize_teardown_vm", handle));
    // Wrong all the time.
    Do(Call("init_vm", handle, vm.memory(), vm.root() + 1, vcpus, 1));
    Do(Call("init_vm", handle, vm.root(), vm.root(), vcpus, 1));
    Do(Call("init_vm", handle, kHyp, vm.root(), vcpus, 1));
    Do(Call("init_vm", handle, vm.memory(), kUart, vcpus, 1));
    Do(Call("init_vm", handle, vm.memory(), vm.root(), 0, 1));
    Do(Call("init_vm", handle, vm.memory(), vm.root(), vcpus, 2));
    Do(Call("init_vm", handle, kBeyond, vm.root(), vcpus, 1));
    Do(Call("init_vcpu", handle, vcpus, vm.vcpu(0), vm.run_page(0)));
    Do(Call("init_vcpu", handle, 0, kHyp, vm.run_page(0)));
    Do(Call("init_vcpu", handle, 0, vm.vcpu(0), kBeyond));
    OnEach(Call("vcpu_load", handle, vcpus));
    Do(Call("topup_vm", handle, vm.stock(), 0));
    Do(Call("topup_vm", handle, kHyp, 1));
    Do(Call("topup_vm", handle, vm.stock(), kWild));
  }
  // Handles: as many as the domain has VMs.
  void Reserve(size_t most) {
    Do("call reserve_vm",
       [most](const State& state) { return state.table->slots.size() < most; });
  }
  // What needs no VM, or names none.
  void Anywhere() {
    OnEach("call vcpu_put");
    OnEach("call vcpu_in_poison_fault");
    Do(Call("vm_frames_needed", 1));
    Do("call probe");
    for (const uint64_t handle : {uint64_t{0}, kFirstHandle + 9, kWild}) {
      Do(Call("unreserve_vm", handle));
      Do(Call("start_teardown_vm", handle));
      Do(Call("drain_vm", handle));
      Do(Call("finalize_teardown_vm", handle));
      Do(Call("reclaim_dying_guest_page", handle, 0, 1));
      Do(Call("vcpu_load", handle, 0));
      Do(Call("tlb_flush_vmid", handle));
    }
    for (const uint64_t pfn : {kHyp, kUart, kGap, kBeyond, kWild}) {
      Do(Call("host_share_hyp", pfn));
      Do(Call("host_unshare_hyp", pfn));
      Do(Call("force_reclaim_guest_page", pfn, 1));
    }
    Do("host read 0x9000000");
    Do("host exec 0x9000000");
  }
  // A page between host and hypervisor, and what the host may do with it.
  void HostPage(uint64_t pfn) {
    Do(Call("host_share_hyp", pfn));
    Do(Call("host_unshare_hyp", pfn));
    Do(Call("force_reclaim_guest_page", pfn, 1));
    Do(absl::StrFormat("host read %#x", pfn << 12));
    Do(absl::StrFormat("host write %#x 0x11", pfn << 12));
  }
  // A protected guest, at `gfns`.
  void Protected(uint64_t n, const std::vector<uint64_t>& pfns,
                 const std::vector<uint64_t>& gfns) {
    const VmFrames vm(n);
    for (const uint64_t gfn : gfns) {
      for (const uint64_t pfn : pfns)
        OnEach(Call("host_donate_guest", pfn, gfn, 1));
      OnEach(Call("host_donate_guest", kHyp, gfn, 1));
      OnEach(Call("host_donate_guest", vm.memory(), gfn, 1));
      Do(Call("reclaim_dying_guest_page", vm.handle, gfn, 1));
      Do(Call("host_unshare_guest", vm.handle, gfn, 1));
      for (const char* what : {"call mem_share", "call mem_unshare"})
        Guest(vm.handle, absl::StrFormat("%s %#x", what, gfn << 12));
      Guest(vm.handle, absl::StrFormat("write %#x 0x22", gfn << 12));
    }
    OnEach(Call("host_donate_guest", pfns[0], kBeyond, 1));
    OnEach(Call("host_donate_guest", kBeyond, gfns[0], 1));
    Do(Call("reclaim_dying_guest_page", vm.handle, kBeyond, 1));
    Guest(vm.handle, "call mem_share 0x8");
    Guest(vm.handle, absl::StrFormat("call mem_share %#x", kBeyond << 12));
  }
  // A non-protected one. `tuned`: its rights and age, too.
  void Shared(uint64_t n, const std::vector<uint64_t>& pfns,
              const std::vector<uint64_t>& gfns, uint64_t pages, bool tuned) {
    const VmFrames vm(n);
    for (const uint64_t gfn : gfns) {
      for (const uint64_t pfn : pfns) {
        OnEach(Call("host_share_guest", pfn, gfn, pages, 0xf));
        if (tuned) OnEach(Call("host_share_guest", pfn, gfn, pages, 8));
      }
      OnEach(Call("host_share_guest", kHyp, gfn, pages, 0xf));
      OnEach(Call("host_share_guest", pfns[0], gfn, pages, 0x10));
      OnEach(Call("host_share_guest", pfns[0], gfn, 2, 0xf));
      Do(Call("host_unshare_guest", vm.handle, gfn, pages));
      Do(Call("host_unshare_guest", vm.handle, gfn, 0));
      Do(Call("host_test_clear_young_guest", vm.handle, gfn, pages, 0));
      OnEach(Call("host_mkyoung_guest", gfn));
      if (tuned) {
        OnEach(Call("host_relax_perms_guest", gfn, 0xc));
        Do(Call("host_wrprotect_guest", vm.handle, gfn, pages));
        Do(Call("host_test_clear_young_guest", vm.handle, gfn, pages, 1));
      }
      Do(Call("reclaim_dying_guest_page", vm.handle, gfn, 1));
      Guest(vm.handle, absl::StrFormat("write %#x 0x22", gfn << 12));
      Guest(vm.handle, absl::StrFormat("call mem_share %#x", gfn << 12));
    }
    OnEach(Call("host_share_guest", pfns[0], kBeyond, pages, 0xf));
    OnEach(Call("host_share_guest", pfns[0], gfns[0], 0, 0xf));
    OnEach(Call("host_relax_perms_guest", kBeyond, 0xf));
    OnEach(Call("host_mkyoung_guest", kBeyond));
    Do(Call("host_unshare_guest", vm.handle, kBeyond, pages));
    Do(Call("host_test_clear_young_guest", vm.handle, kBeyond, pages, 1));
    Do(Call("tlb_flush_vmid", vm.handle));
  }

  // Whichever of its vCPUs runs, on whichever CPU.
  void Guest(uint64_t handle, const std::string& what) {
    for (const uint64_t vcpu : {0, 1})
      OnEach(absl::StrFormat("guest %#x.%u %s", handle, vcpu, what));
  }

  Domain Take() { return std::move(domain_); }

 private:
  const unsigned cpus_;
  Domain domain_;
};

// A VM, made and given stock, whose vCPU 0 is loaded.
void Ready(Builder& b, uint64_t n, bool is_protected, uint64_t stock) {
  const VmFrames vm(n);
  b.Before("call reserve_vm");
  b.Before(Call("init_vm", vm.handle, vm.memory(), vm.root(), 1, is_protected));
  b.Before(Call("host_share_hyp", vm.run_page(0)));
  b.Before(Call("init_vcpu", vm.handle, 0, vm.vcpu(0), vm.run_page(0)));
  b.Before(Call("topup_vm", vm.handle, vm.stock(), stock));
}

Domain Life() {
  Builder b("life", "one protected VM with two vCPUs, from nothing to nothing",
            1, "4M");
  b.Reserve(1);
  b.Life(0, 2, true, 1);
  b.Anywhere();
  b.HostPage(VmFrames(0).memory());
  return b.Take();
}

Domain Protected() {
  Builder b("protected", "one protected VM, two pages, two gfns", 1, "4M");
  b.Reserve(1);
  b.Life(0, 1, true, 2);
  b.Anywhere();
  b.HostPage(kData);
  b.HostPage(kData + 1);
  b.Protected(0, {kData, kData + 1}, {0, 1});
  return b.Take();
}

Domain Tables() {
  Builder b("tables", "one protected VM, one page, gfns in three tables", 1,
            "4M");
  Ready(b, 0, true, 4);
  b.Life(0, 1, true, 4);
  b.Reserve(1);
  b.HostPage(kData);
  b.Protected(0, {kData, kData + 1}, {0, 0x1ff, 0x40000});
  return b.Take();
}

Domain Shared() {
  Builder b("shared", "one non-protected VM, two pages, two gfns", 1, "4M");
  Ready(b, 0, false, 2);
  b.Life(0, 1, false, 2);
  b.Reserve(1);
  b.Anywhere();
  b.HostPage(kData);
  b.HostPage(kData + 1);
  b.Shared(0, {kData, kData + 1}, {0, 1}, 1, /*tuned=*/false);
  return b.Take();
}

Domain Both() {
  Builder b("both", "a protected and a non-protected VM, one page", 1, "4M");
  Ready(b, 0, true, 2);
  Ready(b, 1, false, 2);
  b.Life(0, 1, true, 2);
  b.Life(1, 1, false, 2);
  b.Reserve(2);
  b.HostPage(kData);
  b.Protected(0, {kData}, {0});
  b.Shared(1, {kData}, {0}, 1, /*tuned=*/true);
  return b.Take();
}

Domain Cpus() {
  Builder b("cpus", "one protected VM with two vCPUs on two CPUs, one page", 2,
            "4M");
  b.Reserve(1);
  b.Life(0, 2, true, 2);
  b.Anywhere();
  b.HostPage(kData);
  b.Protected(0, {kData}, {0});
  return b.Take();
}

Domain Blocks() {
  Builder b("blocks", "one non-protected VM, blocks and pages of them", 1,
            "8M");
  Ready(b, 0, false, 3);
  b.Life(0, 1, false, 3);
  b.Reserve(1);
  const uint64_t block = kFirst + 0x200;
  b.HostPage(block);
  b.Shared(0, {block}, {0x200}, 0x200, /*tuned=*/true);
  b.Shared(0, {block + 1}, {0x201}, 1, /*tuned=*/true);
  return b.Take();
}

Domain OwnedBlocks() {
  Builder b("owned_blocks", "one protected VM, a block and pages of it", 1,
            "8M");
  // Just enough: whatever is split, no table is to spare.
  constexpr uint64_t kStock = 2;
  Ready(b, 0, true, kStock);
  b.Life(0, 1, true, kStock);
  b.Reserve(1);
  const uint64_t handle = VmFrames(0).handle;
  const uint64_t block = kFirst + 0x200;
  b.HostPage(block + 1);
  b.OnEach(Call("host_donate_guest", block, 0x200, 0x200));
  b.OnEach(Call("host_donate_guest", block, 0x200, 2));
  b.OnEach(Call("host_donate_guest", block + 1, 0x201, 1));
  b.OnEach(Call("host_donate_guest", block + 0x1ff, 0x3ff, 2));
  b.OnEach(Call("host_donate_guest", block, 0x200, 0));
  b.Do(Call("force_reclaim_guest_page", block, 0x200));
  b.Do(Call("force_reclaim_guest_page", block + 1, 2));
  b.Do(Call("force_reclaim_guest_page", block, 0));
  b.Do(Call("reclaim_dying_guest_page", handle, 0x200, 0x200));
  b.Do(Call("reclaim_dying_guest_page", handle, 0x201, 1));
  b.Do(Call("reclaim_dying_guest_page", handle, 0, kWild));
  for (const char* what : {"call mem_share", "call mem_unshare"}) {
    b.Guest(handle, absl::StrFormat("%s 0x200000 0x200", what));
    b.Guest(handle, absl::StrFormat("%s 0x201000", what));
    b.Guest(handle, absl::StrFormat("%s 0x200000 %#x", what, kWild));
  }
  b.Guest(handle, "write 0x201000 0x22");
  return b.Take();
}

// A VM with vCPUs; its life is not in question.
void Made(Builder& b, const VmFrames& vm, uint64_t vcpus, bool is_protected) {
  b.Before("call reserve_vm");
  b.Before(
      Call("init_vm", vm.handle, vm.memory(), vm.root(), vcpus, is_protected));
  for (uint64_t index = 0; index < vcpus; ++index) {
    b.Before(Call("host_share_hyp", vm.run_page(index)));
    b.Before(Call("init_vcpu", vm.handle, index, vm.vcpu(index),
                  vm.run_page(index)));
    b.OnEach(Call("vcpu_load", vm.handle, index));
  }
  b.Before(Call("topup_vm", vm.handle, vm.stock(), 2));
  b.OnEach("call vcpu_put");
  b.Do(Call("start_teardown_vm", vm.handle));
}
void Run(Builder& b, std::initializer_list<const char*> programs) {
  for (const char* program : programs)
    b.OnEach(absl::StrCat("run : ", program));
}

// vCPUs that run: on, off, waiting, interrupting each other, making calls. What
// they do is chosen so that little is left behind: one SGI, one SPI.
Domain Guests() {
  Builder b("guests", "a protected VM with two vCPUs that run, two CPUs", 2,
            "4M");
  Made(b, VmFrames(0), 2, true);
  Run(b, {"",
          // Calls: EL2's own, the host's, nobody's.
          "hvc 0xc6000002; hvc 0xc6000002 1; hvc1 0xc6000002; smc 0x84000000",
          "hvc 0x1234 1 2 3", "hvc 0xc4000000", "hvc 0x80000000; msr 0x300000",
          // AFFINITY_INFO, FEATURES and CPU_ON; CPU_OFF, SYSTEM_OFF and _RESET.
          "hvc 0xc4000004 0; hvc 0xc4000004 1; hvc 0x84000004 2; wfe",
          "hvc 0x8400000a 0xc4000003; hvc 0xc4000004 0 1; serror",
          "hvc 0xc4000003 1 0x8000 7", "hvc 0x84000003 0xf00000000 0x4000 9",
          "hvc 0x84000002", "hvc 0x84000008", "hvc 0x84000009",
          // Interrupts.
          "wfi 77", "hvc 0xc4000001; ack", "sgi 0x3000002", "sgi 0x10003000000",
          "sgi 0x100003000003"});
  b.OnEach("run answered=1 value=0x80000081 result=10 :");
  b.OnEach("run answered=1 interrupts=1 intid=287 : wfi; ack");
  b.OnEach("run interrupts=1 intid=32 :");
  b.OnEach("run answered=2 :");
  b.OnEach("run interrupts=17 :");
  b.OnEach("run interrupts=1 intid=27 :");
  b.OnEach("run interrupts=2 intid=32 :");
  return b.Take();
}

// A vCPU that runs, and meets pages, devices and poison.
Domain GuestMemory() {
  Builder b("guest_memory", "a protected VM that runs, one page, one device", 1,
            "4M");
  Made(b, VmFrames(0), 1, true);
  b.Do(Call("host_donate_guest", kData, 0, 1));
  b.Do(Call("force_reclaim_guest_page", kData, 1));
  b.Do("call vcpu_in_poison_fault");
  const auto is_new = [](const State& state) {
    const auto vm = state.vms.find(kFirstHandle);
    return vm != state.vms.end() && vm->second->devices.empty();
  };
  b.Do("run : hvc 0xc6000005 0x1000 1", is_new);  // MMIO_MAP
  // POISON_ABORTS; MEM_SHARE and _UNSHARE; accesses.
  Run(b, {"", "hvc 0xc6000005 0x1000 0; hvc 0xc6000006 2; hvc 0xc6000006 1",
          "hvc 0xc6000006 0; write 0", "hvc 0xc6000003 0; hvc 0xc6000003 0",
          "hvc 0xc6000004 0; read 0", "hvc 0xc6000003 0x1000", "write 0x8",
          "exec 0", "exec 0x1000", "read 0x1000", "read 0x1ff8 4 signed",
          "read 0x1001 1 signed wide", "write 0x1010 2", "write 0x1000 8 walk",
          "read 0x2000 2", "hvc 0x1234 1 2 3"});
  for (const char* value : {"0x80000081", "0x7f", "0xfffffffffffffffe"})
    b.Do(absl::StrCat("run answered=1 value=", value, " result=10 :"));
  b.Do("run answered=2 : write 0");
  return b.Take();
}

// The same of one that is not protected: rights that are missing, and devices
// wherever nothing is.
Domain GuestLoans() {
  Builder b("guest_loans", "a VM that is not protected runs, lent a page", 1,
            "4M");
  const VmFrames vm(0);
  Made(b, vm, 1, false);
  for (const uint64_t prot : {8, 0xc, 0xf})
    b.Do(Call("host_share_guest", kData, 0, 1, prot));
  b.Do(Call("host_wrprotect_guest", vm.handle, 0, 1));
  b.Do(Call("tlb_flush_vmid", vm.handle));
  b.Do(Call("host_relax_perms_guest", 0, 0xc));
  b.Do(Call("host_unshare_guest", vm.handle, 0, 1));
  b.Do("call vcpu_in_poison_fault");
  Run(b, {"", "write 0", "read 0", "exec 0", "write 0 8 walk", "write 0x1008 4",
          "read 0x1001 1 signed", "exec 0x1000", "read 0x1000 8 walk",
          "hvc 0xc6000003 0", "hvc 0x84000008", "hvc 0xc4000003 0"});
  b.Do("run answered=1 value=0x80000081 result=10 :");
  return b.Take();
}

}  // namespace

std::vector<Domain> Domains() {
  return {Life(),   Protected(),   Tables(), Shared(),      Both(),      Cpus(),
          Blocks(), OwnedBlocks(), Guests(), GuestMemory(), GuestLoans()};
}

}  // namespace holdfast::explore
