// SPDX-License-Identifier: Apache-2.0
//
// The one lock of EL2: a ticket lock that knows its owner.
//
// - Fair: CPUs get it in the order they asked (ticket, 16 bits each way).
// - Static: an annotated capability; clang refuses an access without it.
// - Dynamic, in every build: AssertHeld() asks "held by *this* CPU", taking it
//   twice or against the order is fatal, and so is releasing it while a TLB
//   batch of the table it guards is open (pgtable/tlb.h).
#ifndef HOLDFAST_BASE_SPINLOCK_H_
#define HOLDFAST_BASE_SPINLOCK_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/check.h"
#include "base/machine.h"

namespace holdfast {

// The lock order, outermost first. A CPU takes locks in rising rank only, and
// never two of one rank: so the hyp lock and a VM's are never held together.
enum class LockRank : uint8_t {
  kVmTable = 0,
  kHost = 1,
  kHypOrVm = 2,
  kLeaf = 3,  // takes nothing inside: consoles, counters
};

class ABSL_LOCKABLE Spinlock {
 public:
  constexpr explicit Spinlock(LockRank rank)
      : rank_bit_(1u << static_cast<unsigned>(rank)) {}
  Spinlock(const Spinlock&) = delete;
  Spinlock& operator=(const Spinlock&) = delete;

  // Inline: every call takes two or three of these.
  [[gnu::always_inline]] void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    CpuLocal& cpu = machine::ThisCpu();
    // No lock of this rank or an inner one is held; nor, hence, this one.
    HOLDFAST_CHECK(cpu.held_ranks < rank_bit_);
    machine::OnLockRequested(this);
    const uint16_t ticket = next_.fetch_add(1, std::memory_order_relaxed);
    if (serving_.load(std::memory_order_acquire) != ticket) [[unlikely]] {
      WaitFor(ticket);
    }
    cpu.held_ranks |= rank_bit_;
    owner_.store(cpu.index + 1, std::memory_order_relaxed);
    machine::OnLockAcquired(this);
  }

  [[gnu::always_inline]] void Unlock() ABSL_UNLOCK_FUNCTION() {
    CpuLocal& cpu = machine::ThisCpu();
    HOLDFAST_CHECK(owner_.load(std::memory_order_relaxed) == cpu.index + 1);
    HOLDFAST_CHECK(open_batches_ == 0);
    machine::OnLockReleased(this);
    cpu.held_ranks ^= rank_bit_;
    owner_.store(0, std::memory_order_relaxed);
    // Only the holder writes serving_, so a plain increment is enough.
    serving_.store(
        static_cast<uint16_t>(serving_.load(std::memory_order_relaxed) + 1),
        std::memory_order_release);
  }

  bool HeldByThisCpu() const {
    return owner_.load(std::memory_order_relaxed) ==
           machine::ThisCpu().index + 1;
  }
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {
    HOLDFAST_CHECK(HeldByThisCpu());
  }

  // A TLB batch of the table this lock guards was begun / completed.
  void BatchOpened() ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) { ++open_batches_; }
  void BatchClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
    HOLDFAST_CHECK(open_batches_ > 0);
    --open_batches_;
  }

 private:
  [[gnu::noinline]] void WaitFor(uint16_t ticket) {
    while (serving_.load(std::memory_order_acquire) != ticket) {
      machine::LockWait();
    }
  }

  std::atomic<uint16_t> next_{0};
  std::atomic<uint16_t> serving_{0};
  // CPU index + 1 of the holder, 0 if free. Cleared before the release, so that
  // a CPU never reads its own number from a lock it has let go.
  std::atomic<uint32_t> owner_{0};
  uint32_t open_batches_ = 0;
  const uint32_t rank_bit_;  // bit of the rank in CpuLocal::held_ranks
};

// Holds a lock for a scope.
class ABSL_SCOPED_LOCKABLE SpinlockHolder {
 public:
  [[gnu::always_inline]] explicit SpinlockHolder(Spinlock& lock)
      ABSL_EXCLUSIVE_LOCK_FUNCTION(lock)
      : lock_(lock) {
    lock_.Lock();
  }
  [[gnu::always_inline]] ~SpinlockHolder() ABSL_UNLOCK_FUNCTION() {
    lock_.Unlock();
  }
  SpinlockHolder(const SpinlockHolder&) = delete;
  SpinlockHolder& operator=(const SpinlockHolder&) = delete;

 private:
  Spinlock& lock_;
};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_SPINLOCK_H_
