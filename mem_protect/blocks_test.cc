// SPDX-License-Identifier: Apache-2.0
//
// Blocks of protected guests: that they stay one on both sides, and that no
// part of one ever waits for a table.
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "mem_protect/ranges_fixture.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::Reply;

constexpr uint64_t kBlock = MemProtect::kBlockPages;
// Where the guest's pages are: at the begin of a table.
constexpr uint64_t kGfn = 8 * kBlock;

class BlocksTest : public RangesTest {
 protected:
  BlocksTest() {
    block_ = world_.Frames(kBlock, kBlock);
    Number(block_, kBlock);
    // Touched first, so that the host has a leaf there.
    EXPECT_EQ(Donate(block_, kGfn, kBlock), std::to_string(kBlock));
  }
  // As a host would that wants to catch EL2 without a table: the stock is gone.
  void UseUpTheStock() {
    const uint64_t pages = world_.Frames(16);
    for (uint64_t i = 0; Stock() != 0; ++i)
      ASSERT_EQ(Donate(pages + i, (i + 2) << 30 >> kPageShift, 1), "1");
    ASSERT_EQ(Donate(world_.Frames(1), kGfn + kBlock, 1), "-ENOMEM");
  }
  bool IsBlock() {
    return GuestLevel(kGfn + 3) == Level(2) &&
           HostKind(block_ + 3, Level(2)) != pgtable::PteKind::kEmpty;
  }

  uint64_t block_ = 0;
};

TEST_F(BlocksTest, ABlockStaysOneOnBothSides) {
  EXPECT_EQ(GuestLevel(kGfn), Level(2));
  EXPECT_EQ(HostKind(block_, Level(2)), pgtable::PteKind::kAnnotation);
  EXPECT_EQ(world_.Trouble(), "");
  for (uint64_t i : {uint64_t{0}, uint64_t{1}, kBlock / 2, kBlock - 1}) {
    EXPECT_FALSE(HostReads(block_ + i)) << i;
    EXPECT_EQ(GuestWord(kGfn + i), 1000 + i);
  }
  EXPECT_FALSE(GuestWord(kGfn + kBlock).has_value());
}

// It costs what its pages would: so that it can be split at any time.
TEST_F(BlocksTest, ABlockTakesTheStockOfItsPages) {
  const uint32_t before = Stock();
  const uint64_t pages = world_.Frames(kBlock + 1, kBlock) + 1;  // unaligned
  EXPECT_EQ(Donate(pages, kGfn + kBlock, kBlock), std::to_string(kBlock));
  EXPECT_EQ(GuestLevel(kGfn + kBlock), kPageLevel);
  const uint32_t by_pages = before - Stock();
  const uint64_t block = world_.Frames(kBlock, kBlock);
  EXPECT_EQ(Donate(block, kGfn + 2 * kBlock, kBlock), std::to_string(kBlock));
  EXPECT_EQ(GuestLevel(kGfn + 2 * kBlock), Level(2));
  EXPECT_EQ(before - by_pages - Stock(), by_pages);
}

TEST_F(BlocksTest, AnythingInTheWayMakesItPages) {
  const uint64_t block = world_.Frames(kBlock, kBlock);
  EXPECT_EQ(Donate(world_.Frames(1), kGfn + kBlock + 5, 1), "1");
  EXPECT_EQ(Donate(block, kGfn + kBlock, kBlock), "5");
  EXPECT_EQ(GuestLevel(kGfn + kBlock), kPageLevel);
}

TEST_F(BlocksTest, APartIsTakenByForceWithNoStockLeft) {
  UseUpTheStock();
  constexpr uint64_t kSome = 5;
  EXPECT_EQ(Force(block_ + kSome, 2), "2");
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_FALSE(IsBlock());
  for (uint64_t i = 0; i < 12; ++i) {
    const bool taken = i == kSome || i == kSome + 1;
    EXPECT_EQ(HostReads(block_ + i), taken) << i;
    EXPECT_EQ(GuestWord(kGfn + i).has_value(), !taken) << i;
    if (taken) {
      EXPECT_TRUE(world_.Holds(block_ + i, 0)) << i;
    } else {
      EXPECT_EQ(GuestWord(kGfn + i), 1000 + i);
    }
  }
  // The rest of it goes page by page, or as far as a call may go.
  EXPECT_EQ(Force(block_ + kSome + 2, kBlock),
            std::to_string(kBlock - kSome - 2));
}

TEST_F(BlocksTest, AllOfItIsTakenByForceAsABlock) {
  UseUpTheStock();
  EXPECT_EQ(Force(block_, kBlock), std::to_string(kBlock));
  EXPECT_EQ(GuestLevel(kGfn + 3), Level(2)) << "poison of a block's size";
  EXPECT_EQ(HostKind(block_ + 3, Level(2)), pgtable::PteKind::kLeaf);
  EXPECT_EQ(Stock(), 1u) << "nobody will have to split it";
  for (uint64_t i : {uint64_t{0}, kBlock - 1}) {
    EXPECT_TRUE(world_.Holds(block_ + i, 0));
    EXPECT_FALSE(GuestWord(kGfn + i).has_value());
    EXPECT_EQ(Call(HF_VCPU_IN_POISON_FAULT).x1, 1u) << "at each of its pages";
    EXPECT_EQ(Share(kGfn + i, 1), "-3");
    EXPECT_EQ(Donate(block_, kGfn + i, 1), "-EPERM");
  }
  EXPECT_EQ(Force(block_ + 1, 1), "-EAGAIN");
}

