// SPDX-License-Identifier: Apache-2.0
//
// A stage-2 table, one property a test: what the random test
// (stage2_random_test.cc) would not name, order of stores and invalidations
// first of all.
#include "pgtable/stage2.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/test_table.h"
#include "test_text.h"

namespace holdfast::pgtable {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using G = Granule4K;
using Table = TestTable<G>;
constexpr uint64_t kPage = 4096;
constexpr uint64_t k2M = uint64_t{2} << 20;
constexpr uint64_t k1G = uint64_t{1} << 30;
constexpr uint64_t kOut = Table::kOutput;
constexpr Vmid kVmid = Table::kVmid;

Annotation Guest(uint64_t gfn) {
  return Annotation::HostDonationToGuest(VmHandle(0x1000), Gfn(gfn));
}

sim::MachineConfig Recording() {
  sim::MachineConfig config;
  config.record_events = true;
  return config;
}

// The events of the machine since the last call, of the kinds that matter for
// order, one word each; stores say what they do.
std::vector<std::string> Story(sim::Machine& machine) {
  std::vector<std::string> story;
  for (const sim::Event& event : machine.events()) {
    switch (event.type) {
      case sim::EventType::kStorePte:
      case sim::EventType::kPublishPte: {
        const bool was = (event.b & 1) != 0;
        const bool is = (event.c & 1) != 0;
        const char* const how =
            event.type == sim::EventType::kStorePte ? "store" : "publish";
        story.push_back(absl::StrFormat("%s %s>%s", how,
                                        was            ? "valid"
                                        : event.b == 0 ? "0"
                                                       : "note",
                                        is             ? "valid"
                                        : event.c == 0 ? "0"
                                                       : "note"));
        break;
      }
      case sim::EventType::kDsbIshst:
        story.push_back("dsb-ishst");
        break;
      case sim::EventType::kDsbIsh:
        story.push_back("dsb-ish");
        break;
      case sim::EventType::kIsb:
        story.push_back("isb");
        break;
      case sim::EventType::kTlbiIpas2e1is:
        story.push_back(absl::StrFormat("ipa %#x level %d", event.b,
                                        static_cast<int>(event.c)));
        break;
      case sim::EventType::kTlbiRipas2e1is:
        story.push_back(
            absl::StrFormat("range %#x size %#x", event.b, event.c));
        break;
      case sim::EventType::kTlbiVmalle1is:
        story.push_back("vmalle1is");
        break;
      case sim::EventType::kTlbiVmalls12e1is:
        story.push_back("vmalls12e1is");
        break;
      case sim::EventType::kTlbiAlle1is:
        story.push_back("alle1is");
        break;
      case sim::EventType::kEnterContext:
        story.push_back("enter");
        break;
      case sim::EventType::kLeaveContext:
        story.push_back("leave");
        break;
      default:
        break;
    }
  }
  machine.ClearEvents();
  return story;
}

// ---- Look -------------------------------------------------------------------

TEST(Stage2Test, AddressesBeyondTheInputSizeAreRefused) {
  Table t(40);
  SpinlockHolder hold(t.table.lock);
  EXPECT_TRUE(t.table.Find(Ipa((uint64_t{1} << 40) - 1)).has_value());
  EXPECT_EQ(t.table.Find(Ipa(uint64_t{1} << 40)).error(), Errno::kErange);
  EXPECT_EQ(t.table.Find(Ipa(~uint64_t{0})).error(), Errno::kErange);
  EXPECT_TRUE(t.table.InRange(Ipa(0), uint64_t{1} << 40));
  EXPECT_FALSE(t.table.InRange(Ipa(0), (uint64_t{1} << 40) + 1));
  EXPECT_FALSE(t.table.InRange(Ipa(kPage), uint64_t{1} << 40));
  EXPECT_FALSE(t.table.InRange(Ipa(~uint64_t{0} - kPage + 1), kPage));
  EXPECT_FALSE(t.table.InRange(Ipa(kPage), ~uint64_t{0} - kPage + 1));
  EXPECT_TRUE(t.table.InRange(Ipa(uint64_t{1} << 40), 0));
}

TEST(Stage2Test, FindSeesTheEntryOfAnyByte) {
  Table t(48);
  t.MapPage(5 * kPage, kOut, GuestAttr(2));
  SpinlockHolder hold(t.table.lock);
  const auto cursor = *t.table.Find(Ipa(5 * kPage + 123));
  EXPECT_EQ(cursor.ipa(), Ipa(5 * kPage));
  EXPECT_EQ(cursor.level(), Level(3));
  EXPECT_EQ(cursor.kind(), PteKind::kLeaf);
  EXPECT_EQ(cursor.pte().address(), PhysAddr(kOut));
  EXPECT_EQ(cursor.pte().software(), 2u);
  EXPECT_EQ(cursor.tables_missing(), 0u);
  // Beside it in the same table, in the same upper table, and nowhere near.
  EXPECT_EQ(t.table.Find(Ipa(6 * kPage))->tables_missing(), 0u);
  EXPECT_EQ(t.table.Find(Ipa(k2M))->tables_missing(), 1u);
  EXPECT_EQ(t.table.Find(Ipa(k1G))->tables_missing(), 2u);
  EXPECT_EQ(t.table.Find(Ipa(512 * k1G))->tables_missing(), 3u);
}

TEST(Stage2Test, TablesNeededForBlocks) {
  Table t(48);
  SpinlockHolder hold(t.table.lock);
  const auto needed = [&](uint64_t ipa, uint64_t size,
                          int largest) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return t.table.TablesNeeded(Ipa(ipa), size,
                                Level(static_cast<int8_t>(largest)));
  };
  EXPECT_EQ(needed(0, k1G, 3), 1u + 1 + 512);
  EXPECT_EQ(needed(0, k1G, 2), 2u);
  EXPECT_EQ(needed(0, k1G, 1), 1u);
  EXPECT_EQ(needed(0, 2 * k1G, 2), 3u);
  // A page at each end: two last-level tables, and the level 2 ones.
  EXPECT_EQ(needed(k2M - kPage, k2M + 2 * kPage, 2), 4u);
  EXPECT_EQ(needed(k1G - kPage, 2 * kPage, 1), 5u);
  EXPECT_EQ(needed(kPage, kPage, 1), 3u);
  EXPECT_EQ(needed(0, 0, 3), 0u);
  EXPECT_EQ(needed(512 * k1G - k2M, 2 * k2M, 2), 4u);
}

