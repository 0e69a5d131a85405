// SPDX-License-Identifier: Apache-2.0
//
// The host of a booted hypervisor on the flat machine: its calls, one small
// function each, and where it takes frames from. For the programs that are not
// made of single operations (latency.cc, scaling.cc).
#ifndef HOLDFAST_BENCHMARKS_HOST_H_
#define HOLDFAST_BENCHMARKS_HOST_H_

#include <cstdint>

#include "base/check.h"
#include "base/granule.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "mem_protect/mem_protect.h"
#include "platforms/flat/machine.h"

namespace holdfast::bench {

inline constexpr uint64_t kGiB = uint64_t{1} << 30;
inline constexpr uint64_t kBlockPages = (uint64_t{2} << 20) / kPageSize;
inline constexpr unsigned kPaBits = 40;
inline constexpr uint64_t kInputPages = uint64_t{1} << (kPaBits - kPageShift);
inline constexpr uint64_t kProtAll =
    HF_PROT_PX | HF_PROT_UX | HF_PROT_W | HF_PROT_R;

// Pages of a call that can have many, where it has many.
inline constexpr uint64_t kRangePages = 512;

struct Reply {
  int64_t x1;
  uint64_t x2;
};

class Host {
 public:
  static constexpr uint64_t kRam = uint64_t{1} << 31;

  // With `data` bytes of RAM for guests' pages, and `frames` bytes for all that
  // NewFrames gives out; up to 66 GiB together. The boot CPU is 0; the thread
  // is it.
  Host(uint64_t data, uint64_t frames)
      : size_(data + frames),
        machine_(PhysAddr(kRam), size_ + kCarveout),
        on_cpu_(machine_, 0),
        next_frame_((kRam + data) / kPageSize),
        end_frame_((kRam + size_) / kPageSize) {
    const mem_protect::Region ram = {PhysAddr(kRam), size_ + kCarveout};
    const uint64_t count =
        (mem_protect::MemProtect::CarveoutFrames({&ram, 1}) + 15) &
        ~uint64_t{15};
    HOLDFAST_CHECK(count * kPageSize <= kCarveout);
    carveout_ = {Pfn((kRam + size_ + kCarveout) / kPageSize - count), count};
    HOLDFAST_CHECK(
        hv_.Init({.features = {.pa_bits = kPaBits, .fwb = true, .xnx = true},
                  .regions = {&ram, 1},
                  .carveout = carveout_,
                  .image = {}})
            .has_value());
  }

  // All memory but that for data is there: none is got while time is measured.
  void BackFrames() {
    machine_.Back(PhysAddr(next_frame_ * kPageSize),
                  (end_frame_ - next_frame_) * kPageSize);
    machine_.Back(carveout_.start(), carveout_.size());
  }

  flat::Machine& machine() { return machine_; }
  hyp::Hypervisor& hv() { return hv_; }
  static uint64_t first_data() { return kRam / kPageSize; }

  // Frames that nobody uses yet.
  uint64_t NewFrames(uint64_t count, uint64_t align = 1) {
    const uint64_t first = (next_frame_ + align - 1) / align * align;
    next_frame_ = first + count;
    HOLDFAST_CHECK(next_frame_ <= end_frame_);
    return first;
  }

  // ---- Calls, by any thread that is a CPU

  Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
             uint64_t x4 = 0, uint64_t x5 = 0) {
    hyp::HostRegs regs{{id, x1, x2, x3, x4, x5}};
    hv_.HandleHostCall(regs);
    return {static_cast<int64_t>(regs.x[1]), regs.x[2]};
  }
  // One that must succeed.
  Reply Do(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
           uint64_t x4 = 0, uint64_t x5 = 0) {
    const Reply reply = Call(id, x1, x2, x3, x4, x5);
    HOLDFAST_CHECK(reply.x1 == 0);
    return reply;
  }

  // How many pages were done.
  uint64_t Donate(uint64_t pfn, uint64_t gfn, uint64_t pages) {
    return Do(HF_HOST_DONATE_GUEST, pfn, gfn, pages).x2;
  }
  uint64_t ForceReclaim(uint64_t pfn, uint64_t pages) {
    return Do(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, pages).x2;
  }
  // The next gfn, or HF_NO_GFN. That there may be nothing is no failure.
  uint64_t ReclaimDying(uint64_t handle, uint64_t gfn, uint64_t pages) {
    const Reply reply = Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, gfn, pages);
    HOLDFAST_CHECK(reply.x1 == 0 || reply.x1 == -HF_ENOENT);
    return reply.x2;
  }
  void ShareGuest(uint64_t pfn, uint64_t gfn, uint64_t pages) {
    Do(HF_HOST_SHARE_GUEST, pfn, gfn, pages, kProtAll);
  }
  void UnshareGuest(uint64_t handle, uint64_t gfn, uint64_t pages) {
    Do(HF_HOST_UNSHARE_GUEST, handle, gfn, pages);
  }
  void ShareHyp(uint64_t pfn) { Do(HF_HOST_SHARE_HYP, pfn); }
  void UnshareHyp(uint64_t pfn) { Do(HF_HOST_UNSHARE_HYP, pfn); }
  uint64_t TopUp(uint64_t handle, uint64_t pfn, uint64_t pages) {
    return Do(HF_TOPUP_VM, handle, pfn, pages).x2;
  }
  // What has not come back yet.
  uint64_t Drain(uint64_t handle) { return Do(HF_DRAIN_VM, handle).x2; }
  void Load(uint64_t handle, uint64_t index = 0) {
    Do(HF_VCPU_LOAD, handle, index);
  }
  void Put() { Do(HF_VCPU_PUT); }
  // The host touches an address it has no translation for.
  void Touch(uint64_t address) {
    static_cast<void>(hv_.HandleHostAbort(
        {.ipa = Ipa(address), .kind = mem_protect::FaultKind::kTranslation}));
  }

  // ---- Calls of the guest that is loaded

  void GuestShare(uint64_t gfn) { GuestCall(HF_GUEST_MEM_SHARE, gfn); }
  void GuestUnshare(uint64_t gfn) { GuestCall(HF_GUEST_MEM_UNSHARE, gfn); }

 private:
  // More than EL2 needs for that much.
  static constexpr uint64_t kCarveout = kGiB;

  void GuestCall(uint64_t id, uint64_t gfn) {
    GuestRegs regs{.x = {id, gfn * kPageSize, 0, 0}};
    HOLDFAST_CHECK(hv_.HandleGuestCall(regs) == hyp::GuestAction::kResume &&
                   regs.x[0] == 0);
  }

  const uint64_t size_;
  flat::Machine machine_;
  flat::OnCpu on_cpu_;
  hyp::Hypervisor hv_;
  uint64_t next_frame_;
  const uint64_t end_frame_;
  mem_protect::FrameRange carveout_;
};

}  // namespace holdfast::bench

#endif  // HOLDFAST_BENCHMARKS_HOST_H_
