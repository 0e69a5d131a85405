// SPDX-License-Identifier: Apache-2.0
//
// EL2's own table: mappings, blocks, counts, invalidation, and the fixmap's
// slot.
#include "pgtable/hyp_table.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/test_table.h"
#include "test_random.h"

namespace holdfast::pgtable {
namespace {

using testing::IsEmpty;

template <class G>
struct TestHyp {
  static constexpr uint64_t kRam = TestTable<G>::kRam;
  static constexpr uint64_t kOutput = TestTable<G>::kOutput;

  explicit TestHyp(unsigned va_bits, uint32_t stock = 64)
      : machine(Config(stock)), on_cpu(machine, 0), total(stock) {
    table.Init(PhysAddr(kRam), va_bits);
    SpinlockHolder hold(table.lock);
    for (uint32_t i = 1; i <= stock; ++i)
      table.stock.Push(PhysAddr(kRam + i * G::kPageSize));
  }
  static sim::MachineConfig Config(uint32_t stock) {
    sim::MachineConfig config;
    config.ram = {{PhysAddr(kRam), (stock + 1) * G::kPageSize}};
    config.page_shift = G::kPageShift;
    config.record_events = true;
    return config;
  }
  Result<void> Map(uint64_t va, uint64_t pa, uint64_t size, Prot prot,
                   bool blocks) {
    SpinlockHolder hold(table.lock);
    return table.Map(HypVa(va), PhysAddr(pa), size, *HypAttr::For(prot),
                     blocks);
  }
  AnyReceipt Unmap(uint64_t va, uint64_t size) {
    SpinlockHolder hold(table.lock);
    HypTlbBatch<G> batch(table);
    table.Unmap(HypVa(va), size, batch);
    return batch.Complete();
  }
  typename HypTable<G>::Entry Look(uint64_t va) {
    SpinlockHolder hold(table.lock);
    return *table.Find(HypVa(va));
  }
  uint32_t Free() {
    SpinlockHolder hold(table.lock);
    return table.stock.free();
  }
  // VALE2IS and VAE2IS since the last call.
  std::vector<uint64_t> Invalidated(sim::EventType type) {
    std::vector<uint64_t> addresses;
    for (const sim::Event& event : machine.events()) {
      if (event.type == type) addresses.push_back(event.a);
    }
    return addresses;
  }

  sim::Machine machine;
  sim::OnCpu on_cpu;
  HypTable<G> table;
  uint32_t total;
};

template <class G>
class HypTableTest : public testing::Test {
 protected:
  static constexpr unsigned kVaBits = G::kPageShift < 12    ? 11
                                      : G::kPageShift == 12 ? 39
                                      : G::kPageShift == 14 ? 36
                                                            : 42;
};
using Granules = testing::Types<Granule4K, Granule16K, Granule64K, GranuleTiny>;
TYPED_TEST_SUITE(HypTableTest, Granules);

static_assert(HypStartLevel<Granule4K>(39) == Level(1) &&
              HypStartLevel<Granule4K>(40) == Level(0) &&
              HypStartLevel<Granule4K>(48) == Level(0));
static_assert(HypStartLevel<Granule16K>(36) == Level(2) &&
              HypStartLevel<Granule16K>(47) == Level(1) &&
              HypStartLevel<Granule16K>(48) == Level(0));
static_assert(HypStartLevel<Granule64K>(42) == Level(2) &&
              HypStartLevel<Granule64K>(48) == Level(1));

TYPED_TEST(HypTableTest, PagesAndBack) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  const uint64_t page = G::kPageSize;
  const uint64_t va = page * G::kEntries -
                      page;  // the last of one table, the first of the next
  ASSERT_TRUE(t.Map(va, t.kOutput, 2 * page, kHypData, true).has_value());
  EXPECT_EQ(t.Look(va).pte, Pte<G>::HypLeaf(PhysAddr(t.kOutput), kPageLevel,
                                            *HypAttr::For(kHypData)));
  EXPECT_EQ(t.Look(va + page).pte.address(), PhysAddr(t.kOutput + page));
  EXPECT_FALSE(t.Look(va + 2 * page).pte.valid());
  // The same again changes nothing.
  const uint32_t free = t.Free();
  ASSERT_TRUE(t.Map(va, t.kOutput, 2 * page, kHypData, true).has_value());
  EXPECT_EQ(t.Free(), free);
  EXPECT_LT(free, t.total);
  FlushReceipt receipt = t.Unmap(va, 2 * page);
  EXPECT_TRUE(receipt.CoversHyp(HypVa(va), 2 * page));
  EXPECT_FALSE(receipt.CoversHyp(HypVa(va), 2 * page + 1));
  EXPECT_FALSE(receipt.Covers(Vmid(0), Ipa(va), page));
  EXPECT_EQ(t.Free(), t.total);
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TYPED_TEST(HypTableTest, TheLargestBlocksThatFit) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  const uint64_t block = G::kPageSize * G::kEntries;
  ASSERT_TRUE(t.Map(block - G::kPageSize, t.kOutput + block - G::kPageSize,
                    block + 2 * G::kPageSize, kHypText, true)
                  .has_value());
  EXPECT_EQ(t.Look(block - G::kPageSize).level, Level(3));
  EXPECT_EQ(t.Look(block).level, Level(2));
  EXPECT_EQ(t.Look(2 * block).level, Level(3));
  EXPECT_EQ(t.Look(2 * block).pte.address(), PhysAddr(t.kOutput + 2 * block));
  // Outputs that are aligned otherwise get pages, and so do those who ask for
  // them.
  const uint32_t tables = t.total - t.Free();
  ASSERT_TRUE(t.Map(4 * block % (uint64_t{1} << this->kVaBits), t.kOutput,
                    block, kHypText, false)
                  .has_value());
  EXPECT_GE(t.total - t.Free(), tables + 1);
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TYPED_TEST(HypTableTest, ShortOfTablesNothingChanges) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits, 2);
  const uint64_t block = G::kPageSize * G::kEntries;
  uint32_t needed = 0;
  {
    SpinlockHolder hold(t.table.lock);
    needed = t.table.TablesNeeded(HypVa(0), 3 * block);
  }
  EXPECT_GE(needed, 3u);
  EXPECT_EQ(t.Map(0, t.kOutput, 3 * block, kHypData, false).error(),
            Errno::kEnomem);
  EXPECT_EQ(t.Free(), 2u);
  EXPECT_FALSE(t.Look(0).pte.valid());
  // Blocks need none of them, or fewer.
  EXPECT_TRUE(t.Map(0, t.kOutput, 3 * block, kHypData, true).has_value());
}

