// SPDX-License-Identifier: Apache-2.0
#include "mem_protect/memory_map.h"

namespace holdfast::mem_protect {

Status MemoryMap::Init(std::span<const Region> regions, unsigned pa_bits) {
  if (regions.size() > kMaxRegions || pa_bits < kPageShift || pa_bits > 52) {
    return Error(Errno::kEinval);
  }
  count_ = 0;
  pa_bits_ = pa_bits;
  const uint64_t limit = uint64_t{1} << pa_bits;
  for (const Region& region : regions) {
    if (region.size == 0 || region.base.value() >= limit ||
        region.size > limit - region.base.value()) {
      return Error(Errno::kEinval);
    }
    if (!region.IsRam() &&
        (!region.base.IsAligned(kPageSize) || region.size % kPageSize != 0)) {
      return Error(Errno::kEinval);
    }
    if (count_ > 0) {
      const Region& previous = regions_[count_ - 1];
      if (previous.end() > region.base) return Error(Errno::kEinval);
      const bool shares_page = previous.end_pfn() > region.first_pfn();
      if (shares_page && previous.IsRam() != region.IsRam())
        return Error(Errno::kEinval);
    }
    regions_[count_++] = region;
  }
  return {};
}

bool MemoryMap::IsGap(PhysAddr start, uint64_t size) const {
  return Find(start) == nullptr &&
         CountFrom(start) == CountFrom(start + (size - 1));
}

const Region* MemoryMap::FindRam(PhysAddr start, uint64_t size) const {
  const Region* region = FindWhole(start, size);
  return region != nullptr && region->IsRam() ? region : nullptr;
}

}  // namespace holdfast::mem_protect
