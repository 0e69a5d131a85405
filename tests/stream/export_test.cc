// SPDX-License-Identifier: Apache-2.0
//
// Streams for others' tools: what the simulated machine records is written for
// casemate, and its grammar takes it; as Chrome trace JSON, and spans nest.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "platforms/stream/casemate.h"
#include "platforms/stream/chrome.h"
#include "tests/random/random_calls.h"
#include "tests/story/story.h"
#include "tests/stream/casemate_grammar.h"
#include "tests/world/story_host.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

using stream::CasemateTrouble;
using stream::Event;
using stream::EventType;
using testing::HasSubstr;

// The widths that casemate can check. (The story's host takes frames up to the
// PA size of World's map, so that says the rest.)
World::Options Wide(unsigned pa_bits, unsigned cpus = 4) {
  return {.cpus = cpus,
          .record_events = true,
          .features = {.pa_bits = pa_bits, .fwb = false, .xnx = true}};
}

std::vector<Event> RandomEvents(unsigned pa_bits, uint64_t calls) {
  World world(Wide(pa_bits));
  StoryHost host(world);
  random::RandomCalls random(host, 7,
                             world.Frames(random::RandomCalls::kFrames, 16));
  for (uint64_t turn = 0; random.calls() < calls; ++turn) {
    const unsigned cpu = static_cast<unsigned>(turn % 4);
    sim::OnCpu on(world.machine(), cpu);
    random.Step(cpu);
  }
  EXPECT_EQ(world.Trouble(), "");
  return world.machine().events();
}

// ---- The grammar itself -----------------------------------------------------

// A trace that the tool was seen to accept.
constexpr const char* kAccepted = R"(
(sysreg-write (id 0) (tid 0) (sysreg vtcr_el2) (value 0x19) (src "init.cc:1"))
(mem-init (id 1) (tid 0) (address 0x40000000) (size 0x1000) (src "init.cc:2"))
(mem-init (id 2) (tid 0) (address 0x40001000) (size 0x1000) (src "init.cc:3"))
(mem-init (id 3) (tid 0) (address 0x40002000) (size 1000) (src "init.cc:4"))
(hint (id 4) (tid 0) (kind set_root_lock) (location 0x40000000) (value 0x50000000) (src "init.cc:5"))
(hint (id 5) (tid 0) (kind set_owner_root) (location 0x40001000) (value 0x40000000) (src "init.cc:6"))
(hint (id 6) (tid 0) (kind set_owner_root) (location 0x40002000) (value 0x40000000) (src "init.cc:7"))
(sysreg-write (id 7) (tid 0) (sysreg vttbr_el2) (value 0x1000040000000) (src "vm.cc:1"))
(lock (id 8) (tid 0) (address 0x50000000) (src "vm.cc:2"))
(mem-write (id 9) (tid 0) (mem-order release) (address 0x40000000) (value 0x40001003) (src "map.cc:1"))
(mem-write (id 10) (tid 0) (mem-order release) (address 0x40001000) (value 0x40002003) (src "map.cc:2"))
(mem-write (id 11) (tid 0) (mem-order release) (address 0x40002000)
    (value 0x800007ff) (src "map.cc:3"))
(mem-write (id 12) (tid 0) (mem-order plain) (address 0x40002000) (value 0x2000) (src "annotate.cc:1"))
(barrier (id 13) (tid 0) dsb (kind ish) (src "tlb.cc:1"))
(tlbi (id 14) (tid 0) ipas2e1is (value 0x0) (src "tlb.cc:2"))
(barrier (id 15) (tid 0) dsb (kind ish) (src "tlb.cc:3"))
(tlbi (id 16) (tid 0) vmalle1is (src "tlb.cc:4"))
(barrier (id 17) (tid 0) dsb (kind ish) (src "tlb.cc:5"))
(mem-write (id 18) (tid 0) (mem-order release) (address 0x40002000) (value 0x900007ff) (src "map.cc:4"))
(unlock (id 19) (tid 0) (address 0x50000000) (src "vm.cc:3"))
)";

TEST(CasemateGrammar, TakesWhatTheToolTakes) {
  EXPECT_EQ(CasemateTrouble(kAccepted), "");
  EXPECT_EQ(CasemateTrouble(""), "");
}

