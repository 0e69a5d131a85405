// SPDX-License-Identifier: Apache-2.0
//
// Each rule of the TLB model: what keeps a translation in use, and what ends
// it.
#include "platforms/sim/tlb.h"

#include <cstdint>

#include "base/machine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/sim/machine.h"
#include "platforms/sim/test_tables.h"

namespace holdfast::sim::testing_tables {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kEntry1 = 0x40002008;  // level 3, IPA 0x1000
constexpr uint64_t kPage1 = 0x1000;

struct TlbTest : ::testing::Test, Guest {
  TlbTest() : Guest(Config(2)) {}

  // Break the mapping of kPage1, with its DSB.
  void Break() {
    EXPECT_TRUE(CanRead(0, kPage1));
    Store(kEntry1, 0);
    machine::DsbIshst();
  }
  void Enter() { machine::EnterStage2Context(context); }
  bool StillUsed(unsigned cpu) { return CanRead(cpu, kPage1); }
  static void TlbiIpa(uint64_t ipa, int level = -1) {
    machine::TlbiIpas2e1is(Ipa(ipa), Level(static_cast<int8_t>(level)));
  }
};

TEST_F(TlbTest, ReadsThroughTheTables) {
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(machine.GuestRead64(0, context, Ipa(0x1000 * i)), 0x1000 + i);
  }
  EXPECT_EQ(machine.GuestRead64(1, context, Ipa(0x200000)), 0xb10cu);
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
}

TEST_F(TlbTest, WithoutTlbiTheOldTranslationIsUsed) {
  Break();
  machine::DsbIsh();
  EXPECT_EQ(machine.GuestRead64(0, context, Ipa(kPage1)), 0x1001u);
  EXPECT_EQ(machine.GuestRead64(1, context, Ipa(kPage1)), 0x1001u);
  ASSERT_THAT(machine.StaleEntries(), SizeIs(1));
  const StaleEntry stale = machine.StaleEntries()[0];
  EXPECT_EQ(stale.vmid, Vmid(1));
  EXPECT_EQ(stale.ipa, Ipa(0x1000));
  EXPECT_EQ(stale.size, 0x1000u);
  EXPECT_EQ(stale.level, 3);
  EXPECT_EQ(stale.entry.address, PhysAddr(0x40101000));
  EXPECT_EQ(stale.cpus(), 3);
  EXPECT_EQ(ToString(stale),
            "stale: vmid 1 ipa 0x1000 size 0x1000 level 3 -> pa 0x40101000 rwx "
            "(stage-2 on CPUs 0x3, combined on CPUs 0x3)");
}

TEST_F(TlbTest, TheWholeSequenceEndsIt) {
  Break();
  Invalidate(kPage1, 3);
  EXPECT_FALSE(StillUsed(0));
  EXPECT_FALSE(StillUsed(1));
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  EXPECT_TRUE(CanRead(0, 0x2000));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, NotAdversarialSeesTheTablesOnly) {
  MachineConfig config = Config(2);
  config.adversarial_tlb = false;
  Guest other(std::move(config));
  Guest::Store(kEntry1, 0);
  EXPECT_FALSE(other.CanRead(1, kPage1));
  EXPECT_THAT(other.machine.StaleEntries(), SizeIs(1));
}

TEST_F(TlbTest, MissingDsbBeforeTheTlbi) {
  EXPECT_TRUE(CanRead(0, kPage1));
  Store(kEntry1, 0);
  Enter();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::TlbiVmalle1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_TRUE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
  EXPECT_THAT(Kinds(machine), ElementsAre(ViolationKind::kUnfinishedStores));
}

TEST_F(TlbTest, DsbOfAnotherCpuDoesNotCompleteTheStore) {
  Store(kEntry1, 0);
  {
    OnCpu other(machine, 1);
    Invalidate(kPage1);
  }
  EXPECT_TRUE(StillUsed(0));
}

