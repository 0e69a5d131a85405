// SPDX-License-Identifier: Apache-2.0
//
// A host that makes calls at random, for machines with and without a C library.
//
// Half of the calls are sensible: it remembers what it gave to whom, and picks
// arguments that must succeed (a surprise if they don't). The others are drawn
// from live handles and frames, their neighbours, and the edges of the number
// range, and may answer only what the ABI lists for that call.
#ifndef HOLDFAST_TESTS_RANDOM_RANDOM_CALLS_H_
#define HOLDFAST_TESTS_RANDOM_RANDOM_CALLS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "hyp/abi.h"
#include "tests/story/host.h"
#include "tests/story/text.h"

namespace holdfast::random {

// A call and every error it may answer, 0-terminated.
struct CallRow {
  uint32_t id;
  const char* name;
  std::array<uint8_t, 5> errors;
};

inline constexpr std::array kCallRows = {
    CallRow{HF_HOST_SHARE_HYP, "host_share_hyp", {HF_EINVAL, HF_EPERM}},
    CallRow{HF_HOST_UNSHARE_HYP,
            "host_unshare_hyp",
            {HF_EINVAL, HF_EPERM, HF_EBUSY}},
    CallRow{HF_HOST_DONATE_GUEST,
            "host_donate_guest",
            {HF_EINVAL, HF_EPERM, HF_ERANGE, HF_ENOMEM}},
    CallRow{HF_HOST_SHARE_GUEST,
            "host_share_guest",
            {HF_EINVAL, HF_EPERM, HF_ERANGE, HF_ENOMEM}},
    CallRow{HF_HOST_UNSHARE_GUEST,
            "host_unshare_guest",
            {HF_EINVAL, HF_ERANGE, HF_ENOENT, HF_E2BIG}},
    CallRow{HF_HOST_RELAX_PERMS_GUEST,
            "host_relax_perms_guest",
            {HF_EINVAL, HF_ERANGE, HF_EAGAIN}},
    CallRow{HF_HOST_WRPROTECT_GUEST,
            "host_wrprotect_guest",
            {HF_EINVAL, HF_ERANGE}},
    CallRow{HF_HOST_TEST_CLEAR_YOUNG_GUEST,
            "host_test_clear_young_guest",
            {HF_EINVAL, HF_ERANGE}},
    CallRow{
        HF_HOST_MKYOUNG_GUEST, "host_mkyoung_guest", {HF_EINVAL, HF_ERANGE}},
    CallRow{HF_TLB_FLUSH_VMID, "tlb_flush_vmid", {HF_EINVAL}},
    CallRow{HF_FORCE_RECLAIM_GUEST_PAGE,
            "force_reclaim_guest_page",
            {HF_EINVAL, HF_EFAULT, HF_EAGAIN, HF_EPERM}},
    CallRow{HF_RECLAIM_DYING_GUEST_PAGE,
            "reclaim_dying_guest_page",
            {HF_EINVAL, HF_ERANGE, HF_ENOENT, HF_EPERM}},
    CallRow{HF_RESERVE_VM, "reserve_vm", {HF_ENOMEM}},
    CallRow{HF_UNRESERVE_VM, "unreserve_vm", {HF_EINVAL}},
    CallRow{HF_VM_FRAMES_NEEDED, "vm_frames_needed", {HF_EINVAL}},
    CallRow{HF_INIT_VM, "init_vm", {HF_EINVAL, HF_EPERM}},
    CallRow{
        HF_INIT_VCPU, "init_vcpu", {HF_ENOENT, HF_EINVAL, HF_EPERM, HF_EBUSY}},
    CallRow{HF_TOPUP_VM, "topup_vm", {HF_ENOENT, HF_EINVAL, HF_EPERM}},
    CallRow{HF_START_TEARDOWN_VM, "start_teardown_vm", {HF_EINVAL, HF_EBUSY}},
    CallRow{HF_DRAIN_VM, "drain_vm", {HF_EINVAL, HF_EBUSY}},
    CallRow{
        HF_FINALIZE_TEARDOWN_VM, "finalize_teardown_vm", {HF_EINVAL, HF_EBUSY}},
    CallRow{HF_VCPU_LOAD, "vcpu_load", {HF_EBUSY, HF_ENOENT, HF_EINVAL}},
    CallRow{HF_VCPU_PUT, "vcpu_put", {HF_EINVAL}},
    CallRow{HF_VCPU_IN_POISON_FAULT, "vcpu_in_poison_fault", {HF_EINVAL}},
    CallRow{HF_PROBE, "probe", {}},
    CallRow{HF_SET_ABORT_STYLE, "set_abort_style", {HF_EINVAL}},
};
inline constexpr size_t kCallCount = kCallRows.size();

constexpr size_t RowOf(uint32_t id) {
  for (size_t i = 0; i < kCallCount; ++i) {
    if (kCallRows[i].id == id) return i;
  }
  return kCallCount;
}

class RandomCalls {
 public:
  static constexpr unsigned kFrames = 512;
  static constexpr unsigned kVms = 8;
  static constexpr unsigned kLoans = 64;
  static constexpr unsigned kVcpus = 2;
  static constexpr unsigned kCpus = 4;

