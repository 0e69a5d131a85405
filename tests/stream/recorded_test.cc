// SPDX-License-Identifier: Apache-2.0
//
// What the simulated machine records, checked: the demo's story, random calls
// on four CPUs in turn, and on four at once. Then the same streams with one
// event left out: the checker must miss it.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "hyp/abi.h"
#include "platforms/stream/text.h"
#include "tests/random/random_calls.h"
#include "tests/story/story.h"
#include "tests/stream/checker.h"
#include "tests/stream/replay.h"
#include "tests/world/story_host.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

using random::RandomCalls;
using stream::Checker;
using stream::Event;
using stream::EventType;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kCalls = 2'000;
#else
constexpr uint64_t kCalls = 20'000;
#endif
#endif

// No more than the first few.
std::string Findings(const std::vector<Event>& events,
                     stream::Counts* counts = nullptr) {
  Checker checker;
  for (const Event& event : events) checker.Feed(event);
  checker.Finish();
  if (counts != nullptr) *counts = checker.counts();
  std::string text;
  for (const stream::Finding& finding : checker.findings()) {
    if (text.size() > 2000) break;
    absl::StrAppend(&text, stream::ToString(finding), "\n");
  }
  return text;
}

std::vector<Event> StoryEvents() {
  World world(World::Options{.cpus = 4, .record_events = true});
  StoryHost host(world);
  EXPECT_EQ(story::Tell(host, {.race_rounds = 40}), 0u) << host.transcript();
  EXPECT_EQ(world.Trouble(), "");
  return world.machine().events();
}

TEST(Recorded, Story) {
  const std::vector<Event> events = StoryEvents();
  stream::Counts counts;
  EXPECT_EQ(Findings(events, &counts), "");
  EXPECT_EQ(counts.events, events.size());
  EXPECT_GT(counts.calls, 100u);
  EXPECT_GT(counts.handovers, 100u);
  EXPECT_GT(counts.old, 100u);
  EXPECT_GT(counts.links, 10u);
  EXPECT_GT(counts.zeroed, 10u);
  // What is written is what is read.
  const auto read = stream::ReadText(stream::ToText(events));
  ASSERT_TRUE(read.has_value()) << stream::ToString(read.error());
  EXPECT_EQ(*read, events);
}

TEST(Recorded, RandomCallsInTurn) {
  World world(World::Options{.cpus = 4, .record_events = true});
  StoryHost host(world);
  const uint64_t first = world.Frames(RandomCalls::kFrames, 16);
  RandomCalls calls(host, /*seed=*/20261126, first);
  for (uint64_t turn = 0; calls.calls() < kCalls; ++turn) {
    const unsigned cpu = static_cast<unsigned>(turn * 7 / 16 % 4);
    sim::OnCpu on(world.machine(), cpu);
    calls.Step(cpu);
  }
  EXPECT_EQ(world.Trouble(), "");
  stream::Counts counts;
  EXPECT_EQ(Findings(world.machine().events(), &counts), "");
  EXPECT_GE(counts.calls, kCalls);
}

TEST(Recorded, RandomCallsOnFourCpusAtOnce) {
  World world(World::Options{.cpus = 4, .record_events = true});
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
    for (uint64_t i = 0; i < kCalls / 8; ++i) cpus[cpu]->calls.Step(cpu);
  });
  EXPECT_EQ(world.Trouble(), "");
  stream::Counts counts;
  EXPECT_EQ(Findings(world.machine().events(), &counts), "");
  EXPECT_GT(counts.calls, kCalls / 4);
}

// ---- The specification ------------------------------------------------------

std::string Wrong(const std::vector<Event>& events, uint64_t* checked) {
  stream::Replay replay;
  for (const Event& event : events) replay.Feed(event);
  *checked = replay.checked();
  std::string text = replay.Unfit();
  for (const stream::Replay::Wrong& wrong : replay.wrong()) {
    if (text.size() > 3000) break;
    absl::StrAppend(&text, "#", wrong.event, " ", wrong.what, "\n");
  }
  return text;
}

TEST(Recorded, StoryIsAsTheSpecificationHasIt) {
  const std::vector<Event> events = StoryEvents();
  uint64_t checked = 0;
  EXPECT_EQ(Wrong(events, &checked), "");
  // Those that another CPU's overlapped are not: how many, is the machine's.
  EXPECT_GT(checked, 50u);
}

TEST(Recorded, RandomCallsAreAsTheSpecificationHasThem) {
  World world(World::Options{.cpus = 4, .record_events = true});
  StoryHost host(world);
  RandomCalls calls(host, /*seed=*/3, world.Frames(RandomCalls::kFrames, 16));
  for (uint64_t turn = 0; calls.calls() < kCalls / 8; ++turn) {
    const unsigned cpu = static_cast<unsigned>(turn * 7 / 16 % 4);
    sim::OnCpu on(world.machine(), cpu);
    calls.Step(cpu);
  }
  const std::vector<Event> events = world.machine().events();
  uint64_t checked = 0;
  EXPECT_EQ(Wrong(events, &checked), "");
  EXPECT_GT(checked, kCalls / 10);
  // Another answer, and a page that EL2 keeps another state of.
  for (const EventType type : {EventType::kCallExit, EventType::kPageState}) {
    std::vector<Event> other = events;
    // The last, which no later one puts right. (What that one call answers, the
    // stream does not tell.)
    for (auto event = other.rbegin(); event != other.rend(); ++event) {
      if (event->type != type || event->a == HF_VCPU_IN_POISON_FAULT) continue;
      event->b ^= 1;
      break;
    }
    EXPECT_NE(Wrong(other, &checked), "") << stream::EventTypeName(type);
  }
}

// ---- Streams with one event left out ----------------------------------------

// Each of these, wherever it stands, is there for a reason that shows. (A DSB
// may be followed by another that does for both, and a table page may have been
// seen to be zero twice, so not all of those are here.)
bool MustBeThere(EventType type) {
  switch (type) {
    case EventType::kTlbiIpas2e1is:
    case EventType::kTlbiRipas2e1is:
    case EventType::kTlbiVmalle1is:
    case EventType::kTlbiVale2is:
    case EventType::kEnterContext:
    case EventType::kLeaveContext:
    case EventType::kLock:
    case EventType::kUnlock:
      return true;
    default:
      return false;
  }
}

TEST(Recorded, LeftOutEventsAreMissed) {
  const std::vector<Event> events = StoryEvents();
  constexpr size_t kOfEach = 6;
  for (const stream::EventShape& shape : stream::kEventShapes) {
    if (!MustBeThere(shape.type)) continue;
    std::vector<size_t> places;
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].type == shape.type) places.push_back(i);
    }
    EXPECT_FALSE(places.empty()) << shape.name;
    for (size_t n = 0; n < kOfEach && n < places.size(); ++n) {
      const size_t place = places[places.size() * n / kOfEach];
      std::vector<Event> less = events;
      less.erase(less.begin() + static_cast<std::ptrdiff_t>(place));
      EXPECT_NE(Findings(less), "") << stream::ToString(events[place]);
    }
  }
}

}  // namespace
}  // namespace holdfast::tests
