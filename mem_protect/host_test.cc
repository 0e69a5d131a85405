// SPDX-License-Identifier: Apache-2.0
//
// The host's stage 2: what a fault maps, how large, and what it must not.
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/booted.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;
// A block of level 2 and of level 1.
constexpr uint64_t kBlock = pgtable::BuildGranule::Size(Level(2));

Region Ram(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kMemory};
}
Region NoMap(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kNoMap};
}
Region Mmio(uint64_t base, uint64_t size) {
  return {PhysAddr(base), size, RegionKind::kMmio};
}

// ---- The largest block that lies inside the region --------------------------

TEST(HostFault, MapsAGigabyteWhereItFits) {
  // 1..4 GiB, with 4 MiB more on either side; EL2 is in a region of its own.
  Booted host(
      {Ram(kGiB - 4 * kMiB, 3 * kGiB + 8 * kMiB), Ram(8 * kGiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(2 * kGiB + 0x1238));
  EXPECT_EQ(host.LeafLevel(2 * kGiB), 1);
  EXPECT_EQ(host.LeafLevel(3 * kGiB - 8), 1);
  EXPECT_EQ(host.LeafLevel(3 * kGiB), std::nullopt)
      << "mapped more than the fault asked for";
  // Below 1 GiB and above 4 GiB no gigabyte fits, but 2 MiB do.
  EXPECT_TRUE(host.Touch(kGiB - 8));
  EXPECT_EQ(host.LeafLevel(kGiB - 8), 2);
  EXPECT_TRUE(host.Touch(4 * kGiB));
  EXPECT_EQ(host.LeafLevel(4 * kGiB), 2);
  EXPECT_EQ(host.LeafLevel(4 * kGiB + kBlock), std::nullopt);
  EXPECT_EQ(host.Violations(), "");
}

TEST(HostFault, MapsPagesAtEndsThatAreNotAligned) {
  // 1 MiB into a block, up to 3 pages and a half into another.
  const uint64_t base = kGiB + kMiB;
  const uint64_t end = kGiB + 64 * kMiB + 3 * kPageSize + kPageSize / 2;
  Booted host({Ram(base, end - base), Ram(8 * kGiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(base));
  EXPECT_EQ(host.LeafLevel(base), 3);
  EXPECT_TRUE(host.Touch(base + kMiB));
  EXPECT_EQ(host.LeafLevel(base + kMiB), 2);
  EXPECT_TRUE(host.Touch(end - kPageSize));
  EXPECT_EQ(host.LeafLevel(end - kPageSize), 3);
  EXPECT_FALSE(host.Touch(base - 8));
  EXPECT_EQ(host.Violations(), "");
}

// A region end inside a page made the reference find no level that fits.
TEST(Edge, E03_E36_PartlyFilledPagesAreMapped) {
  const uint64_t base = kGiB + 0x800;
  const uint64_t end = base + kMiB;
  Booted host({Ram(base, kMiB), Ram(8 * kGiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(base));
  EXPECT_EQ(host.LeafLevel(base), 3);
  EXPECT_TRUE(host.Touch(end - 8));
  EXPECT_EQ(host.LeafLevel(end - 8), 3);
  // The rest of those pages is no region's, but a page is the least one can
  // map.
  EXPECT_TRUE(host.Touch(base - 8));
  EXPECT_TRUE(host.Touch(end));
  EXPECT_FALSE(host.Touch(end + kPageSize));
  EXPECT_FALSE(host.Touch(base - kPageSize));
}

TEST(HostFault, BlocksEndWhereTheRegionDoes) {
  // Two regions of memory that touch in the middle of a block; then NOMAP.
  Booted host({Ram(kGiB, 5 * kMiB), Ram(kGiB + 5 * kMiB, 3 * kMiB),
               NoMap(kGiB + 8 * kMiB, kMiB), Ram(kGiB + 9 * kMiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(kGiB + 4 * kMiB));
  EXPECT_EQ(host.LeafLevel(kGiB + 4 * kMiB), 3);
  EXPECT_TRUE(host.Touch(kGiB + 5 * kMiB));
  EXPECT_EQ(host.LeafLevel(kGiB + 5 * kMiB), 3);
  EXPECT_TRUE(host.Touch(kGiB + 6 * kMiB));
  EXPECT_EQ(host.LeafLevel(kGiB + 6 * kMiB), 2);
  // The block at 8 MiB is half NOMAP.
  EXPECT_FALSE(host.Touch(kGiB + 8 * kMiB));
  EXPECT_FALSE(host.Touch(kGiB + 9 * kMiB - 8));
  EXPECT_TRUE(host.Touch(kGiB + 9 * kMiB));
  EXPECT_EQ(host.LeafLevel(kGiB + 9 * kMiB), 3);
  EXPECT_FALSE(host.Touch(kGiB + 8 * kMiB))
      << "NOMAP came with its neighbour's block";
}

TEST(HostFault, PicksASmallerBlockBesideOtherEntries) {
  Booted host({Ram(kGiB, 4 * kGiB)});
  // A page of the second gigabyte goes to EL2: then it cannot be one block, but
  // its other 2 MiB blocks can; and beside the page there are only pages.
  const uint64_t page = 2 * kGiB + 10 * kBlock + 7 * kPageSize;
  const FrameRange range{Pfn(page >> kPageShift), 1};
  ASSERT_TRUE(host.mem().DonateHyp({&range, 1}).has_value());
  EXPECT_FALSE(host.Touch(page));
  EXPECT_TRUE(host.Touch(page + kPageSize));
  EXPECT_EQ(host.LeafLevel(page + kPageSize), 3);
  EXPECT_TRUE(host.Touch(page + kBlock));
  EXPECT_EQ(host.LeafLevel(page + kBlock), 2);
  EXPECT_TRUE(host.Touch(3 * kGiB));
  EXPECT_EQ(host.LeafLevel(3 * kGiB), 1);
  EXPECT_FALSE(host.Touch(page)) << "mapped over";
  EXPECT_EQ(host.Violations(), "");
}

// Donating a page out of a mapped gigabyte leaves the host all the rest of it.
TEST(HostFault, SplitBlockKeepsItsRest) {
  Booted host({Ram(kGiB, 4 * kGiB)});
  ASSERT_TRUE(host.Touch(2 * kGiB));
  ASSERT_EQ(host.LeafLevel(2 * kGiB), 1);
  const uint64_t page = 2 * kGiB + 10 * kBlock + 7 * kPageSize;
  const FrameRange range{Pfn(page >> kPageShift), 1};
  ASSERT_TRUE(host.mem().DonateHyp({&range, 1}).has_value());
  const unsigned faults = host.faults();
  for (uint64_t at : {2 * kGiB, page - kPageSize, page + kPageSize,
                      page - kBlock, page + kBlock, 3 * kGiB - kPageSize}) {
    EXPECT_TRUE(host.Touch(at)) << std::hex << at;
  }
  EXPECT_EQ(host.faults(), faults) << "what was mapped is not any more";
  EXPECT_EQ(host.LeafLevel(page - kBlock), 2);
  EXPECT_EQ(host.LeafLevel(page - kPageSize), 3);
  EXPECT_FALSE(host.Touch(page));
  EXPECT_EQ(host.Violations(), "");
}

// ---- What is refused --------------------------------------------------------

TEST(HostFault, InjectsOutsideRegionsAndBeyondTheInput) {
  Booted host({Mmio(0x900'0000, kPageSize), Ram(kGiB, 64 * kMiB)});
  const auto fault = [&](uint64_t ipa,
                         FaultKind kind = FaultKind::kTranslation) {
    return host.mem().HandleHostFault(Ipa(ipa), kind);
  };
  EXPECT_EQ(fault(0), FaultAction::kInject);
  EXPECT_EQ(fault(kGiB - 1), FaultAction::kInject);
  EXPECT_EQ(fault(kGiB + 64 * kMiB), FaultAction::kInject);
  EXPECT_EQ(fault(0x900'0000 - 1), FaultAction::kInject);
  EXPECT_EQ(fault(0x900'0000 + kPageSize), FaultAction::kInject);
  EXPECT_EQ(fault((uint64_t{1} << 40) - 1), FaultAction::kInject);
  EXPECT_EQ(fault(uint64_t{1} << 40), FaultAction::kInject);
  EXPECT_EQ(fault((uint64_t{1} << 40) + kGiB), FaultAction::kInject)
      << "an alias of RAM";
  EXPECT_EQ(fault(~uint64_t{0}), FaultAction::kInject);
  // Not to be cured by a mapping, wherever it is.
  EXPECT_EQ(fault(kGiB, FaultKind::kOther), FaultAction::kInject);
  EXPECT_EQ(fault(kGiB, FaultKind::kPermission), FaultAction::kInject);
  EXPECT_EQ(host.LeafLevel(kGiB), std::nullopt);
}

TEST(HostFault, EdgesOfRamNextToTheEndOfTheInput) {
  const uint64_t top = uint64_t{1} << 40;
  Booted host({Ram(kGiB, 64 * kMiB), Ram(top - 64 * kMiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(top - 63 * kMiB));
  EXPECT_FALSE(host.Touch(top - 8)) << "the carve-out";
  EXPECT_EQ(host.Violations(), "");
}

TEST(HostFault, El2sOwnMemoryIsRefused) {
  Booted host({Ram(kGiB, 64 * kMiB)});
  const FrameRange& el2 = host.carveout();
  EXPECT_FALSE(host.Touch(el2.start().value()));
  EXPECT_FALSE(host.Touch(el2.start().value() + el2.size() - 8));
  EXPECT_TRUE(host.Touch(el2.start().value() - 8));
}

// "Already mapped" was an error, and fatal; another CPU was faster.
TEST(Edge, E05_FaultOnWhatIsMappedIsRetried) {
  Booted host({Ram(kGiB, 64 * kMiB)});
  ASSERT_TRUE(host.Touch(kGiB));
  const uint64_t entry = host.HostEntry(kGiB);
  EXPECT_EQ(host.mem().HandleHostFault(Ipa(kGiB), FaultKind::kTranslation),
            FaultAction::kRetry);
  EXPECT_EQ(host.mem().HandleHostFault(Ipa(kGiB + kPageSize),
                                       FaultKind::kTranslation),
            FaultAction::kRetry);
  EXPECT_EQ(host.HostEntry(kGiB), entry);
}

TEST(HostFault, MmioIsMappedWithinItsRegionOnly) {
  // 2 MiB and two pages of registers, aligned: one block and pages.
  Booted host({Mmio(0x800'0000, kBlock + 2 * kPageSize), Ram(kGiB, 64 * kMiB)});
  EXPECT_TRUE(host.Touch(0x800'0000));
  EXPECT_EQ(host.LeafLevel(0x800'0000), 2);
  EXPECT_TRUE(host.Touch(0x800'0000 + kBlock));
  EXPECT_EQ(host.LeafLevel(0x800'0000 + kBlock), 3);
  EXPECT_FALSE(host.Touch(0x800'0000 + kBlock + 2 * kPageSize));
  EXPECT_FALSE(host.Touch(0x800'0000 - 8));
}

// A write to read-only memory, or a fetch from MMIO, was retried for ever.
TEST(Edge, E29_FetchFromMmioIsInjectedAndDoesNotLoop) {
  Booted host({Mmio(0x900'0000, kPageSize), Ram(kGiB, 64 * kMiB)});
  EXPECT_FALSE(host.Exec(0x900'0000));
  EXPECT_EQ(host.faults(), 2u)
      << "one translation fault that maps it, one permission fault";
  EXPECT_FALSE(host.Exec(0x900'0000));
  EXPECT_EQ(host.faults(), 3u);
  EXPECT_TRUE(host.Touch(0x900'0000));
  EXPECT_TRUE(host.Exec(kGiB)) << "RAM is executable";
}

// ---- Out of tables ----------------------------------------------------------

TEST(HostFault, RecyclesMmioWhenTablesRunOut) {
  Booted host({Mmio(0x800'0000, 16 * kPageSize), Mmio(0x900'0000, kPageSize),
               Ram(kGiB + kMiB, 64 * kMiB), Ram(8 * kGiB, 64 * kMiB)});
  ASSERT_TRUE(host.Touch(0x800'0000));
  host.DrainHostStock(0);
  // Two tables for the RAM: those that the MMIO had.
  EXPECT_TRUE(host.Touch(kGiB + kMiB));
  EXPECT_EQ(host.LeafLevel(kGiB + kMiB), 3);
  EXPECT_EQ(host.LeafLevel(0x800'0000), std::nullopt);
  EXPECT_EQ(host.HostStock(), 0u);
  // Now there is nothing to recycle for the MMIO, which needs two again.
  EXPECT_FALSE(host.Touch(0x800'0000));
  host.RefillHostStock();
  EXPECT_TRUE(host.Touch(0x800'0000));
  EXPECT_EQ(host.Violations(), "");
}

// What recycling frees may be tables on the way to the very address that needs
// one: then it needs more than before.
TEST(HostFault, RecyclingMayTakeTheTablesAboveTheFault) {
  Booted host({Mmio(0x800'0000, 16 * kPageSize), Mmio(0x900'0000, kPageSize),
               Ram(kGiB + kMiB, 64 * kMiB)});
  ASSERT_TRUE(host.Touch(0x800'0000));  // a table of level 2, one of level 3
  host.DrainHostStock(0);
  EXPECT_TRUE(
      host.Touch(0x900'0000));  // the same of level 2, another of level 3
  EXPECT_EQ(host.LeafLevel(0x800'0000), std::nullopt);
  EXPECT_EQ(host.LeafLevel(0x900'0000), 3);
  EXPECT_EQ(host.Violations(), "");
}

TEST(HostFault, RecyclingMayTakeTheTablesAboveADonation) {
  // RAM and MMIO in one gigabyte: they share a table of level 2, which only the
  // MMIO keeps. (EL2's own RAM is elsewhere.)
  Booted host({Mmio(0x800'0000, 16 * kPageSize), Ram(0x1000'0000, 64 * kMiB),
               Ram(kGiB, 64 * kMiB)});
  ASSERT_TRUE(host.Touch(0x800'0000));
  host.DrainHostStock(0);
  const FrameRange range{Pfn(0x1000'0000 >> kPageShift), 1};
  EXPECT_TRUE(host.mem().DonateHyp({&range, 1}).has_value());
  EXPECT_FALSE(host.Touch(0x1000'0000));
  EXPECT_EQ(host.LeafLevel(0x800'0000), std::nullopt);
  EXPECT_EQ(host.Violations(), "");
}

TEST(HostFault, InjectsWhenRecyclingDoesNotHelp) {
  Booted host({Mmio(0x900'0000, kPageSize), Ram(kGiB + kMiB, 64 * kMiB)});
  host.DrainHostStock(0);
  EXPECT_FALSE(host.Touch(kGiB + kMiB));
  host.DrainHostStock(0);
  EXPECT_FALSE(host.Touch(0x900'0000));
  host.RefillHostStock();
  EXPECT_TRUE(host.Touch(kGiB + kMiB));
  EXPECT_TRUE(host.Touch(0x900'0000));
}

TEST(HostFault, DonationWithoutTablesIsRefusedWhole) {
  Booted host({Ram(kGiB, 64 * kMiB), Ram(8 * kGiB, 64 * kMiB)});
  host.DrainHostStock(1);
  // Two level-3 tables and the level-2 one above them are missing; there is
  // one.
  const FrameRange two[] = {{Pfn((kGiB) >> kPageShift), 1},
                            {Pfn((kGiB + 4 * kMiB) >> kPageShift), 1}};
  const Status done = host.mem().DonateHyp(two);
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error(), Errno::kEnomem);
  EXPECT_EQ(host.HostStock(), 1u);
  for (const FrameRange& range : two) {
    EXPECT_EQ(host.mem().RecordOf(range.first)->host(), PageState::kOwned);
    EXPECT_EQ(host.mem().RecordOf(range.first)->hyp(), PageState::kNoPage);
  }
  EXPECT_TRUE(host.Touch(kGiB));
}

// Annotations are the only record of who has a page: recycling must spare them,
// also next to MMIO and at region ends that are not aligned.
TEST(Edge, E35_RecyclingLosesNoAnnotation) {
  const uint64_t mmio = 0x900'0000;
  // RAM in the pages right before and after the MMIO; the second ends in
  // mid-page.
  Booted host({Ram(mmio - 8 * kPageSize, 8 * kPageSize),
               Mmio(mmio, 4 * kPageSize),
               Ram(mmio + 4 * kPageSize, 8 * kPageSize + 0x800),
               Ram(kGiB + kMiB, 64 * kMiB), Ram(8 * kGiB, 64 * kMiB)});
  std::vector<FrameRange> given;
  for (uint64_t at : {mmio - 8 * kPageSize, mmio - kPageSize,
                      mmio + 4 * kPageSize, mmio + 11 * kPageSize}) {
    given.push_back({Pfn(at >> kPageShift), 1});
    ASSERT_TRUE(host.mem().DonateHyp({&given.back(), 1}).has_value());
  }
  std::vector<uint64_t> entries;
  for (const FrameRange& range : given)
    entries.push_back(host.HostEntry(range.start().value()));
  ASSERT_TRUE(host.Touch(mmio));
  ASSERT_TRUE(host.Touch(mmio + 3 * kPageSize));
  host.DrainHostStock(0);
  static_cast<void>(host.Touch(kGiB + kMiB));  // needs two tables
  EXPECT_EQ(host.LeafLevel(mmio), std::nullopt) << "nothing was recycled";
  for (size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(host.HostEntry(given[i].start().value()), entries[i]) << i;
    EXPECT_FALSE(host.Touch(given[i].start().value())) << i;
  }
}

// ---- Design 10.10: MMIO is an allow-list ------------------------------------

TEST(Design, D10_10_WhatIsNotAllowedIsHidden) {
  tests::World world;
  EXPECT_TRUE(world.Load(tests::kUartBase).has_value());
  EXPECT_TRUE(world.Store(tests::kUartBase, 'x'));
  EXPECT_TRUE(world.Load(tests::kGicBase + (64 * kKiB) - 8).has_value());
  EXPECT_FALSE(world.Store(tests::kFwCfgBase, 0));
  EXPECT_FALSE(world.Load(tests::kFwCfgBase + 0x10).has_value());
  EXPECT_FALSE(world.Exec(tests::kUartBase));
  EXPECT_FALSE(world.Exec(tests::kFwCfgBase));
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::mem_protect