TEST(Stage2Test, NextLeafSkipsHolesWithinItsBudget) {
  Table t(48);
  t.MapPage(3 * kPage, kOut, GuestAttr());
  t.MapRange(512 * k1G, kOut + k2M, k2M, GuestAttr(), 2);
  t.MapPage(700 * k1G, kOut + 8 * kPage, GuestAttr());
  t.AnnotatePage(700 * k1G + kPage, Annotation::Poison());
  SpinlockHolder hold(t.table.lock);
  Ipa reached(1);
  auto leaf = t.table.NextLeaf(Ipa(0), 100, &reached);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->ipa, Ipa(3 * kPage));
  EXPECT_EQ(leaf->level, Level(3));
  EXPECT_EQ(reached, Ipa(4 * kPage));

  leaf = t.table.NextLeaf(reached, 100, &reached);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->ipa, Ipa(512 * k1G));
  EXPECT_EQ(leaf->level, Level(2));
  EXPECT_EQ(leaf->pte.address(), PhysAddr(kOut + k2M));
  EXPECT_EQ(reached, Ipa(512 * k1G + k2M));
  // From inside a block: the block.
  EXPECT_EQ(t.table.NextLeaf(Ipa(512 * k1G + kPage), 100, &reached)->ipa,
            Ipa(512 * k1G));

  leaf = t.table.NextLeaf(reached, 100, &reached);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_EQ(leaf->ipa, Ipa(700 * k1G));
  // An annotation is no leaf.
  EXPECT_FALSE(t.table.NextLeaf(reached, 100, &reached).has_value());
  EXPECT_EQ(reached, Ipa(uint64_t{1} << 48));
  EXPECT_FALSE(t.table.NextLeaf(Ipa(~uint64_t{0}), 1, &reached).has_value());
  EXPECT_EQ(reached, Ipa(uint64_t{1} << 48));
}

// Each last of its table, at each level.
TEST(Stage2Test, NextLeafFindsTheLastEntries) {
  Table t(40);
  const uint64_t last_pages[] = {k2M - kPage, k1G - kPage,
                                 (uint64_t{1} << 40) - kPage};
  for (const uint64_t ipa : last_pages) t.MapPage(ipa, kOut, GuestAttr());
  SpinlockHolder hold(t.table.lock);
  Ipa reached(0);
  for (const uint64_t ipa : last_pages) {
    const auto leaf = t.table.NextLeaf(reached, 100, &reached);
    ASSERT_TRUE(leaf.has_value());
    EXPECT_EQ(leaf->ipa, Ipa(ipa));
  }
}

