// SPDX-License-Identifier: Apache-2.0
//
// Between host and the secure world, on behalf of an FF-A proxy. The secure
// world's part is kept nowhere but in the host's state: shared, and with none
// of the two that EL2 keeps states of.
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {

Status MemProtect::ShareFfa(uint64_t pfn, uint64_t pages) {
  HOLDFAST_TRY_ASSIGN(const FrameRange range, HostFrames(pfn, pages));
  SpinlockHolder hold(host_.lock);
  HOLDFAST_TRY_ASSIGN(const Pages found,
                      HostPages(range, PageState::kOwned, PageState::kNoPage));
  SetHost(found, PageState::kSharedOwned);
  return {};
}

Status MemProtect::UnshareFfa(uint64_t pfn, uint64_t pages) {
  HOLDFAST_TRY_ASSIGN(const FrameRange range, HostFrames(pfn, pages));
  SpinlockHolder hold(host_.lock);
  HOLDFAST_TRY_ASSIGN(
      const Pages found,
      HostPages(range, PageState::kSharedOwned, PageState::kNoPage));
  for (uint64_t i = 0; i < pages; ++i) {
    if (found.records[i].count() != 0) return Error(Errno::kEperm);
  }
  SetHost(found, PageState::kOwned);
  return {};
}

}  // namespace holdfast::mem_protect