TEST_F(TlbTest, TlbiOfAnotherCpuAfterTheStoreCompleted) {
  Break();
  {
    OnCpu other(machine, 1);
    Invalidate(kPage1);
  }
  EXPECT_FALSE(StillUsed(0));
}

TEST_F(TlbTest, MissingDsbAfterTheTlbi) {
  Break();
  Enter();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::TlbiVmalle1is();
  EXPECT_TRUE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIshst();  // stores only
  machine::Isb();
  EXPECT_TRUE(StillUsed(0));
  {
    OnCpu other(machine, 1);  // not the CPU that issued it
    machine::DsbIsh();
  }
  EXPECT_TRUE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIsh();
  EXPECT_FALSE(StillUsed(0));
  EXPECT_FALSE(StillUsed(1));
}

TEST_F(TlbTest, MissingVmalle1is) {
  Break();
  Enter();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_TRUE(StillUsed(0));
  ASSERT_THAT(machine.StaleEntries(), SizeIs(1));
  EXPECT_EQ(machine.StaleEntries()[0].stage2_cpus, 0);
  EXPECT_EQ(machine.StaleEntries()[0].combined_cpus, 3);
}

TEST_F(TlbTest, MissingDsbBetweenStage2AndStage1) {
  Break();
  Enter();
  TlbiIpa(kPage1);
  machine::TlbiVmalle1is();  // may be refilled from the stage-2 entry
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_TRUE(StillUsed(0));
}

TEST_F(TlbTest, Stage1BeforeStage2) {
  Break();
  Enter();
  machine::TlbiVmalle1is();
  machine::DsbIsh();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_TRUE(StillUsed(0));
}

TEST_F(TlbTest, AnotherVmid) {
  Raw(0x40010000, 0);
  const Stage2Context other{
      .vmid = Vmid(2), .root = PhysAddr(0x40010000), .vtcr = kVtcr};
  machine::OnStage2Created(other, nullptr);
  Break();
  machine::EnterStage2Context(other);
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::TlbiVmalle1is();
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_TRUE(StillUsed(0));
  EXPECT_FALSE(machine.GuestRead64(0, other, Ipa(kPage1)).has_value());
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, AnotherIpa) {
  Break();
  Invalidate(0x2000);
  EXPECT_TRUE(StillUsed(0));
  Invalidate(0);
  EXPECT_TRUE(StillUsed(0));
}

TEST_F(TlbTest, WrongLevelHint) {
  Break();
  Invalidate(kPage1, 2);
  EXPECT_TRUE(StillUsed(0));
  Invalidate(kPage1, 3);
  EXPECT_FALSE(StillUsed(0));
}

TEST_F(TlbTest, AnyPageOfABlock) {
  EXPECT_TRUE(CanRead(0, 0x3ff000));
  Store(0x40001008, 0);
  Invalidate(0x400000);
  EXPECT_TRUE(CanRead(0, 0x3ff000));
  Invalidate(0x2aa000, 2);
  EXPECT_FALSE(CanRead(0, 0x3ff000));
  EXPECT_FALSE(CanRead(0, 0x200000));
}

TEST_F(TlbTest, Ranges) {
  for (uint64_t i = 1; i < 8; ++i) Store(0x40002000 + 8 * i, 0);
  machine::DsbIsh();
  Enter();
  machine::TlbiRipas2e1is(Ipa(0x2000), 0x3000);
  machine::DsbIsh();
  machine::TlbiVmalle1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  for (uint64_t i = 1; i < 8; ++i) {
    EXPECT_EQ(CanRead(1, 0x1000 * i), i < 2 || i >= 5) << i;
  }
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, WholeVmidInOneStep) {
  Break();
  Store(0x40001008, 0);
  machine::DsbIsh();
  Enter();
  machine::TlbiVmalls12e1is();
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_FALSE(StillUsed(0));
  EXPECT_FALSE(StillUsed(1));
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
}