TEST(Stage2Test, NextLeafStopsWhenItsBudgetEndsAndGoesOn) {
  Table t(48);
  t.MapPage(700 * k1G, kOut, GuestAttr());
  t.AnnotatePage(0, Annotation::Poison());
  SpinlockHolder hold(t.table.lock);
  uint64_t at = 0;
  int calls = 0;
  for (; calls < 20; ++calls) {
    Ipa reached(0);
    const auto leaf = t.table.NextLeaf(Ipa(at), 1, &reached);
    if (leaf.has_value()) {
      EXPECT_EQ(leaf->ipa, Ipa(700 * k1G));
      break;
    }
    ASSERT_GT(reached.value(), at);
    at = reached.value();
  }
  // A table a call: up the hole from page 0 in three, along the next level 1
  // table.
  EXPECT_EQ(calls, 4);
}

// ---- Commits ----------------------------------------------------------------

TEST(Stage2Test, APageInA1GiBBlockSplitsItTwice) {
  Table t(48);
  t.MapRange(k1G, kOut, k1G, GuestAttr(1), 1);
  int level = 0;
  t.Look(k1G, &level);
  ASSERT_EQ(level, 1);
  const uint64_t page = 77 * k2M + 5 * kPage;
  t.AnnotatePage(k1G + page, Annotation::Poison());
  for (uint64_t at = 0; at < k1G; at += k2M / 2) {
    const Pte<G> pte = t.Look(k1G + at, &level);
    ASSERT_TRUE(pte.valid());
    ASSERT_EQ(level, at / k2M == 77 ? 3 : 2);
    ASSERT_EQ(pte.address(),
              PhysAddr(kOut + (at / k2M == 77 ? at : at / k2M * k2M)));
    ASSERT_EQ(pte.software(), 1u);
  }
  const auto entries = t.Read();
  EXPECT_EQ(entries.size(), 511u + 512u);
  EXPECT_EQ(entries.at(k1G + page).raw, Annotation::Poison().raw());
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TEST(Stage2Test, PartOfAnAnnotatedBlockExpandsIt) {
  Table t(48);
  t.AnnotateRange(k2M, k2M, Guest(0x4000), 2);
  int level = 0;
  EXPECT_EQ(t.Look(k2M, &level), Pte<G>::Annotated(Guest(0x4000)));
  EXPECT_EQ(level, 2);
  t.MapPage(k2M + 9 * kPage, kOut, GuestAttr());
  EXPECT_EQ(t.Look(k2M, &level), Pte<G>::Annotated(Guest(0x4000)));
  EXPECT_EQ(level, 3);
  EXPECT_EQ(t.Look(k2M + 8 * kPage), Pte<G>::Annotated(Guest(0x4008)));
  EXPECT_TRUE(t.Look(k2M + 9 * kPage).valid());
  EXPECT_EQ(t.Look(k2M + 511 * kPage), Pte<G>::Annotated(Guest(0x41FF)));
  t.Read();
}

TEST(Stage2Test, UnmapOfPartOfABlockRemovesItWhole) {
  Table t(48);
  t.MapRange(0, kOut, 2 * k2M, GuestAttr(), 2);
  FlushReceipt receipt = t.UnmapRange(k2M - kPage, kPage);
  EXPECT_TRUE(receipt.Covers(kVmid, Ipa(0), k2M));
  EXPECT_FALSE(t.Look(0).valid());
  EXPECT_TRUE(t.Look(k2M).valid());
}

TEST(Stage2Test, TheLastPageGivesAllTablesBack) {
  Table t(48, 3);
  t.MapPage(k1G, kOut, GuestAttr());
  EXPECT_EQ(t.FreePages(), 0u);
  t.MapPage(k1G + kPage, kOut, GuestAttr());
  t.UnmapPage(k1G);
  EXPECT_EQ(t.FreePages(), 0u);
  t.UnmapPage(k1G + kPage);
  EXPECT_EQ(t.FreePages(), 3u);
  EXPECT_THAT(t.Read(), IsEmpty());
  // And they are as good as new.
  t.MapRange(512 * k1G - kPage, kOut, kPage, GuestAttr());
  EXPECT_EQ(t.Read().size(), 1u);
}

TEST(Stage2Test, ABlockReplacesALastLevelTable) {
  Table t(48);
  t.MapRange(0, kOut, k2M, GuestAttr(), 3);
  t.AnnotatePage(kPage, Annotation::Poison());
  const uint32_t before = t.FreePages();
  t.MapRange(0, kOut, k2M, GuestAttr(), 2);
  EXPECT_EQ(t.FreePages(), before + 1);
  EXPECT_EQ(t.Read().size(), 1u);
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TEST(Stage2Test, OutputsAcross2To48WithThe64KiBGranule) {
  using G64 = Granule64K;
  TestTable<G64> t(52, 64, [] {
    sim::MachineConfig config;
    return config;
  }());
  // The fields of 47:16 and 51:48 do not carry into each other.
  const uint64_t pa = (uint64_t{1} << 48) - 2 * G64::kPageSize;
  t.MapRange(3 * G64::kPageSize, pa, 5 * G64::kPageSize, GuestAttr());
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(t.Look((3 + i) * G64::kPageSize).address(),
              PhysAddr(pa + i * G64::kPageSize))
        << i;
  }
}

TEST(Stage2Test, SoftwareBitsOfARange) {
  Table t(48);
  t.MapRange(0, kOut, 2 * k2M, GuestAttr(0), 2);
  t.MapRange(2 * k2M, kOut, 600 * kPage, GuestAttr(0), 3);
  {
    SpinlockHolder hold(t.table.lock);
    t.table.SetSoftware(Ipa(k2M), k2M + 513 * kPage, 2);
    auto cursor = *t.table.Find(Ipa(0));
    t.table.SetSoftwareAt(cursor, 1);
    EXPECT_EQ(cursor.pte().software(), 1u);
  }
  EXPECT_EQ(t.Look(0).software(), 1u);
  EXPECT_EQ(t.Look(k2M).software(), 2u);
  EXPECT_EQ(t.Look(2 * k2M).software(), 2u);
  EXPECT_EQ(t.Look(2 * k2M + 512 * kPage).software(), 2u);
  EXPECT_EQ(t.Look(2 * k2M + 513 * kPage).software(), 0u);
  EXPECT_EQ(t.Look(k2M).address(), PhysAddr(kOut + k2M));
}

// ---- Teardown ---------------------------------------------------------------

TEST(Stage2Test, PruneFreesWhatHoldsNoLeafAndKeepsTheRest) {
  Table t(48);
  // A table of poison, one of poison and a leaf, a poisoned block, a far away
  // one.
  t.AnnotateRange(0, k2M, Annotation::Poison());
  t.AnnotateRange(k2M, 10 * kPage, Annotation::Poison());
  t.MapPage(k2M + 10 * kPage, kOut, GuestAttr());
  t.AnnotateRange(2 * k2M, k2M, Annotation::Poison(), 2);
  t.AnnotatePage(700 * k1G, Annotation::Poison());
  const uint32_t linked = t.total - t.FreePages();
  EXPECT_EQ(linked, 2u + 2u + 3u);
  uint32_t freed = 0;
  uint64_t at = 0;
  int calls = 0;
  while (at < uint64_t{1} << 48) {
    ASSERT_LT(++calls, 50);
    SpinlockHolder hold(t.table.lock);
    TlbBatch<G> batch(t.table);
    Ipa next(0);
    uint32_t budget = 1;
    freed += t.table.Prune(Ipa(at), &budget, &next, batch);
    EXPECT_EQ(budget, 0u);
    EXPECT_GT(next.value(), at);
    at = next.value();
    static_cast<void>(batch.Complete());
  }
  EXPECT_EQ(freed, 1u + 3u);
  EXPECT_EQ(t.total - t.FreePages(), linked - freed);
  const auto entries = t.Read();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries.begin()->first, k2M + 10 * kPage);
  t.UnmapPage(k2M + 10 * kPage);
  EXPECT_EQ(t.FreePages(), t.total);
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TEST(Stage2Test, PruneOfAnEmptyTableIsShort) {
  Table t(40);
  SpinlockHolder hold(t.table.lock);
  TlbBatch<G> batch(t.table);
  Ipa next(0);
  uint32_t budget = 20;
  EXPECT_EQ(t.table.Prune(Ipa(0), &budget, &next, batch), 0u);
  EXPECT_EQ(budget, 18u) << "the two pages of the root";
  EXPECT_EQ(next, Ipa(uint64_t{1} << 40));
  EXPECT_EQ(t.table.Prune(Ipa(~uint64_t{0}), &budget, &next, batch), 0u);
  EXPECT_EQ(budget, 18u);
  EXPECT_EQ(next, Ipa(uint64_t{1} << 40));
  static_cast<void>(batch.Complete());
}

// Each table looked into is a step, and each that goes: those above it, too.
TEST(Stage2Test, PruneCountsItsSteps) {
  Table t(48);
  for (uint64_t i = 0; i < 4; ++i)
    t.AnnotatePage(i * 512 * k1G, Annotation::Poison());
  SpinlockHolder hold(t.table.lock);
  TlbBatch<G> batch(t.table);
  Ipa next(0);
  uint32_t budget = 5;
  EXPECT_EQ(t.table.Prune(Ipa(0), &budget, &next, batch), 3u)
      << "a look, three tables, a look at the holes behind";
  EXPECT_EQ(budget, 0u);
  budget = 100;
  EXPECT_EQ(t.table.Prune(next, &budget, &next, batch), 9u);
  EXPECT_EQ(budget, 100u - 9 - 6);
  static_cast<void>(batch.Complete());
}

// ---- Order of stores and invalidations --------------------------------------

TEST(Stage2OrderTest, ANewPageIsPublishedAndWaitedFor) {
  Table t(48, 8, Recording());
  t.MapPage(0, kOut, GuestAttr());
  t.machine.ClearEvents();
  t.MapPage(kPage, kOut, GuestAttr());
  EXPECT_THAT(Story(t.machine),
              ElementsAre("publish 0>valid", "store valid>valid", "dsb-ishst"));
}

TEST(Stage2OrderTest, TablesAreLinkedWhenTheyAreFilled) {
  Table t(48, 8, Recording());
  t.MapPage(0, kOut, GuestAttr());
  const auto events = t.machine.events();
  // The only store into the root comes last of all table stores, and is a
  // release.
  uint64_t last_store = 0;
  for (const sim::Event& event : events) {
    if (event.type == sim::EventType::kStorePte) last_store = event.seq;
    if (event.type != sim::EventType::kPublishPte) continue;
    EXPECT_EQ(event.a, Table::kRam);
    EXPECT_GT(event.seq, last_store);
    last_store = ~uint64_t{0};
  }
  EXPECT_EQ(last_store, ~uint64_t{0}) << "no publish seen";
}

TEST(Stage2OrderTest, ARemovedPageIsInvalidatedStage2First) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 2 * kPage, GuestAttr());
  t.machine.ClearEvents();
  t.UnmapPage(kPage);
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>0", "store valid>valid", "dsb-ishst",
                          "enter", "ipa 0x1000 level 3", "dsb-ish", "vmalle1is",
                          "dsb-ish", "isb", "leave"));
}