TYPED_TEST(HypTableTest, EachRemovedLeafIsInvalidated) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  const uint64_t page = G::kPageSize;
  ASSERT_TRUE(t.Map(0, t.kOutput, 3 * page, kHypData, false).has_value());
  t.machine.ClearEvents();
  t.Unmap(0, 2 * page);
  EXPECT_THAT(t.Invalidated(sim::EventType::kTlbiVale2is),
              testing::ElementsAre(0u, page));
  EXPECT_THAT(t.Invalidated(sim::EventType::kTlbiVae2is), IsEmpty());
  // The last one takes the tables along, and walk caches must forget them.
  t.machine.ClearEvents();
  t.Unmap(2 * page, page);
  EXPECT_THAT(t.Invalidated(sim::EventType::kTlbiVale2is),
              testing::ElementsAre(2 * page));
  EXPECT_THAT(t.Invalidated(sim::EventType::kTlbiVae2is),
              testing::ElementsAre(2 * page));
  // Stores first, and at the end all is waited for.
  std::vector<sim::EventType> types;
  for (const sim::Event& event : t.machine.events())
    types.push_back(event.type);
  const auto at = [&](sim::EventType type) {
    return std::find(types.begin(), types.end(), type) - types.begin();
  };
  const auto last = [&](sim::EventType type) {
    return types.rend() - std::find(types.rbegin(), types.rend(), type);
  };
  EXPECT_LT(last(sim::EventType::kStorePte), at(sim::EventType::kDsbIshst) + 1);
  EXPECT_LT(at(sim::EventType::kDsbIshst), at(sim::EventType::kTlbiVale2is));
  EXPECT_LT(last(sim::EventType::kTlbiVae2is), last(sim::EventType::kDsbIsh));
  EXPECT_LT(last(sim::EventType::kDsbIsh), last(sim::EventType::kIsb));
}

TYPED_TEST(HypTableTest, ASlotForTheFixmap) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  {
    SpinlockHolder hold(t.table.lock);
    EXPECT_EQ(t.table.LeafEntry(HypVa(0)), nullptr);
  }
  ASSERT_TRUE(
      t.Map(0, t.kOutput, 2 * G::kPageSize, kHypData, false).has_value());
  SpinlockHolder hold(t.table.lock);
  uint64_t* const entry = t.table.LeafEntry(HypVa(G::kPageSize));
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(*entry, t.table.Find(HypVa(G::kPageSize))->pte.raw());
}