  // `first_frame`: kFrames frames of the host's, aligned to 16, nobody else's.
  RandomCalls(story::Host& host, uint64_t seed, uint64_t first_frame);

  // One call, made on the CPU that the host is on: `cpu` (below kCpus).
  void Step(unsigned cpu);
  // Ends every VM (calls on CPU `cpu`, after putting what is loaded there) and
  // says how many of the frames the host cannot read any more.
  unsigned Finish(unsigned cpu);
  // What is loaded on `cpu` is put: to be called on each CPU before Finish.
  void Put(unsigned cpu);

  struct Tally {
    uint64_t ok = 0;
    std::array<uint64_t, 5> errors{};  // in the order of CallRow::errors
  };
  const std::array<Tally, kCallCount>& tally() const { return tally_; }
  uint64_t calls() const { return calls_; }
  uint64_t succeeded() const { return succeeded_; }
  uint64_t surprises() const { return surprises_; }
  // The first surprise, or "".
  const char* first_surprise() const { return first_surprise_.c_str(); }

  // Whether frame `index` (below kFrames) is the host's to read.
  bool HostMayRead(unsigned index) const {
    return frames_[index].use == Use::kFree ||
           frames_[index].use == Use::kShared ||
           frames_[index].use == Use::kRunPage ||
           frames_[index].use == Use::kLent ||
           frames_[index].use == Use::kGuestShared;
  }

 private:
  enum class Use : uint8_t {
    kFree,
    kShared,
    kRunPage,
    kVm,
    kVcpu,
    kStock,
    kGuest,
    kGuestShared,  // ... which lets the host use it
    kLent,         // to non-protected guests, loans_[...]
  };
  struct Frame {
    Use use = Use::kFree;
    uint8_t vm = 0;
    uint64_t gfn = 0;
  };
  // A page of the host's that a non-protected guest uses.
  struct Loan {
    bool used = false;
    uint8_t vm = 0;
    uint16_t frame = 0;
    uint64_t gfn = 0;
  };
  struct Vm {
    bool used = false;
    bool is_protected = true;
    bool dying = false;
    bool drained = false;
    uint64_t handle = 0;
    uint64_t next_gfn = 0;
    uint64_t poisoned_gfn = ~uint64_t{0};
    unsigned guest_pages = 0;
    std::array<bool, kVcpus> has_vcpu{};
    std::array<int, kVcpus> on_cpu{};  // CPU + 1, 0 if not loaded
  };
  enum class Want : uint8_t { kAnything, kSuccess };

  story::Reply Do(size_t row, Want want, uint64_t x1 = 0, uint64_t x2 = 0,
                  uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0);
  void Sensible(unsigned cpu);
  void Wild(unsigned cpu);