TEST(CasemateGrammar, RefusesWhatTheToolRefuses) {
  struct Case {
    const char* from;
    const char* to;
    const char* error;
  };
  for (const Case& test : {
           Case{"(id 13) (tid 0)", "(tid 0) (id 13)", "13: no (id N)"},
           Case{"(id 13)", "(id x)", "13: no (id N)"},
           Case{"(id 13) (tid 0)", "(id 13) (thread 0)", "13: no (tid N)"},
           Case{"(id 13) (tid 0)", "(id 13) (tid 4)", "13: no (tid N)"},
           Case{" (src \"tlb.cc:1\")", "", "13: no (src"},
           Case{"(src \"tlb.cc:1\")", "(src \"tlb.cc\")", "13: no (src"},
           Case{"(src \"tlb.cc:1\")", "(src 1)", "13: no (src"},
           Case{"(src \"tlb.cc:1\")", "(src \"a:1\") (b 2)", "13: something"},
           Case{"barrier (id 13) (tid 0) dsb (kind ish)",
                "barrier (id 13) (tid 0) dsb (kind sy)", "13: dsb wants"},
           Case{"barrier (id 13) (tid 0) dsb (kind ish)",
                "barrier (id 13) (tid 0) dsb (kind ISH)", "13: dsb wants"},
           Case{"barrier (id 13) (tid 0) dsb (kind ish)",
                "barrier (id 13) (tid 0) dmb", "13: barrier wants"},
           Case{"ipas2e1is (value", "ipas2le1is (value", "14: no TLBI"},
           Case{"ipas2e1is (value 0x0)", "ipas2e1is (addr 0) (level 3)",
                "14: ipas2e1is wants"},
           Case{"vmalle1is", "vae2", "16: no TLBI 'vae2'"},
           Case{"(sysreg-write (id 7)", "(msr (id 7)", "7: no record"},
           Case{"(mem-order plain)", "(mem-order Plain)", "12: mem-write"},
           Case{"(address 0x50000000) (src \"vm.cc:2\")",
                "(lock 0x50000000) (src \"vm.cc:2\")", "8: a lock wants"},
           Case{"(value 0x19)", "(value 0x18)", "0: T0SZ"},
           Case{"(mem-init (id 3) (tid 0) (address 0x40002000)",
                "(mem-init (id 3) (tid 0) (address 0x40003000)",
                "6: an owner root with no mem-init"},
           Case{"(lock (id 8) (tid 0)", "(lock (id 8) (tid 1)",
                "9: mem-write to a table whose lock"},
           Case{"(location 0x40001000) (value 0x40000000)",
                "(location 0x40001000) (value 0x40002000)",
                "9: a table is linked that has no set_owner_root"},
           Case{"(value 0x900007ff)", "(value 0x900007fd)",
                "18: an invalid encoding"},
           Case{"(mem-order release) (address 0x40002000)\n",
                "(mem-order plain) (address 0x40002000)\n",
                "12: a second plain"},
           Case{"vm.cc:3\"))", "vm.cc:3\")", "19: no (record"},
       }) {
    const std::string text =
        absl::StrReplaceAll(kAccepted, {{test.from, test.to}});
    ASSERT_NE(text, kAccepted) << test.from;
    EXPECT_THAT(CasemateTrouble(text),
                HasSubstr(absl::StrCat("record ", test.error)))
        << test.from << " -> " << test.to;
  }
}

// ---- What is written --------------------------------------------------------

TEST(Casemate, GrammarTakesRandomCalls) {
  for (const unsigned pa_bits : {39u, 48u}) {
    const std::vector<Event> events = RandomEvents(pa_bits, 1500);
    const auto trace = stream::ToCasemate(events);
    ASSERT_TRUE(trace.has_value()) << pa_bits << ": " << trace.error();
    EXPECT_EQ(CasemateTrouble(*trace), "") << pa_bits;
    for (const char* record :
         {"(mem-init ", "(mem-write ", "(barrier ", "(tlbi ", "(sysreg-write ",
          "(kind set_root_lock)", "(kind set_owner_root)",
          "(kind release_table)", "(lock ", "(unlock ", "ipas2e1is",
          "(tid 3)"}) {
      EXPECT_TRUE(absl::StrContains(*trace, record)) << record;
    }
  }
}

