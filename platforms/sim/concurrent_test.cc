// SPDX-License-Identifier: Apache-2.0
//
// The machine under real threads; meant for ThreadSanitizer as well.
#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "base/spinlock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/sim/host_mutex.h"
#include "platforms/sim/machine.h"
#include "platforms/sim/test_tables.h"

namespace holdfast::sim::testing_tables {
namespace {

using ::testing::IsEmpty;

constexpr int kRounds = HOLDFAST_SIM_TSAN ? 200 : 1000;

TEST(Concurrent, CpusAreThreads) {
  Machine machine(Config(4));
  OnCpu on_cpu(machine, 0);  // put aside while CPU 0 runs elsewhere
  std::atomic<unsigned> seen{0};
  machine.RunOnAllCpus([&](unsigned cpu) {
    EXPECT_EQ(machine::ThisCpu().index, cpu);
    seen.fetch_or(1u << cpu);
  });
  EXPECT_EQ(seen.load(), 0xfu);
  EXPECT_EQ(machine::ThisCpu().index, 0u);
}

TEST(ConcurrentDeathTest, ACpuIsOneThread) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        Machine machine(Config(2));
        std::atomic<bool> bound{false};
        machine.RunParallel({[&] {
                               while (!bound) machine::LockWait();
                               OnCpu twice(machine, 1);
                             },
                             [&] {
                               bound = true;
                               for (;;) machine::LockWait();
                             }});
      },
      "panic");
}

TEST(Concurrent, SpinlockOnMoreCpusThanCores) {
  Machine machine(Config(8));
  OnCpu on_cpu(machine, 0);
  Spinlock lock(LockRank::kHost);
  uint64_t count = 0;  // plain: ThreadSanitizer watches the lock
  machine.RunOnAllCpus([&](unsigned) {
    for (int i = 0; i < kRounds; ++i) {
      SpinlockHolder holder(lock);
      ++count;
    }
  });
  EXPECT_EQ(count, uint64_t{8} * kRounds);
}

// EL2 takes a page from a guest that keeps writing to it. Once the sequence is
// done, nothing of the guest's arrives any more: also not of an access that had
// translated before. The plain accesses are those of EL2 after the hand-over.
TEST(Concurrent, DsbWaitsForAccessesInFlight) {
  MachineConfig config = Config(2);
  config.record_events = false;
  Guest guest(std::move(config));
  std::atomic<bool> stop{false};
  std::atomic<int> fills{0};
  int late = 0;  // words that changed after the hand-over
  guest.machine.RunParallel(
      {[&] {
         volatile uint64_t* page = Guest::At(0x40101000);
         // Until the guest has been there often enough.
         for (int round = 0; late == 0 && (round < kRounds || fills < kRounds);
              ++round) {
           Guest::Store(0x40002008, 0);
           guest.Invalidate(0x1000, 3);
           for (uint64_t i = 0; i < 512; ++i) page[i] = 5;
           for (int look = 0; look < 2; ++look) {
             for (uint64_t i = 0; i < 512; ++i) late += page[i] != 5;
           }
           Guest::Publish(0x40002008, 0x40101000 | kRw);
           machine::DsbIshst();
         }
         stop = true;
       },
       [&] {
         while (!stop) {
           if (guest.machine.GuestFillPage(1, guest.context, Ipa(0x1000), 9)
                   .has_value())
             ++fills;
         }
       }});
  EXPECT_EQ(late, 0);
  EXPECT_THAT(guest.machine.violations(), IsEmpty()) << Messages(guest.machine);
  EXPECT_THAT(guest.machine.StaleEntries(), IsEmpty());
}

// Two CPUs change their own parts of two tables, two guests access theirs.
TEST(Concurrent, TablesUnderLocks) {
  Guest guest(Config(4));
  const Stage2Context second{
      .vmid = Vmid(2), .root = PhysAddr(0x40010000), .vtcr = kVtcr};
  guest.Raw(0x40010000, 0x40011003);
  guest.Raw(0x40011000, 0x40012003);
  Spinlock lock(LockRank::kHypOrVm);
  machine::OnStage2Created(second, &lock);
  std::atomic<int> running{2};
  const auto el2 = [&](uint64_t entry, uint64_t page, uint64_t ipa) {
    for (int round = 0; round < kRounds / 10; ++round) {
      SpinlockHolder holder(lock);
      Guest::Publish(entry, page | kRw);
      machine::DsbIshst();
      Guest::Store(entry, 0);
      machine::DsbIsh();
      machine::EnterStage2Context(second);
      machine::TlbiIpas2e1is(Ipa(ipa), kPageLevel);
      machine::DsbIsh();
      machine::TlbiVmalle1is();
      machine::DsbIsh();
      machine::LeaveStage2Context();
      EXPECT_FALSE(
          guest.machine.GuestRead64(machine::ThisCpu().index, second, Ipa(ipa))
              .has_value());
      machine::ZeroPage(PhysAddr(page));
    }
    --running;
  };
  const auto user = [&](unsigned cpu) {
    while (running != 0) {
      for (uint64_t ipa : {0x0, 0x1000}) {
        (void)guest.machine.GuestWrite64(cpu, second, Ipa(ipa), cpu);
        (void)guest.machine.GuestRead64(cpu, second, Ipa(ipa));
      }
    }
  };
  guest.machine.RunParallel({[&] { el2(0x40012000, 0x40201000, 0x0); },
                             [&] { el2(0x40012008, 0x40202000, 0x1000); },
                             [&] { user(2); }, [&] { user(3); }});
  EXPECT_THAT(guest.machine.violations(), IsEmpty()) << Messages(guest.machine);
  EXPECT_THAT(guest.machine.StaleEntries(), IsEmpty());
}

#if HOLDFAST_SIM_TSAN
// The model must not order EL2's threads for ThreadSanitizer: a table store,
// with its hook, between two plain accesses does not make them race-free.
TEST(ConcurrentDeathTest, TheModelHidesNoRaces) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        Guest guest(Config(2));
        auto* word = Guest::At(0x40300000);
        std::atomic<int> turn{0};
        guest.machine.RunParallel(
            {[&] {
               *word = 1;
               Guest::Store(0x40003000, 0);
               turn.store(1, std::memory_order_relaxed);
             },
             [&] {
               while (turn.load(std::memory_order_relaxed) == 0) {
               }
               Guest::Store(0x40003008, 0);
               *word = 2;
             }});
      },
      [](int status) { return status != 0; }, "data race");
}
#endif

}  // namespace
}  // namespace holdfast::sim::testing_tables