TEST_F(TlbTest, EverythingInOneStep) {
  Break();
  machine::TlbiAlle1is();
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIsh();
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, LocalStage1IsForThisCpuOnly) {
  Break();
  Enter();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::TlbiVmalle1();
  machine::DsbNsh();
  machine::LeaveStage2Context();
  EXPECT_FALSE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIsh();  // a wider barrier makes the TLBI no wider
  EXPECT_TRUE(StillUsed(1));
}

TEST_F(TlbTest, LocalStage1WithAWideBarrier) {
  Break();
  Enter();
  TlbiIpa(kPage1);
  machine::DsbIsh();
  machine::TlbiVmalle1();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_FALSE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
}

TEST_F(TlbTest, DsbNshEndsABroadcastOnThisCpuOnly) {
  Break();
  Enter();
  machine::TlbiVmalls12e1is();
  machine::DsbNsh();
  EXPECT_FALSE(StillUsed(0));
  EXPECT_TRUE(StillUsed(1));
  machine::DsbIsh();
  EXPECT_FALSE(StillUsed(1));
}

TEST_F(TlbTest, LessRights) {
  EXPECT_TRUE(CanWrite(0, kPage1));
  Store(kEntry1, 0x40101000 | kReadOnly);
  machine::DsbIsh();
  EXPECT_TRUE(CanWrite(0, kPage1));
  Invalidate(kPage1);
  EXPECT_FALSE(CanWrite(0, kPage1));
  EXPECT_TRUE(CanRead(0, kPage1));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, MoreRightsLeaveNothingStale) {
  Store(kEntry1, 0x40101000 | kReadOnly);
  Invalidate(kPage1);
  Store(kEntry1, 0x40101000 | kRw);
  EXPECT_TRUE(CanWrite(0, kPage1));
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
}

TEST_F(TlbTest, SoftwareBitsChangeNothing) {
  Store(kEntry1, 0x40101000 | kRw | uint64_t{0xf} << 55);
  Store(0x40001000,
        0x40002003 | uint64_t{0xff} << 51 | 0x3f << 2);  // a table's count
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  EXPECT_TRUE(CanRead(0, kPage1));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, AccessFlag) {
  Store(kEntry1, 0x40101000 | kNoAf);
  EXPECT_TRUE(StillUsed(0));  // still cached
  Invalidate(kPage1);
  EXPECT_FALSE(StillUsed(0));
  // Without the flag it was never cached: nothing is stale.
  Store(kEntry1, 0);
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
}

TEST_F(TlbTest, TableRemovedWithItsLeaves) {
  Store(0x40001000, 0);  // the level-3 table
  machine::DsbIsh();
  EXPECT_THAT(machine.StaleEntries(), SizeIs(9));  // 8 leaves, 1 walk cache
  // Even when the page is wiped, the leaves are cached.
  machine::ZeroPage(PhysAddr(0x40002000));
  EXPECT_EQ(machine.GuestRead64(1, context, Ipa(0x7000)), 0x1007u);
  // And walks go through what the page holds now: here, to another guest's
  // memory.
  Raw(0x40002000 + 8 * 100, 0x40200000 | kRw);
  Raw(0x40200000, 0x5ec7e7);
  EXPECT_EQ(machine.GuestRead64(1, context, Ipa(0x64000)), 0x5ec7e7u);
  // One IPA ends the walk cache, and the leaf of that IPA; the others stay.
  Invalidate(0x1000);
  EXPECT_FALSE(CanRead(1, 0x64000));
  EXPECT_FALSE(CanRead(1, 0x1000));
  EXPECT_TRUE(CanRead(1, 0x7000));
  EXPECT_THAT(machine.StaleEntries(), SizeIs(7));
}

TEST_F(TlbTest, LeafHintDoesNotEndWalkCachesBelow) {
  for (uint64_t i = 0; i < 8; ++i) Store(0x40002000 + 8 * i, 0);
  machine::DsbIsh();
  Enter();
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  Store(0x40001000, 0);
  Invalidate(0, 2);  // says: the leaf is at level 2, above the table's entries
  EXPECT_THAT(machine.StaleEntries(), SizeIs(1));
  Invalidate(0, 3);
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
}