TYPED_TEST(HypTableTest, BeyondTheInputSize) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  const uint64_t end = uint64_t{1} << this->kVaBits;
  SpinlockHolder hold(t.table.lock);
  EXPECT_EQ(t.table.Find(HypVa(end)).error(), Errno::kErange);
  EXPECT_TRUE(t.table.InRange(HypVa(end - 1), 1));
  EXPECT_FALSE(t.table.InRange(HypVa(end - 1), 2));
  EXPECT_FALSE(t.table.InRange(HypVa(~uint64_t{0}), 2));
}

// Random maps of free and unmaps of mapped ranges against a vector of pages.
TYPED_TEST(HypTableTest, RandomRangesAgreeWithAModel) {
  using G = TypeParam;
  TestHyp<G> t(this->kVaBits);
  constexpr uint64_t kPage = G::kPageSize;
  const uint64_t window = std::min<uint64_t>(
      4 * G::kEntries, (uint64_t{1} << this->kVaBits) / kPage);
  std::vector<uint64_t> model(window, 0);  // output address, 0 for none
  std::seed_seq seed{5u, G::kPageShift};
  absl::BitGen random(seed);
  for (int round = 0; round < (G::kPageShift == 16 ? 40 : 300); ++round) {
    const uint64_t first = absl::Uniform<uint64_t>(random, 0, window);
    uint64_t count = 1;
    const uint64_t want = absl::Uniform<uint64_t>(random, 1, window);
    const bool mapped = model[first] != 0;
    while (count < want && first + count < window &&
           (model[first + count] != 0) == mapped)
      ++count;
    if (mapped) {
      t.Unmap(first * kPage, count * kPage);
    } else {
      const uint64_t pa =
          t.kOutput + (absl::Bernoulli(random, 0.5) ? first : 3) * kPage;
      // Pages only: a later unmap may cover a part.
      ASSERT_TRUE(
          t.Map(first * kPage, pa, count * kPage, kHypData, false).has_value());
      for (uint64_t i = 0; i < count; ++i) model[first + i] = pa + i * kPage;
    }
    if (mapped)
      std::fill_n(model.begin() + static_cast<int64_t>(first), count, 0);
    for (uint64_t i = 0; i < window; ++i) {
      const auto entry = t.Look(i * kPage);
      ASSERT_EQ(entry.pte.valid(), model[i] != 0)
          << "round " << round << " page " << i;
      if (model[i] != 0) {
        ASSERT_EQ(entry.pte.address(), PhysAddr(model[i]));
      }
    }
    const bool empty = std::all_of(model.begin(), model.end(),
                                   [](uint64_t pa) { return pa == 0; });
    ASSERT_EQ(t.Free() == t.total, empty);
    t.machine.ClearEvents();  // a million, that nobody reads
  }
  EXPECT_THAT(Messages(t.machine), IsEmpty());
}

TEST(HypTableDeathTest, EL2sOwnMistakes) {
  using G = Granule4K;
  constexpr uint64_t kPage = G::kPageSize;
  TestHyp<G> t(39);
  ASSERT_TRUE(t.Map(0, t.kOutput, kPage, kHypData, false).has_value());
  // Another address or attribute where one is; what is not mapped; a part of a
  // block.
  EXPECT_DEATH(
      static_cast<void>(t.Map(0, t.kOutput + kPage, kPage, kHypData, false)),
      "old");
  EXPECT_DEATH(static_cast<void>(t.Map(0, t.kOutput, kPage, kHypRodata, false)),
               "old");
  EXPECT_DEATH(t.Unmap(0, 2 * kPage), "raw");
  EXPECT_DEATH(static_cast<void>(t.Map(8, t.kOutput, kPage, kHypData, false)),
               "va");
  EXPECT_DEATH(static_cast<void>(t.Map(0, 8, kPage, kHypData, false)), "phys");
  EXPECT_DEATH(static_cast<void>(
                   t.Map(uint64_t{1} << 39, t.kOutput, kPage, kHypData, false)),
               "InRange");
  const uint64_t block = G::kPageSize * G::kEntries;
  ASSERT_TRUE(t.Map(block, t.kOutput, block, kHypData, true).has_value());
  EXPECT_DEATH(t.Unmap(block, kPage), "bytes");
  EXPECT_DEATH(
      static_cast<void>(t.Map(block, t.kOutput, kPage, kHypData, false)),
      "old|raw");
  EXPECT_DEATH(
      {
        t.table.lock.Lock();
        HypTlbBatch<G> batch(t.table);
        t.table.lock.Unlock();
      },
      "open_batches_");
}

}  // namespace
}  // namespace holdfast::pgtable