TEST_F(BlocksTest, SharedAsAWholeAndInParts) {
  UseUpTheStock();
  EXPECT_EQ(Share(kGfn, kBlock), std::to_string(kBlock));
  EXPECT_TRUE(IsBlock());
  EXPECT_EQ(HostKind(block_, Level(2)), pgtable::PteKind::kLeaf);
  EXPECT_EQ(world_.Load((block_ + 7) * kPageSize), 1007u);
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_EQ(Unshare(kGfn, kBlock), std::to_string(kBlock));
  EXPECT_TRUE(IsBlock());
  EXPECT_FALSE(HostReads(block_ + 7));
  EXPECT_EQ(world_.Trouble(), "");

  EXPECT_EQ(Share(kGfn, kBlock), std::to_string(kBlock));
  EXPECT_EQ(Unshare(kGfn + 7, 1), "1");
  EXPECT_FALSE(IsBlock());
  EXPECT_FALSE(HostReads(block_ + 7));
  EXPECT_TRUE(HostReads(block_ + 6));
  EXPECT_TRUE(HostReads(block_ + 8));
  EXPECT_EQ(GuestWord(kGfn + 7), 1007u);
}

TEST_F(BlocksTest, APartIsShared) {
  UseUpTheStock();
  EXPECT_EQ(Share(kGfn + 9, 3), "3");
  EXPECT_FALSE(IsBlock());
  EXPECT_EQ(world_.Load((block_ + 10) * kPageSize), 1010u);
  EXPECT_FALSE(HostReads(block_ + 8));
  EXPECT_EQ(GuestWord(kGfn + 8), 1008u);
}

TEST_F(BlocksTest, ADyingBlockComesBackAsOne) {
  Kill();
  EXPECT_EQ(Reclaim(kGfn, kBlock), "0 -");
  EXPECT_EQ(HostKind(block_ + 3, Level(2)), pgtable::PteKind::kLeaf);
  EXPECT_TRUE(world_.Holds(block_, 0));
  EXPECT_TRUE(world_.Holds(block_ + kBlock - 1, 0));
  // With nothing left in the way of the VM's end.
  Reply drained;
  do {
    drained = Call(HF_DRAIN_VM, vm_.handle);
    ASSERT_TRUE(drained.ok());
  } while (drained.x2 != 0);
  EXPECT_TRUE(Call(HF_FINALIZE_TEARDOWN_VM, vm_.handle).ok());
}

TEST_F(BlocksTest, ADyingBlockThatIsSharedKeepsItsContents) {
  EXPECT_EQ(Share(kGfn, kBlock), std::to_string(kBlock));
  Kill();
  EXPECT_EQ(Reclaim(kGfn, kBlock), "0 -");
  EXPECT_EQ(world_.Load((block_ + 3) * kPageSize), 1003u);
}

TEST_F(BlocksTest, PartsOfADyingBlock) {
  UseUpTheStock();
  Kill();
  EXPECT_EQ(Reclaim(kGfn + 1, 1), "0 " + std::to_string(kGfn + 2));
  EXPECT_TRUE(world_.Holds(block_ + 1, 0));
  EXPECT_FALSE(HostReads(block_));
  EXPECT_FALSE(HostReads(block_ + 2));
  EXPECT_EQ(Reclaim(kGfn, kBlock).substr(0, 2), "0 ");
  for (uint64_t i : {uint64_t{0}, uint64_t{2}, kBlock - 1})
    EXPECT_TRUE(world_.Holds(block_ + i, 0)) << i;
}

// Pages that make up a block are taken back one by one, so the host gets pages.
TEST_F(BlocksTest, PagesThatCouldBeABlockAreSharedAsPages) {
  const uint64_t block = world_.Frames(kBlock, kBlock);
  EXPECT_EQ(Donate(block + kBlock - 1, kGfn + 2 * kBlock - 1, 1), "1");
  EXPECT_EQ(Donate(block, kGfn + kBlock, kBlock), std::to_string(kBlock - 1));
  EXPECT_EQ(Share(kGfn + kBlock, kBlock), std::to_string(kBlock));
  EXPECT_EQ(HostKind(block, kPageLevel), pgtable::PteKind::kLeaf);
  EXPECT_EQ(Unshare(kGfn + kBlock + 9, 1), "1");
  EXPECT_EQ(Unshare(kGfn + kBlock, kBlock), "9");
}

// What the host does with a block that came back is a host's: it can be given
// away again in parts.
TEST_F(BlocksTest, TheHostsBlockIsSplitAgain) {
  EXPECT_EQ(Force(block_, kBlock), std::to_string(kBlock));
  EXPECT_EQ(Donate(block_ + 3, kGfn + kBlock, 1), "1");
  EXPECT_TRUE(HostReads(block_ + 2));
  EXPECT_FALSE(HostReads(block_ + 3));
  EXPECT_EQ(Donate(block_, kGfn + 2 * kBlock, 3), "3");
}

// A block goes to a guest though the host has it by pages: their table is the
// deposit.
TEST_F(BlocksTest, PagesOfTheHostsBecomeABlock) {
  const uint64_t block = world_.Frames(kBlock, kBlock);
  EXPECT_EQ(Donate(block + 5, kGfn + kBlock, 1), "1");
  EXPECT_EQ(Force(block + 5, 1), "1");
  EXPECT_TRUE(HostReads(block));
  EXPECT_EQ(HostKind(block, kPageLevel), pgtable::PteKind::kLeaf);
  EXPECT_EQ(Donate(block, kGfn + 2 * kBlock, kBlock), std::to_string(kBlock));
  EXPECT_EQ(HostKind(block, Level(2)), pgtable::PteKind::kAnnotation);
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_EQ(Force(block + 9, 1), "1");
}

}  // namespace
}  // namespace holdfast::mem_protect
