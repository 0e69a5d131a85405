// SPDX-License-Identifier: Apache-2.0
//
// The rules a lock enforces at run time, one simulated CPU at a time. Clang
// would refuse most of what is done wrong here, so it is told to look away.
#include <unistd.h>

#include <array>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/machine.h"
#include "base/spinlock.h"
#include "gtest/gtest.h"
#include "platforms/sim/machine.h"

namespace holdfast {
namespace {

constexpr std::array kRanks = {LockRank::kVmTable, LockRank::kHost,
                               LockRank::kHypOrVm, LockRank::kLeaf};

void Lock(Spinlock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); }
// For what must die: a check that fails to would spin for ever.
void LockOrDieSoon(Spinlock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  alarm(5);
  lock.Lock();
}
void Unlock(Spinlock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); }
void OpenBatch(Spinlock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  lock.BatchOpened();
}
void CloseBatch(Spinlock& lock) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  lock.BatchClosed();
}

// No constructor runs for a lock at namespace scope.
constinit Spinlock constant_lock(LockRank::kLeaf);

class SpinlockTest : public testing::Test {
 protected:
  sim::Machine machine_{{.ram = {{PhysAddr(0x4000'0000), 1 << 20}}, .cpus = 4}};
  sim::OnCpu on_cpu_{machine_, 0};
  Spinlock lock_{LockRank::kHost};
};
using SpinlockDeathTest = SpinlockTest;

TEST_F(SpinlockTest, KnowsItsOwner) {
  EXPECT_FALSE(lock_.HeldByThisCpu());
  Lock(lock_);
  EXPECT_TRUE(lock_.HeldByThisCpu());
  lock_.AssertHeld();
  for (unsigned other = 1; other < machine_.cpus(); ++other) {
    sim::OnCpu on_other(machine_, other);
    EXPECT_FALSE(lock_.HeldByThisCpu()) << other;
  }
  Unlock(lock_);
  EXPECT_FALSE(lock_.HeldByThisCpu());
}

TEST_F(SpinlockTest, HolderHoldsForItsScope) {
  {
    SpinlockHolder hold(lock_);
    EXPECT_TRUE(lock_.HeldByThisCpu());
  }
  EXPECT_FALSE(lock_.HeldByThisCpu());
  SpinlockHolder again(constant_lock);
  EXPECT_TRUE(constant_lock.HeldByThisCpu());
}

TEST_F(SpinlockDeathTest, AssertHeldMeansByThisCpu) {
  EXPECT_DEATH(lock_.AssertHeld(), "panic: .*spinlock.h");
  Lock(lock_);
  {
    sim::OnCpu on_other(machine_, 1);
    EXPECT_DEATH(lock_.AssertHeld(), "panic: .*spinlock.h.*CPU 1");
  }
  Unlock(lock_);
}

TEST_F(SpinlockDeathTest, TakingItTwiceIsFatal) {
  Lock(lock_);
  EXPECT_DEATH(LockOrDieSoon(lock_), "panic: .*spinlock.h");
  Unlock(lock_);
}

// Every pair of ranks: rising is allowed, equal and falling are fatal.
TEST_F(SpinlockDeathTest, OnlyRisingRanks) {
  for (const LockRank held : kRanks) {
    for (const LockRank wanted : kRanks) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(held) << " then "
                                      << static_cast<int>(wanted));
      Spinlock first(held);
      Spinlock second(wanted);
      Lock(first);
      if (wanted > held) {
        Lock(second);
        EXPECT_TRUE(first.HeldByThisCpu());
        EXPECT_TRUE(second.HeldByThisCpu());
        Unlock(second);
      } else {
        EXPECT_DEATH(LockOrDieSoon(second), "panic: .*spinlock.h");
      }
      Unlock(first);
    }
  }
}

// The order counts what is held, not how it came to be: with a gap in the
// middle, the lowest may not be taken again, nor the gap be filled.
TEST_F(SpinlockDeathTest, OrderIsOfWhatIsHeld) {
  Spinlock table(LockRank::kVmTable);
  Spinlock host(LockRank::kHost);
  Spinlock vm(LockRank::kHypOrVm);
  Lock(table);
  Lock(host);
  Unlock(table);
  Lock(vm);
  EXPECT_DEATH(LockOrDieSoon(table), "panic: .*spinlock.h");
  Unlock(host);
  EXPECT_DEATH(LockOrDieSoon(host), "panic: .*spinlock.h");
  Unlock(vm);
  Lock(table);
  Lock(host);
  Unlock(host);
  Unlock(table);
}

// Ranks are per CPU: what another one holds does not count.
TEST_F(SpinlockTest, OtherCpusHaveTheirOwnOrder) {
  Lock(lock_);
  {
    sim::OnCpu on_other(machine_, 1);
    Spinlock table(LockRank::kVmTable);
    Spinlock other_host(LockRank::kHost);
    Lock(table);
    Lock(other_host);
    Unlock(other_host);
    Unlock(table);
  }
  Unlock(lock_);
}

TEST_F(SpinlockDeathTest, UnlockOfAnothersLockIsFatal) {
  EXPECT_DEATH(Unlock(lock_), "panic: .*spinlock.h");
  Lock(lock_);
  {
    sim::OnCpu on_other(machine_, 1);
    EXPECT_DEATH(Unlock(lock_), "panic: .*spinlock.h.*CPU 1");
  }
  Unlock(lock_);
  EXPECT_DEATH(Unlock(lock_), "panic: .*spinlock.h");
}

TEST_F(SpinlockDeathTest, UnlockWithAnOpenBatchIsFatal) {
  Lock(lock_);
  OpenBatch(lock_);
  EXPECT_DEATH(Unlock(lock_), "panic: .*open_batches_");
  OpenBatch(lock_);
  CloseBatch(lock_);
  EXPECT_DEATH(Unlock(lock_), "panic: .*open_batches_");
  CloseBatch(lock_);
  EXPECT_DEATH(CloseBatch(lock_), "panic: .*open_batches_");
  Unlock(lock_);
  EXPECT_FALSE(lock_.HeldByThisCpu());
}

TEST_F(SpinlockTest, TicketsWrapAround) {
  for (uint32_t turn = 0; turn < 2 * 65536 + 3; ++turn) {
    Lock(lock_);
    ASSERT_TRUE(lock_.HeldByThisCpu());
    Unlock(lock_);
    ASSERT_FALSE(lock_.HeldByThisCpu());
  }
}

TEST_F(SpinlockDeathTest, NeedsACpu) {
  EXPECT_DEATH(
      {
        sim::current_cpu = &sim::unbound_cpu;
        LockOrDieSoon(lock_);
      },
      "no simulated CPU");
}

}  // namespace
}  // namespace holdfast
