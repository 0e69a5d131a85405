// SPDX-License-Identifier: Apache-2.0
//
// The random calls of random_calls_test, each held against the executable
// specification: on one CPU after another, and on four at once. Says how many
// calls it checks in a minute.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "gtest/gtest.h"
#include "hyp/abi.h"
#include "tests/random/random_calls.h"
#include "tests/spec/oracle.h"
#include "tests/spec/oracle_host.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

using random::RandomCalls;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kCalls = 20'000;
#else
constexpr uint64_t kCalls = 300'000;
#endif
#endif

// Runs of frames of which the first is the host's and a later one is not: never
// stock.
void TryMixedRuns(spec::Oracle& oracle, uint64_t first, uint64_t from) {
  if (oracle.state().vms.empty()) return;
  const auto& pages = oracle.state().host->pages;
  for (uint64_t i = 0; i + 1 < RandomCalls::kFrames; ++i) {
    const uint64_t pfn = first + (from + i) % (RandomCalls::kFrames - 1);
    if (pages.contains(pfn) || !pages.contains(pfn + 1)) continue;
    for (const auto& [handle, vm] : oracle.state().vms)
      EXPECT_FALSE(oracle.Call(HF_TOPUP_VM, handle, pfn, 2).ok());
    return;
  }
}

// Places that a host tries, some of which it may not have.
void TryPlaces(story::Host& host, const spec::Layout& layout) {
  for (const spec::Region& region : layout.regions) {
    for (uint64_t at : {region.base - kPageSize, region.base,
                        (region.end - 1) & ~uint64_t{7}, region.end}) {
      host.Load(at & ~uint64_t{7});
    }
  }
}

TEST(CheckedCalls, OnFourCpusInTurn) {
  spec::Oracle oracle;
  World world(World::Options{.cpus = 4, .scheduling_point = oracle.Hook()});
  oracle.Attach(world.board());
  spec::OracleHost host(world, oracle);
  const uint64_t first = world.Frames(RandomCalls::kFrames, 16);
  RandomCalls calls(host, /*seed=*/20261126, first);
  uint64_t turn = 0;
  uint64_t next_check = 1000;
  const auto start = std::chrono::steady_clock::now();
  while (calls.calls() < kCalls) {
    const unsigned cpu = static_cast<unsigned>(turn++ * 7 / 16 % 4);
    sim::OnCpu on(world.machine(), cpu);
    calls.Step(cpu);
    ASSERT_EQ(oracle.Trouble(), "") << "after " << calls.calls();
    if (turn % 64 == 0) TryMixedRuns(oracle, first, turn / 64);
    if (calls.calls() < next_check) continue;
    TryPlaces(host, oracle.layout());
    next_check = calls.calls() + kCalls / 40;
    ASSERT_EQ(oracle.FullTrouble(), "") << "after " << calls.calls();
    for (unsigned i = 0; i < 8; ++i) {
      const uint64_t frame = (turn + i * 5) % RandomCalls::kFrames;
      host.Store((first + frame) * kPageSize, turn);
      host.Load((first + frame) * kPageSize);
    }
  }
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  std::printf("%.0f checked calls a minute\n",
              static_cast<double>(oracle.calls()) / seconds.count() * 60);
  EXPECT_EQ(oracle.FullTrouble(), "");
  EXPECT_EQ(world.Trouble(), "");
}

// What a CPU can do decides on descriptors and maintenance, not on the contract
// (but for rights that it cannot express).
TEST(CheckedCalls, OnOtherCpus) {
  const CpuFeatures kinds[] = {
      {.pa_bits = kPaBits, .fwb = true, .xnx = true},
      {.pa_bits = kPaBits, .fwb = false, .xnx = false},
      {.pa_bits = kPaBits, .fwb = true, .xnx = true, .hafdbs = true},
      {.pa_bits = 36, .fwb = true, .xnx = true, .vmid16 = true, .dic = true},
  };
  for (const CpuFeatures& features : kinds) {
    spec::Oracle oracle;
    World world(World::Options{
        .cpus = 2, .scheduling_point = oracle.Hook(), .features = features});
    oracle.Attach(world.board());
    spec::OracleHost host(world, oracle);
    RandomCalls calls(host, /*seed=*/7, world.Frames(RandomCalls::kFrames, 16));
    while (calls.calls() < kCalls / 20 && oracle.Trouble().empty()) {
      const unsigned cpu = static_cast<unsigned>(calls.calls() / 16 % 2);
      sim::OnCpu on(world.machine(), cpu);
      calls.Step(cpu);
    }
    EXPECT_EQ(oracle.FullTrouble(), "");
    EXPECT_EQ(world.Trouble(), "");
  }
}

TEST(CheckedCalls, OnFourCpusAtOnce) {
  spec::Oracle oracle;
  World world(World::Options{.cpus = 4, .scheduling_point = oracle.Hook()});
  oracle.Attach(world.board());
  struct Cpu {
    Cpu(World& world, spec::Oracle& oracle, unsigned index)
        : host(world, oracle),
          calls(host, index + 1, world.Frames(RandomCalls::kFrames, 16)) {}
    spec::OracleHost host;
    RandomCalls calls;
  };
  std::vector<std::unique_ptr<Cpu>> cpus;
  for (unsigned i = 0; i < 4; ++i)
    cpus.push_back(std::make_unique<Cpu>(world, oracle, i));
  world.machine().RunOnAllCpus([&](unsigned cpu) {
    for (uint64_t i = 0; i < kCalls / 40; ++i) cpus[cpu]->calls.Step(cpu);
    cpus[cpu]->calls.Put(cpu);
  });
  EXPECT_EQ(oracle.FullTrouble(), "");
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::tests
