// SPDX-License-Identifier: Apache-2.0
//
// What lies where in physical memory: the list of regions the platform gives at
// boot, sorted, never changed afterwards. All else is a gap that nobody gets.
#ifndef HOLDFAST_MEM_PROTECT_MEMORY_MAP_H_
#define HOLDFAST_MEM_PROTECT_MEMORY_MAP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/addr.h"
#include "base/result.h"

namespace holdfast::mem_protect {

enum class RegionKind : uint8_t {
  kMemory,  // RAM; its ends need not be aligned
  kNoMap,   // RAM that the host must not use as normal memory
  kMmio,    // device registers the host may touch; whole pages
};

struct Region {
  PhysAddr base;
  uint64_t size = 0;  // bytes
  RegionKind kind = RegionKind::kMemory;

  constexpr PhysAddr end() const { return base + size; }
  constexpr bool IsRam() const { return kind != RegionKind::kMmio; }
  // The pages it touches, the ones it only partly fills included.
  constexpr Pfn first_pfn() const { return Pfn::Of(base); }
  constexpr Pfn end_pfn() const { return Pfn::Of(end() + (kPageSize - 1)); }
};

class MemoryMap {
 public:
  static constexpr size_t kMaxRegions = 128;

  // Once. EINVAL: too many regions, out of order or overlapping, empty, beyond
  // `pa_bits`, an MMIO region that is not whole pages, or one that shares a
  // page with RAM; the map is unusable then. (In place: a stack at EL2 has no
  // room for a copy.)
  Status Init(std::span<const Region> regions, unsigned pa_bits);

  MemoryMap() = default;
  MemoryMap(const MemoryMap&) = delete;
  MemoryMap& operator=(const MemoryMap&) = delete;

  std::span<const Region> regions() const { return {regions_.data(), count_}; }
  unsigned pa_bits() const { return pa_bits_; }

  // The region that holds the byte at `address`, or null: it is in a gap.
  const Region* Find(PhysAddr address) const;
  // The region that holds all of [start, start + size), or null. size > 0.
  const Region* FindWhole(PhysAddr start, uint64_t size) const;
  // Whether [start, start + size) lies in one gap. size > 0.
  bool IsGap(PhysAddr start, uint64_t size) const;
  // FindWhole, if it is RAM; NOMAP counts as RAM.
  const Region* FindRam(PhysAddr start, uint64_t size) const;

 private:
  // Regions that start at or below `address`, by binary search.
  size_t CountFrom(PhysAddr address) const;

  std::array<Region, kMaxRegions> regions_;
  size_t count_ = 0;
  unsigned pa_bits_ = 0;
};

// Inline: every call of a host's begins with one.

inline size_t MemoryMap::CountFrom(PhysAddr address) const {
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (regions_[middle].base <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

inline const Region* MemoryMap::Find(PhysAddr address) const {
  const size_t count = CountFrom(address);
  if (count == 0) return nullptr;
  const Region& region = regions_[count - 1];
  return address < region.end() ? &region : nullptr;
}

inline const Region* MemoryMap::FindWhole(PhysAddr start, uint64_t size) const {
  const Region* region = Find(start);
  if (region == nullptr || size > region->end() - start) return nullptr;
  return region;
}

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_MEMORY_MAP_H_
