// SPDX-License-Identifier: Apache-2.0
//
// What never changes on a machine: its memory map, sizes, what EL2 took at
// boot. The questions of the contract that need no more than that are here:
// which frames a host may name at all, how tables are cut.
#ifndef HOLDFAST_TESTS_SPEC_LAYOUT_H_
#define HOLDFAST_TESTS_SPEC_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "base/granule.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

inline constexpr unsigned kIndexBits = kPageShift - 3;
inline constexpr uint64_t kEntries = uint64_t{1} << kIndexBits;
// Pages of a block that a non-protected guest can have: of 4 KiB pages (and of
// the test granule, which behaves as they do) only.
inline constexpr uint64_t kBlockPages = kPageShift <= 12 ? kEntries : 0;

// Pages that an entry of a level translates.
constexpr uint64_t PagesAt(int level) {
  return uint64_t{1} << (static_cast<unsigned>(3 - level) * kIndexBits);
}

struct Region {
  enum class Kind : uint8_t { kMemory, kNoMap, kMmio };
  uint64_t base = 0;  // bytes; its ends need not be whole pages
  uint64_t end = 0;
  Kind kind = Kind::kMemory;

  bool IsRam() const { return kind != Kind::kMmio; }
};

struct Layout {
  std::vector<Region> regions;  // sorted
  unsigned pa_bits = 0;
  unsigned ipa_bits = 0;  // of guests and of the host
  int start_level = 0;    // of their stage 2
  unsigned root_pages = 1;
  bool xnx = false;
  bool fwb = false;
  bool hafdbs = false;
  // What is EL2's from boot on: its image and its carve-out.
  std::vector<Frames> boot;
  // What objects of EL2's take, in bytes: a VM with no vCPU, each vCPU it may
  // have, and a vCPU.
  uint64_t vm_bytes = 0;
  uint64_t vm_bytes_per_vcpu = 8;
  uint64_t vcpu_bytes = 0;

  bool IsBoot(uint64_t pfn) const;
  // A page nothing was done with since boot.
  Page Initial(uint64_t pfn) const;
  // 0, or what a host that names [first, first + count) as its memory is
  // refused with: EINVAL unless all of it is in one region or one gap; EPERM in
  // a gap, or if the region is no memory or not the host's to use.
  int MemoryError(uint64_t first, uint64_t count) const;
  // RAM that a host can have, the whole page of it.
  bool IsHostRam(uint64_t pfn) const { return MemoryError(pfn, 1) == 0; }
  // Whether pages of RAM that a host can have are of one region.
  bool SameRegion(uint64_t first, uint64_t last) const {
    return Find(first << kPageShift) == Find(last << kPageShift);
  }
  // The region that has a byte, or null.
  const Region* Find(uint64_t address) const;

  bool IsPfn(uint64_t pfn) const { return pfn >> (pa_bits - kPageShift) == 0; }
  bool IsGfn(uint64_t gfn) const { return gfn >> (ipa_bits - kPageShift) == 0; }
  uint64_t VmFrames(uint64_t vcpus) const {
    return PagesFor(vm_bytes + vcpus * vm_bytes_per_vcpu);
  }
  uint64_t VcpuFrames() const { return PagesFor(vcpu_bytes); }
  // Page steps of one call: what zeroing 2 MiB takes, but of small pages no
  // more than 512, and of large ones no fewer than 16.
  static uint64_t Budget();

  // Keeps a host's map as Host says: without what is as at boot.
  void Set(Host& host, uint64_t pfn, const Page& page) const;
  Page At(const Host& host, uint64_t pfn) const;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_LAYOUT_H_
