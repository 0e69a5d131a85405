// SPDX-License-Identifier: Apache-2.0
//
// Booting: what is refused, who owns what at first, and that the carve-out is
// enough.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "test_machine.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

constexpr uint64_t kMiB = 1024 * 1024;
constexpr uint64_t kBase = 0x4000'0000;
constexpr uint64_t kBase2 = 0x4800'0000;
constexpr uint64_t kSize = 32 * kMiB;
constexpr uint64_t kFirst = kBase / kPageSize;
constexpr uint64_t kFirst2 = kBase2 / kPageSize;
constexpr CpuFeatures kFeatures = {.pa_bits = 40, .fwb = true, .xnx = true};

class InitTest : public testing::Test {
 protected:
  // What Init says of this carve-out and image.
  std::string Init(FrameRange carveout, std::vector<FrameRange> image = {}) {
    mem_ = std::make_unique<MemProtect>();
    const Status status = mem_->Init({.features = kFeatures,
                                      .regions = regions_,
                                      .carveout = carveout,
                                      .image = image});
    return tests::ResultName(
        status.has_value() ? 0 : -static_cast<int64_t>(status.error()));
  }
  FrameRange Good() const { return {Pfn(kFirst + 16), frames_}; }

  sim::Machine machine_{{.ram = {{PhysAddr(kBase), kSize + kMiB},
                                 {PhysAddr(kBase2), kSize + kPageSize}},
                         .features = kFeatures}};
  sim::OnCpu on_cpu_{machine_, 0};
  const std::vector<Region> regions_ = {
      {PhysAddr(0x900'0000), kPageSize, RegionKind::kMmio},
      {PhysAddr(kBase), kSize, RegionKind::kMemory},
      {PhysAddr(kBase + kSize), kMiB, RegionKind::kNoMap},
      {PhysAddr(kBase2), kSize + 8, RegionKind::kMemory}};
  const uint64_t frames_ = MemProtect::CarveoutFrames(regions_);
  std::unique_ptr<MemProtect> mem_;
};

TEST_F(InitTest, RefusesACarveoutThatIsTooSmall) {
  EXPECT_EQ(Init({Pfn(kFirst), frames_ - 1}), "-ENOMEM");
  EXPECT_EQ(Init({Pfn(kFirst), 0}), "-ENOMEM");
  EXPECT_EQ(Init({Pfn(0), 1}), "-ENOMEM") << "size before place";
}

TEST_F(InitTest, RefusesAMapThatIsNone) {
  mem_ = std::make_unique<MemProtect>();
  const Region twice[] = {regions_[1], regions_[1]};
  EXPECT_FALSE(mem_->Init({.features = kFeatures,
                           .regions = twice,
                           .carveout = Good(),
                           .image = {}})
                   .has_value());
}

TEST_F(InitTest, RefusesACarveoutThatIsNotRam) {
  EXPECT_EQ(Init({Pfn(0), frames_}), "-EINVAL");
  EXPECT_EQ(Init({Pfn(0x900'0000 / kPageSize), frames_}), "-EINVAL") << "MMIO";
  EXPECT_EQ(Init({Pfn(kFirst - 1), frames_}), "-EINVAL");
  EXPECT_EQ(Init({Pfn(kFirst + kSize / kPageSize - frames_ + 1), frames_}),
            "-EINVAL")
      << "its last frame is another region's";
}

TEST_F(InitTest, RefusesAnImageThatIsNotRamOrOverlaps) {
  const FrameRange good = Good();
  EXPECT_EQ(Init(good, {{Pfn(0), 1}}), "-EINVAL");
  EXPECT_EQ(Init(good, {{Pfn(kFirst), 16}, {Pfn(kFirst2 - 1), 2}}), "-EINVAL");
  EXPECT_EQ(Init(good, {{Pfn(kFirst), 17}}), "-EINVAL")
      << "one frame of the carve-out";
  EXPECT_EQ(Init(good, {{good.first + (frames_ - 1), 2}}), "-EINVAL");
  EXPECT_EQ(Init(good, {{Pfn(kFirst), 4}, {Pfn(kFirst + 3), 2}}), "-EINVAL")
      << "each other";
  // The half page at the end of the last region is nobody's image.
  EXPECT_EQ(Init(good, {{Pfn(kFirst2 + kSize / kPageSize), 1}}), "-EINVAL");
}

TEST_F(InitTest, OwnersAreAsTold) {
  ASSERT_EQ(Init(Good(), {{Pfn(kFirst + 2), 3},
                          {Pfn(kFirst + kSize / kPageSize + 1), 2}}),
            "0");
  machine_.EnableHostStage2(0, mem_->host_context());
  const auto owner = [&](uint64_t pfn) -> std::string {
    const PageRecord* record = mem_->RecordOf(Pfn(pfn));
    if (record == nullptr) return "none";
    if (record->host() == PageState::kNoPage &&
        record->hyp() == PageState::kOwned)
      return "hyp";
    if (record->host() == PageState::kOwned &&
        record->hyp() == PageState::kNoPage)
      return "host";
    return "?";
  };
  const uint64_t nomap = kFirst + kSize / kPageSize;
  EXPECT_EQ(owner(kFirst - 1), "none");
  EXPECT_EQ(owner(kFirst), "host");
  EXPECT_EQ(owner(kFirst + 1), "host");
  EXPECT_EQ(owner(kFirst + 2), "hyp");
  EXPECT_EQ(owner(kFirst + 4), "hyp");
  EXPECT_EQ(owner(kFirst + 5), "host");
  EXPECT_EQ(owner(kFirst + 15), "host");
  EXPECT_EQ(owner(kFirst + 16), "hyp");
  EXPECT_EQ(owner(kFirst + 16 + frames_ - 1), "hyp");
  EXPECT_EQ(owner(kFirst + 16 + frames_), "host");
  EXPECT_EQ(owner(nomap - 1), "host");
  EXPECT_EQ(owner(nomap), "host");
  EXPECT_EQ(owner(nomap + 1), "hyp") << "an image may lie in NOMAP";
  EXPECT_EQ(owner(kFirst2 + kSize / kPageSize), "host")
      << "the half page has a record";
  EXPECT_EQ(owner(kFirst2 + kSize / kPageSize + 1), "none");
  EXPECT_EQ(owner(0x900'0000 / kPageSize), "none");
  for (const sim::Violation& violation : machine_.violations())
    ADD_FAILURE() << violation.message;
}

// The stock must do for any pattern of ownership: every second frame of RAM is
// EL2's, each of the others is touched, and all MMIO.
TEST(InitCarveout, SufficesForEverySecondPage) {
  tests::World world(tests::World::Options{.cpus = 1, .hooks = false});
  MemProtect& mem = world.mem();
  for (uint64_t base : {tests::kGicBase, tests::kUartBase}) {
    ASSERT_TRUE(world.Load(base).has_value());
  }
  const auto give = [&](uint64_t first, uint64_t end) {
    for (uint64_t pfn = first; pfn + 1 < end; pfn += 2) {
      const FrameRange range{Pfn(pfn), 1};
      if (mem.RecordOf(Pfn(pfn))->host() == PageState::kOwned) {
        ASSERT_TRUE(mem.DonateHyp({&range, 1}).has_value()) << std::hex << pfn;
      }
      if (mem.RecordOf(Pfn(pfn + 1))->host() == PageState::kOwned) {
        ASSERT_TRUE(world.Load((pfn + 1) * kPageSize).has_value())
            << std::hex << pfn + 1;
      }
    }
  };
  ASSERT_NO_FATAL_FAILURE(
      give(tests::kRamBase / kPageSize, world.carveout_first()));
  ASSERT_NO_FATAL_FAILURE(
      give(tests::kRam2Base / kPageSize,
           (tests::kRam2Base + tests::kRam2Size) / kPageSize));
  EXPECT_EQ(world.BrokenInvariants(), "");
}

TEST(InitCarveout, GrowsWithRamAndRegions) {
  const auto frames = [](std::vector<Region> regions) {
    return MemProtect::CarveoutFrames(regions);
  };
  const Region small{PhysAddr(kBase), kSize, RegionKind::kMemory};
  const Region large{PhysAddr(kBase), 32 * kSize, RegionKind::kMemory};
  const Region more{PhysAddr(4 * kBase), kSize, RegionKind::kMemory};
  const Region nomap{PhysAddr(4 * kBase), kSize, RegionKind::kNoMap};
  const Region mmio{PhysAddr(4 * kBase), kSize, RegionKind::kMmio};
  EXPECT_GT(frames({large}), frames({small}));
  EXPECT_GT(frames({small, more}), frames({small}));
  EXPECT_EQ(frames({small, nomap}), frames({small, more})) << "NOMAP is RAM";
  // MMIO costs tables, by its size up to 1 GiB, and no records.
  const Region more_mmio{PhysAddr(4 * kBase), uint64_t{1} << 30,
                         RegionKind::kMmio};
  const Region most_mmio{PhysAddr(4 * kBase), uint64_t{4} << 30,
                         RegionKind::kMmio};
  EXPECT_GT(frames({small, more}), frames({small, mmio}));
  EXPECT_GT(frames({small, mmio}), frames({small}));
  EXPECT_GT(frames({small, more_mmio}), frames({small, mmio}));
  EXPECT_EQ(frames({small, most_mmio}), frames({small, more_mmio}));
}

}  // namespace
}  // namespace holdfast::mem_protect
