// SPDX-License-Identifier: Apache-2.0
//
// Scripts: what fails them, with which status and which line; and what a
// session can do besides commands of CPUs.
#include "platforms/shell/runner.h"

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "mem_protect/page_record.h"
#include "platforms/shell/panic.h"
#include "platforms/shell/test_runner.h"
#include "platforms/stream/text.h"

namespace holdfast::shell {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

std::string TempFile(const std::string& name) {
  return absl::StrCat(testing::TempDir(), "/", name);
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// ---- Exit status
// ----------------------------------------------------------------

TEST(Status, GoodIs0) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"call host_share_hyp @0x40000000", "expect 0",
                        "call host_share_hyp @0x40000000", "expect -EPERM",
                        "# the end"}),
            0);
}

TEST(Status, FailedExpectationIs1AndNamesTheLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"call host_share_hyp @0x40000000", "expect -EPERM",
                        "echo not reached"}),
            1);
  EXPECT_THAT(runner.Output(), EndsWith("test.hf:2: host_share_hyp(0x40000): "
                                        "expected -EPERM, but it is 0\n"));
}

TEST(Status, UnexpectedErrorIs1AndNamesItsOwnLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"call vcpu_put", "", "# nothing", "echo not reached"}),
            1);
  EXPECT_THAT(
      runner.Output(),
      EndsWith("test.hf:1: vcpu_put() = -EINVAL, and no expect follows\n"));
}

TEST(Status, UnexpectedErrorAtTheEndIs1) {
  for (const char* line : {"call vcpu_put", "host read 0x43ff0000",
                           "compare @0x40000000 9", "hvc 1"}) {
    TestRunner runner;
    EXPECT_EQ(runner.Run({line}), std::string(line) == "hvc 1" ? 0 : 1) << line;
  }
}

TEST(Status, BadLineIs2AndTheMachineIsUnchanged) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"echo a", "call host_share_hyp"}), 2);
  EXPECT_EQ(runner.Output(),
            "a\n"
            "test.hf:2: pfn is missing\n"
            "    call host_share_hyp\n"
            "                        ^\n"
            "    right: call host_share_hyp pfn=N\n");
  EXPECT_FALSE(runner.session().booted());
}

TEST(Status, BrokenInvariantIs3AndNamesTheLine) {
  TestRunner runner;
  ASSERT_TRUE(runner.Do("call host_share_hyp @0x40000000"));
  // Nothing a host can do breaks one: a test must.
  auto* record = const_cast<mem_protect::PageRecord*>(
      runner.session().board().mem().RecordOf(Pfn(0x40001)));
  record->set_hyp(mem_protect::PageState::kOwned);
  EXPECT_EQ(runner.Run({"call host_unshare_hyp @0x40000000"}), 3);
  EXPECT_THAT(runner.Output(), HasSubstr("test.hf:2: frame 0x40001"));
}

TEST(Status, ChecksAtTheEndOrNever) {
  for (const auto& [check, status] :
       {std::pair{CheckWhen::kEnd, 3}, std::pair{CheckWhen::kOff, 0}}) {
    TestRunner runner(check);
    ASSERT_TRUE(runner.Do("call host_share_hyp @0x40000000"));
    auto* record = const_cast<mem_protect::PageRecord*>(
        runner.session().board().mem().RecordOf(Pfn(0x40001)));
    record->set_hyp(mem_protect::PageState::kOwned);
    EXPECT_TRUE(runner.Do("call host_unshare_hyp @0x40000000"));
    EXPECT_EQ(runner.runner().Finish(), status);
  }
}

TEST(StatusDeathTest, PanicIs3AndNamesTheLine) {
  const auto panic = [] {
    CatchPanics();
    TestRunner runner(CheckWhen::kOff);
    for (const std::string& line : kMakeVm) runner.Do(line);
    // A frame of stock that somebody counts on: drain_vm may assume that nobody
    // does.
    auto* record = const_cast<mem_protect::PageRecord*>(
        runner.session().board().mem().RecordOf(Pfn(0x40240)));
    record->Increment();
    runner.Run(
        {"call vcpu_put", "call start_teardown_vm $vm", "call drain_vm $vm"});
  };
  EXPECT_EXIT(panic(), testing::ExitedWithCode(3),
              "test.hf:9: EL2 panicked in this line");
}

// ---- Expectations
// ---------------------------------------------------------------