TEST(Stage2OrderTest, AnAnnotatedPageIsStoredOnceAndInvalidated) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 2 * kPage, GuestAttr());
  t.machine.ClearEvents();
  t.AnnotatePage(kPage, Annotation::Poison());
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>note", "dsb-ishst", "enter",
                          "ipa 0x1000 level 3", "dsb-ish", "vmalle1is",
                          "dsb-ish", "isb", "leave"));
  // Nothing valid goes: nothing to invalidate.
  t.AnnotatePage(kPage, Annotation::HostDonationToHyp());
  EXPECT_THAT(Story(t.machine), ElementsAre("store note>note", "dsb-ishst"));
  t.MapPage(kPage, kOut, GuestAttr());
  EXPECT_THAT(Story(t.machine), ElementsAre("publish note>valid", "dsb-ishst"));
}

TEST(Stage2OrderTest, ValidToValidBreaksFirst) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 2 * kPage, GuestAttr());
  t.machine.ClearEvents();
  t.MapPage(kPage, kOut + 8 * kPage, GuestAttr());
  EXPECT_THAT(
      Story(t.machine),
      ElementsAre("store valid>0", "dsb-ishst", "enter", "ipa 0x1000 level 3",
                  "dsb-ish", "vmalle1is", "dsb-ish", "isb", "leave",
                  "publish 0>valid", "dsb-ishst"));
  // A range breaks all that is in its way with one invalidation.
  t.MapRange(0, kOut + k2M, 2 * kPage, GuestAttr());
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>0", "store valid>0", "dsb-ishst",
                          "enter", "range 0 size 0x2000", "dsb-ish",
                          "vmalle1is", "dsb-ish", "isb", "leave",
                          "publish 0>valid", "publish 0>valid", "dsb-ishst"));
}

