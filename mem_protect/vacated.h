// SPDX-License-Identifier: Apache-2.0
//
// Frames that nobody can reach any more: what a giver must show before a new
// owner is let in. Made from the receipt of the TLB batch that removed the old
// translation; every build checks that the receipt names that translation.
#ifndef HOLDFAST_MEM_PROTECT_VACATED_H_
#define HOLDFAST_MEM_PROTECT_VACATED_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "pgtable/tlb.h"
#include "vm_table/vm.h"

namespace holdfast::mem_protect {

using vm_table::FrameRange;

class Vacated {
 public:
  // Left by the host: its stage 2 is the identity.
  static Vacated ByHost(const FrameRange& frames,
                        pgtable::FlushReceipt receipt) {
    HOLDFAST_CHECK(
        receipt.Covers(kHostVmid, Ipa(frames.start().value()), frames.size()));
    return Vacated(frames);
  }
  // Left by the guest that had them at `ipa`.
  static Vacated ByGuest(const FrameRange& frames, Vmid vmid, Ipa ipa,
                         pgtable::FlushReceipt receipt) {
    HOLDFAST_CHECK(receipt.Covers(vmid, ipa, frames.size()));
    return Vacated(frames);
  }
  // Left by the hypervisor: its linear map is the identity.
  static Vacated ByHyp(const FrameRange& frames,
                       pgtable::FlushReceipt receipt) {
    HOLDFAST_CHECK(
        receipt.CoversHyp(HypVa(frames.start().value()), frames.size()));
    return Vacated(frames);
  }

  Vacated(Vacated&& other) noexcept : frames_(other.frames_) {
    other.frames_.count = 0;
  }
  Vacated& operator=(Vacated&&) = delete;

  const FrameRange& frames() const { return frames_; }

 private:
  friend class InTransit;
  explicit Vacated(const FrameRange& frames) : frames_(frames) {}

  FrameRange frames_;
};

// Runs of frames that a call took from a guest and has not given to the host
// yet: what it empties while it holds no lock. All must be given (CHECKed).
class InTransit {
 public:
  static constexpr size_t kMostRuns = 32;

  InTransit() = default;
  InTransit(const InTransit&) = delete;
  InTransit& operator=(const InTransit&) = delete;
  ~InTransit() { HOLDFAST_CHECK(next_ == count_); }

  // Not more than kMostRuns (CHECKed).
  void Add(Vacated vacated) {
    HOLDFAST_CHECK(count_ < kMostRuns);
    pfns_[count_] = vacated.frames_.first.value();
    pages_[count_++] = vacated.frames_.count;
  }
  size_t runs() const { return count_; }
  FrameRange frames(size_t run) const { return {Pfn(pfns_[run]), pages_[run]}; }
  // The next one, which is given now. There must be one (CHECKed).
  Vacated Next() {
    HOLDFAST_CHECK(next_ < count_);
    return Vacated(frames(next_++));
  }
  bool done() const { return next_ == count_; }

 private:
  size_t count_ = 0;
  size_t next_ = 0;
  // Plain numbers, not set before they are used.
  std::array<uint64_t, kMostRuns> pfns_;
  std::array<uint64_t, kMostRuns> pages_;
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_VACATED_H_