TEST(Expect, EachKindPassesAndFails) {
  struct Case {
    std::vector<std::string> before;
    const char* passes;
    const char* fails;
  };
  const Case kCases[] = {
      {{"call vcpu_load $vm 0"}, "expect -EBUSY", "expect -EPERM"},
      {{"call topup_vm $vm @0x40400000 3"}, "expect 0 x2=3", "expect 0 x2=4"},
      {{"host write 0x40000000 7"}, "expect done", "expect same"},
      {{"host write 0x40000000 7", "host read 0x40000000"},
       "expect value 7",
       "expect value 8"},
      {{"host read 0x40200000"},
       "expect abort external",
       "expect abort translation"},
      {{"guest $vm read 0x80000"}, "expect exit data-abort", "expect exit hvc"},
      {{"guest $vm exec 0x80000"},
       "expect exit instruction-abort",
       "expect exit data-abort"},
      {{"guest $vm call 0xc6000099"}, "expect exit hvc", "expect 0"},
      {{"guest $vm call features"}, "expect 0x7d", "expect -NOT_SUPPORTED"},
      {{"call vcpu_put"},
       "expect page @0x40200000 EL2",
       "expect page @0x40200000 HOST"},
      {{"hvc 1"}, "expect -1", "expect 0"},
      {{"fill @0x40000000 1", "compare @0x40000000 1"},
       "expect same",
       "expect differs"},
  };
  for (const Case& each : kCases) {
    TestRunner runner;
    for (const std::string& line : AfterMakeVm(each.before)) {
      ASSERT_TRUE(runner.Do(line)) << runner.Output();
    }
    EXPECT_TRUE(runner.Do(each.passes)) << runner.Output();
    EXPECT_FALSE(runner.Do(each.fails)) << each.fails;
    EXPECT_EQ(runner.runner().status(), 1) << runner.Output();
  }
}

TEST(Expect, AnsweredWithoutACommandIsABadLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"expect 0"}), 2);
}

TEST(Expect, AStyleOfAbortIsWhatTheHostAskedFor) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"call set_abort_style 1", "host read 0x43ff0000",
                        "expect abort translation"}),
            0)
      << runner.Output();
}

// ---- Guests
// ---------------------------------------------------------------------

TEST(Guest, WithoutALoadedVcpuSaysHowToLoadIt) {
  TestRunner runner;
  EXPECT_EQ(runner.Run(AfterMakeVm({"call vcpu_put", "guest $vm read 0"})), 2);
  EXPECT_THAT(runner.Output(),
              HasSubstr("vCPU 0 of VM 0x1000 is not loaded on CPU 0\n"
                        "    right: call vcpu_load handle=0x1000 index=0\n"));
}

TEST(Guest, LoadedElsewhereSaysWhere) {
  TestRunner runner;
  EXPECT_EQ(
      runner.Run(AfterMakeVm(
          {"call vcpu_put", "on 2 call vcpu_load $vm 0", "guest $vm read 0"})),
      2);
  EXPECT_THAT(runner.Output(), HasSubstr("right: on 2 guest ..."));
}

TEST(Guest, ResumeDoesAgainWhatItLeftWith) {
  TestRunner runner;
  EXPECT_EQ(runner.Run(AfterMakeVm({
                "guest $vm call mem_share 0x80000",
                "expect exit data-abort",
                "resume",
                "expect exit data-abort",
                "call host_donate_guest @0x40300000 0x80 1",
                "resume",
                "expect 0",
                "expect page @0x40300000 GUEST+HOST",
            })),
            0)
      << runner.Output();
  EXPECT_THAT(runner.OutputOf("resume"), Not(HasSubstr("= 0")));
}

// ---- Raw calls
// ------------------------------------------------------------------

TEST(Hvc, PrintsAllRegisters) {
  TestRunner runner;
  EXPECT_EQ(runner.OutputOf("hvc 0xc60001ff 1 2"),
            "hvc 0xc60001ff: x0=0xffffffffffffffff x1=0 x2=0 x3=0\n");
}

// ---- Machines
// -------------------------------------------------------------------

TEST(Machine, IsMadeByTheFirstCommandThatNeedsIt) {
  TestRunner runner;
  EXPECT_TRUE(runner.Do("cpus 2"));
  EXPECT_TRUE(runner.Do("ram 0x80000000 32M"));
  EXPECT_TRUE(runner.Do("ram 0x90000000 1M nomap"));
  EXPECT_THAT(runner.OutputOf("show pages"), HasSubstr("0x90000-0x900ff"));
  EXPECT_EQ(runner.session().board().machine().cpus(), 2u);
  EXPECT_FALSE(runner.Do("cpus 3"));
  EXPECT_THAT(runner.Output(), HasSubstr("it is too late for that"));
}

