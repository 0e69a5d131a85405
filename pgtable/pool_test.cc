// SPDX-License-Identifier: Apache-2.0
#include "pgtable/pool.h"

#include <cstdint>
#include <utility>

#include "gtest/gtest.h"
#include "pgtable/geometry.h"
#include "test_machine.h"

namespace holdfast::pgtable {
namespace {

template <class G>
class PoolTest : public testing::Test {
 protected:
  // Physical address 0 is a page like others, where there is one.
  static constexpr uint64_t kRam = sim::kLowestRam;
  static sim::MachineConfig Config() {
    sim::MachineConfig config;
    config.ram = {{PhysAddr(kRam), 64 * G::kPageSize}};
    config.page_shift = G::kPageShift;
    return config;
  }
  PhysAddr Page(uint64_t i) const { return PhysAddr(kRam + i * G::kPageSize); }
  uint64_t FirstWord(PhysAddr page) const {
    return *static_cast<const uint64_t*>(machine_.ram().At(page));
  }

  sim::Machine machine_{Config()};
  sim::OnCpu on_cpu_{machine_, 0};
  PagePool<G> pool_;
};
using Granules = testing::Types<Granule4K, Granule16K, Granule64K, GranuleTiny>;
TYPED_TEST_SUITE(PoolTest, Granules);

TYPED_TEST(PoolTest, LastInFirstOutAndWiped) {
  for (uint64_t i = 0; i < 3; ++i) this->pool_.Push(this->Page(i));
  EXPECT_EQ(this->pool_.free(), 3u);
  // A stale walker that reads the link finds an invalid entry.
  for (uint64_t i = 0; i < 3; ++i)
    EXPECT_EQ(this->FirstWord(this->Page(i)) & 1, 0u);
  for (uint64_t i = 3; i-- > 0;) {
    const auto page = this->pool_.Pop();
    ASSERT_TRUE(page.has_value());
    EXPECT_EQ(*page, this->Page(i));
    EXPECT_EQ(this->FirstWord(*page), 0u);
  }
  EXPECT_FALSE(this->pool_.Pop().has_value());
}

// A run is used when the list is empty, last page first, and lists grow above
// it.
TYPED_TEST(PoolTest, ARunLiesBelowTheList) {
  this->pool_.PushRun(this->Page(0), 3);
  EXPECT_EQ(this->pool_.free(), 3u);
  EXPECT_EQ(*this->pool_.Pop(), this->Page(2));
  this->pool_.Push(this->Page(7));
  this->pool_.Push(this->Page(2));
  EXPECT_EQ(this->pool_.free(), 4u);
  auto reservation = *this->pool_.Reserve(4);
  for (const uint64_t i : {2, 7, 1, 0}) {
    const PhysAddr page = reservation.Take();
    EXPECT_EQ(page, this->Page(i));
    EXPECT_EQ(this->FirstWord(page), 0u);
  }
  EXPECT_EQ(this->pool_.free(), 0u);
  this->pool_.Push(this->Page(1));
  EXPECT_EQ(*this->pool_.Pop(), this->Page(1));
  EXPECT_FALSE(this->pool_.Pop().has_value());
}

TYPED_TEST(PoolTest, ReservedPagesAreNobodyElses) {
  for (uint64_t i = 0; i < 5; ++i) this->pool_.Push(this->Page(i));
  {
    auto reservation = *this->pool_.Reserve(3);
    EXPECT_EQ(this->pool_.free(), 2u);
    EXPECT_EQ(this->pool_.Reserve(3).error(), Errno::kEnomem);
    EXPECT_EQ(this->pool_.free(), 2u);
    EXPECT_TRUE(this->pool_.Pop().has_value());
    EXPECT_TRUE(this->pool_.Pop().has_value());
    EXPECT_FALSE(this->pool_.Pop().has_value());
    EXPECT_EQ(reservation.remaining(), 3u);
    EXPECT_EQ(this->FirstWord(reservation.Take()), 0u);
    EXPECT_EQ(reservation.remaining(), 2u);
    EXPECT_EQ(this->pool_.free(), 0u);
  }
  // What was not taken is free again.
  EXPECT_EQ(this->pool_.free(), 2u);
}

TYPED_TEST(PoolTest, AReservationMoves) {
  for (uint64_t i = 0; i < 4; ++i) this->pool_.Push(this->Page(i));
  auto a = *this->pool_.Reserve(2);
  auto b = std::move(a);
  EXPECT_EQ(a.remaining(), 0u);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(b.remaining(), 2u);
  EXPECT_EQ(this->pool_.free(), 2u);
  b = *this->pool_.Reserve(1);
  EXPECT_EQ(b.remaining(), 1u);
  EXPECT_EQ(this->pool_.free(), 3u);
  typename PagePool<TypeParam>::Reservation none;
  b = std::move(none);
  EXPECT_EQ(this->pool_.free(), 4u);
}

TYPED_TEST(PoolTest, MisuseIsABug) {
  this->pool_.Push(this->Page(1));
  EXPECT_DEATH(this->pool_.Push(PhysAddr(TypeParam::kPageSize / 2)),
               "IsAligned");
  this->pool_.Push(this->Page(2));
  EXPECT_DEATH(this->pool_.Push(this->Page(2)), "== 0");
  EXPECT_DEATH(this->pool_.PushRun(this->Page(3), 1), "pages_ == 0");
  auto none = *this->pool_.Reserve(0);
  EXPECT_DEATH(static_cast<void>(none.Take()), "remaining_");
}

}  // namespace
}  // namespace holdfast::pgtable