TEST(Casemate, WritesAnEventLikeThis) {
  const auto lines = [](std::vector<Event> events) {
    const auto trace = stream::ToCasemate(events);
    return trace.has_value() ? *trace : trace.error();
  };
  Event event{.seq = 5, .cpu = 2, .type = EventType::kTlbiIpas2e1is};
  event.b = 0x12345000;
  event.c = 3;
  EXPECT_EQ(lines({event}),
            "(tlbi (id 0) (tid 2) ipas2e1is (value 0x700000012345) (src "
            "\"tlbi-ipas2e1is:5\"))\n");
  event.c = ~uint64_t{0};
  EXPECT_EQ(lines({event}),
            "(tlbi (id 0) (tid 2) ipas2e1is (value 0x12345) (src "
            "\"tlbi-ipas2e1is:5\"))\n");
  event.type = EventType::kTlbiRipas2e1is;
  event.c = 0x2000;
  EXPECT_EQ(lines({event}),
            "(tlbi (id 0) (tid 2) ipas2e1is (value 0x12345) (src "
            "\"tlbi-ripas2e1is:5\"))\n"
            "(tlbi (id 1) (tid 2) ipas2e1is (value 0x12346) (src "
            "\"tlbi-ripas2e1is:5\"))\n");
  event.c = 0x201000;
  EXPECT_THAT(lines({event}), HasSubstr("(tid 2) vmalls12e1is (src"));
  event.type = EventType::kTlbiVmalle1;
  EXPECT_EQ(lines({event}), "");
}

TEST(Casemate, SaysWhatItCannotWrite) {
  {
    World world(Wide(40));
    EXPECT_THAT(stream::ToCasemate(world.machine().events()).error(),
                HasSubstr("for 39 or 48 bits"));
  }
  EXPECT_THAT(stream::ToCasemate(std::vector<Event>{{.cpu = 4}}).error(),
              HasSubstr("casemate takes 4 CPUs, and CPU 4 is in it"));
}

// ---- For people -------------------------------------------------------------

// One object a line; spans of each lane open and close in order.
TEST(Chrome, SpansNest) {
  const std::vector<Event> events = RandomEvents(40, 800);
  const std::string json = stream::ToChrome(
      events, {.call = [](uint64_t) { return "a \"call\"\n"; }});
  EXPECT_TRUE(nlohmann::json::accept(json));
  std::vector<std::string> lines = absl::StrSplit(json, '\n');
  ASSERT_GT(lines.size(), 1000u);
  EXPECT_EQ(lines.front(), "{\"traceEvents\":[");
  EXPECT_EQ(lines[lines.size() - 2], "]}");
  std::map<std::string, int> depth;
  uint64_t calls = 0;
  for (size_t i = 1; i + 2 < lines.size(); ++i) {
    const std::string& line = lines[i];
    EXPECT_EQ(line.front(), '{');
    EXPECT_EQ(line.back(), i + 3 < lines.size() ? ',' : '}') << line;
    const size_t tid = line.find("\"tid\":");
    ASSERT_NE(tid, std::string::npos) << line;
    int& open = depth[line.substr(tid, 7)];
    if (absl::StrContains(line, "\"ph\":\"B\"")) ++open;
    if (absl::StrContains(line, "\"ph\":\"E\"")) --open;
    calls += absl::StrContains(line, "{\"name\":\"a \\\"call\\\" \"");
    EXPECT_GE(open, 0) << line;
  }
  EXPECT_EQ(depth.size(), 4u);  // a lane per CPU
  for (const auto& [lane, open] : depth) EXPECT_EQ(open, 0) << lane;
  EXPECT_GE(calls, 800u);
}

TEST(Chrome, LocksThatDoNotNest) {
  const std::vector<Event> events = {
      {.seq = 0, .type = EventType::kLock, .a = 1},
      {.seq = 1, .type = EventType::kLock, .a = 2},
      {.seq = 2, .type = EventType::kDsbIsh},
      {.seq = 3, .type = EventType::kUnlock, .a = 1},
      {.seq = 4, .cpu = 1, .type = EventType::kLock, .a = 3},
  };
  EXPECT_EQ(
      stream::ToChrome(
          events, {.lock = [](uint64_t a) { return absl::StrCat("L", a); }}),
      R"({"traceEvents":[
{"name":"thread_name","ph":"M","pid":0,"tid":0,"args":{"name":"CPU 0"}},
{"name":"L1","ph":"B","pid":0,"tid":0,"ts":0},
{"name":"L2","ph":"B","pid":0,"tid":0,"ts":1},
{"name":"dsb-ish","ph":"i","s":"t","pid":0,"tid":0,"ts":2,"args":{"event":"dsb-ish"}},
{"ph":"E","pid":0,"tid":0,"ts":3},
{"ph":"E","pid":0,"tid":0,"ts":3},
{"name":"L2","ph":"B","pid":0,"tid":0,"ts":3},
{"name":"thread_name","ph":"M","pid":0,"tid":1,"args":{"name":"CPU 1"}},
{"name":"L3","ph":"B","pid":0,"tid":1,"ts":4},
{"ph":"E","pid":0,"tid":0,"ts":5},
{"ph":"E","pid":0,"tid":1,"ts":5}
]}
)");
}

}  // namespace
}  // namespace holdfast::tests
