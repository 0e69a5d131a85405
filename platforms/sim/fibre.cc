// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/fibre.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"
#include "platforms/sim/cpu.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define HOLDFAST_FIBRE_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define HOLDFAST_FIBRE_TSAN 1
#endif
#endif

namespace holdfast::sim {
namespace {

constexpr size_t kStackSize = 512 << 10;

// Memory for a stack, with a page below it that nobody may touch. Mapping costs
// more than a short life, so what is free is kept for the next.
class StackMemory {
 public:
  ~StackMemory() {
    for (char* memory : free_) munmap(memory, Mapped());
  }
  char* Take() {
    if (!free_.empty()) {
      char* const memory = free_.back();
      free_.pop_back();
      return memory;
    }
    void* const memory =
        mmap(nullptr, Mapped(), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HOLDFAST_CHECK(memory != MAP_FAILED);
    HOLDFAST_CHECK(mprotect(memory, Guard(), PROT_NONE) == 0);
    return static_cast<char*>(memory);
  }
  void GiveBack(char* memory) {
#ifdef HOLDFAST_FIBRE_ASAN
    // What the frames of the last one poisoned.
    __asan_unpoison_memory_region(Base(memory), kStackSize);
#endif
    free_.push_back(memory);
  }
  static char* Base(char* memory) { return memory + Guard(); }

 private:
  static size_t Guard() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  static size_t Mapped() { return Guard() + kStackSize; }

  std::vector<char*> free_;
};

thread_local StackMemory stack_memory;

}  // namespace

struct Fibre::Stack {
  char* memory = nullptr;
  ucontext_t inside;
  ucontext_t outside;
  // The CPU that runs on the side that is not running.
  Cpu* cpu_inside = &unbound_cpu;
  Cpu* cpu_outside = &unbound_cpu;
#ifdef HOLDFAST_FIBRE_ASAN
  void* fake_inside = nullptr;
  void* fake_outside = nullptr;
  const void* outside_base = nullptr;
  size_t outside_size = 0;
#endif
#ifdef HOLDFAST_FIBRE_TSAN
  void* tsan_inside = nullptr;
  void* tsan_outside = nullptr;
#endif
};

Fibre::Fibre(std::function<void()> work)
    : work_(std::move(work)), stack_(std::make_unique<Stack>()) {
  Stack& stack = *stack_;
  stack.memory = stack_memory.Take();
  HOLDFAST_CHECK(getcontext(&stack.inside) == 0);
  stack.inside.uc_stack.ss_sp = StackMemory::Base(stack.memory);
  stack.inside.uc_stack.ss_size = kStackSize;
  stack.inside.uc_link = nullptr;
  // makecontext passes ints only.
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&stack.inside, reinterpret_cast<void (*)()>(&Fibre::Entry), 2,
              static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
#ifdef HOLDFAST_FIBRE_TSAN
  stack.tsan_inside = __tsan_create_fiber(0);
#endif
}

Fibre::~Fibre() {
  HOLDFAST_CHECK(ended_ || !begun_);
#ifdef HOLDFAST_FIBRE_TSAN
  __tsan_destroy_fiber(stack_->tsan_inside);
#endif
  stack_memory.GiveBack(stack_->memory);
}

void Fibre::Entry(unsigned high, unsigned low) {
  const uintptr_t self = (uintptr_t{high} << 32) | low;
  reinterpret_cast<Fibre*>(self)->Run();
}

void Fibre::Run() {
  Stack& stack = *stack_;
#ifdef HOLDFAST_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &stack.outside_base,
                                  &stack.outside_size);
#endif
  work_();
  ended_ = true;
  current_cpu = stack.cpu_outside;
#ifdef HOLDFAST_FIBRE_ASAN
  // No place for its fake stack: it will not come back.
  __sanitizer_start_switch_fiber(nullptr, stack.outside_base,
                                 stack.outside_size);
#endif
#ifdef HOLDFAST_FIBRE_TSAN
  __tsan_switch_to_fiber(stack.tsan_outside, 0);
#endif
  setcontext(&stack.outside);
  HOLDFAST_CHECK(false);
}

void Fibre::Resume() {
  HOLDFAST_CHECK(!ended_);
  Stack& stack = *stack_;
  begun_ = true;
  stack.cpu_outside = std::exchange(current_cpu, stack.cpu_inside);
#ifdef HOLDFAST_FIBRE_ASAN
  __sanitizer_start_switch_fiber(&stack.fake_outside,
                                 StackMemory::Base(stack.memory), kStackSize);
#endif
#ifdef HOLDFAST_FIBRE_TSAN
  stack.tsan_outside = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(stack.tsan_inside, 0);
#endif
  HOLDFAST_CHECK(swapcontext(&stack.outside, &stack.inside) == 0);
#ifdef HOLDFAST_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(stack.fake_outside, nullptr, nullptr);
#endif
}

void Fibre::Pause() {
  Stack& stack = *stack_;
  stack.cpu_inside = std::exchange(current_cpu, stack.cpu_outside);
#ifdef HOLDFAST_FIBRE_ASAN
  __sanitizer_start_switch_fiber(&stack.fake_inside, stack.outside_base,
                                 stack.outside_size);
#endif
#ifdef HOLDFAST_FIBRE_TSAN
  __tsan_switch_to_fiber(stack.tsan_outside, 0);
#endif
  HOLDFAST_CHECK(swapcontext(&stack.inside, &stack.outside) == 0);
#ifdef HOLDFAST_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(stack.fake_inside, &stack.outside_base,
                                  &stack.outside_size);
#endif
}

}  // namespace holdfast::sim
