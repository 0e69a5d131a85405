// SPDX-License-Identifier: Apache-2.0
//
// Frames that nobody can reach any more: what a giver must show before a new
// owner is let in. Made from the receipt of the TLB batch that removed the old
// translation; every build checks that the receipt names that translation.
#ifndef HOLDFAST_MEM_PROTECT_VACATED_H_
#define HOLDFAST_MEM_PROTECT_VACATED_H_

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
  explicit Vacated(const FrameRange& frames) : frames_(frames) {}

  FrameRange frames_;
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_VACATED_H_
