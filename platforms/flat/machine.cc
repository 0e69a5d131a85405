// SPDX-License-Identifier: Apache-2.0
#include "platforms/flat/machine.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace holdfast::flat {
namespace {

// Host and physical addresses agree modulo this: a table that is aligned to its
// size in one is so in the other.
constexpr uint64_t kAlignment = uint64_t{2} << 20;

constinit thread_local uint64_t blocks_run = 0;

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

void Machine::Repeat(PhysAddr start, uint64_t size, uint64_t window) {
  const int file = memfd_create("repeated", MFD_CLOEXEC);
  HOLDFAST_CHECK(file >= 0 && ftruncate(file, static_cast<off_t>(window)) == 0);
  for (uint64_t done = 0; done < size; done += window) {
    HOLDFAST_CHECK(mmap(machine::PhysToVirt(start + done),
                        std::min(window, size - done), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED | MAP_POPULATE, file,
                        0) != MAP_FAILED);
  }
  close(file);
}

void Machine::Back(PhysAddr start, uint64_t size) {
  void* const at = machine::PhysToVirt(start);
  static_cast<void>(madvise(at, size, MADV_HUGEPAGE));  // if it knows them
  HOLDFAST_CHECK(madvise(at, size, MADV_POPULATE_WRITE) == 0);
}

[[clang::no_sanitize("coverage")]] uint64_t BlocksRun() { return blocks_run; }

}  // namespace holdfast::flat

// What code built with the feature block_count calls (clang,
// SanitizerCoverage).
extern "C" {
[[clang::no_sanitize("coverage")]] void __sanitizer_cov_trace_pc_guard_init(
    uint32_t*, uint32_t*) {}
[[clang::no_sanitize("coverage")]] void __sanitizer_cov_trace_pc_guard(
    uint32_t*) {
  ++holdfast::flat::blocks_run;
}
}

namespace holdfast {

void Panic(const char* file, int line, const char* what) {
  std::fprintf(stderr, "holdfast: panic at %s:%d\n  %s\n", file, line, what);
  std::abort();
}

}  // namespace holdfast