TEST(Stage2OrderTest, SoftwareBitsAndEqualEntriesInvalidateNothing) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 2 * kPage, GuestAttr(0));
  t.machine.ClearEvents();
  t.MapPage(kPage, kOut + kPage, GuestAttr(1));
  EXPECT_THAT(Story(t.machine), ElementsAre("store valid>valid", "dsb-ishst"));
  t.MapRange(0, kOut, 2 * kPage, GuestAttr(1));
  EXPECT_THAT(Story(t.machine), ElementsAre("store valid>valid", "dsb-ishst"));
  t.MapPage(0, kOut, GuestAttr(1));
  EXPECT_THAT(Story(t.machine), ElementsAre("dsb-ishst"));
}

TEST(Stage2OrderTest, ASplitFillsThenBreaksThenLinks) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, k2M, GuestAttr(), 2);
  t.machine.ClearEvents();
  t.AnnotatePage(kPage, Annotation::Poison());
  std::vector<std::string> story = Story(t.machine);
  ASSERT_GE(story.size(), 512u);
  // 512 pieces and the new entry, into a table nobody sees yet.
  for (int i = 0; i < 512; ++i)
    ASSERT_EQ(story[static_cast<size_t>(i)], "store 0>valid");
  EXPECT_EQ(story[512], "store valid>note");
  story.erase(story.begin(), story.begin() + 513);
  EXPECT_THAT(
      story, ElementsAre("store valid>0", "dsb-ishst", "enter", "ipa 0 level 2",
                         "dsb-ish", "vmalle1is", "dsb-ish", "isb", "leave",
                         "publish 0>valid", "dsb-ishst"));
}

