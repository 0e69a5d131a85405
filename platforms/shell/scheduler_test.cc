// SPDX-License-Identifier: Apache-2.0
//
// Commands that stop in the middle: start, step, join.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/shell/runner.h"
#include "platforms/shell/test_runner.h"

namespace holdfast::shell {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Steps : public testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& line : kMakeVm) ASSERT_TRUE(runner_.Do(line));
  }
  std::string OutputOf(const std::string& line) {
    return runner_.OutputOf(line);
  }
  // On CPU 0, which stops there.
  void TakeTheHostLock() {
    runner_.Do("start 0 call host_donate_guest @0x40300000 0x80 1");
    runner_.Do("step 0");
  }

  TestRunner runner_;
};

TEST_F(Steps, StopsAtEachPoint) {
  EXPECT_EQ(
      OutputOf("start 0 call host_donate_guest @0x40300000 0x80 1"),
      "cpu0: host_donate_guest(0x40300, 0x80, 1) stopped: is about to ask for "
      "the host table's lock\n");
  EXPECT_THAT(OutputOf("step 0"),
              HasSubstr("has just taken the host table's lock"));
  EXPECT_THAT(OutputOf("step 0"),
              HasSubstr("is about to ask for the lock of the VM"));
  EXPECT_THAT(OutputOf("show locks"), HasSubstr("the host table's lock: held"));
  EXPECT_THAT(OutputOf("join 0"),
              StartsWith("host_donate_guest(0x40300, 0x80, 1) = 0  x2=1\n"));
  EXPECT_EQ(OutputOf("show locks"), "no lock is held\n");
}

TEST_F(Steps, AreTheSameEachTime) {
  const std::vector<std::string> lines = {
      "start 0 call host_donate_guest @0x40300000 0x80 1",
      "start 1 call host_share_hyp @0x40301000",
      "step 0 4",
      "step 1 2",
      "join all",
      "show events",
  };
  std::string first;
  for (const std::string& line : lines) first += OutputOf(line);
  TestRunner again;
  for (const std::string& line : kMakeVm) ASSERT_TRUE(again.Do(line));
  std::string second;
  for (const std::string& line : lines) second += again.OutputOf(line);
  EXPECT_EQ(first, second);
}

TEST_F(Steps, ACpuThatWaitsIsSeenAndDoesNotHang) {
  TakeTheHostLock();
  runner_.Do("start 1 call host_share_hyp @0x40301000");
  EXPECT_THAT(OutputOf("join 1"), HasSubstr("waits for a lock"));
  EXPECT_THAT(OutputOf("step 1 1000000"), HasSubstr("waits for a lock"));
  EXPECT_THAT(OutputOf("show cpu 1"), HasSubstr("waits for a lock"));
  EXPECT_EQ(runner_.Run({"join 0", "expect 0", "join 1", "expect 0"}), 0)
      << runner_.Output();
}

// A command without `start` may need a lock that a stopped CPU has.
TEST_F(Steps, ACommandOfAnotherCpuDoesNotHangEither) {
  TakeTheHostLock();
  EXPECT_THAT(OutputOf("on 1 call host_share_hyp @0x40301000"),
              HasSubstr("waits for a lock"));
  EXPECT_EQ(runner_.Run({"join all", "on 0 expect 0", "on 1 expect 0"}), 0)
      << runner_.Output();
}

TEST_F(Steps, LookingDoesNotHangEither) {
  runner_.Do("start 0 call start_teardown_vm $vm");
  runner_.Do("step 0");
  EXPECT_THAT(OutputOf("show vms"), HasSubstr("stopped with a lock"));
}

TEST_F(Steps, ABusyCpuTakesNoCommand) {
  runner_.Do("start 0 call host_donate_guest @0x40300000 0x80 1");
  EXPECT_THAT(OutputOf("call vcpu_put"), HasSubstr("is in the middle of"));
}

TEST_F(Steps, NothingUnderWayIsABadLine) {
  EXPECT_THAT(OutputOf("step 0"), HasSubstr("nothing is under way on CPU 0"));
}

// An error of a joined command must be expected like any other.
TEST_F(Steps, ErrorsMustBeExpectedByCpu) {
  EXPECT_EQ(runner_.Run({"start 1 call vcpu_put", "join all", "echo x"}), 1);
}

TEST_F(Steps, WhatIsUnderWayAtTheEndIsDone) {
  EXPECT_EQ(runner_.Run({"start 0 call host_donate_guest @0x40300000 0x80 1",
                         "step 0"}),
            0)
      << runner_.Output();
}

}  // namespace
}  // namespace holdfast::shell
