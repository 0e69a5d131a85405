// SPDX-License-Identifier: Apache-2.0
//
// What libstdc++'s headers ask of a C++ library, for tests at EL2: memory, and
// an end for what would be an exception. One CPU only.
#include "runtime.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include "base/check.h"

namespace holdfast::testing_el2 {
namespace {

// Blocks of powers of two, each size with a list of free ones. A block is
// aligned to its size, up to kMaxAlign; its size stands in front of it.
constexpr unsigned kMinShift = 5, kMaxShift = 28;
constexpr uint64_t kMaxAlign = 4096;

struct Free {
  Free* next;
};

struct Heap {
  uint64_t at = 0, end = 0;
  Free* free[kMaxShift + 1] = {};
};
constinit Heap g_heap;

unsigned ShiftFor(uint64_t size) {
  unsigned shift = kMinShift;
  while ((uint64_t{1} << shift) < size) ++shift;
  HOLDFAST_CHECK(shift <= kMaxShift);
  return shift;
}

// Room for the size in front, that keeps the alignment asked for.
constexpr uint64_t Front(uint64_t align) { return align < 16 ? 16 : align; }

void* Allocate(uint64_t size, uint64_t align) {
  HOLDFAST_CHECK(align <= kMaxAlign);
  const unsigned shift = ShiftFor(size + Front(align));
  uint64_t block = 0;
  if (Free* const free = g_heap.free[shift]) {
    g_heap.free[shift] = free->next;
    block = reinterpret_cast<uint64_t>(free);
  } else {
    const uint64_t bytes = uint64_t{1} << shift;
    const uint64_t aligned = bytes < kMaxAlign ? bytes : kMaxAlign;
    block = (g_heap.at + aligned - 1) & ~(aligned - 1);
    HOLDFAST_CHECK(block + bytes <= g_heap.end);
    g_heap.at = block + bytes;
  }
  auto* const memory = reinterpret_cast<uint64_t*>(block + Front(align));
  memory[-1] = shift;
  memory[-2] = block;
  return memory;
}

// What was there is gone, and whoever still reads it finds nonsense.
void Release(void* memory) {
  if (memory == nullptr) return;
  auto* const words = static_cast<uint64_t*>(memory);
  const uint64_t shift = words[-1], block = words[-2];
  HOLDFAST_CHECK(shift >= kMinShift && shift <= kMaxShift);
  const uint64_t bytes = uint64_t{1} << shift;
  std::memset(reinterpret_cast<void*>(block), 0xdd, bytes < 512 ? bytes : 512);
  auto* const free = new (reinterpret_cast<void*>(block)) Free;
  free->next = g_heap.free[shift];
  g_heap.free[shift] = free;
}

}  // namespace

void InitHeap(uint64_t start, uint64_t size) {
  g_heap.at = start;
  g_heap.end = start + size;
}

}  // namespace holdfast::testing_el2

using holdfast::testing_el2::Allocate;
using holdfast::testing_el2::Release;

void* operator new(size_t size) { return Allocate(size, 16); }
void* operator new[](size_t size) { return Allocate(size, 16); }
void* operator new(size_t size, std::align_val_t align) {
  return Allocate(size, static_cast<uint64_t>(align));
}
void* operator new[](size_t size, std::align_val_t align) {
  return Allocate(size, static_cast<uint64_t>(align));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, 16);
}
void operator delete(void* memory) noexcept { Release(memory); }
void operator delete[](void* memory) noexcept { Release(memory); }
void operator delete(void* memory, size_t) noexcept { Release(memory); }
void operator delete[](void* memory, size_t) noexcept { Release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept {
  Release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  Release(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  Release(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  Release(memory);
}

// NOLINTBEGIN(bugprone-reserved-identifier)
namespace std {

void __throw_bad_alloc() { HOLDFAST_UNREACHABLE("std::bad_alloc"); }
void __throw_bad_array_new_length() { HOLDFAST_UNREACHABLE("std::bad_alloc"); }
void __throw_bad_function_call() {
  HOLDFAST_UNREACHABLE("std::bad_function_call");
}
void __throw_length_error(const char* what) { HOLDFAST_UNREACHABLE(what); }
void __throw_logic_error(const char* what) { HOLDFAST_UNREACHABLE(what); }
void __throw_invalid_argument(const char* what) { HOLDFAST_UNREACHABLE(what); }
void __throw_out_of_range(const char* what) { HOLDFAST_UNREACHABLE(what); }
void __throw_out_of_range_fmt(const char* what, ...) {
  HOLDFAST_UNREACHABLE(what);
}

}  // namespace std

extern "C" {

void abort() { HOLDFAST_UNREACHABLE("abort()"); }
void __cxa_pure_virtual() { HOLDFAST_UNREACHABLE("a pure virtual function"); }
// Nothing is destroyed at the end: the machine goes off.
int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }
void* __dso_handle = nullptr;

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