TEST(Machine, WithoutRoomForEl2IsABadLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"ram 0x80000000 64K", "show pages"}), 2);
  EXPECT_THAT(runner.Output(), HasSubstr("no room"));
}

TEST(Machine, RangesMayNotOverlap) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"ram 0x80000000 32M", "ram 0x81000000 32M"}), 2);
}

TEST(Machine, ResetKeepsItsShapeAndForgetsTheRest) {
  TestRunner runner;
  for (const std::string& line : kMakeVm) ASSERT_TRUE(runner.Do(line));
  EXPECT_TRUE(runner.Do("reset"));
  EXPECT_EQ(runner.OutputOf("show vms"), "no VMs\n");
  EXPECT_TRUE(runner.session().names().empty());
}

// ---- Snapshots
// ------------------------------------------------------------------

TEST(Snapshot, RestoreIsTheSameMachine) {
  TestRunner runner;
  for (const std::string& line : kMakeVm) ASSERT_TRUE(runner.Do(line));
  ASSERT_TRUE(runner.Do("snapshot made"));
  const std::string pages = runner.OutputOf("show pages");
  const std::string vm = runner.OutputOf("show vm $vm");
  ASSERT_TRUE(runner.Do("call host_donate_guest @0x40300000 0x80 1"));
  ASSERT_TRUE(runner.Do("call force_reclaim_guest_page @0x40300000 1"));
  EXPECT_NE(runner.OutputOf("show vm $vm"), vm);
  ASSERT_TRUE(runner.Do("restore made"));
  EXPECT_EQ(runner.OutputOf("show pages"), pages);
  EXPECT_EQ(runner.OutputOf("show vm $vm"), vm);
  EXPECT_EQ(
      runner.Run({"call host_donate_guest @0x40300000 0x80 1", "restore made",
                  "call host_donate_guest @0x40300000 0x80 1"}),
      0)
      << runner.Output();
}

TEST(Snapshot, OfAnUnknownNameIsABadLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"restore nothing"}), 2);
}

TEST(Snapshot, KeepsWhatIsUnderWay) {
  TestRunner runner;
  for (const std::string& line : kMakeVm) ASSERT_TRUE(runner.Do(line));
  ASSERT_TRUE(runner.Do("start 0 call host_donate_guest @0x40300000 0x80 1"));
  ASSERT_TRUE(runner.Do("step 0 3"));
  ASSERT_TRUE(runner.Do("snapshot middle"));
  const std::string cpu = runner.OutputOf("show cpu 0");
  ASSERT_TRUE(runner.Do("join 0"));
  ASSERT_TRUE(runner.Do("restore middle"));
  EXPECT_EQ(runner.OutputOf("show cpu 0"), cpu);
  EXPECT_EQ(runner.Run({"join 0", "expect 0"}), 0) << runner.Output();
}

// ---- Files
// ----------------------------------------------------------------------

TEST(Files, RecordedLinesCanBeIncluded) {
  const std::string path = TempFile("recorded.hf");
  TestRunner runner;
  EXPECT_EQ(runner.Run({absl::StrCat("record ", path),
                        "call host_share_hyp @0x40000000", "expect 0", "stop",
                        "call host_unshare_hyp @0x40000000",
                        absl::StrCat("include ", path), "show diff"}),
            0)
      << runner.Output();
  EXPECT_EQ(Contents(path), "call host_share_hyp @0x40000000\nexpect 0\n");
}

TEST(Files, ARecordGoesBackWhereTheSessionDid) {
  const std::string path = TempFile("back.hf");
  TestRunner runner;
  const std::vector<std::string> lines = {
      "call host_share_hyp @0x40000000", "snapshot shared",
      "call host_unshare_hyp @0x40000000", "restore shared",
      "call host_unshare_hyp @0x40000000"};
  ASSERT_TRUE(runner.Do(absl::StrCat("record ", path)));
  EXPECT_EQ(runner.Run(lines), 0) << runner.Output();
  ASSERT_TRUE(runner.Do("stop"));
  EXPECT_EQ(Contents(path), absl::StrJoin(lines, "\n") + "\n");
}

