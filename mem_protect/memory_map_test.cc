// SPDX-License-Identifier: Apache-2.0
#include "mem_protect/memory_map.h"

#include <vector>

#include "gtest/gtest.h"

namespace holdfast::mem_protect {
namespace {

constexpr unsigned kBits = 40;
constexpr uint64_t kTop = uint64_t{1} << kBits;

Region Ram(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kMemory};
}
Region NoMap(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kNoMap};
}
Region Mmio(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kMmio};
}

bool Accepts(const std::vector<Region>& regions, unsigned pa_bits = kBits) {
  MemoryMap map;
  const Status status = map.Init(regions, pa_bits);
  if (!status.has_value()) EXPECT_EQ(status.error(), Errno::kEinval);
  return status.has_value();
}

TEST(MemoryMapInit, TakesNoneToAllRegions) {
  EXPECT_TRUE(Accepts({}));
  std::vector<Region> regions;
  for (uint64_t i = 0; i < MemoryMap::kMaxRegions; ++i) {
    regions.push_back(Ram(i * 4 * kPageSize, kPageSize));
  }
  MemoryMap map;
  ASSERT_TRUE(map.Init(regions, kBits).has_value());
  ASSERT_EQ(map.regions().size(), 128u);
  // Each is found by its first and last byte; what lies between two by none.
  for (const Region& region : map.regions()) {
    EXPECT_EQ(map.Find(region.base), &region);
    EXPECT_EQ(map.Find(region.end() - 1), &region);
    EXPECT_EQ(map.Find(region.end()), nullptr);
    EXPECT_EQ(map.Find(region.base + (4 * kPageSize - 1)), nullptr);
  }
  regions.push_back(Ram(MemoryMap::kMaxRegions * 4 * kPageSize, kPageSize));
  EXPECT_FALSE(Accepts(regions)) << "129 regions";
}

TEST(MemoryMapInit, RefusesEmptyUnsortedAndOverlapping) {
  EXPECT_FALSE(Accepts({Ram(0x1000, 0)}));
  EXPECT_FALSE(Accepts({Ram(0x8000, 0x1000), Ram(0x1000, 0x1000)}));
  EXPECT_FALSE(Accepts({Ram(0x1000, 0x1000), Ram(0x1000, 0x1000)}));
  EXPECT_FALSE(Accepts({Ram(0x1000, 0x1001), Ram(0x2000, 0x1000)}))
      << "one byte of overlap";
  EXPECT_TRUE(Accepts({Ram(0x1000, 0x1000), Ram(0x2000, 0x1000)}))
      << "they only touch";
  EXPECT_FALSE(Accepts({Ram(0x1000, 0x4000), Ram(0x2000, 0x1000)}))
      << "one inside another";
}

TEST(MemoryMapInit, KeepsToThePhysicalAddressSize) {
  EXPECT_TRUE(Accepts({Ram(kTop - 0x1000, 0x1000)}));
  EXPECT_FALSE(Accepts({Ram(kTop - 0x1000, 0x1001)}));
  EXPECT_FALSE(Accepts({Ram(kTop, 0x1000)}));
  EXPECT_FALSE(Accepts({Ram(kTop << 8, 0x1000)}));
  // base + size wraps to something small.
  EXPECT_FALSE(Accepts({Ram(0x1000, ~uint64_t{0})}));
  EXPECT_FALSE(Accepts({Ram(kTop - 0x1000, ~uint64_t{0} - 0x1000)}));
  EXPECT_FALSE(Accepts({Ram(~uint64_t{0} - 0xfff, 0x1000)}));
  EXPECT_FALSE(Accepts({}, 53));
  EXPECT_TRUE(Accepts({}, 52));
  EXPECT_FALSE(Accepts({}, kPageShift - 1));
}

