// SPDX-License-Identifier: Apache-2.0
//
// The simulated machine's RAM: one reserved window of host address space from
// the lowest RAM byte to the highest, so that a host address is a physical one
// plus a constant. Holes between ranges cannot be touched, and pages cost
// nothing until they are: 64 GiB fit on a small host.
#ifndef HOLDFAST_PLATFORMS_SIM_RAM_H_
#define HOLDFAST_PLATFORMS_SIM_RAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/addr.h"
#include "platforms/sim/config.h"

namespace holdfast::sim {

class Ram {
 public:
  // `ranges`: at least one, none empty, none overlapping, in any order.
  explicit Ram(std::vector<RamRange> ranges);
  ~Ram();
  Ram(const Ram&) = delete;
  Ram& operator=(const Ram&) = delete;

  // Host address of physical address 0. For arithmetic only.
  uintptr_t bias() const { return bias_; }
  const std::vector<RamRange>& ranges() const { return ranges_; }

  // All of [pa, pa + size) is in one range. False for size 0.
  bool Contains(PhysAddr pa, uint64_t size) const;
  void* At(PhysAddr pa) const {
    return reinterpret_cast<void*>(bias_ + pa.value());
  }

  // Relaxed atomic accesses of 1, 2, 4 or 8 bytes, naturally aligned and in
  // RAM: so ThreadSanitizer reports the races of EL2 code, not those of its
  // guests.
  uint64_t Load(PhysAddr pa, unsigned bytes) const;
  void Store(PhysAddr pa, unsigned bytes, uint64_t value) const;
  // The same for whole ranges; multiples of 8 bytes.
  void Fill(PhysAddr pa, uint64_t size, uint64_t word) const;

 private:
  std::vector<RamRange> ranges_;  // sorted by base
  uintptr_t bias_ = 0;
  void* mapping_ = nullptr;
  size_t mapping_size_ = 0;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_RAM_H_
