// SPDX-License-Identifier: Apache-2.0
//
// Calls over many pages of protected guests: how far they come, and that each
// page is as if it had been called for alone.
#include <array>
#include <cstdint>
#include <string>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "mem_protect/ranges_fixture.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;

constexpr uint64_t kMost = MemProtect::kRangePages;
// Where the guest's pages are: at the begin of a table.
constexpr uint64_t kGfn = 8 * kMost;

// ---- Runs of pages ----------------------------------------------------------

TEST_F(RangesTest, DonationEndsBeforeThePageThatFails) {
  const uint64_t run = world_.Frames(8);
  Number(run, 8);
  ASSERT_TRUE(Call(HF_HOST_SHARE_HYP, run + 5).ok());
  EXPECT_EQ(Donate(run, kGfn, 8), "5");
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(HostReads(run + i), i >= 5) << i;
    EXPECT_EQ(GuestWord(kGfn + i).value_or(0), i < 5 ? 1000 + i : 0) << i;
  }
  EXPECT_EQ(Donate(run + 5, kGfn + 5, 3), "-EPERM") << "as for one page";
  EXPECT_EQ(Donate(run + 6, kGfn + 3, 2), "-EPERM") << "a page is there";
  EXPECT_EQ(Donate(run + 6, kGfn + 5, 2), "2") << "repeated from anywhere";
}

TEST_F(RangesTest, DonationEndsBeforeAPageOrPoisonOfTheGuest) {
  const uint64_t run = world_.Frames(4);
  const uint64_t gone = world_.Frames(1);
  EXPECT_EQ(Donate(gone, kGfn + 2, 1), "1");
  EXPECT_EQ(Force(gone, 1), "1");
  EXPECT_EQ(Donate(run, kGfn, 4), "2");
  EXPECT_EQ(Donate(run + 2, kGfn + 2, 2), "-EPERM");
}

TEST_F(RangesTest, AllOfTheArgumentsMustBeNumbersOfPages) {
  const uint64_t run = world_.Frames(2);
  const uint64_t gfns = uint64_t{1} << (tests::kPaBits - kPageShift);
  EXPECT_EQ(Donate(run, kGfn, 0), "-EINVAL");
  EXPECT_EQ(Donate(run, kGfn, ~uint64_t{0}), "-EINVAL");
  EXPECT_EQ(Donate(run, gfns - 1, 2), "-ERANGE");
  EXPECT_EQ(Donate(run, gfns - 1, 1), "1");
  EXPECT_EQ(Force(run, 0), "-EINVAL");
  EXPECT_EQ(Share(gfns - 1, 2), "-3");
  EXPECT_EQ(Share(gfns - 1, ~uint64_t{0}), "-3");
  Kill();
  EXPECT_EQ(Reclaim(gfns - 1, 0), "-EINVAL 0");
  EXPECT_EQ(Reclaim(gfns - 1, ~uint64_t{0}), "0 -") << "as far as there is";
}

TEST_F(RangesTest, OneCallDoesNoMoreThanItsShare) {
  const uint64_t run = world_.Frames(2 * kMost + 5);
  EXPECT_EQ(Donate(run, kGfn + 3, 2 * kMost), std::to_string(kMost - 3))
      << "up to the end of a table";
  EXPECT_EQ(Donate(run + kMost - 3, kGfn + kMost, kMost + 3),
            std::to_string(kMost));
  EXPECT_EQ(Share(kGfn + kMost, 2 * kMost), std::to_string(kMost));
  EXPECT_EQ(Unshare(kGfn + kMost, 2 * kMost), std::to_string(kMost));
  // ... of the guest's or of the host's.
  const Reply forced = Call(HF_FORCE_RECLAIM_GUEST_PAGE, run + 1, 2 * kMost);
  ASSERT_TRUE(forced.ok());
  EXPECT_LE(forced.x2, kMost);
  EXPECT_TRUE((run + 1 + forced.x2) % kMost == 0 ||
              (kGfn + 4 + forced.x2) % kMost == 0);
}

TEST_F(RangesTest, ForcedReclaimEndsWhereTheOwnerOrItsOrderDoes) {
  const uint64_t run = world_.Frames(8);
  Number(run, 8);
  EXPECT_EQ(Donate(run, kGfn, 3), "3");
  EXPECT_EQ(Donate(run + 3, kGfn + 7, 2), "2");  // a gap of gfns
  const HostVm other = world_.MakeVm(1, 16);
  Load(other);
  EXPECT_EQ(Donate(run + 5, kGfn + 9, 2), "2");  // gfns go on in another VM
  EXPECT_EQ(Force(run, 8), "3");
  EXPECT_EQ(Force(run + 3, 5), "2");
  EXPECT_EQ(Force(run + 5, 3), "2");
  EXPECT_EQ(Force(run + 7, 1), "-EAGAIN");
  for (uint64_t i = 0; i < 7; ++i) EXPECT_TRUE(world_.Holds(run + i, 0)) << i;
  EXPECT_TRUE(HostReads(run + 7));
}