// What the machine does is written at `stop`, when the session ends, and when
// the machine goes.
TEST(Files, TracesBeginAtBoot) {
  const std::string path = TempFile("trace");
  const auto begins_well = [&](absl::string_view head) {
    const std::string text = Contents(path);
    std::ofstream(path) << "";
    return absl::StartsWith(text, head);
  };
  const std::pair<const char*, const char*> traces[] = {
      {"events", "holdfast-stream 1\n#0 cpu0 machine page_shift=12 "},
      {"casemate", "(mem-init (id 0) (tid 0) "},
      {"chrome", "{\"traceEvents\":[\n"}};
  for (const auto& [what, head] : traces) {
    const std::string record = absl::StrCat("record ", what, " ", path);
    for (const char* end : {"stop", "quit", "reset"}) {
      TestRunner runner;
      EXPECT_EQ(
          runner.Run({"machine ipa=39", record,
                      "call host_share_hyp @0x40000000", "expect 0", end}),
          0)
          << runner.Output();
      EXPECT_TRUE(begins_well(head)) << what << ", " << end;
    }
    TestRunner late;
    EXPECT_EQ(late.Run({"call reserve_vm", record}), 2);
    EXPECT_THAT(late.Output(), HasSubstr("the machine is running"));
  }
}

TEST(Files, ATraceHasEveryEventOnce) {
  const std::string path = TempFile("all.stream");
  TestRunner runner;
  EXPECT_EQ(runner.Run({absl::StrCat("record events ", path),
                        "call host_share_hyp @0x40000000",
                        "call host_unshare_hyp @0x40000000", "call reserve_vm",
                        "stop"}),
            0)
      << runner.Output();
  // The reader wants them numbered without a gap.
  const auto events = stream::ReadText(Contents(path));
  ASSERT_TRUE(events.has_value()) << ToString(events.error());
  int calls = 0;
  for (const stream::Event& event : *events)
    calls += event.type == stream::EventType::kCallExit;
  EXPECT_EQ(calls, 3);
}

TEST(Files, ATraceThatAToolCannotTakeIsRefused) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({absl::StrCat("record casemate ", TempFile("no")),
                        "call reserve_vm", "stop"}),
            2);
  EXPECT_THAT(runner.Output(), testing::AllOf(HasSubstr("for 39 or 48 bits"),
                                              HasSubstr("machine ipa=39")));
}

TEST(Files, AMistakeInAnIncludedFileNamesThatFile) {
  const std::string path = TempFile("wrong.hf");
  std::ofstream(path) << "# one\ncall nothing\n";
  TestRunner runner;
  EXPECT_EQ(runner.Run({absl::StrCat("include ", path)}), 2);
  EXPECT_THAT(runner.Output(), HasSubstr(absl::StrCat(path, ":2: ")));
}

TEST(Files, MayNotIncludeThemselvesForEver) {
  const std::string path = TempFile("endless.hf");
  std::ofstream(path) << "include " << path << "\n";
  TestRunner runner;
  EXPECT_EQ(runner.Run({absl::StrCat("include ", path)}), 2);
  EXPECT_THAT(runner.Output(), HasSubstr("too deeply"));
}

TEST(Files, AFileThatIsNotThereIsABadLine) {
  TestRunner runner;
  EXPECT_EQ(runner.Run({"include nowhere.hf"}), 2);
  EXPECT_THAT(runner.Output(), HasSubstr("cannot open nowhere.hf"));
}

// ---- Speed
// ----------------------------------------------------------------------

#ifdef HOLDFAST_SANITIZED
constexpr uint64_t kSpeedCalls = 10'000;
#else
constexpr uint64_t kSpeedCalls = 100'000;
#endif

// 100,000 calls of all kinds take seconds, with checks at the end.
TEST(Speed, AHundredThousandCalls) {
  TestRunner runner(CheckWhen::kEnd);
  for (const std::string& line : kMakeVm) ASSERT_TRUE(runner.Do(line));
  ASSERT_TRUE(runner.Do("call topup_vm $vm @0x42000000 64"));
  uint64_t calls = 0;
  for (uint64_t i = 0; calls < kSpeedCalls; ++i) {
    const uint64_t pfn = 0x40400 + i % 4096;
    for (const std::string& line : {
             absl::StrFormat("call host_share_hyp %#x", pfn),
             absl::StrFormat("call host_unshare_hyp %#x", pfn),
             absl::StrFormat("call host_donate_guest %#x %u 1", pfn, i),
             absl::StrFormat("guest $vm write %#x 7", i << kPageShift),
             absl::StrFormat("call force_reclaim_guest_page %#x 1", pfn),
         }) {
      ASSERT_TRUE(runner.Do(line)) << runner.Output();
      ++calls;
    }
    runner.Output();
  }
  EXPECT_EQ(runner.runner().Finish(), 0) << runner.Output();
}

}  // namespace
}  // namespace holdfast::shell
