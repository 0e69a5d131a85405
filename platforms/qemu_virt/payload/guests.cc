// SPDX-License-Identifier: Apache-2.0
//
// Runs guests: a small one, and one that tries all a guest can do
// (guest/suite.cc), protected and not. The host's part of each step is here.
#include "platforms/qemu_virt/guest/suite_steps.h"
#include "platforms/qemu_virt/payload/gic.h"
#include "platforms/qemu_virt/payload/guest_vm.h"
#include "platforms/qemu_virt/payload/registers.h"

extern "C" const unsigned char guest_hello[];
extern "C" const uint64_t guest_hello_size;
extern "C" const unsigned char guest_suite[];
extern "C" const uint64_t guest_suite_size;

namespace holdfast::payload {
namespace {

using guest::kGuestPattern;
using guest::kHostPattern;
using guest::kPatternMask;
using guest::SuiteStep;

// Whoever it is says hello, and ends well.
void Hello(bool is_protected) {
  GuestVm vm({guest_hello, guest_hello_size}, 1, is_protected);
  vm.Load(0);
  const uint64_t exit = vm.Run(0);
  Expect(vm.IsDone(0, exit), "the guest ends");
  Expect(vm.run_page(0).x[1] == 0, "with status 0");
  vm.Put();
  uint64_t value;
  const uint64_t first = vm.FrameOf(GuestVm::kFirstGfn) * kPageSize;
  Expect(is_protected == static_cast<bool>(TryRead64(first, &value)),
         "the guest's memory is out of reach if it is protected");
  vm.End();
  Expect(!TryRead64(first, &value), "and the host's again at the end");
  Expect(value == 0 || !is_protected, "with nothing in it");
  Print("host: hello done\n");
}

uint64_t Now() {
  uint64_t now;
  asm volatile("isb\n mrs %0, cntpct_el0" : "=r"(now));
  return now;
}

// The timer's physical interrupt reaches this CPU (IHI 0069, 12.9 and 12.11),
// as an operating system would have it.
void EnableTimerInterrupt() {
  constexpr uint64_t kDistributor = 0x0800'0000, kRedistributor = 0x080a'0000,
                     kStride = 0x2'0000, kSgiFrame = 0x1'0000;
  const auto write = [](uint64_t address, uint32_t value) {
    *reinterpret_cast<volatile uint32_t*>(address) = value;
  };
  write(kDistributor, 1u << 4 | 1u << 1);  // ARE_NS, EnableGrp1A
  const uint64_t mine = kRedistributor + CpuIndex() * kStride;
  write(mine + 0x14, 0);  // WAKER
  write(mine + kSgiFrame + 0x80, ~0u);
  write(mine + kSgiFrame + 0x100, 1u << 27);
  OpenInterrupts();
}

constexpr uint64_t kAll = HF_PROT_PX | HF_PROT_UX | HF_PROT_W | HF_PROT_R;

class Suite {
 public:
  explicit Suite(bool is_protected)
      : vm_({guest_suite, guest_suite_size}, 2, is_protected) {}

  void Run() {
    RunOnCpus(2, [&](unsigned cpu) {
      if (cpu == 0) {
        RunFirst();
        done_.store(true);
      } else {
        RunSecond();
      }
    });
    vm_.End();
  }

 private:
  void RunFirst() {
    EnableTimerInterrupt();
    OpenFp();
    vm_.Load(0);
    while (Turn()) {
    }
    vm_.Put();
  }
  // vCPU 1, once it is on, until it is off.
  void RunSecond() {
    while (!second_.load() && !done_.load()) asm volatile("yield");
    if (done_.load()) return;
    vm_.Load(1);
    uint64_t exit;
    do {
      asm volatile("yield");
      exit = vm_.Run(1);
      if (exit == HF_EXIT_KICK)
        Expect(vm_.run_page(1).x[0] == 1, "vCPU 1 interrupts vCPU 0");
    } while (exit == HF_EXIT_WAIT || exit == HF_EXIT_KICK);
    Expect(exit == HF_EXIT_OFF, "vCPU 1 turns itself off");
    vm_.Put();
  }

