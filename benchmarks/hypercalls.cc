// SPDX-License-Identifier: Apache-2.0
//
// How much a call costs, from the registers of the trap to the answer in them:
// dispatcher, checks, locks, tables, TLB batches, all in. On a machine that is
// nothing but RAM (platforms/flat): TLB and cache maintenance are numbers. 4
// GiB of RAM, 4 KiB pages; each operation a thousand times or more.
//
// clang-format off
//   bazel run //benchmarks:hypercalls                 time
//   bazel run //benchmarks:hypercalls_instructions    instructions (callgrind)
// clang-format on
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "base/granule.h"
#include "benchmark/benchmark.h"
#include "benchmarks/harness.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "mem_protect/mem_protect.h"
#include "platforms/flat/machine.h"

namespace holdfast::hyp {
namespace {

constexpr uint64_t kRam = uint64_t{1} << 31;
constexpr uint64_t kRamSize = uint64_t{4} << 30;
constexpr uint64_t kBlockPages = (uint64_t{2} << 20) / kPageSize;
constexpr CpuFeatures kCpu = {.pa_bits = 40, .fwb = true, .xnx = true};
constexpr uint64_t kProtAll = HF_PROT_PX | HF_PROT_UX | HF_PROT_W | HF_PROT_R;
// Pages an operation is done to, from this gfn and this frame on. All frames of
// a block are of one operation, so that a block's first split is part of it.
constexpr uint64_t kPages = 4 * kBlockPages;
constexpr uint64_t kGfn = 0x80000;

// A booted hypervisor whose host has made a protected VM and another one.
class World {
 public:
  World() : machine_(PhysAddr(kRam), kRamSize), on_cpu_(machine_, 0) {
    const mem_protect::Region ram = {PhysAddr(kRam), kRamSize};
    const uint64_t frames =
        (mem_protect::MemProtect::CarveoutFrames({&ram, 1}) + 15) &
        ~uint64_t{15};
    HOLDFAST_CHECK(
        hv_.Init({.features = kCpu,
                  .regions = {&ram, 1},
                  .carveout = {Pfn((kRam + kRamSize) / kPageSize - frames),
                               frames},
                  .image = {}})
            .has_value());
    // The host has touched its memory.
    for (uint64_t block = kRam; block < kRam + kRamSize / 2;
         block += kBlockPages * kPageSize)
      Touch(block);
    owned_ = MakeVm(HF_VM_PROTECTED);
    tuned_ = MakeVm(0);
    first_ = (next_frame_ + kBlockPages - 1) & ~(kBlockPages - 1);
  }

  uint64_t Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
                uint64_t x4 = 0, uint64_t x5 = 0) {
    HostRegs regs{{id, x1, x2, x3, x4, x5}};
    hv_.HandleHostCall(regs);
    more_ = regs.x[2];
    return regs.x[1];
  }
  // One that must succeed.
  void Do(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
          uint64_t x4 = 0, uint64_t x5 = 0) {
    HOLDFAST_CHECK(Call(id, x1, x2, x3, x4, x5) == 0);
  }
  void Touch(uint64_t address) {
    static_cast<void>(hv_.HandleHostAbort(
        {.ipa = Ipa(address), .kind = mem_protect::FaultKind::kTranslation}));
  }
  void GuestCall(uint64_t id, uint64_t ipa) {
    GuestRegs regs{.x = {id, ipa, 0, 0}};
    HOLDFAST_CHECK(hv_.HandleGuestCall(regs) == GuestAction::kResume &&
                   regs.x[0] == 0);
  }

  // Calls a thing with (frame, gfn) for each page.
  template <class Function>
  void ForPages(Function function) {
    for (uint64_t i = 0; i < kPages; ++i) function(first_ + i, kGfn + i);
  }

