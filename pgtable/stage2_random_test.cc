// SPDX-License-Identifier: Apache-2.0
//
// Random operations on a stage-2 table against a model of pages, over all
// granules: after each, every entry, count and stock page must be as the model
// says, and the simulated machine must have seen nothing it forbids.
#include <algorithm>
#include <cstdint>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/stage2.h"
#include "pgtable/test_table.h"
#include "test_random.h"

namespace holdfast::pgtable {
namespace {

using testing::IsEmpty;

// Sanitizers are slow: they get a part of the calls.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
constexpr int kPart = 10;
#else
constexpr int kPart = 1;
#endif

// A window of input addresses that has table boundaries of each level in it.
template <class C>
struct Window {
  using G = typename C::G;
  static constexpr uint64_t kBlock = G::kPageSize * G::kEntries;
  static constexpr bool kTiny = G::kPageShift == 5;
  static constexpr uint64_t kWhole = uint64_t{1} << C::kIpaBits;
  // For the tiny granule all there is, if small; else two blocks on each side
  // of a level 1 boundary.
  static constexpr uint64_t kSize =
      kTiny ? std::min<uint64_t>(kWhole, 256 * 32) : 4 * kBlock;
  static constexpr uint64_t kBase =
      kTiny ? 0 : uint64_t{G::kEntries} * kBlock - kSize / 2;
};

template <class C>
class Stage2RandomTest : public testing::Test {};
using Configs = testing::Types<Config<Granule4K, 48>, Config<Granule4K, 40>,
                               Config<Granule16K, 48>, Config<Granule64K, 48>,
                               Config<GranuleTiny, 9>, Config<GranuleTiny, 13>,
                               Config<GranuleTiny, 17>>;
TYPED_TEST_SUITE(Stage2RandomTest, Configs);

TYPED_TEST(Stage2RandomTest, AgreesWithTheModel) {
  using G = typename TypeParam::G;
  using W = Window<TypeParam>;
  constexpr uint64_t kPage = G::kPageSize;
  TestTable<G> t(TypeParam::kIpaBits, 512);
  Model<G> model(W::kBase, W::kSize, t.table.shape().start.value());
  std::seed_seq seed{20240601u, G::kPageShift, TypeParam::kIpaBits};
  absl::BitGen random(seed);
  const uint64_t pages = W::kSize / kPage;
  const int rounds = W::kTiny              ? 4000
                     : G::kPageShift == 12 ? 1200
                     : G::kPageShift == 14 ? 300
                                           : 60;

  const auto any_page = [&] {
    // Often at or beside a table's end.
    if (absl::Bernoulli(random, 0.4)) {
      const uint64_t edge =
          absl::Uniform<uint64_t>(random, 0, pages / G::kEntries) * G::kEntries;
      return (edge + pages + absl::Uniform<uint64_t>(random, 0, 3) - 1) % pages;
    }
    return absl::Uniform<uint64_t>(random, 0, pages);
  };
  // Two ways to choose an output: one that a neighbour would have had too, so
  // that equal entries are met, and one that fits nothing.
  const auto any_output = [&](uint64_t ipa) {
    const uint64_t congruent = TestTable<G>::kOutput + ipa;
    if (absl::Bernoulli(random, 0.7)) return congruent;
    return TestTable<G>::kOutput * 2 +
           absl::Uniform<uint64_t>(random, 0, 1000) * kPage;
  };
  const auto any_attr = [&] {
    if (absl::Bernoulli(random, 0.2)) return ReadOnlyAttr();
    return GuestAttr(absl::Uniform<unsigned>(random, 0, 3));
  };
  const auto any_annotation = [&]() -> Annotation {
    switch (absl::Uniform(random, 0, 3)) {
      case 0:
        return Annotation::Poison();
      case 1:
        return Annotation::HostDonationToHyp();
      default:
        return Annotation::HostDonationToGuest(
            VmHandle(static_cast<uint16_t>(absl::Uniform(random, 0, 65536))),
            Gfn(absl::Uniform<uint64_t>(random, 0, uint64_t{1} << 30)));
    }
  };

  for (int round = 0; round < rounds / kPart; ++round) {
    {
      SpinlockHolder hold(t.table.lock);
      TlbBatch<G> batch(t.table);
      uint64_t lowest = ~uint64_t{0};
      uint64_t highest = 0;
      // Mostly one change a batch; sometimes several, that may undo each other.
      for (int n = absl::Bernoulli(random, 0.25) ? 4 : 1; n > 0; --n) {
        const uint64_t first = any_page();
        uint64_t count = absl::Bernoulli(random, 0.5)
                             ? absl::Uniform<uint64_t>(random, 1, 6)
                             : absl::Uniform<uint64_t>(random, 1, pages + 1);
        if (absl::Bernoulli(random, 0.2)) count = G::kEntries;
        if (count > pages - first) count = pages - first;
        const uint64_t ipa = W::kBase + first * kPage;
        const uint64_t size = count * kPage;
        const int largest = absl::Uniform(random, 1, 4);
        const Level level(static_cast<int8_t>(largest));
        int operation = absl::Uniform(random, 0, 8);
        uint64_t touched = size;
        SCOPED_TRACE(
            absl::StrFormat("round %d operation %d ipa %#x pages %d largest %d",
                            round, operation, ipa, count, largest));

        // Page by page operations.
        if (operation >= 5) {
          touched = kPage;
          auto cursor = *t.table.Find(Ipa(ipa));
          const auto& page = model.At(ipa);
          if (page.kind != Model<G>::Kind::kNone) {
            EXPECT_EQ(cursor.level().value(), page.level);
          }
          auto reservation = *t.table.stock.Reserve(cursor.tables_missing());
          EXPECT_EQ(cursor.tables_missing(), model.TablesNeeded(ipa, kPage));
          if (operation == 5) {
            const uint64_t pa = any_output(ipa);
            const Stage2Attr attr = any_attr();
            t.table.MapAt(cursor, PhysAddr(pa), attr, reservation, batch);
            model.Map(ipa, pa, kPage, attr.bits(), 3);
            EXPECT_EQ(reservation.remaining(), 0u);
          } else if (operation == 6) {
            const Annotation annotation = any_annotation();
            t.table.AnnotateAt(cursor, annotation, reservation, batch);
            model.Annotate(ipa, kPage, annotation, 3);
            EXPECT_EQ(reservation.remaining(), 0u);
          } else {
            t.table.UnmapAt(cursor, batch);
            model.Unmap(ipa, kPage);
          }
          // The cursor stands on what the page now says.
          const auto again = *t.table.Find(Ipa(ipa));
          EXPECT_EQ(cursor.pte(), again.pte());
          EXPECT_EQ(cursor.level(), again.level());
        } else if (operation < 2) {
          const uint64_t pa = any_output(ipa);
          const Stage2Attr attr = any_attr();
          // Tables for the largest leaves only if outputs are aligned as inputs
          // are.
          const bool congruent = (ipa ^ pa) % Model<G>::Span(1) == 0;
          const uint32_t worst = t.table.TablesNeeded(Ipa(ipa), size);
          EXPECT_EQ(worst, model.TablesNeeded(ipa, size));
          auto reservation = *t.table.stock.Reserve(
              congruent ? t.table.TablesNeeded(Ipa(ipa), size, level) : worst);
          t.table.Map(Ipa(ipa), PhysAddr(pa), size, attr, level, reservation,
                      batch);
          model.Map(ipa, pa, size, attr.bits(), largest);
          if (largest == 3) {
            EXPECT_EQ(reservation.remaining(), 0u);
          }
        } else if (operation < 4) {
          const Annotation annotation = any_annotation();
          auto reservation = *t.table.stock.Reserve(
              t.table.TablesNeeded(Ipa(ipa), size, level));
          t.table.Annotate(Ipa(ipa), size, annotation, reservation, batch,
                           level);
          model.Annotate(ipa, size, annotation, largest);
          if (largest == 3) {
            EXPECT_EQ(reservation.remaining(), 0u);
          }
        } else {
          t.table.Unmap(Ipa(ipa), size, batch);
          model.Unmap(ipa, size);
        }
        lowest = std::min(lowest, ipa);
        highest = std::max(highest, ipa + touched);
      }
      FlushReceipt receipt = batch.Complete();
      EXPECT_TRUE(
          receipt.Covers(TestTable<G>::kVmid, Ipa(lowest), highest - lowest));
    }
    ASSERT_TRUE(SameEntries(t.Read(), model.Entries())) << "round " << round;
    ASSERT_THAT(Messages(t.machine), IsEmpty()) << "round " << round;
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace holdfast::pgtable