  // One turn of vCPU 0; false: it was the last.
  bool Turn() {
    WriteFreeRegisters(kHostPattern);
    if (HasTpidr2()) WriteTpidr2(kHostPattern + 0x200);
    Registers after;
    volatile hf_run_page& page = vm_.run_page(0);
    uint64_t exit;
    if (sve_next_) {
      sve_next_ = false;
      CheckSve(CallWithSve(kHostPattern, sve_, HF_VCPU_RUN));
      exit = page.exit;
    } else {
      CallWithAllRegisters(kHostPattern, &after, HF_VCPU_RUN, 0, 0, 0);
      CheckRegisters(after, ReadFreeRegisters());
      exit = after.x[1];
      Expect(after.x[0] == 0 && exit == page.exit, "the result is the page's");
    }
    if (exit == HF_EXIT_FAULT && page.ipa == lent_.ipa && Missed(page))
      return true;
    if (vm_.Everyday(0, exit)) {
      if (exit == HF_EXIT_INTERRUPT) ++interrupts_;
      return true;
    }
    switch (exit) {
      case HF_EXIT_CPU_ON:
        Expect(page.value == 1, "it turns vCPU 1 on");
        second_.store(true);
        return true;
      case HF_EXIT_KICK:
        Expect(page.x[0] == 2, "vCPU 0 interrupts vCPU 1");
        return true;
      case HF_EXIT_WAIT:
        asm volatile("yield");
        // Without a timer it waits for vCPU 1.
        if (page.value != ~uint64_t{0}) Wait(page.value);
        return true;
      case HF_EXIT_MMIO:
        Device(page);
        return true;
      case HF_EXIT_FAULT:
        return Fault(page);
      case HF_EXIT_CALL:
        if (page.x[0] == guest::kCallStep) {
          Step(page);
          return true;
        }
        Expect(page.x[0] == guest::kCallDone, "nothing else is asked for");
        Expect(page.x[1] == 0, "the guest is content");
        Expect(!vm_.is_protected(), "a protected one ends at poison");
        return false;
      default:
        Print("host: unexpected exit ", exit, "\n");
        Expect(false, "an exit");
        return false;
    }
  }

  // Nothing of the guest's is in any register, and all of the host's is.
  void CheckRegisters(const Registers& after, const FreeRegisters& free) {
    bool same = true, foreign = false;
    for (unsigned i = 4; i < 29; ++i) same &= after.x[i] == kHostPattern + i;
    for (unsigned i = 0; i < 32; ++i) {
      same &= after.q[i][0] == kHostPattern + 64 + i &&
              after.q[i][1] == kHostPattern + 64 + i;
    }
    for (unsigned i = 0; i < kFreeRegisters; ++i)
      same &= free.value[i] == kHostPattern + 0x100 + i;
    if (HasTpidr2()) same &= ReadTpidr2() == kHostPattern + 0x200;
    for (const uint64_t x : after.x)
      foreign |= (x & kPatternMask) == kGuestPattern;
    Expect(same, "the host's registers outlive the guest");
    Expect(!foreign, "the host sees nothing of the guest's registers");
  }

  // The same of SVE's registers, with vectors of `bytes` bytes.
  void CheckSve(uint64_t bytes) {
    bool same = bytes >= 16;
    for (unsigned i = 0; i < 32; ++i) {
      for (uint64_t word = 0; word < bytes / 8; ++word)
        same &= sve_[i * (bytes / 8) + word] == kHostPattern + i;
    }
    const auto* const p = reinterpret_cast<const uint8_t*>(sve_) + 32 * bytes;
    for (unsigned i = 0; i < 16; ++i) {
      for (uint64_t byte = 0; byte < bytes / 8; ++byte)
        same &= p[i * (bytes / 8) + byte] == (i % 2 == 0 ? 0xff : 0);
    }
    Expect(same, "the host's SVE registers outlive the guest");
    sve_seen_ = bytes;
  }

  // Until the guest's timer is due.
  static void Wait(uint64_t deadline) {
    while (Now() < deadline) asm volatile("yield");
  }

  void Device(volatile hf_run_page& page) {
    const uint64_t offset = page.ipa - guest::kDevice;
    const uint64_t bytes = HF_ACCESS_BYTES(page.syndrome);
    page.answered = 1;
    if (page.syndrome & HF_ACCESS_WRITE) {
      Expect(offset == 12 && bytes == 4 && page.value == 0x1234'5678,
             "the host learns what was stored");
      stored_ = page.value;
    } else if (offset == 12) {
      page.mmio_value = stored_;
    } else {
      // More than was asked for: EL2 cuts it.
      page.mmio_value = 0xffff'ffff'5a5a'0000 + offset * (bytes == 1 ? 0 : 1) +
                        (bytes == 1 ? 0x91 : 0);
    }
  }

  bool Fault(volatile hf_run_page& page) {
    if (vm_.is_protected()) {
      Expect(poison_ != 0 && page.ipa == poison_, "it stops at poison");
      Expect(Hvc(HF_VCPU_IN_POISON_FAULT).x[1] == 1, "the host is told so");
      // It makes no progress there.
      for (unsigned i = 0; i < 3; ++i) {
        Expect(vm_.RunOnce() == HF_EXIT_FAULT && page.ipa == poison_,
               "and stops there again");
      }
      return false;
    }
    Print("host: a fault at ", Hex(page.ipa), ", syndrome ", Hex(page.syndrome),
          "\n");
    Expect(false, "a fault that is to come");
    return false;
  }

