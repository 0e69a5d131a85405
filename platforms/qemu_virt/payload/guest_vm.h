// SPDX-License-Identifier: Apache-2.0
//
// A host's part in running a guest: makes its VM, brings pages when they are
// missed, prints what it says.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GUEST_VM_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GUEST_VM_H_

#include <cstdint>

#include "base/granule.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/protocol.h"
#include "platforms/qemu_virt/payload/runtime.h"

namespace holdfast::payload {

// A guest's program, as el2_bytes makes it.
struct Program {
  const unsigned char* bytes;
  uint64_t size;
};

class GuestVm {
 public:
  static constexpr unsigned kMaxVcpus = 4;
  // Memory from HF_GUEST_ENTRY on.
  static constexpr uint64_t kBytes = 2 << 20;
  static constexpr uint64_t kPages = kBytes / kPageSize;
  static constexpr uint64_t kFirstGfn = HF_GUEST_ENTRY / kPageSize;

  // When a guest gets its memory: page by page, as it misses them; or before it
  // begins (of a protected one), in as few pieces as may be: as a block, with
  // pages of 4 KiB.
  enum class Memory : uint8_t { kOnDemand, kAtOnce };

  // Takes the host's pages for good. Ends the program if a call fails.
  GuestVm(const Program& program, unsigned vcpus, bool is_protected,
          Memory memory = Memory::kOnDemand)
      : program_(program),
        is_protected_(is_protected),
        vcpus_(vcpus),
        gives_(memory) {
    memory_ = Frames(kPages, kPages);
    const CallResult needs = Hvc(HF_VM_FRAMES_NEEDED, {vcpus});
    vm_ = Frames(needs.x[1]);
    root_ = Frames(needs.x[2], needs.x[2]);
    for (unsigned i = 0; i < vcpus; ++i) {
      vcpu_[i] = Frames(needs.x[3]);
      run_[i] = Frames(1);
    }
    stock_ = Frames(kStock);
    Make();
  }
  // Again, after End, in the same pages.
  void Make() {
    auto* const to = reinterpret_cast<unsigned char*>(memory_ * kPageSize);
    for (uint64_t i = 0; i < program_.size; ++i) to[i] = program_.bytes[i];
    handle_ = Hvc(HF_RESERVE_VM).x[1];
    Do(HF_INIT_VM, {handle_, vm_, root_, vcpus_,
                    is_protected_ ? uint64_t{HF_VM_PROTECTED} : 0});
    for (unsigned i = 0; i < vcpus_; ++i) {
      auto* const page = reinterpret_cast<uint64_t*>(run_[i] * kPageSize);
      for (uint64_t n = 0; n < kPageSize / 8; ++n) page[n] = 0;
      Do(HF_HOST_SHARE_HYP, {run_[i]});
      Do(HF_INIT_VCPU, {handle_, i, vcpu_[i], run_[i]});
    }
    for (uint64_t done = 0; done < kStock;) {
      const CallResult topup =
          Hvc(HF_TOPUP_VM, {handle_, stock_ + done, kStock - done});
      Check(topup.x[1] == 0, "topup_vm");
      done += topup.x[2];
    }
    if (gives_ == Memory::kAtOnce) BringAll();
  }
  GuestVm(const GuestVm&) = delete;
  GuestVm& operator=(const GuestVm&) = delete;

  uint64_t handle() const { return handle_; }
  bool is_protected() const { return is_protected_; }
  volatile hf_run_page& run_page(unsigned vcpu) {
    return *reinterpret_cast<volatile hf_run_page*>(run_[vcpu] * kPageSize);
  }
  // The frame behind a gfn of the guest's memory.
  uint64_t FrameOf(uint64_t gfn) const { return memory_ + (gfn - kFirstGfn); }

  void Load(unsigned vcpu) { Do(HF_VCPU_LOAD, {handle_, vcpu}); }
  void Put() { Do(HF_VCPU_PUT, {}); }

  // Gives, or lends, a page to the guest that is loaded here. 0, or the error.
  int64_t Bring(uint64_t gfn) {
    const uint64_t pfn = FrameOf(gfn);
    const CallResult result =
        is_protected_ ? Hvc(HF_HOST_DONATE_GUEST, {pfn, gfn, 1})
                      : Hvc(HF_HOST_SHARE_GUEST,
                            {pfn, gfn, 1,
                             HF_PROT_PX | HF_PROT_UX | HF_PROT_W | HF_PROT_R});
    return static_cast<int64_t>(result.x[1]);
  }

  // One turn of the vCPU that is loaded here; HF_EXIT_... .
  uint64_t RunOnce() { return Hvc(HF_VCPU_RUN).x[1]; }