TEST(Stage2OrderTest, UnmapThenMapInOneBatchInvalidatesBetween) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 2 * kPage, GuestAttr());
  t.machine.ClearEvents();
  {
    SpinlockHolder hold(t.table.lock);
    auto none = *t.table.stock.Reserve(0);
    auto cursor = *t.table.Find(Ipa(kPage));
    TlbBatch<G> batch(t.table);
    t.table.UnmapAt(cursor, batch);
    t.table.MapAt(cursor, PhysAddr(kOut + 9 * kPage), GuestAttr(), none, batch);
    static_cast<void>(batch.Complete());
  }
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>0", "store valid>valid", "dsb-ishst",
                          "enter", "ipa 0x1000 level 3", "dsb-ish", "vmalle1is",
                          "dsb-ish", "isb", "leave", "publish 0>valid",
                          "store valid>valid", "dsb-ishst"));
}

TEST(Stage2OrderTest, ARangeIsInvalidatedOnce) {
  Table t(48, 8, Recording());
  t.MapRange(0, kOut, 3 * kPage, GuestAttr());
  t.machine.ClearEvents();
  t.AnnotateRange(0, 2 * kPage, Guest(5));
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>note", "store valid>note", "dsb-ishst",
                          "enter", "range 0 size 0x2000", "dsb-ish",
                          "vmalle1is", "dsb-ish", "isb", "leave"));
}

TEST(Stage2OrderTest, AnUnlinkedTableTakesAllItSpannedWithIt) {
  Table t(48, 8, Recording());
  t.MapPage(k1G, kOut, GuestAttr());
  t.MapPage(0, kOut, GuestAttr());
  t.machine.ClearEvents();
  t.UnmapPage(k1G);
  // The page's entry, the tables of levels 3 and 2, and the count of level 1's.
  EXPECT_THAT(
      Story(t.machine),
      ElementsAre("store valid>0", "store valid>0", "store 0>0",
                  "store valid>0", "store 0>note", "store valid>valid",
                  "dsb-ishst", "enter", "range 0x40000000 size 0x40000000",
                  "dsb-ish", "vmalle1is", "dsb-ish", "isb", "leave"));
}

TEST(Stage2OrderTest, WithoutRangeTlbiTheWholeVmidGoes) {
  sim::MachineConfig config = Recording();
  config.range_tlbi = false;
  Table t(48, 8, std::move(config));
  t.MapRange(0, kOut, 3 * kPage, GuestAttr());
  t.machine.ClearEvents();
  t.UnmapRange(0, 2 * kPage);
  EXPECT_THAT(Story(t.machine),
              ElementsAre("store valid>0", "store valid>0", "store valid>valid",
                          "dsb-ishst", "enter", "vmalls12e1is", "dsb-ish",
                          "isb", "leave"));
}

// ---- Batches and receipts ---------------------------------------------------

TEST(ReceiptTest, CoversWhatWasTouchedAndNoMore) {
  Table t(48);
  const FlushReceipt receipt = t.MapPage(5 * kPage, kOut, GuestAttr());
  EXPECT_TRUE(receipt.Covers(kVmid, Ipa(5 * kPage), kPage));
  EXPECT_TRUE(receipt.Covers(kVmid, Ipa(5 * kPage + 8), 8));
  EXPECT_FALSE(receipt.Covers(kVmid, Ipa(4 * kPage), kPage));
  EXPECT_FALSE(receipt.Covers(kVmid, Ipa(6 * kPage), kPage));
  EXPECT_FALSE(receipt.Covers(kVmid, Ipa(5 * kPage), kPage + 1));
  EXPECT_FALSE(receipt.Covers(kVmid, Ipa(5 * kPage), 0));
  EXPECT_FALSE(receipt.Covers(kVmid, Ipa(5 * kPage), ~uint64_t{0}));
  EXPECT_FALSE(receipt.Covers(Vmid(8), Ipa(5 * kPage), kPage));
  EXPECT_FALSE(receipt.CoversHyp(HypVa(5 * kPage), kPage));
}

