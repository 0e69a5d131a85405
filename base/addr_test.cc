// SPDX-License-Identifier: Apache-2.0
//
// Address types, for whatever granule the build has.
#include "base/addr.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include "base/granule.h"
#include "base/stage2_context.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// Nothing converts by itself (wrong/ has the errors that people see).
static_assert(!std::is_convertible_v<uint64_t, PhysAddr>);
static_assert(!std::is_convertible_v<PhysAddr, uint64_t>);
static_assert(!std::is_convertible_v<uint64_t, Pfn>);
static_assert(!std::is_constructible_v<PhysAddr, Ipa>);
static_assert(!std::is_constructible_v<PhysAddr, HypVa>);
static_assert(!std::is_constructible_v<Pfn, Gfn>);
static_assert(!std::is_constructible_v<Pfn, PhysAddr>);
static_assert(!std::is_constructible_v<VmHandle, Vmid>);
static_assert(!std::is_convertible_v<int, Level>);
// They cost no more than the integer.
static_assert(sizeof(PhysAddr) == 8 && std::is_trivially_copyable_v<PhysAddr>);
static_assert(sizeof(VmHandle) == 2 && sizeof(Level) == 1);

TEST(AddressTest, AddsAndSubtracts) {
  constexpr PhysAddr address(0x4000'0000);
  EXPECT_EQ((address + 0x1000).value(), 0x4000'1000u);
  EXPECT_EQ((address - 0x1000).value(), 0x3fff'f000u);
  EXPECT_EQ(address + 0x1000 - address, 0x1000u);
  EXPECT_EQ(address - address, 0u);
  PhysAddr moving = address;
  moving += 8;
  EXPECT_EQ(moving.value(), 0x4000'0008u);
}

TEST(AddressTest, ReachesBothEnds) {
  EXPECT_EQ((Ipa(0) + kMax).value(), kMax);
  EXPECT_EQ((Ipa(kMax) - kMax).value(), 0u);
  EXPECT_EQ((Ipa(kMax) + 0).value(), kMax);
  EXPECT_EQ(Ipa(kMax) - Ipa(0), kMax);
}

TEST(AddressDeathTest, WrappingIsFatal) {
  EXPECT_DEATH(static_cast<void>(PhysAddr(kMax) + 1), "panic: .*addr.h");
  EXPECT_DEATH(static_cast<void>(PhysAddr(1) + kMax), "panic: .*addr.h");
  EXPECT_DEATH(static_cast<void>(PhysAddr(0) - 1), "panic: .*addr.h");
  EXPECT_DEATH(static_cast<void>(PhysAddr(0x1000) - 0x1001), "panic: .*addr.h");
  EXPECT_DEATH(static_cast<void>(PhysAddr(0) - PhysAddr(1)), "panic: .*addr.h");
  PhysAddr address(kMax);
  EXPECT_DEATH(address += 1, "panic: .*addr.h");
}

TEST(AddressTest, Aligns) {
  EXPECT_TRUE(PhysAddr(0).IsAligned(uint64_t{1} << 63));
  EXPECT_TRUE(PhysAddr(0x3000).IsAligned(0x1000));
  EXPECT_FALSE(PhysAddr(0x3000).IsAligned(0x2000));
  EXPECT_FALSE(PhysAddr(0x3001).IsAligned(2));
  EXPECT_TRUE(PhysAddr(0x3001).IsAligned(1));
  EXPECT_EQ(PhysAddr(0x3fff).AlignDown(0x1000).value(), 0x3000u);
  EXPECT_EQ(PhysAddr(0x3000).AlignDown(0x1000).value(), 0x3000u);
  EXPECT_EQ(PhysAddr(kMax).AlignDown(uint64_t{1} << 63).value(),
            uint64_t{1} << 63);
}

TEST(AddressTest, Compares) {
  EXPECT_LT(PhysAddr(1), PhysAddr(2));
  EXPECT_EQ(PhysAddr(), PhysAddr(0));
  // Unsigned: the top half is the larger one.
  EXPECT_LT(PhysAddr(1), PhysAddr(kMax));
}

TEST(FrameNumberTest, NamesTheFrameOfAnyByte) {
  EXPECT_EQ(Pfn::Of(PhysAddr(0)).value(), 0u);
  EXPECT_EQ(Pfn::Of(PhysAddr(kPageSize - 1)).value(), 0u);
  EXPECT_EQ(Pfn::Of(PhysAddr(kPageSize)).value(), 1u);
  EXPECT_EQ(Pfn::Of(PhysAddr(kMax)).value(), kMax >> kPageShift);
  EXPECT_EQ(Gfn(3).address(), Ipa(3 * kPageSize));
}

TEST(FrameNumberTest, CountsAndCompares) {
  EXPECT_EQ((Pfn(5) + 3).value(), 8u);
  EXPECT_EQ(Pfn(5) - Pfn(3), 2u);
  EXPECT_EQ(Pfn(5) - Pfn(5), 0u);
  EXPECT_LT(Pfn(5), Pfn(6));
}

TEST(FrameNumberDeathTest, WrappingIsFatal) {
  EXPECT_DEATH(static_cast<void>(Pfn(kMax) + 1), "panic: .*addr.h");
  EXPECT_DEATH(static_cast<void>(Pfn(3) - Pfn(5)), "panic: .*addr.h");
}

// Every width of space, at its first and last frame and beside them.
TEST(FrameNumberTest, FromUntrustedAtEveryEdge) {
  for (unsigned bits = 0; bits <= 80; ++bits) {
    SCOPED_TRACE(bits);
    if (bits < kPageShift || bits > 63) {
      // A space without a whole page, or wider than addresses are: no frame at
      // all.
      EXPECT_FALSE(Pfn::FromUntrusted(0, bits).has_value());
      EXPECT_FALSE(Pfn::FromUntrusted(kMax, bits).has_value());
      continue;
    }
    const uint64_t frames = uint64_t{1} << (bits - kPageShift);
    for (const uint64_t inside : {uint64_t{0}, frames / 2, frames - 1}) {
      const std::optional<Pfn> pfn = Pfn::FromUntrusted(inside, bits);
      ASSERT_TRUE(pfn.has_value()) << inside;
      EXPECT_EQ(pfn->value(), inside);
      // What it names can be addressed: to the last byte of the frame.
      EXPECT_EQ(pfn->address().value() >> kPageShift, inside);
      EXPECT_EQ((pfn->address() + (kPageSize - 1)).value() >> bits, 0u);
    }
    for (const uint64_t beyond :
         {frames, frames + 1, frames << 1, uint64_t{1} << 63, kMax - 1, kMax,
          kMax << kPageShift}) {
      EXPECT_FALSE(Pfn::FromUntrusted(beyond, bits).has_value()) << beyond;
      EXPECT_FALSE(Gfn::FromUntrusted(beyond, bits).has_value()) << beyond;
    }
  }
}

// Bits that shift out must not make a huge number look small.
TEST(FrameNumberTest, FromUntrustedSeesAllBits) {
  for (unsigned bit = 48 - kPageShift; bit < 64; ++bit) {
    EXPECT_FALSE(Pfn::FromUntrusted(uint64_t{1} << bit, 48).has_value()) << bit;
  }
}

TEST(GranuleTest, PagesForRoundsUp) {
  EXPECT_EQ(kPageSize, uint64_t{1} << kPageShift);
  EXPECT_EQ(PagesFor(0), 0u);
  EXPECT_EQ(PagesFor(1), 1u);
  EXPECT_EQ(PagesFor(kPageSize), 1u);
  EXPECT_EQ(PagesFor(kPageSize + 1), 2u);
}

TEST(Stage2ContextTest, VttbrHoldsVmidAndRoot) {
  const Stage2Context context{.vmid = Vmid(0xabcd),
                              .root = PhysAddr(0x4020'0000)};
  EXPECT_EQ(context.vttbr(), 0xabcd'0000'4020'0000u);
  EXPECT_EQ(kHostVmid, Vmid(0));
}

}  // namespace
}  // namespace holdfast