  // Runs it until it stops for something that is not everyday business: missing
  // pages, the console, interrupts. Returns that exit.
  uint64_t Run(unsigned vcpu) {
    for (;;) {
      const uint64_t exit = RunOnce();
      if (!Everyday(vcpu, exit)) return exit;
    }
  }
  // Whether the exit was, and is done with.
  bool Everyday(unsigned vcpu, uint64_t exit) {
    volatile hf_run_page& page = run_page(vcpu);
    page.answered = 0;
    page.interrupts = 0;
    switch (exit) {
      case HF_EXIT_INTERRUPT:
        return true;
      case HF_EXIT_FAULT:
      case HF_EXIT_MMIO: {
        const uint64_t gfn = page.ipa / kPageSize;
        return gfn >= kFirstGfn && gfn < kFirstGfn + kPages && Bring(gfn) == 0;
      }
      case HF_EXIT_CALL:
        return EverydayCall(page);
      default:
        return false;
    }
  }
  void Answer(unsigned vcpu, uint64_t x0) {
    volatile hf_run_page& page = run_page(vcpu);
    page.result[0] = x0;
    for (unsigned i = 1; i < 4; ++i) page.result[i] = 0;
    page.answered = 1;
  }

  // Of the call that Run stopped at.
  bool IsDone(unsigned vcpu, uint64_t exit) {
    return exit == HF_EXIT_CALL && run_page(vcpu).x[0] == guest::kCallDone;
  }

  // The end of the VM: nothing is loaded, and every page is the host's again.
  void End() {
    Do(HF_START_TEARDOWN_VM, {handle_});
    for (uint64_t gfn = 0; is_protected_ && gfn != HF_NO_GFN;) {
      const CallResult next =
          Hvc(HF_RECLAIM_DYING_GUEST_PAGE, {handle_, gfn, kPages});
      Check(next.x[1] == 0 || next.x[1] == 0 - uint64_t{HF_ENOENT},
            "reclaim_dying_guest_page");
      gfn = next.x[2];
    }
    for (uint64_t i = 0; !is_protected_ && i < kPages; ++i)
      Hvc(HF_HOST_UNSHARE_GUEST, {handle_, kFirstGfn + i, 1});
    CallResult drained;
    do {
      drained = Hvc(HF_DRAIN_VM, {handle_});
      Check(drained.x[1] == 0, "drain_vm");
    } while (drained.x[2] != 0);
    Do(HF_FINALIZE_TEARDOWN_VM, {handle_});
    for (unsigned i = 0; i < vcpus_; ++i) Do(HF_HOST_UNSHARE_HYP, {run_[i]});
  }

 private:
  static constexpr uint64_t kStock = 16;

  void BringAll() {
    Load(0);
    for (uint64_t done = 0; done < kPages;) {
      const CallResult result =
          Hvc(HF_HOST_DONATE_GUEST,
              {memory_ + done, kFirstGfn + done, kPages - done});
      Check(result.x[1] == 0, "host_donate_guest");
      done += result.x[2];
    }
    Put();
  }

  static uint64_t Frames(uint64_t count, uint64_t align = 1) {
    return AllocatePages(count * kPageSize / kPage, align * kPageSize) /
           kPageSize;
  }
  static void Check(bool ok, const char* what) {
    if (ok) return;
    Print("host: ", what, " failed\n");
    Exit(1);
  }
  static void Do(uint64_t id, const std::array<uint64_t, 6>& arguments) {
    const CallResult result = Hvc(id, arguments);
    if (result.x[0] == 0 && result.x[1] == 0) return;
    Print("host: call ", Hex(id), " gave ", static_cast<int64_t>(result.x[1]),
          "\n");
    Exit(1);
  }

  bool EverydayCall(volatile hf_run_page& page) {
    switch (page.x[0]) {
      // Of one that is not protected: it has no need.
      case HF_GUEST_MEM_SHARE:
      case HF_GUEST_MMIO_MAP:
        page.result[0] = 0;
        break;
      case HF_GUEST_FEATURES:
        page.result[0] = ~uint64_t{0};
        break;
      case HF_GUEST_MEMINFO:
        page.result[0] = kPageSize;
        break;
      case guest::kCallConsole:
        console_ = page.x[1];
        page.result[0] = 0;
        break;
      case guest::kCallFlush: {
        const uint64_t pfn = FrameOf(console_ / kPageSize);
        const auto* const console =
            reinterpret_cast<const volatile guest::Console*>(pfn * kPageSize);
        qemu_virt::LineBuffer line;
        const uint64_t size = console->size;
        for (uint64_t i = 0; i < size && i < sizeof(console->text); ++i) {
          const char c = console->text[i];
          line.Add(std::string_view(&c, 1));
        }
        qemu_virt::UartWrite(line.data(), line.size());
        page.result[0] = 0;
        break;
      }
      default:
        return false;
    }
    for (unsigned i = 1; i < 4; ++i) page.result[i] = 0;
    page.answered = 1;
    return true;
  }

  const Program program_;
  const bool is_protected_;
  const unsigned vcpus_;
  const Memory gives_;
  uint64_t handle_ = 0;
  uint64_t memory_ = 0, vm_ = 0, root_ = 0, stock_ = 0;
  uint64_t vcpu_[kMaxVcpus] = {}, run_[kMaxVcpus] = {};
  uint64_t console_ = 0;
};

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GUEST_VM_H_