TEST_F(TlbTest, UpperTableRemoved) {
  Store(0x40000000, 0);  // level 1: everything below goes
  EXPECT_THAT(machine.StaleEntries(), SizeIs(8 + 1 + 2));
  EXPECT_TRUE(CanRead(0, 0x200000));
  EXPECT_TRUE(CanRead(0, 0x3000));
  machine::DsbIsh();
  Enter();
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, LinkedTableIsTracked) {
  Raw(0x40003008, 0x40300000 | kRw);  // filled before it is linked
  Publish(0x40001010, 0x40003003);
  EXPECT_TRUE(CanRead(0, 0x401000));
  Store(0x40003008, 0);
  EXPECT_TRUE(CanRead(0, 0x401000));
  Invalidate(0x401000);
  EXPECT_FALSE(CanRead(0, 0x401000));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(TlbTest, DestroyedTable) {
  machine::OnStage2Destroyed(context);
  EXPECT_THAT(machine.StaleEntries(Vmid(1)), SizeIs(9 + 2));
  Enter();
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  EXPECT_THAT(machine.StaleEntries(), IsEmpty());
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST(TlbRepeatTest, TakesEffectTheSecondTime) {
  MachineConfig config = Config(2);
  config.tlbi_needs_repeat = true;
  Guest guest(std::move(config));
  EXPECT_TRUE(machine::TlbiNeedsRepeat());
  Guest::Store(kEntry1, 0);
  machine::DsbIsh();
  machine::EnterStage2Context(guest.context);
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  EXPECT_TRUE(guest.CanRead(1, kPage1));
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  EXPECT_FALSE(guest.CanRead(1, kPage1));
  machine::LeaveStage2Context();
}

// What was reachable twice stays reachable twice.
TEST_F(TlbTest, SeveralOldTranslations) {
  Break();
  Publish(kEntry1, 0x40105000 | kRw);
  EXPECT_THAT(Kinds(machine), ElementsAre(ViolationKind::kMakeOverStale));
  Store(kEntry1, 0);
  bool saw_first = false;
  bool saw_second = false;
  for (int i = 0; i < 100; ++i) {
    const auto value = machine.GuestRead64(0, context, Ipa(kPage1));
    ASSERT_TRUE(value.has_value());
    saw_first |= *value == 0x1001;
    saw_second |= *value == 0x1005;
  }
  EXPECT_TRUE(saw_first);
  EXPECT_TRUE(saw_second);
}

TEST_F(TlbTest, HostAccessesUseStaleEntriesToo) {
  const Stage2Context host{
      .vmid = kHostVmid, .root = PhysAddr(0x40020000), .vtcr = kVtcr};
  Raw(0x40020000 + 8, 0x40021003);                 // IPA 1 GiB..: level 2 table
  Raw(0x40021000 + 8 * 4, 0x40800000 | kBlockRw);  // IPA = PA 0x40800000
  machine::OnStage2Created(host, nullptr);
  EXPECT_EQ(machine.HostRead64(1, Ipa(0x40100000)), 0x1000u);  // flat
  machine.EnableHostStage2(1, host);
  EXPECT_EQ(machine.HostRead64(1, Ipa(0x40800000)), 0xb10cu);
  EXPECT_FALSE(machine.HostRead64(1, Ipa(0x40100000)).has_value());
  EXPECT_TRUE(
      machine.HostRead64(0, Ipa(0x40100000)).has_value());  // CPU 0: flat
  Store(0x40021020, 0x2000000000000002);
  machine::DsbIsh();
  EXPECT_EQ(machine.HostRead64(1, Ipa(0x40800000)), 0xb10cu);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

}  // namespace
}  // namespace holdfast::sim::testing_tables