  void Share();
  void Unshare();
  void Donate(unsigned cpu);
  void Lend(unsigned cpu, unsigned at);
  void EndLoan(int vm);
  void Tune(unsigned cpu);
  void WildLoan(unsigned cpu, size_t row);
  void GuestShare(unsigned cpu);
  void Poison(unsigned cpu);
  void Force();
  void Reclaim();
  void Reserve();
  void Unreserve();
  void MakeVm();
  void MakeVcpu();
  void Topup();
  void Teardown();
  void Drain();
  void Finalize();
  void Load(unsigned cpu);
  void FillSlots();

  uint64_t Random();
  uint64_t Below(uint64_t limit) { return Random() % limit; }
  uint64_t FewPages(int frame);
  uint64_t WildFrame();
  uint64_t WildHandle();
  uint64_t WildNumber();
  // A VM for which `fits`, picked at random; -1 if there is none.
  template <class Fits>
  int PickVm(Fits fits);
  template <class Fits>
  int PickFrame(Fits fits);
  // The first of `count` free frames in a row, aligned; -1 if there are none.
  int PickRun(unsigned count, unsigned align);
  uint64_t Pfn(int index) const {
    return first_ + static_cast<uint64_t>(index);
  }
  bool Loaded(const Vm& vm) const;
  bool LoadedOn(unsigned cpu, const Vm& vm) const;
  // The VM that has a vCPU loaded on `cpu`; -1 if none has.
  int LoadedVm(unsigned cpu);
  // A loan in use for which `fits`, picked at random; -1 if there is none.
  template <class Fits>
  int PickLoan(Fits fits);
  void Lent(unsigned vm, unsigned frame, uint64_t gfn);
  void Ended(Loan& loan);
  // What such calls did that succeeded.
  void Donated(unsigned vm, uint64_t pfn, uint64_t gfn, uint64_t pages);
  void Forced(uint64_t pfn, uint64_t pages);
  void Reclaimed(unsigned vm, uint64_t gfn, uint64_t pages);
  void DoDrain(unsigned at, story::Reply reply);
  void Finalized(unsigned at);

  story::Host& host_;
  const uint64_t first_;
  // A sensible call that cannot be made gives way to one that prepares it; this
  // many times, lest they wait for each other.
  unsigned hops_ = 0;
  uint64_t random_;
  uint64_t root_frames_ = 1;
  uint64_t vm_frames_ = 1;
  uint64_t vcpu_frames_ = 1;
  std::array<Frame, kFrames> frames_{};
  std::array<Vm, kVms> vms_{};
  std::array<Loan, kLoans> loans_{};
  std::array<uint64_t, 256> reserved_{};
  unsigned reserved_count_ = 0;

  std::array<Tally, kCallCount> tally_{};
  uint64_t calls_ = 0;
  uint64_t succeeded_ = 0;
  uint64_t surprises_ = 0;
  story::Text first_surprise_;
};

template <class Fits>
int RandomCalls::PickVm(Fits fits) {
  const unsigned start = static_cast<unsigned>(Below(kVms));
  for (unsigned i = 0; i < kVms; ++i) {
    const unsigned at = (start + i) % kVms;
    if (fits(vms_[at])) return static_cast<int>(at);
  }
  return -1;
}

template <class Fits>
int RandomCalls::PickFrame(Fits fits) {
  const unsigned start = static_cast<unsigned>(Below(kFrames));
  for (unsigned i = 0; i < kFrames; ++i) {
    const unsigned at = (start + i) % kFrames;
    if (fits(frames_[at])) return static_cast<int>(at);
  }
  return -1;
}

template <class Fits>
int RandomCalls::PickLoan(Fits fits) {
  const unsigned start = static_cast<unsigned>(Below(kLoans));
  for (unsigned i = 0; i < kLoans; ++i) {
    const unsigned at = (start + i) % kLoans;
    if (loans_[at].used && fits(loans_[at])) return static_cast<int>(at);
  }
  return -1;
}

}  // namespace holdfast::random

#endif  // HOLDFAST_TESTS_RANDOM_RANDOM_CALLS_H_
