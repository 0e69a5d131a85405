// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/layout.h"

#include <algorithm>

#include "hyp/abi.h"

namespace holdfast::spec {

bool Layout::IsBoot(uint64_t pfn) const {
  return std::any_of(boot.begin(), boot.end(),
                     [&](const Frames& frames) { return frames.Has(pfn); });
}

Page Layout::Initial(uint64_t pfn) const {
  if (!IsBoot(pfn)) return Page();
  return {PageState::kNone, PageState::kOwned, 0, Owner::Hyp()};
}

const Region* Layout::Find(uint64_t address) const {
  for (const Region& region : regions) {
    if (address >= region.base && address < region.end) return &region;
  }
  return nullptr;
}

int Layout::MemoryError(uint64_t first, uint64_t count) const {
  const uint64_t base = first << kPageShift;
  const uint64_t end = (first + count) << kPageShift;
  bool touched = false;
  for (const Region& region : regions) {
    if (base >= region.base && end <= region.end)
      return region.kind == Region::Kind::kMemory ? 0 : HF_EPERM;
    if (base < region.end && end > region.base) touched = true;
  }
  return touched ? HF_EINVAL : HF_EPERM;
}

uint64_t Layout::Budget() {
  return std::clamp<uint64_t>((uint64_t{2} << 20) >> kPageShift, 16, 512);
}

void Layout::Set(Host& host, uint64_t pfn, const Page& page) const {
  if (page == Initial(pfn)) {
    host.pages.erase(pfn);
  } else {
    host.pages[pfn] = page;
  }
}

Page Layout::At(const Host& host, uint64_t pfn) const {
  const auto at = host.pages.find(pfn);
  return at == host.pages.end() ? Initial(pfn) : at->second;
}

}  // namespace holdfast::spec
