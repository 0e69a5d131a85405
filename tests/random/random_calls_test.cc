// SPDX-License-Identifier: Apache-2.0
//
// No call, whatever its arguments, panics EL2; and none answers what the ABI
// does not list. A million calls on the simulated machine, on four CPUs in
// turn; then threads that call at once.
#include "tests/random/random_calls.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "tests/world/story_host.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

using random::kCallCount;
using random::kCallRows;
using random::RandomCalls;

// Sanitizers cost a factor of ten to thirty.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kCalls = 60'000;
#else
constexpr uint64_t kCalls = 1'000'000;
#endif
#endif
constexpr bool kAllCounted = kCalls >= 1'000'000;

std::string Table(const RandomCalls& calls) {
  std::string table = absl::StrFormat("%-26s %9s\n", "call", "ok");
  for (size_t i = 0; i < kCallCount; ++i) {
    absl::StrAppendFormat(&table, "%-26s %9u", kCallRows[i].name,
                          calls.tally()[i].ok);
    for (size_t e = 0;
         e < kCallRows[i].errors.size() && kCallRows[i].errors[e] != 0; ++e) {
      absl::StrAppendFormat(
          &table, "  %s %u",
          ErrnoName(static_cast<Errno>(kCallRows[i].errors[e])),
          calls.tally()[i].errors[e]);
    }
    table += "\n";
  }
  return table;
}

TEST(RandomCalls, AMillionOnFourCpusInTurn) {
  World world(World::Options{.cpus = 4});
  StoryHost host(world);
  const uint64_t first = world.Frames(RandomCalls::kFrames, 16);
  RandomCalls calls(host, /*seed=*/20261123, first);
  uint64_t next_check = 1000;
  uint64_t turn = 0;
  while (calls.calls() < kCalls) {
    const unsigned cpu = static_cast<unsigned>(turn++ * 7 / 16 % 4);
    sim::OnCpu on(world.machine(), cpu);
    calls.Step(cpu);
    if (calls.calls() < next_check) continue;
    next_check = calls.calls() + kCalls / 40;
    ASSERT_EQ(world.Trouble(), "") << "after " << calls.calls() << " calls";
    ASSERT_EQ(calls.surprises(), 0u) << calls.first_surprise();
    for (unsigned i = 0; i < RandomCalls::kFrames; ++i) {
      ASSERT_EQ(host.Load((first + i) * kPageSize).done, calls.HostMayRead(i))
          << "frame " << i << " of the pool, after " << calls.calls()
          << " calls";
    }
  }
  for (unsigned cpu = 0; cpu < 4; ++cpu) {
    sim::OnCpu on(world.machine(), cpu);
    calls.Put(cpu);
  }
  EXPECT_EQ(calls.Finish(0), 0u) << "frames are lost";
  EXPECT_EQ(calls.surprises(), 0u) << calls.first_surprise();
  EXPECT_EQ(world.Trouble(), "");

  const std::string table = Table(calls);
  RecordProperty("calls", std::to_string(calls.calls()));
  EXPECT_GE(calls.succeeded() * 10, calls.calls() * 3)
      << "too few calls succeed\n"
      << table;
  if (!kAllCounted) return;
  for (size_t i = 0; i < kCallCount; ++i) {
    EXPECT_GE(calls.tally()[i].ok, 100u) << kCallRows[i].name << "\n" << table;
    for (size_t e = 0;
         e < kCallRows[i].errors.size() && kCallRows[i].errors[e] != 0; ++e) {
      EXPECT_GE(calls.tally()[i].errors[e], 100u)
          << kCallRows[i].name << " "
          << ErrnoName(static_cast<Errno>(kCallRows[i].errors[e])) << "\n"
          << table;
    }
  }
}

// Each CPU has frames of its own, but handles, slots and locks are common; and
// all aim wild calls at each other's VMs, so nothing need succeed. What must
// hold: no panic, and the invariants once they stop.
TEST(RandomCalls, FourCpusAtOnce) {
  World world(World::Options{.cpus = 4});
  struct Cpu {
    explicit Cpu(World& world, unsigned index)
        : host(world),
          calls(host, index + 1, world.Frames(RandomCalls::kFrames, 16)) {}
    StoryHost host;
    RandomCalls calls;
  };
  std::vector<std::unique_ptr<Cpu>> cpus;
  for (unsigned i = 0; i < 4; ++i)
    cpus.push_back(std::make_unique<Cpu>(world, i));
  world.machine().RunOnAllCpus([&](unsigned cpu) {
    for (uint64_t i = 0; i < kCalls / 40; ++i) cpus[cpu]->calls.Step(cpu);
    cpus[cpu]->calls.Put(cpu);
  });
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::tests