  // The guest missed the page, or the right, that it was to miss.
  bool Missed(volatile hf_run_page& page) {
    if (lent_.ipa == 0) return false;
    if (page.syndrome != lent_.syndrome) {
      Print("host: syndrome ", Hex(page.syndrome), ", not ",
            Hex(lent_.syndrome), "\n");
    }
    Expect(page.syndrome == lent_.syndrome, "the host learns what is missing");
    const uint64_t gfn = lent_.ipa / kPageSize;
    const int64_t result =
        (page.syndrome & HF_ACCESS_PERMISSION) == 0
            ? vm_.Bring(gfn)
            : static_cast<int64_t>(
                  Hvc(HF_HOST_RELAX_PERMS_GUEST, {gfn, kAll}).x[1]);
    Expect(result == 0, "and brings it");
    lent_ = {};
    page.answered = 0;
    page.interrupts = 0;
    return true;
  }

  void Step(volatile hf_run_page& page) {
    const uint64_t a = page.x[2], b = page.x[3];
    const uint64_t gfn = a / kPageSize;
    uint64_t result = 0, value = 0;
    switch (static_cast<SuiteStep>(page.x[1])) {
      case SuiteStep::kRegisters:
        // Looked at after every turn. The next, in which the guest uses its
        // vectors again, with SVE.
        sve_next_ = sve_seen_ == 0 && OpenSve();
        break;
      case SuiteStep::kShared:
        result = TryRead64(vm_.FrameOf(gfn) * kPageSize, &value) ||
                 value != b || TryWrite64(vm_.FrameOf(gfn) * kPageSize, b + 1);
        break;
      case SuiteStep::kUnshared:
        result = !TryRead64(vm_.FrameOf(gfn) * kPageSize, &value);
        break;
      case SuiteStep::kInject:
        page.interrupts = 2;
        page.intid[0] = static_cast<uint32_t>(a);
        page.intid[1] = static_cast<uint32_t>(b);
        break;
      case SuiteStep::kForceReclaim:
        result = Hvc(HF_FORCE_RECLAIM_GUEST_PAGE, {vm_.FrameOf(gfn), 1}).x[1];
        // The page reads zero, whatever the guest had there.
        for (uint64_t i = 0; i < kPageSize; i += 8) {
          if (TryRead64(vm_.FrameOf(gfn) * kPageSize + i, &value) || value != 0)
            result = 1;
        }
        break;
      case SuiteStep::kWriteProtect:
        lent_ = {a, HF_ACCESS_WRITE | HF_ACCESS_PERMISSION};
        result = Hvc(HF_HOST_WRPROTECT_GUEST, {vm_.handle(), gfn, 1}).x[1];
        Hvc(HF_TLB_FLUSH_VMID, {vm_.handle()});
        break;
      case SuiteStep::kLend: {
        const uint64_t rights = b & 0xffff'ffff;
        lent_ = {a, b >> 32};
        if (vm_.is_protected()) break;
        Hvc(HF_HOST_UNSHARE_GUEST, {vm_.handle(), gfn, 1});
        if (rights != 0) {
          result =
              Hvc(HF_HOST_SHARE_GUEST, {vm_.FrameOf(gfn), gfn, 1, rights}).x[1];
        }
        break;
      }
      case SuiteStep::kMissed:
        result = lent_.ipa;
        break;
      case SuiteStep::kTouchPoison:
        poison_ = a;
        Expect(b == 0, "the guest is content");
        break;
    }
    page.result[0] = result;
    for (unsigned i = 1; i < 4; ++i) page.result[i] = 0;
    page.answered = 1;
  }

  GuestVm vm_;
  std::atomic<bool> second_{false}, done_{false};
  uint64_t stored_ = 0, poison_ = 0;
  // What the guest is to miss next.
  struct Lent {
    uint64_t ipa = 0;
    uint64_t syndrome = 0;
  } lent_;
  unsigned interrupts_ = 0;
  bool sve_next_ = false;
  uint64_t sve_seen_ = 0;
  uint64_t* const sve_ = reinterpret_cast<uint64_t*>(AllocatePages(3));
};

}  // namespace

int PayloadMain() {
  Hello(true);
  Hello(false);
  Suite(true).Run();
  Print("host: the protected guest did all of it\n");
  Suite(false).Run();
  Print("host: the other guest did all of it\n");
  if (AllExpectationsMet()) Print("host: guests done\n");
  return 0;
}

}  // namespace holdfast::payload
