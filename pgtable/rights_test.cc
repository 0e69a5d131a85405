// SPDX-License-Identifier: Apache-2.0
//
// Rights and the access flag of stage-2 leaves: what changes, what stays, and
// what the CPUs see of it; for each granule.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/stage2.h"
#include "pgtable/test_table.h"

namespace holdfast::pgtable {
namespace {

using testing::IsEmpty;

constexpr uint64_t kWritable = uint64_t{1} << 7;
constexpr uint64_t kAccessed = uint64_t{1} << 10;

Stage2Attr Attr(const Prot& prot) {
  return *Stage2Attr::For(prot, MemStyle::kFromProt, kTestCpu);
}

// A level-2 block, the next block all holes but for its first, a middle and its
// last page, a table of annotations, and holes.
template <class C>
class RightsTest : public testing::Test {
 protected:
  using G = typename C::G;
  using Table = TestTable<G>;
  static constexpr uint64_t kPage = G::kPageSize;
  static constexpr uint64_t kBlock = Table::kRam == 0 ? 0 : kPage * G::kEntries;
  static constexpr uint64_t kOut = Table::kOutput;

  RightsTest() : t(C::kIpaBits, 64) {
    t.MapRange(kBlock, kOut + kBlock, kBlock, GuestAttr(2), 2);
    for (uint64_t page : Pages()) t.MapPage(page, kOut + page, GuestAttr(1));
    t.AnnotatePage(Note(), Annotation::Poison());
    before = t.Read();
    EXPECT_EQ(before.size(), 5u);
    EXPECT_EQ(before.at(kBlock).level, 2);
  }
  void TearDown() override { EXPECT_THAT(Messages(t.machine), IsEmpty()); }

  static std::vector<uint64_t> Pages() {
    return {2 * kBlock, 2 * kBlock + kBlock / 2, 3 * kBlock - kPage};
  }
  static uint64_t Note() { return 2 * kBlock + kPage; }

  // Entries that differ from before: address -> bits that changed.
  std::map<uint64_t, uint64_t> Changed() {
    std::map<uint64_t, uint64_t> changed;
    const auto now = t.Read();  // counts are checked on the way
    EXPECT_EQ(now.size(), before.size());
    for (const auto& [ipa, leaf] : now) {
      EXPECT_EQ(leaf.level, before.at(ipa).level);
      if (leaf.raw != before.at(ipa).raw)
        changed[ipa] = leaf.raw ^ before.at(ipa).raw;
    }
    return changed;
  }
  using Changes = std::map<uint64_t, uint64_t>;

  void WriteProtect(uint64_t ipa, uint64_t size) {
    SpinlockHolder hold(t.table.lock);
    t.table.WriteProtect(Ipa(ipa), size);
  }
  bool Test(uint64_t ipa, uint64_t size, bool clear) {
    SpinlockHolder hold(t.table.lock);
    return clear ? t.table.TestClearAccessed(Ipa(ipa), size)
                 : t.table.TestAccessed(Ipa(ipa), size);
  }
  void Set(uint64_t ipa) {
    SpinlockHolder hold(t.table.lock);
    auto cursor = *t.table.Find(Ipa(ipa));
    t.table.SetAccessedAt(cursor);
  }
  void Add(uint64_t ipa, const Prot& prot) {
    SpinlockHolder hold(t.table.lock);
    auto cursor = *t.table.Find(Ipa(ipa));
    t.table.AddRightsAt(cursor, Attr(prot));
    EXPECT_EQ(cursor.pte(), t.table.Find(Ipa(ipa))->pte())
        << "the cursor says something else";
  }

