// SPDX-License-Identifier: Apache-2.0
#include "platforms/stream/text.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast::stream {
namespace {

using testing::HasSubstr;

// One of each, with numbers that differ and reach the top.
std::vector<Event> OneOfEach() {
  std::vector<Event> events;
  for (const EventShape& shape : kEventShapes) {
    Event event;
    event.seq = events.size() + 7;
    event.cpu = static_cast<unsigned>(events.size() % 8);
    event.type = shape.type;
    uint64_t* const fields[] = {&event.a, &event.b, &event.c,
                                &event.d, &event.e, &event.f};
    for (size_t i = 0; i < kMaxFields && shape.fields[i] != nullptr; ++i)
      *fields[i] = ~uint64_t{0} - i - events.size() % 3;
    events.push_back(event);
  }
  return events;
}

TEST(StreamText, ReadsBackWhatItWrites) {
  const std::vector<Event> events = OneOfEach();
  const auto read = ReadText(ToText(events));
  ASSERT_TRUE(read.has_value()) << ToString(read.error());
  EXPECT_EQ(*read, events);
}

TEST(StreamText, LooksLikeThis) {
  EXPECT_EQ(ToString(Event{.seq = 12,
                           .cpu = 1,
                           .type = EventType::kStorePte,
                           .a = 0x40001008,
                           .c = 0x400007ff}),
            "#12 cpu1 store-pte pa=0x40001008 old=0x0 new=0x400007ff");
  EXPECT_EQ(ToString(Event{.type = EventType::kTlbiIpas2e1is,
                           .a = 10,
                           .b = 0x1000,
                           .c = ~uint64_t{0}}),
            "#0 cpu0 tlbi-ipas2e1is vmid=10 ipa=0x1000 level=any");
  EXPECT_EQ(ToString(Event{.type = EventType::kTlbiIpas2e1is, .c = 3}),
            "#0 cpu0 tlbi-ipas2e1is vmid=0 ipa=0x0 level=3");
  EXPECT_EQ(ToText({}), "holdfast-stream 1\n");
}

TEST(StreamText, NamesAreDistinctWords) {
  for (const EventShape& shape : kEventShapes) {
    EXPECT_FALSE(absl::StrContains(shape.name, " ")) << shape.name;
    for (const EventShape& other : kEventShapes) {
      if (&shape != &other) {
        EXPECT_NE(std::string(shape.name), other.name);
      }
    }
  }
}

// Each is wrong in one way, at the third line of a stream.
TEST(StreamText, SaysWhatIsWrongAndWhere) {
  struct Case {
    const char* line;
    const char* error;
  };
  for (const Case& test : {
           Case{"cpu0 isb", "no #NUMBER"},
           Case{"#01 cpu0 isb", "no #NUMBER"},
           Case{"#x1 cpu0 isb", "no #NUMBER"},
           Case{"#99999999999999999999 cpu0 isb", "no #NUMBER"},
           Case{"#1 isb", "no cpuN"},
           Case{"#1 cpu8 isb", "no cpuN"},
           Case{"#1 cpu-1 isb", "no cpuN"},
           Case{"#1 cpu0 ISB", "no event 'ISB'"},
           Case{"#1 cpu0 ", "no event ''"},
           Case{"#1 cpu0 lock", "lock wants lock=NUMBER here, not ''"},
           Case{"#1 cpu0 lock lock=12", "here, not 'lock=12'"},
           Case{"#1 cpu0 lock lock=0x012", "here, not 'lock=0x012'"},
           Case{"#1 cpu0 lock lock=0xAB", "here, not 'lock=0xAB'"},
           Case{"#1 cpu0 lock lock=0x", "here, not 'lock=0x'"},
           Case{"#1 cpu0 lock lock=0x10000000000000000", "here, not"},
           Case{"#1 cpu0 lock address=0x1", "here, not 'address=0x1'"},
           Case{"#1 cpu0 tlbi-vmalle1is vmid=0x1", "here, not 'vmid=0x1'"},
           Case{"#1 cpu0 tlbi-vmalle1is vmid=any", "here, not 'vmid=any'"},
           Case{"#1 cpu0 isb ", "'#1 cpu0 isb' is all it may say"},
           Case{"#1 cpu0 isb a=0x1", "is all it may say"},
           Case{"#1  cpu0 isb", "no cpuN"},
           Case{"#2 cpu0 isb", "event #2 follows #0"},
           Case{"#0 cpu0 isb", "event #0 follows #0"},
           Case{"", "no #NUMBER"},
       }) {
    const auto read = ReadText(absl::StrCat("holdfast-stream 1\n#0 cpu0 isb\n",
                                            test.line, "\n#2 cpu0 isb\n"));
    ASSERT_FALSE(read.has_value()) << test.line;
    EXPECT_EQ(read.error().line, 3u) << test.line;
    EXPECT_THAT(read.error().what, HasSubstr(test.error)) << test.line;
  }
}

TEST(StreamText, WantsItsHeadAndItsEnd) {
  EXPECT_EQ(ToString(ReadText("").error()),
            "line 1: it is not 'holdfast-stream 1'");
  EXPECT_EQ(ToString(ReadText("holdfast-stream 2\n").error()),
            "line 1: it is not 'holdfast-stream 1'");
  EXPECT_EQ(ToString(ReadText("holdfast-stream 1\n#0 cpu0 isb").error()),
            "line 2: it is cut short");
  EXPECT_TRUE(ReadText("holdfast-stream 1\n")->empty());
}

}  // namespace
}  // namespace holdfast::stream
