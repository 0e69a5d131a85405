// SPDX-License-Identifier: Apache-2.0
//
// HOLDFAST_CHECK, and what a panic says: on a simulated CPU, and on none.
#include "base/check.h"

#include "base/event_ring.h"
#include "base/machine.h"
#include "gtest/gtest.h"
#include "platforms/sim/machine.h"

namespace holdfast {
namespace {

TEST(CheckTest, TrueDoesNothingAndIsEvaluatedOnce) {
  int evaluations = 0;
  HOLDFAST_CHECK(++evaluations == 1);
  EXPECT_EQ(evaluations, 1);
}

TEST(CheckTest, IsAnExpression) {
  const auto positive = [](int value) {
    return HOLDFAST_CHECK(value > 0), value;
  };
  EXPECT_EQ(positive(3), 3);
}

TEST(CheckDeathTest, FalseSaysWhereAndWhat) {
  const int zero = 0;
  EXPECT_DEATH(HOLDFAST_CHECK(zero == 1),
               "panic: .*base/check_test.cc:[0-9]+: zero == 1");
  EXPECT_DEATH(HOLDFAST_UNREACHABLE("a fifth state"),
               "base/check_test.cc:[0-9]+: a fifth state");
}

TEST(CheckDeathTest, NamesTheCpuAndItsLastEvents) {
  sim::Machine machine({.ram = {{PhysAddr(0x4000'0000), 1 << 20}}, .cpus = 2});
  sim::OnCpu on_cpu(machine, 1);
  machine::ThisCpu().events.Record(EventKind::kVmState, 0x1000, 3);
  EXPECT_DEATH(HOLDFAST_UNREACHABLE("why"),
               "why \\(CPU 1\\)(.|\n)*vm state 0x1000 0x3 0");
}

TEST(CheckDeathTest, AThreadThatIsNoCpuHasNoFacade) {
  EXPECT_DEATH(machine::ThisCpu(), "no simulated CPU");
}

}  // namespace
}  // namespace holdfast