TEST_F(RangesTest, ForcedReclaimLeavesWhatIsShared) {
  const uint64_t run = world_.Frames(4);
  EXPECT_EQ(Donate(run, kGfn, 4), "4");
  EXPECT_EQ(Share(kGfn + 2, 1), "1");
  EXPECT_EQ(Force(run, 4), "2");
  EXPECT_EQ(Force(run + 2, 2), "-EAGAIN");
  EXPECT_EQ(Force(run + 3, 1), "1");
  EXPECT_EQ(Unshare(kGfn + 2, 1), "1");
}

// ---- Sharing ----------------------------------------------------------------

// Frames in any order, as a host that has no larger ones gives them.
TEST_F(RangesTest, ShareAndUnshareOfScatteredFrames) {
  constexpr uint64_t kPages = 6;
  const uint64_t run = world_.Frames(2 * kPages);
  for (uint64_t i = 0; i < kPages; ++i)
    EXPECT_EQ(Donate(run + 2 * (kPages - 1 - i), kGfn + i, 1), "1");
  EXPECT_EQ(Share(kGfn, kPages), "6");
  for (uint64_t i = 0; i < kPages; ++i) {
    ASSERT_TRUE(world_.GuestStore(vm_.handle, (kGfn + i) * kPageSize, 70 + i));
    EXPECT_EQ(world_.Load((run + 2 * (kPages - 1 - i)) * kPageSize), 70 + i);
  }
  // Both CPUs have used it; both are out.
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_TRUE(HostReads(run));
  }
  EXPECT_EQ(Unshare(kGfn + 1, 3), "3");
  for (uint64_t i = 0; i < kPages; ++i) {
    const bool shared = i == 0 || i > 3;
    for (unsigned cpu : {0u, 1u}) {
      sim::OnCpu on(world_.machine(), cpu);
      EXPECT_EQ(HostReads(run + 2 * (kPages - 1 - i)), shared) << i;
    }
    EXPECT_EQ(GuestWord(kGfn + i), 70 + i);
  }
  EXPECT_EQ(Unshare(kGfn, 6), "1");
  EXPECT_EQ(Unshare(kGfn + 4, 6), "2");
}

// ---- A dying VM -------------------------------------------------------------

TEST_F(RangesTest, DyingPagesComeBackInAnyOrderOfFramesAndStates) {
  constexpr uint64_t kPages = kMost < 80 ? kMost : 80;
  std::array<uint64_t, kPages> frames;
  const uint64_t run = world_.Frames(2 * kPages);
  for (uint64_t i = 0; i < kPages; ++i) {
    // No two follow each other, so that one call needs many runs.
    frames[i] = run + 2 * (i * 7 % kPages);
    ASSERT_TRUE(world_.Fill(frames[i], 0x5eed));
    ASSERT_EQ(Donate(frames[i], kGfn + i, 1), "1");
  }
  EXPECT_EQ(Share(kGfn + 4, 1), "1");
  EXPECT_EQ(Force(frames[2], 1), "1");
  Kill();
  // As many runs of frames as one invalidation serves, poison not counted.
  for (uint64_t gfn = kGfn; gfn < kGfn + kPages;) {
    const uint64_t most = InTransit::kMostRuns + (gfn == kGfn ? 1 : 0);
    const uint64_t next = gfn + most;
    EXPECT_EQ(Reclaim(gfn, kPages),
              next < kGfn + kPages ? "0 " + std::to_string(next) : "0 -");
    gfn = next;
  }
  for (uint64_t i = 0; i < kPages; ++i)
    EXPECT_TRUE(world_.Holds(frames[i], i == 4 ? 0x5eed : 0)) << i;
  EXPECT_EQ(Reclaim(kGfn, kPages), "0 -") << "poison stays";
  EXPECT_EQ(Reclaim(kGfn + 3, kPages - 3), "-ENOENT -");
}

// Frames that follow each other, but the guest has let the host use some.
TEST_F(RangesTest, DyingRunKeepsWhatItSharedAndNoMore) {
  const uint64_t run = world_.Frames(5);
  Number(run, 5);
  EXPECT_EQ(Donate(run, kGfn, 5), "5");
  EXPECT_EQ(Share(kGfn + 2, 1), "1");
  Kill();
  EXPECT_EQ(Reclaim(kGfn, 5), "0 -");
  for (uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(world_.Load((run + i) * kPageSize), i == 2 ? 1002 : 0) << i;
  }
}

TEST_F(RangesTest, DyingHolesAreSkippedAndSayWhereToGoOn) {
  const uint64_t run = world_.Frames(4);
  EXPECT_EQ(Donate(run, kGfn + 3, 2), "2");
  EXPECT_EQ(Donate(run + 2, kGfn + 9, 1), "1");
  EXPECT_EQ(Donate(run + 3, kGfn + 2 * kMost, 1), "1");
  Kill();
  EXPECT_EQ(Reclaim(kGfn, 3), "-ENOENT " + std::to_string(kGfn + 3));
  EXPECT_EQ(Reclaim(kGfn, 4), "0 " + std::to_string(kGfn + 4));
  EXPECT_EQ(
      Reclaim(kGfn, 100),
      "0 " + std::to_string(kMost < 100 ? kGfn + 2 * kMost : kGfn + 2 * kMost));
  EXPECT_EQ(Reclaim(kGfn + 2 * kMost, 100), "0 -");
  for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(HostReads(run + i));
}

}  // namespace
}  // namespace holdfast::mem_protect
