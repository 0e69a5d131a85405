// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/ram.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "platforms/sim/host_mutex.h"

namespace holdfast::sim {
namespace {

constexpr uint64_t kHostPage = 4096;
// Host addresses agree with physical ones modulo this, so that "is this table
// aligned to its size" has one answer for both.
constexpr uint64_t kAlignment = uint64_t{2} << 20;

}  // namespace

Ram::Ram(std::vector<RamRange> ranges) : ranges_(std::move(ranges)) {
  HOLDFAST_CHECK(!ranges_.empty());
  std::sort(
      ranges_.begin(), ranges_.end(),
      [](const RamRange& a, const RamRange& b) { return a.base < b.base; });
  for (size_t i = 0; i < ranges_.size(); ++i) {
    HOLDFAST_CHECK(ranges_[i].size != 0);
    HOLDFAST_CHECK(i == 0 || ranges_[i - 1].base + ranges_[i - 1].size <=
                                 ranges_[i].base);
  }
  const uint64_t low = ranges_.front().base.AlignDown(kAlignment).value();
  const uint64_t high = (ranges_.back().base + ranges_.back().size).value();
  mapping_size_ = high - low + kAlignment + kHostPage;
  mapping_ = mmap(nullptr, mapping_size_, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HOLDFAST_CHECK(mapping_ != MAP_FAILED);
  madvise(mapping_, mapping_size_, MADV_DONTDUMP);
  const uintptr_t window =
      (reinterpret_cast<uintptr_t>(mapping_) + kAlignment - 1) &
      ~(kAlignment - 1);
  bias_ = window - low;
  for (const RamRange& range : ranges_) {
    const uintptr_t first = (bias_ + range.base.value()) & ~(kHostPage - 1);
    const uintptr_t last =
        (bias_ + range.base.value() + range.size + kHostPage - 1) &
        ~(kHostPage - 1);
    HOLDFAST_CHECK(mprotect(reinterpret_cast<void*>(first), last - first,
                            PROT_READ | PROT_WRITE) == 0);
  }
}

Ram::~Ram() { munmap(mapping_, mapping_size_); }

bool Ram::Contains(PhysAddr pa, uint64_t size) const {
  if (size == 0) return false;
  auto it = std::upper_bound(
      ranges_.begin(), ranges_.end(), pa,
      [](PhysAddr a, const RamRange& range) { return a < range.base; });
  if (it == ranges_.begin()) return false;
  --it;
  const uint64_t offset = pa.value() - it->base.value();
  return offset < it->size && size <= it->size - offset;
}

uint64_t Ram::Load(PhysAddr pa, unsigned bytes) const {
  const void* at = At(pa);
  switch (bytes) {
    case 1:
      return __atomic_load_n(static_cast<const uint8_t*>(at), __ATOMIC_RELAXED);
    case 2:
      return __atomic_load_n(static_cast<const uint16_t*>(at),
                             __ATOMIC_RELAXED);
    case 4:
      return __atomic_load_n(static_cast<const uint32_t*>(at),
                             __ATOMIC_RELAXED);
    case 8:
      return __atomic_load_n(static_cast<const uint64_t*>(at),
                             __ATOMIC_RELAXED);
    default:
      HOLDFAST_UNREACHABLE("access size");
  }
}

void Ram::Store(PhysAddr pa, unsigned bytes, uint64_t value) const {
  void* at = At(pa);
  switch (bytes) {
    case 1:
      __atomic_store_n(static_cast<uint8_t*>(at), static_cast<uint8_t>(value),
                       __ATOMIC_RELAXED);
      return;
    case 2:
      __atomic_store_n(static_cast<uint16_t*>(at), static_cast<uint16_t>(value),
                       __ATOMIC_RELAXED);
      return;
    case 4:
      __atomic_store_n(static_cast<uint32_t*>(at), static_cast<uint32_t>(value),
                       __ATOMIC_RELAXED);
      return;
    case 8:
      __atomic_store_n(static_cast<uint64_t*>(at), value, __ATOMIC_RELAXED);
      return;
    default:
      HOLDFAST_UNREACHABLE("access size");
  }
}

void Ram::Fill(PhysAddr pa, uint64_t size, uint64_t word) const {
#if !HOLDFAST_SIM_TSAN
  if (word == 0) {
    // As good as word stores on any machine this runs on, and ten times faster.
    std::memset(At(pa), 0, size);
    return;
  }
#endif
  for (uint64_t offset = 0; offset < size; offset += 8)
    Store(pa + offset, 8, word);
}

}  // namespace holdfast::sim