  void Load(uint64_t handle) { Do(HF_VCPU_LOAD, handle, 0); }
  void Put() { Do(HF_VCPU_PUT); }
  void Donate() {
    ForPages([&](uint64_t pfn, uint64_t gfn) {
      Do(HF_HOST_DONATE_GUEST, pfn, gfn, 1);
    });
  }
  // ... in as few calls as may be: all of a table at once. `off`: that many
  // pages off a block's place, so that they stay pages.
  void DonateRuns(uint64_t off) {
    for (uint64_t done = 0; done + off < kPages; done += more_)
      Do(HF_HOST_DONATE_GUEST, first_ + off + done, kGfn + done,
         kPages - off - done);
  }
  void ForceRuns() {
    for (uint64_t i = 0; i < kPages; i += kBlockPages)
      Do(HF_FORCE_RECLAIM_GUEST_PAGE, first_ + i, kBlockPages);
  }
  void GuestRuns(uint64_t id) {
    for (uint64_t i = 0; i < kPages; i += kBlockPages) {
      GuestRegs regs{.x = {id, (kGfn + i) * kPageSize, kBlockPages, 0}};
      HOLDFAST_CHECK(hv_.HandleGuestCall(regs) == GuestAction::kResume &&
                     regs.x[0] == 0 && regs.x[1] == kBlockPages);
    }
  }
  void Share() {
    ForPages([&](uint64_t pfn, uint64_t gfn) {
      Do(HF_HOST_SHARE_GUEST, pfn, gfn, 1, kProtAll);
    });
  }
  // Until it says that there is no more: what a host does at the end of a VM.
  void ReclaimAll(uint64_t pages = kBlockPages) {
    for (uint64_t gfn = 0; gfn != HF_NO_GFN; gfn = more_)
      static_cast<void>(Call(HF_RECLAIM_DYING_GUEST_PAGE, owned_, gfn, pages));
  }
  void End() {
    Do(HF_START_TEARDOWN_VM, owned_);
    ReclaimAll();
    do {
      Do(HF_DRAIN_VM, owned_);
    } while (more_ != 0);
    Do(HF_FINALIZE_TEARDOWN_VM, owned_);
  }
  // Nothing is written: what is left is all but the zeroing.
  void KeepPages() { machine_.cpu(0).keeps_pages = true; }

  // With one vCPU and a stock for 1 GiB of pages.
  uint64_t MakeVm(uint64_t flags) {
    HostRegs needs{{HF_VM_FRAMES_NEEDED, 1}};
    hv_.HandleHostCall(needs);
    const uint64_t memory = Frames(needs.x[1]), root = Frames(needs.x[2], 16),
                   vcpu = Frames(needs.x[3]), run = Frames(1);
    const uint64_t handle = Call(HF_RESERVE_VM);
    Do(HF_INIT_VM, handle, memory, root, 1, flags);
    Do(HF_HOST_SHARE_HYP, run);
    Do(HF_INIT_VCPU, handle, 0, vcpu, run);
    constexpr uint64_t kStock = 520;
    const uint64_t stock = Frames(kStock);
    for (uint64_t done = 0; done < kStock; done += more_)
      Do(HF_TOPUP_VM, handle, stock + done, kStock - done);
    return handle;
  }

  uint64_t owned() const { return owned_; }
  uint64_t tuned() const { return tuned_; }
  uint64_t first() const { return first_; }

 private:
  uint64_t Frames(uint64_t count, uint64_t align = 1) {
    next_frame_ = (next_frame_ + align - 1) / align * align;
    const uint64_t first = next_frame_;
    next_frame_ += count;
    return first;
  }