TEST(ReceiptTest, OfEveryOperation) {
  Table t(48);
  EXPECT_TRUE(
      t.AnnotatePage(0, Annotation::Poison()).Covers(kVmid, Ipa(0), kPage));
  EXPECT_TRUE(t.MapRange(k2M, kOut, 2 * k2M, GuestAttr())
                  .Covers(kVmid, Ipa(k2M), 2 * k2M));
  EXPECT_TRUE(
      t.AnnotateRange(k2M, 2 * k2M, Guest(0)).Covers(kVmid, Ipa(k2M), 2 * k2M));
  EXPECT_TRUE(t.UnmapRange(k2M, 2 * k2M).Covers(kVmid, Ipa(k2M), 2 * k2M));
  EXPECT_TRUE(t.UnmapPage(0).Covers(kVmid, Ipa(0), kPage));
  // A page of which nothing had to be changed is as proved as any.
  EXPECT_TRUE(t.UnmapPage(0).Covers(kVmid, Ipa(0), kPage));
}

TEST(ReceiptTest, MovedFromCoversNothing) {
  Table t(48);
  FlushReceipt receipt = t.MapPage(0, kOut, GuestAttr());
  FlushReceipt other = std::move(receipt);
  EXPECT_TRUE(other.Covers(kVmid, Ipa(0), kPage));
  EXPECT_FALSE(
      receipt.Covers(kVmid, Ipa(0), kPage));  // NOLINT(bugprone-use-after-move)
  FlushReceipt third = t.MapPage(kPage, kOut, GuestAttr());
  third = std::move(other);
  EXPECT_TRUE(third.Covers(kVmid, Ipa(0), kPage));
  EXPECT_FALSE(third.Covers(kVmid, Ipa(kPage), kPage));
  EXPECT_FALSE(
      other.Covers(kVmid, Ipa(0), kPage));  // NOLINT(bugprone-use-after-move)
}

TEST(ReceiptTest, OfABatchThatTouchedNothing) {
  Table t(48);
  SpinlockHolder hold(t.table.lock);
  TlbBatch<G> batch(t.table);
  EXPECT_FALSE(batch.Complete().Covers(kVmid, Ipa(0), kPage));
}

TEST(ReceiptTest, AcrossAGapAllOfItIsInvalidated) {
  Table t(48, 8, Recording());
  t.MapPage(0, kOut, GuestAttr());
  t.machine.ClearEvents();
  SpinlockHolder hold(t.table.lock);
  auto pages = *t.table.stock.Reserve(0);
  auto first = *t.table.Find(Ipa(kPage));
  auto second = *t.table.Find(Ipa(9 * kPage));
  TlbBatch<G> batch(t.table);
  t.table.AnnotateAt(first, Annotation::Poison(), pages, batch);
  t.table.AnnotateAt(second, Annotation::Poison(), pages, batch);
  EXPECT_TRUE(batch.Complete().Covers(kVmid, Ipa(kPage), 9 * kPage));
  EXPECT_THAT(Story(t.machine), testing::Contains("range 0x1000 size 0x9000"));
}

TEST(BatchTest, DetachedTablesAreNobodysUntilItIsComplete) {
  Table t(48, 3);
  t.MapPage(0, kOut, GuestAttr());
  SpinlockHolder hold(t.table.lock);
  auto cursor = *t.table.Find(Ipa(0));
  TlbBatch<G> batch(t.table);
  t.table.UnmapAt(cursor, batch);
  EXPECT_EQ(t.table.stock.free(), 0u);
  EXPECT_EQ(t.table.stock.Pop(), std::nullopt);
  EXPECT_EQ(t.table.stock.Reserve(1).error(), Errno::kEnomem);
  static_cast<void>(batch.Complete());
  EXPECT_EQ(t.table.stock.free(), 3u);
}

TEST(BatchTest, TablesComeBackZeroed) {
  Table t(48, 3);
  t.AnnotateRange(0, k2M, Annotation::Poison());
  t.UnmapRange(0, k2M);  // the table goes as it is
  SpinlockHolder hold(t.table.lock);
  std::set<uint64_t> pages;
  while (auto page = t.table.stock.Pop()) {
    pages.insert(page->value());
    const uint64_t* words =
        static_cast<const uint64_t*>(t.machine.ram().At(*page));
    for (unsigned i = 0; i < 512; ++i) ASSERT_EQ(words[i], 0u) << i;
  }
  EXPECT_EQ(pages.size(), 3u);
}

