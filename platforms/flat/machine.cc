// SPDX-License-Identifier: Apache-2.0
#include "platforms/flat/machine.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace holdfast::flat {
namespace {

// Host and physical addresses agree modulo this: a table that is aligned to its
// size in one is so in the other.
constexpr uint64_t kAlignment = uint64_t{2} << 20;

}  // namespace

Machine::Machine(PhysAddr base, uint64_t size)
    : mapping_size_(size + kAlignment) {
  HOLDFAST_CHECK(ram_bias == 0 && base.IsAligned(kAlignment));
  mapping_ = mmap(nullptr, mapping_size_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HOLDFAST_CHECK(mapping_ != MAP_FAILED);
  const uintptr_t start =
      (reinterpret_cast<uintptr_t>(mapping_) + kAlignment - 1) &
      ~(kAlignment - 1);
  ram_bias = start - base.value();
  for (unsigned i = 0; i < cpus_.size(); ++i) cpus_[i].local.index = i;
}

Machine::~Machine() {
  munmap(mapping_, mapping_size_);
  ram_bias = 0;
}

}  // namespace holdfast::flat

namespace holdfast {

void Panic(const char* file, int line, const char* what) {
  std::fprintf(stderr, "holdfast: panic at %s:%d\n  %s\n", file, line, what);
  std::abort();
}

}  // namespace holdfast
