// SPDX-License-Identifier: Apache-2.0
//
// The lock between CPUs that run at once: threads of the simulated machine.
#include "base/spinlock.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/machine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/sim/machine.h"

namespace holdfast {
namespace {

using testing::ElementsAreArray;

constexpr unsigned kCpus = 4;

sim::MachineConfig Config() {
  return {.ram = {{PhysAddr(0x4000'0000), 1 << 20}}, .cpus = kCpus};
}

void WaitFor(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

struct Counter {
  Spinlock lock{LockRank::kHost};
  uint64_t value ABSL_GUARDED_BY(lock) = 0;
  unsigned inside ABSL_GUARDED_BY(lock) = 0;
};

// Nothing but the lock orders the increments: a second CPU inside would lose
// some, and ThreadSanitizer would see it in any case.
TEST(SpinlockConcurrentTest, OneAtATime) {
  constexpr unsigned kRounds = 500;
  sim::Machine machine(Config());
  Counter counter;
  std::barrier together(kCpus);
  machine.RunOnAllCpus([&](unsigned) {
    together.arrive_and_wait();
    for (unsigned i = 0; i < kRounds; ++i) {
      SpinlockHolder hold(counter.lock);
      EXPECT_EQ(counter.inside, 0u);
      counter.inside = 1;
      ++counter.value;
      counter.inside = 0;
    }
  });
  sim::OnCpu on_cpu(machine, 0);
  SpinlockHolder hold(counter.lock);
  EXPECT_EQ(counter.value, uint64_t{kCpus} * kRounds);
}

// However they race, a CPU sees the lock as its own exactly while it holds it:
// not while it waits for it, nor before or after.
TEST(SpinlockConcurrentTest, OwnerIsTheHolderOnly) {
  constexpr unsigned kRounds = 500;
  Spinlock lock(LockRank::kHost);
  std::atomic<unsigned> wrong{0};
  std::array<std::atomic<bool>, kCpus> waits{};
  sim::MachineConfig config = Config();
  config.scheduling_point = [&](unsigned cpu, sim::SchedulingPoint point,
                                uint64_t) {
    if (point != sim::SchedulingPoint::kLockWait) return;
    if (lock.HeldByThisCpu()) ++wrong;
    waits[cpu] = true;
  };
  sim::Machine machine(config);
  std::atomic<bool> held{false};
  machine.RunOnAllCpus([&](unsigned cpu) {
    // The first time all wait for CPU 0, so that each has looked.
    if (cpu != 0) WaitFor([&] { return held.load(); });
    for (unsigned i = 0; i < kRounds; ++i) {
      if (lock.HeldByThisCpu()) ++wrong;
      SpinlockHolder hold(lock);
      if (!lock.HeldByThisCpu()) ++wrong;
      if (cpu == 0 && i == 0) {
        held = true;
        WaitFor([&] { return waits[1] && waits[2] && waits[3]; });
      }
    }
  });
  EXPECT_EQ(wrong, 0u);
}

// Makes the CPUs of `order` queue up one by one behind CPU 0, then lets go, and
// says in which order they got the lock. `turns`: how often it is taken before.
std::vector<unsigned> Queue(const std::array<unsigned, kCpus - 1>& order,
                            uint32_t turns) {
  std::array<std::atomic<bool>, kCpus> waits{};
  sim::MachineConfig config = Config();
  // A CPU that waits has its ticket already.
  config.scheduling_point = [&](unsigned cpu, sim::SchedulingPoint point,
                                uint64_t) {
    if (point == sim::SchedulingPoint::kLockWait) waits[cpu] = true;
  };
  sim::Machine machine(config);
  Spinlock lock(LockRank::kHost);
  std::atomic<bool> held{false};
  std::vector<unsigned> got;  // guarded by lock

  std::vector<std::function<void()>> cpus(kCpus);
  cpus[0] = [&] {
    for (uint32_t i = 0; i < turns; ++i) SpinlockHolder turn(lock);
    SpinlockHolder hold(lock);
    held = true;
    WaitFor([&] { return waits[order.back()].load(); });
  };
  for (unsigned place = 0; place < order.size(); ++place) {
    cpus[order[place]] = [&, place] {
      if (place == 0) {
        WaitFor([&] { return held.load(); });
      } else {
        WaitFor([&] { return waits[order[place - 1]].load(); });
      }
      SpinlockHolder hold(lock);
      got.push_back(order[place]);
    };
  }
  machine.RunParallel(cpus);
  return got;
}

TEST(SpinlockConcurrentTest, FirstComeFirstServed) {
  std::array<unsigned, 3> order = {1, 2, 3};
  do {
    for (int repeat = 0; repeat < 5; ++repeat) {
      EXPECT_THAT(Queue(order, 0), ElementsAreArray(order));
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

// The queue stands across the wrap of the 16-bit tickets, at each place of it.
TEST(SpinlockConcurrentTest, FirstComeFirstServedAcrossTheWrap) {
  const std::array<unsigned, 3> order = {3, 1, 2};
  for (uint32_t turns = 65536 - kCpus; turns <= 65536; ++turns) {
    EXPECT_THAT(Queue(order, turns), ElementsAreArray(order)) << turns;
  }
}

}  // namespace
}  // namespace holdfast