TEST(BatchDeathTest, TheLockStaysWithAnOpenBatch) {
  Table t(48);
  EXPECT_DEATH(
      {
        t.table.lock.Lock();
        TlbBatch<G> batch(t.table);
        t.table.lock.Unlock();
      },
      "open_batches_ == 0");
}

TEST(BatchDeathTest, ABatchMustBeCompletedOnce) {
  Table t(48);
  SpinlockHolder hold(t.table.lock);
  EXPECT_DEATH({ TlbBatch<G> batch(t.table); }, "!open_");
  EXPECT_DEATH(
      {
        TlbBatch<G> batch(t.table);
        static_cast<void>(batch.Complete());
        static_cast<void>(batch.Complete());
      },
      "open_");
}

TEST(Stage2DeathTest, WhatCallersMustHaveValidated) {
  Table t(40);
  SpinlockHolder hold(t.table.lock);
  auto none = *t.table.stock.Reserve(0);
  auto pages = *t.table.stock.Reserve(8);
  TlbBatch<G> batch(t.table);
  const Stage2Attr attr = GuestAttr();
  EXPECT_DEATH(
      t.table.Map(Ipa(8), PhysAddr(0), kPage, attr, kPageLevel, pages, batch),
      "ipa");
  EXPECT_DEATH(
      t.table.Map(Ipa(0), PhysAddr(8), kPage, attr, kPageLevel, pages, batch),
      "phys");
  EXPECT_DEATH(
      t.table.Map(Ipa(0), PhysAddr(0), 8, attr, kPageLevel, pages, batch),
      "size");
  EXPECT_DEATH(t.table.Map(Ipa(uint64_t{1} << 40), PhysAddr(0), kPage, attr,
                           kPageLevel, pages, batch),
               "InRange");
  EXPECT_DEATH(
      t.table.Map(Ipa(0), PhysAddr(0), kPage, attr, kPageLevel, none, batch),
      "remaining_");
  EXPECT_DEATH(t.table.Unmap(Ipa(0), uint64_t{1} << 41, batch), "InRange");
  EXPECT_DEATH(t.table.SetSoftware(Ipa(0), kPage, 1), "i != 0|raw");
  EXPECT_DEATH(t.table.Annotate(Ipa(0), 2 * kPage,
                                Guest((uint64_t{1} << 40) - 1), pages, batch),
               "kGfnBits");
  static_cast<void>(batch.Complete());
}

TEST(Stage2DeathTest, CursorsAndBatchesOfOtherTables) {
  Table t(40);
  Stage2<G> other(LockRank::kHost);
  other.Init(Vmid(9), ShapeFor<G>(48), kTestCpu, [&] {
    SpinlockHolder hold(t.table.lock);
    return *t.table.stock.Pop();
  }());
  SpinlockHolder outer(other.lock);
  SpinlockHolder inner(t.table.lock);
  auto none = *t.table.stock.Reserve(0);
  auto cursor = *t.table.Find(Ipa(0));
  auto others = *other.Find(Ipa(0));
  TlbBatch<G> batch(t.table);
  TlbBatch<G> others_batch(other);
  EXPECT_DEATH(t.table.MapAt(others, PhysAddr(0), GuestAttr(), none, batch),
               "table_");
  EXPECT_DEATH(
      t.table.MapAt(cursor, PhysAddr(0), GuestAttr(), none, others_batch),
      "table_");
  EXPECT_DEATH(t.table.Unmap(Ipa(0), kPage, others_batch), "table_");
  static_cast<void>(batch.Complete());
  static_cast<void>(others_batch.Complete());
}

TEST(Stage2DeathTest, ARootMustBeZeroAndAligned) {
  Table t(48);
  Stage2<G> other(LockRank::kHost);
  // Two concatenated pages at an odd one.
  EXPECT_DEATH(other.Init(Vmid(1), ShapeFor<G>(40), kTestCpu,
                          PhysAddr(Table::kRam + 3 * kPage)),
               "IsAligned");
  t.MapPage(0, kOut, GuestAttr());
  EXPECT_DEATH(
      other.Init(Vmid(1), ShapeFor<G>(48), kTestCpu, PhysAddr(Table::kRam)),
      "== 0");
}

}  // namespace
}  // namespace holdfast::pgtable