  flat::Machine machine_;
  flat::OnCpu on_cpu_;
  Hypervisor hv_;
  uint64_t next_frame_ = kRam / kPageSize;
  uint64_t owned_ = 0, tuned_ = 0, first_ = 0, more_ = 0;
};

using bench::kNone;
using Operation = bench::Operation<World>;

void Nothing(World&) {}
void Loaded(World& w) { w.Load(w.owned()); }
void TunedLoaded(World& w) { w.Load(w.tuned()); }
void Donated(World& w) {
  Loaded(w);
  w.Donate();
}
void Shared(World& w) {
  TunedLoaded(w);
  w.Share();
}
void Blocks(World& w) {
  Loaded(w);
  w.DonateRuns(0);
}
void Die(World& w) {
  w.Put();
  w.Do(HF_START_TEARDOWN_VM, w.owned());
  w.KeepPages();
}
void ForceReclaim(World& w) {
  w.ForPages([&](uint64_t pfn, uint64_t) {
    w.Do(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1);
  });
}
void ShareHyp(World& w) {
  w.ForPages([&](uint64_t pfn, uint64_t) { w.Do(HF_HOST_SHARE_HYP, pfn); });
}
void GuestShare(World& w) {
  w.ForPages([&](uint64_t, uint64_t gfn) {
    w.GuestCall(HF_GUEST_MEM_SHARE, gfn * kPageSize);
  });
}

// The reference's forced reclaim is its page-table work only: no checks, no
// locks.
constexpr double kReference = 2903, kGoal = 450 / kReference;

const Operation kOperations[] = {
    {"unknown", "an id nobody serves", kNone, kNone, kNone, kNone, 1, kPages,
     Nothing,
     [](World& w) {
       for (uint64_t i = 0; i < kPages; ++i)
         benchmark::DoNotOptimize(w.Call(HF_CALL(0xff)));
     }},
    {"refused", "host_share_hyp of EL2's page: EPERM", kNone, kNone, kNone,
     kNone, 1, kPages, Nothing,
     [](World& w) {
       for (uint64_t i = 0; i < kPages; ++i)
         benchmark::DoNotOptimize(
             w.Call(HF_HOST_SHARE_HYP, (kRam + kRamSize) / kPageSize - 1));
     }},
    {"share_hyp", "host_share_hyp, page", kNone, kNone, kNone, kNone, 1, kPages,
     Nothing, ShareHyp},
    {"unshare_hyp", "host_unshare_hyp, page", kNone, kNone, kNone, kNone, 1,
     kPages, ShareHyp,
     [](World& w) {
       w.ForPages(
           [&](uint64_t pfn, uint64_t) { w.Do(HF_HOST_UNSHARE_HYP, pfn); });
     }},
    {"touch", "first touch of a 2 MiB block of the host's", kNone, kNone, kNone,
     kNone, 1, kPages / 4, Nothing,
     [](World& w) {
       for (uint64_t i = 0; i < kPages / 4; ++i)
         w.Touch(kRam + kRamSize / 2 + i * kBlockPages * kPageSize);
     }},
    {"load_put", "vcpu_load and vcpu_put", kNone, kNone, kNone, kNone, 1,
     kPages, Nothing,
     [](World& w) {
       for (uint64_t i = 0; i < kPages; ++i) {
         w.Load(w.owned());
         w.Put();
       }
     }},
    {"donate", "host_donate_guest, page", kNone, kNone, kNone, kNone, 1, kPages,
     Loaded, [](World& w) { w.Donate(); }},
    {"donate_run", "host_donate_guest, 512 pages, by page", kNone, kNone, kNone,
     kNone, 1, kPages - 1, Loaded, [](World& w) { w.DonateRuns(1); }},
    {"donate_block", "host_donate_guest, 2 MiB block", kNone, kNone, kNone,
     kNone, 1, kPages / kBlockPages, Loaded, [](World& w) { w.DonateRuns(0); }},
    {"share_guest", "host_share_guest, page", kNone, kNone, kNone, kNone, 1,
     kPages, TunedLoaded, [](World& w) { w.Share(); }},
    {"unshare_guest", "host_unshare_guest, page", kNone, kNone, kNone, kNone, 1,
     kPages, Shared,
     [](World& w) {
       w.ForPages([&](uint64_t, uint64_t gfn) {
         w.Do(HF_HOST_UNSHARE_GUEST, w.tuned(), gfn, 1);
       });
     }},
    {"share_guest_block", "host_share_guest, 2 MiB block", kNone, kNone, kNone,
     kNone, 1, kPages / kBlockPages, TunedLoaded,
     [](World& w) {
       for (uint64_t i = 0; i < kPages; i += kBlockPages)
         w.Do(HF_HOST_SHARE_GUEST, w.first() + i, kGfn + i, kBlockPages,
              kProtAll);
     }},
    {"guest_share", "guest_mem_share, page", kNone, kNone, kNone, kNone, 1,
     kPages, Donated, GuestShare},
    {"guest_unshare", "guest_mem_unshare, page", kNone, kNone, kNone, kNone, 1,
     kPages,
     [](World& w) {
       Donated(w);
       GuestShare(w);
     },
     [](World& w) {
       w.ForPages([&](uint64_t, uint64_t gfn) {
         w.GuestCall(HF_GUEST_MEM_UNSHARE, gfn * kPageSize);
       });
     }},
    {"guest_share_run", "guest_mem_share, 512 pages, by page", kNone, kNone,
     kNone, kNone, 1, kPages, Donated,
     [](World& w) { w.GuestRuns(HF_GUEST_MEM_SHARE); }},
    {"guest_share_block", "guest_mem_share, 2 MiB block", kNone, kNone, kNone,
     kNone, 1, kPages / kBlockPages, Blocks,
     [](World& w) { w.GuestRuns(HF_GUEST_MEM_SHARE); }},
    {"force_reclaim_run", "forced reclaim, 512 pages, by page, no zeroing",
     kNone, kNone, kNone, kNone, 1, kPages,
     [](World& w) {
       Donated(w);
       w.KeepPages();
     },
     [](World& w) { w.ForceRuns(); }},
    {"force_reclaim_block", "forced reclaim, 2 MiB block, no zeroing", kNone,
     kNone, kNone, kNone, 1, kPages / kBlockPages,
     [](World& w) {
       Blocks(w);
       w.KeepPages();
     },
     [](World& w) { w.ForceRuns(); }},
    {"split_block", "forced reclaim of a page in a block, no zeroing", kNone,
     kNone, kNone, kNone, 1, kPages / kBlockPages,
     [](World& w) {
       Blocks(w);
       w.KeepPages();
     },
     [](World& w) {
       for (uint64_t i = 0; i < kPages; i += kBlockPages)
         w.Do(HF_FORCE_RECLAIM_GUEST_PAGE, w.first() + i + 5, 1);
     }},
    {"force_reclaim", "forced reclaim, without the zeroing", 158, kReference,
     34, 354, kGoal, kPages,
     [](World& w) {
       Donated(w);
       w.KeepPages();
     },
     ForceReclaim},
    {"force_reclaim_zero", "forced reclaim, with it", 183, kNone, 68, kNone, 1,
     kPages, Donated, ForceReclaim},
    {"reclaim_dying", "reclaim_dying, page", kNone, kNone, kNone, kNone, 1,
     kPages,
     [](World& w) {
       Donated(w);
       Die(w);
     },
     [](World& w) { w.ReclaimAll(1); }},
    {"reclaim_dying_run", "reclaim_dying, 512 pages, by page", kNone, kNone,
     kNone, kNone, 1, kPages,
     [](World& w) {
       Donated(w);
       Die(w);
     },
     [](World& w) { w.ReclaimAll(); }},
    {"reclaim_dying_block", "reclaim_dying, 2 MiB block", kNone, kNone, kNone,
     kNone, 1, kPages / kBlockPages,
     [](World& w) {
       Blocks(w);
       Die(w);
     },
     [](World& w) { w.ReclaimAll(); }},
    {"life", "a VM's whole life, by page of its 8 MiB", kNone, kNone, kNone,
     kNone, 1, kPages, [](World& w) { w.KeepPages(); },
     [](World& w) {
       Blocks(w);
       w.Put();
       w.End();
     }},
    {"life_pages", "... page by page", kNone, kNone, kNone, kNone, 1, kPages,
     [](World& w) { w.KeepPages(); },
     [](World& w) {
       Donated(w);
       w.Put();
       w.End();
     }},
};

std::unique_ptr<World> MakeWorld(const Operation&) {
  return std::make_unique<World>();
}

}  // namespace
}  // namespace holdfast::hyp

int main(int argc, char** argv) {
  using namespace holdfast::hyp;  // NOLINT
  return holdfast::bench::Program<World>(kOperations, MakeWorld)
      .Main(argc, argv);
}
