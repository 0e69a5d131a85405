// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of geometry.h, proved at compile time where it can be, against
// the numbers of the Arm ARM written out.
#include "pgtable/geometry.h"

#include "gtest/gtest.h"

namespace holdfast::pgtable {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

static_assert(Granule4K::kPageSize == 4 * kKiB && Granule4K::kEntries == 512);
static_assert(Granule16K::kPageSize == 16 * kKiB &&
              Granule16K::kEntries == 2048);
static_assert(Granule64K::kPageSize == 64 * kKiB &&
              Granule64K::kEntries == 8192);
static_assert(GranuleTiny::kPageSize == 32 && GranuleTiny::kEntries == 4);

static_assert(Granule4K::Size(Level(3)) == 4 * kKiB &&
              Granule4K::Size(Level(2)) == 2 * kMiB &&
              Granule4K::Size(Level(1)) == kGiB &&
              Granule4K::Size(Level(0)) == 512 * kGiB &&
              Granule4K::Shift(Level(-1)) == 48);
static_assert(Granule16K::Size(Level(3)) == 16 * kKiB &&
              Granule16K::Size(Level(2)) == 32 * kMiB &&
              Granule16K::Size(Level(1)) == 64 * kGiB &&
              Granule16K::Shift(Level(0)) == 47);
static_assert(Granule64K::Size(Level(3)) == 64 * kKiB &&
              Granule64K::Size(Level(2)) == 512 * kMiB &&
              Granule64K::Size(Level(1)) == 4096 * kGiB);
static_assert(GranuleTiny::Size(Level(3)) == 32 &&
              GranuleTiny::Size(Level(2)) == 128 &&
              GranuleTiny::Size(Level(1)) == 512 &&
              GranuleTiny::Size(Level(0)) == 2048);

static_assert(Granule4K::Index(0x7F'C0'3F'FF'FFFF, Level(3)) == 511);
static_assert(Granule4K::Index(0x0000'1234'5678'9000, Level(0)) ==
              0x1234'5678'9000 >> 39);
static_assert(Granule4K::Index(0x0000'0000'4020'1000, Level(1)) == 1 &&
              Granule4K::Index(0x0000'0000'4020'1000, Level(2)) == 1 &&
              Granule4K::Index(0x0000'0000'4020'1000, Level(3)) == 1);
static_assert(Granule16K::Index(uint64_t{3} << 25 | uint64_t{5} << 14,
                                Level(2)) == 3 &&
              Granule16K::Index(uint64_t{3} << 25 | uint64_t{5} << 14,
                                Level(3)) == 5);
static_assert(Granule64K::Index(uint64_t{8191} << 16, Level(3)) == 8191 &&
              Granule64K::Index(uint64_t{8192} << 16, Level(3)) == 0);

template <class G>
constexpr bool BlocksAre(bool level0, bool level1, bool level2) {
  return G::BlockAllowed(Level(0)) == level0 &&
         G::BlockAllowed(Level(1)) == level1 &&
         G::BlockAllowed(Level(2)) == level2 && !G::BlockAllowed(Level(3)) &&
         !G::BlockAllowed(Level(-1));
}
static_assert(BlocksAre<Granule4K>(false, true, true));
static_assert(BlocksAre<Granule16K>(false, false, true));
static_assert(BlocksAre<Granule64K>(false, false, true));
static_assert(BlocksAre<GranuleTiny>(false, true, true));

// Every input size: the specification's formulas, and that indices neither
// overlap nor leave a bit out.
template <class G>
constexpr bool ShapesHold(unsigned from, unsigned to) {
  constexpr unsigned kShift = G::kPageShift;
  for (unsigned bits = from; bits <= to; ++bits) {
    const Stage2Shape shape = ShapeFor<G>(bits);
    unsigned levels = (bits - 4 - kShift + (kShift - 3) - 1) / (kShift - 3);
    if (bits - 4 <= kShift || levels < 2) levels = 2;
    if (shape.ipa_bits != bits || shape.levels != levels) return false;
    if (shape.start.value() != static_cast<int>(4 - levels)) return false;
    const unsigned above = G::Shift(shape.start) + G::kIndexBits;
    const uint64_t last = (uint64_t{1} << bits) - 1;
    if (shape.root_pages != (last >> above) + 1) return false;
    if (shape.root_pages > kMaxRootPages) return false;
    // The last address uses the root's last entry at most.
    if ((last >> G::Shift(shape.start)) >=
        uint64_t{shape.root_pages} * G::kEntries)
      return false;
    // An address is the root's index, the indices below, and the page's offset.
    uint64_t address = last & (G::kPageSize - 1);
    for (int level = shape.start.value() + 1; level <= 3; ++level) {
      const Level l(static_cast<int8_t>(level));
      address |= uint64_t{G::Index(last, l)} << G::Shift(l);
    }
    address |= last >> G::Shift(shape.start) << G::Shift(shape.start);
    if (address != last) return false;
  }
  return true;
}
static_assert(ShapesHold<Granule4K>(32, 48));
static_assert(ShapesHold<Granule16K>(32, 48));
static_assert(ShapesHold<Granule64K>(32, 52));
static_assert(ShapesHold<GranuleTiny>(8, 17));

template <class G>
constexpr bool Shape(unsigned bits, int start, unsigned root_pages) {
  const Stage2Shape shape = ShapeFor<G>(bits);
  return shape.start.value() == start && shape.root_pages == root_pages;
}
static_assert(Shape<Granule4K>(32, 2, 4) && Shape<Granule4K>(34, 2, 16) &&
              Shape<Granule4K>(35, 1, 1) && Shape<Granule4K>(39, 1, 1) &&
              Shape<Granule4K>(40, 1, 2) && Shape<Granule4K>(43, 1, 16) &&
              Shape<Granule4K>(44, 0, 1) && Shape<Granule4K>(48, 0, 1));
static_assert(Shape<Granule16K>(32, 2, 1) && Shape<Granule16K>(40, 2, 16) &&
              Shape<Granule16K>(41, 1, 1) && Shape<Granule16K>(48, 1, 2));
static_assert(Shape<Granule64K>(32, 2, 1) && Shape<Granule64K>(44, 2, 4) &&
              Shape<Granule64K>(46, 2, 16) && Shape<Granule64K>(47, 1, 1) &&
              Shape<Granule64K>(52, 1, 1));
static_assert(Shape<GranuleTiny>(9, 2, 1) && Shape<GranuleTiny>(13, 2, 16) &&
              Shape<GranuleTiny>(17, 0, 16));

TEST(GeometryTest, VtcrIsTheArchitecturesEncoding) {
  EXPECT_EQ(Vtcr<Granule4K>(ShapeFor<Granule4K>(40), {.pa_bits = 40}),
            0x8002'3558u);
  EXPECT_EQ(Vtcr<Granule4K>(ShapeFor<Granule4K>(48), {.pa_bits = 48}),
            0x8005'3590u);
  EXPECT_EQ(Vtcr<Granule4K>(ShapeFor<Granule4K>(34), {.pa_bits = 36}),
            0x8001'351Eu);
  EXPECT_EQ(Vtcr<Granule16K>(ShapeFor<Granule16K>(48), {.pa_bits = 48}),
            0x8005'B590u);
  EXPECT_EQ(Vtcr<Granule64K>(ShapeFor<Granule64K>(48), {.pa_bits = 48}),
            0x8005'7590u);
  EXPECT_EQ(Vtcr<Granule64K>(ShapeFor<Granule64K>(52), {.pa_bits = 52}),
            0x8006'758Cu);
  EXPECT_EQ(
      Vtcr<Granule4K>(ShapeFor<Granule4K>(44), {.pa_bits = 44, .vmid16 = true}),
      0x800C'3594u);
  EXPECT_EQ(
      Vtcr<Granule4K>(ShapeFor<Granule4K>(42), {.pa_bits = 42, .hafdbs = true}),
      0x8023'3556u);
}

TEST(GeometryTest, PhysicalSizesAreRoundedDownToAnEncoding) {
  const auto ps = [](unsigned pa_bits) {
    return Vtcr<Granule4K>(ShapeFor<Granule4K>(40), {.pa_bits = pa_bits}) >>
               16 &
           7;
  };
  EXPECT_EQ(ps(32), 0u);
  EXPECT_EQ(ps(35), 0u);
  EXPECT_EQ(ps(36), 1u);
  EXPECT_EQ(ps(39), 1u);
  EXPECT_EQ(ps(40), 2u);
  EXPECT_EQ(ps(42), 3u);
  EXPECT_EQ(ps(44), 4u);
  EXPECT_EQ(ps(48), 5u);
  EXPECT_EQ(ps(52), 6u);
}

TEST(GeometryDeathTest, InputSizesBeyondTheGranuleAreBugs) {
  EXPECT_DEATH(ShapeFor<Granule4K>(49), "ipa_bits");
  EXPECT_DEATH(ShapeFor<Granule4K>(31), "ipa_bits");
  EXPECT_DEATH(ShapeFor<Granule16K>(49), "ipa_bits");
  EXPECT_DEATH(ShapeFor<Granule64K>(53), "ipa_bits");
  EXPECT_DEATH(ShapeFor<GranuleTiny>(18), "ipa_bits");
}

}  // namespace
}  // namespace holdfast::pgtable