  Table t;
  std::map<uint64_t, typename Table::Leaf> before;
};

// Input sizes: one page of root, and several.
using Configs = testing::Types<Config<Granule4K, 40>, Config<Granule4K, 48>,
                               Config<Granule16K, 40>, Config<Granule64K, 42>,
                               Config<GranuleTiny, 12>>;
TYPED_TEST_SUITE(RightsTest, Configs);

TYPED_TEST(RightsTest, WriteProtectOfAPage) {
  const uint64_t page = this->Pages()[1];
  this->WriteProtect(page, this->kPage);
  EXPECT_EQ(this->Changed(),
            (typename TestFixture::Changes{{page, kWritable}}));
  this->WriteProtect(page, this->kPage);
  EXPECT_EQ(this->Changed().size(), 1u) << "twice";
}

TYPED_TEST(RightsTest, WriteProtectOfEverything) {
  this->WriteProtect(0, uint64_t{1} << this->t.table.shape().ipa_bits);
  typename TestFixture::Changes want{{this->kBlock, kWritable}};
  for (uint64_t page : this->Pages()) want[page] = kWritable;
  EXPECT_EQ(this->Changed(), want) << "annotations and holes stay";
}

TYPED_TEST(RightsTest, ARangeThatBeginsOrEndsInABlockTakesItWhole) {
  const uint64_t block = this->kBlock;
  const uint64_t page = this->kPage;
  this->WriteProtect(2 * block - page, page);
  EXPECT_EQ(this->Changed(),
            (typename TestFixture::Changes{{block, kWritable}}));
  // From inside the block over its end to the first page behind it.
  EXPECT_TRUE(this->Test(2 * block - page, 2 * page, true));
  EXPECT_EQ(this->Changed(),
            (typename TestFixture::Changes{{block, kWritable | kAccessed},
                                           {2 * block, kAccessed}}));
  this->Set(block + page);
  EXPECT_EQ(this->Changed(), (typename TestFixture::Changes{
                                 {block, kWritable}, {2 * block, kAccessed}}));
  // From the last page of the table to the hole behind it.
  this->WriteProtect(3 * block - page, 2 * page);
  EXPECT_EQ(this->Changed(),
            (typename TestFixture::Changes{{block, kWritable},
                                           {2 * block, kAccessed},
                                           {3 * block - page, kWritable}}));
}

TYPED_TEST(RightsTest, HolesAndAnnotationsAreNoLeaves) {
  const uint64_t bits = this->t.table.shape().ipa_bits;
  const uint64_t end = uint64_t{1} << bits;
  for (const auto& [ipa, size] :
       std::map<uint64_t, uint64_t>{
           {0, this->kBlock},                  // no table
           {this->Note(), this->kPage},        // annotation
           {3 * this->kBlock, this->kBlock},   // beside a table
           {end - this->kPage, this->kPage}})  // the last page
  {
    EXPECT_FALSE(this->Test(ipa, size, true)) << ipa;
    this->WriteProtect(ipa, size);
  }
  EXPECT_TRUE(this->Changed().empty());
  EXPECT_FALSE(this->Test(0, 0, true)) << "no page";
  EXPECT_FALSE(this->Test(this->kBlock, 0, true)) << "no page";
  EXPECT_TRUE(this->Changed().empty());
}

TYPED_TEST(RightsTest, TestClearAccessedTellsOfAnyLeaf) {
  const uint64_t block = this->kBlock;
  EXPECT_TRUE(this->Test(0, 4 * block, false));
  EXPECT_TRUE(this->Changed().empty()) << "it was only asked";
  EXPECT_TRUE(this->Test(0, 4 * block, true));
  typename TestFixture::Changes all{{block, kAccessed}};
  for (uint64_t page : this->Pages()) all[page] = kAccessed;
  EXPECT_EQ(this->Changed(), all);
  EXPECT_FALSE(this->Test(0, 4 * block, true));
  // One young leaf, wherever it is, is enough.
  for (const auto& [ipa, bits] : all) {
    this->Set(ipa);
    EXPECT_TRUE(this->Test(0, 4 * block, false)) << ipa;
    EXPECT_TRUE(this->Test(ipa, this->kPage, true)) << ipa;
    EXPECT_FALSE(this->Test(0, 4 * block, false)) << ipa;
  }
}

TYPED_TEST(RightsTest, AddedRightsAreTheSum) {
  using P = Prot;
  const uint64_t page = 3 * this->kBlock;
  uint64_t i = 0;
  for (unsigned had = 0; had < 16; ++had) {
    for (unsigned more = 0; more < 16; ++more) {
      const auto prot = [](unsigned bits) {
        return P{.r = (bits & 1) != 0,
                 .w = (bits & 2) != 0,
                 .px = (bits & 4) != 0,
                 .ux = (bits & 8) != 0};
      };
      const uint64_t out = this->kOut + i++ % 4 * this->kPage;
      this->t.MapPage(page, out, Attr(prot(had)).WithSoftware(3));
      this->Add(page, prot(more));
      int level = 0;
      EXPECT_EQ(
          this->t.Look(page, &level),
          Pte<typename TestFixture::G>::Leaf(
              PhysAddr(out), Level(3), Attr(prot(had | more)).WithSoftware(3)))
          << had << " and " << more;
    }
  }
}

TYPED_TEST(RightsTest, RightsOfABlockAreAddedFromAnyOfItsPages) {
  const uint64_t block = this->kBlock;
  this->WriteProtect(block, block);
  const Stage2Context& context = this->t.table.context();
  const Ipa last(2 * block - this->kPage);
  EXPECT_FALSE(this->t.machine.GuestWrite64(0, context, last, 1).has_value());
  this->Add(last.value(), {.w = true});
  EXPECT_TRUE(this->Changed().empty());
  const auto written = this->t.machine.GuestWrite64(0, context, last, 1);
  // (There is no memory behind it.)
  EXPECT_EQ(written.error().kind, sim::FaultKind::kExternal);
}

TYPED_TEST(RightsTest, SoftwareBitsAddressAndTypeStay) {
  const uint64_t page = this->Pages()[0];
  this->WriteProtect(page, this->kPage);
  this->Test(page, this->kPage, true);
  this->Add(page, kGuestMemory);
  this->Set(page);
  EXPECT_TRUE(this->Changed().empty()) << "back where it began";
}

TEST(RightsDeathTest, WhatCallersMustHaveValidated) {
  TestTable<Granule4K> t(40);
  SpinlockHolder hold(t.table.lock);
  auto hole = *t.table.Find(Ipa(0));
  EXPECT_DEATH(t.table.AddRightsAt(hole, GuestAttr()), "raw");
  EXPECT_DEATH(t.table.WriteProtect(Ipa(1), 4096), "ipa");
  EXPECT_DEATH(t.table.WriteProtect(Ipa(0), 1), "size");
  EXPECT_DEATH(t.table.WriteProtect(Ipa(uint64_t{1} << 40), 4096), "InRange");
  EXPECT_DEATH(static_cast<void>(t.table.TestClearAccessed(Ipa(0), ~0xfffull)),
               "InRange");
  EXPECT_DEATH(t.table.SetAccessedAt(hole), "raw");
}

// ---- In what order ----------------------------------------------------------

std::vector<sim::EventType> Types(sim::Machine& machine) {
  std::vector<sim::EventType> types;
  for (const sim::Event& event : machine.events()) {
    using enum sim::EventType;
    if (event.type == kLock || event.type == kUnlock) continue;
    types.push_back(event.type);
  }
  machine.ClearEvents();
  return types;
}

// More rights: this CPU's own translation goes, no other's. No barrier or TLBI
// at all if nothing changed.
TEST(RightsEvents, AddedRightsFlushThisCpuOnly) {
  using enum sim::EventType;
  sim::MachineConfig config;
  config.record_events = true;
  TestTable<Granule4K> t(40, 64, config);
  t.MapPage(0, t.kOutput, ReadOnlyAttr());
  const auto add = [&](const Prot& prot) {
    SpinlockHolder hold(t.table.lock);
    auto cursor = *t.table.Find(Ipa(0));
    t.machine.ClearEvents();
    t.table.AddRightsAt(cursor, Attr(prot));
  };
  add({.w = true});
  EXPECT_EQ(Types(t.machine),
            (std::vector{kStorePte, kDsbIshst, kEnterContext, kTlbiIpas2e1,
                         kDsbNsh, kTlbiVmalle1, kDsbNsh, kIsb, kLeaveContext}));
  add({.r = true, .w = true});
  EXPECT_TRUE(Types(t.machine).empty());
}

// Fewer rights, and flags: the caller flushes, once for all. What walkers must
// see, they see: DSB ISHST behind the stores.
TEST(RightsEvents, TheOthersStoreAndNothingElse) {
  using enum sim::EventType;
  sim::MachineConfig config;
  config.record_events = true;
  TestTable<Granule4K> t(40, 64, config);
  t.MapPage(0, t.kOutput, GuestAttr());
  t.MapPage(4096, t.kOutput + 4096, GuestAttr());
  SpinlockHolder hold(t.table.lock);
  t.machine.ClearEvents();
  t.table.WriteProtect(Ipa(0), 3 * 4096);
  EXPECT_EQ(Types(t.machine), (std::vector{kStorePte, kStorePte, kDsbIshst}));
  t.table.WriteProtect(Ipa(0), 3 * 4096);
  EXPECT_EQ(Types(t.machine), std::vector{kDsbIshst});
  EXPECT_TRUE(t.table.TestClearAccessed(Ipa(0), 8192));
  EXPECT_EQ(Types(t.machine), (std::vector{kStorePte, kStorePte, kDsbIshst}));
  auto cursor = *t.table.Find(Ipa(0));
  t.table.SetAccessedAt(cursor);
  EXPECT_EQ(Types(t.machine), (std::vector{kStorePte, kDsbIshst}));
}

}  // namespace
}  // namespace holdfast::pgtable