TEST(MemoryMapInit, MmioIsWholePagesOfItsOwn) {
  EXPECT_TRUE(Accepts({Mmio(0x1'0000, kPageSize)}));
  EXPECT_FALSE(Accepts({Mmio(0x1'0000, kPageSize + 1)}));
  EXPECT_FALSE(Accepts({Mmio(0x1'0000, kPageSize - 1)}));
  EXPECT_FALSE(Accepts({Mmio(0x1'0008, kPageSize)}));
  // RAM that ends in the middle of a page, and MMIO right behind that page or
  // in it.
  EXPECT_TRUE(Accepts(
      {Ram(0x1'0000, kPageSize / 2), Mmio(0x1'0000 + kPageSize, kPageSize)}));
  EXPECT_FALSE(Accepts(
      {Ram(0x1'0000, kPageSize + 8), Mmio(0x1'0000 + kPageSize, kPageSize)}));
  EXPECT_FALSE(Accepts(
      {Mmio(0x1'0000, kPageSize), Ram(0x1'0000 + kPageSize - 8, kPageSize)}));
  EXPECT_TRUE(Accepts(
      {Mmio(0x1'0000, kPageSize), Ram(0x1'0000 + kPageSize + 8, kPageSize)}));
}

TEST(MemoryMapInit, RamAndNoMapMayShareAPage) {
  EXPECT_TRUE(Accepts({Ram(0x1'0000, kPageSize + 0x800),
                       NoMap(0x1'0000 + kPageSize + 0x800, 0x800)}));
  EXPECT_TRUE(Accepts({Ram(0x1'0000, 0x400), Ram(0x1'0800, 0x400)}));
}

class MemoryMapTest : public testing::Test {
 protected:
  static constexpr uint64_t kUnaligned = 0x4000'0000 + 0x800;

  void SetUp() override {
    const Region regions[] = {
        Mmio(0x900'0000, 2 * kPageSize), Ram(kUnaligned, 0x10'0000),
        NoMap(kUnaligned + 0x10'0000, 0x4000), Ram(0x8000'0000, 0x2'0000)};
    ASSERT_TRUE(map_.Init(regions, kBits).has_value());
    mmio_ = &map_.regions()[0];
    ram_ = &map_.regions()[1];
    nomap_ = &map_.regions()[2];
  }

  MemoryMap map_;
  const Region* mmio_ = nullptr;
  const Region* ram_ = nullptr;
  const Region* nomap_ = nullptr;
};

TEST_F(MemoryMapTest, FindsBytesNotPages) {
  EXPECT_EQ(map_.Find(PhysAddr(0)), nullptr);
  EXPECT_EQ(map_.Find(PhysAddr(kUnaligned - 1)), nullptr);
  EXPECT_EQ(map_.Find(PhysAddr(kUnaligned)), ram_);
  EXPECT_EQ(map_.Find(ram_->end() - 1), ram_);
  EXPECT_EQ(map_.Find(ram_->end()), nomap_);
  EXPECT_EQ(map_.Find(nomap_->end()), nullptr);
  EXPECT_EQ(map_.Find(PhysAddr(~uint64_t{0})), nullptr);
}

TEST_F(MemoryMapTest, FindWholeWantsEveryByteInOneRegion) {
  EXPECT_EQ(map_.FindWhole(ram_->base, ram_->size), ram_);
  EXPECT_EQ(map_.FindWhole(ram_->base, ram_->size + 1), nullptr)
      << "goes on in its neighbour";
  EXPECT_EQ(map_.FindWhole(ram_->base - 1, 2), nullptr);
  EXPECT_EQ(map_.FindWhole(ram_->end() - 8, 8), ram_);
  EXPECT_EQ(map_.FindWhole(ram_->end() - 8, 9), nullptr);
  EXPECT_EQ(map_.FindWhole(mmio_->base, mmio_->size), mmio_);
  // The size alone would wrap.
  EXPECT_EQ(map_.FindWhole(ram_->base + 8, ~uint64_t{0}), nullptr);
  // The page that a region fills only in part.
  EXPECT_EQ(map_.FindWhole(ram_->first_pfn().address(), kPageSize), nullptr);
}

TEST_F(MemoryMapTest, NoMapIsRamAndMmioIsNot) {
  EXPECT_EQ(map_.FindRam(ram_->base, 8), ram_);
  EXPECT_EQ(map_.FindRam(nomap_->base, 8), nomap_);
  EXPECT_EQ(map_.FindRam(mmio_->base, 8), nullptr);
  EXPECT_EQ(map_.FindRam(PhysAddr(0x100), 8), nullptr);
}

TEST_F(MemoryMapTest, PagesOfARegionIncludeThosePartlyFilled) {
  EXPECT_EQ(ram_->first_pfn(), Pfn(0x4000'0000 >> kPageShift));
  EXPECT_EQ(ram_->end_pfn(), Pfn((0x4010'0000 >> kPageShift) + 1));
  EXPECT_EQ(mmio_->end_pfn() - mmio_->first_pfn(), 2u);
}

}  // namespace
}  // namespace holdfast::mem_protect
