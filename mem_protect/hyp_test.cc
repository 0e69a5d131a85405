// SPDX-License-Identifier: Apache-2.0
//
// Between host and hypervisor: what sharing, pinning and donating do to what
// each can reach, and the order in which they look for errors.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::World;

class HypTest : public testing::Test {
 protected:
  HypTest() : world_(World::Options{.cpus = 2}) {}
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  MemProtect& mem() { return world_.mem(); }
  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  static std::string NameOf(const Status& status) {
    return tests::ResultName(
        status.has_value() ? 0 : -static_cast<int64_t>(status.error()));
  }
  std::string Donate(std::vector<FrameRange> ranges) {
    return NameOf(mem().DonateHyp(ranges));
  }
  // Whether EL2's own table maps the frame.
  bool AtHyp(uint64_t pfn) {
    SpinlockHolder hold(mem().hyp_table().lock);
    const auto at = mem().hyp_table().Find(HypVa(pfn * kPageSize));
    return at.has_value() && at->pte.valid();
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }
  PageRecord& Record(uint64_t pfn) {
    return const_cast<PageRecord&>(*mem().RecordOf(Pfn(pfn)));
  }

  World world_;
};
using HypDeathTest = HypTest;

// ---- Share, pin -------------------------------------------------------------

TEST_F(HypTest, SharedPageIsMappedAtEl2OnlyWhilePinned) {
  const uint64_t page = world_.Frames(1);
  ASSERT_TRUE(world_.Fill(page, 0x1122));
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
  EXPECT_FALSE(AtHyp(page));
  EXPECT_TRUE(Host(page)) << "sharing took the page from the host";
  ASSERT_EQ(NameOf(mem().Pin(Pfn(page))), "0");
  EXPECT_TRUE(AtHyp(page));
  ASSERT_EQ(NameOf(mem().Pin(Pfn(page))), "0");
  EXPECT_EQ(Record(page).count(), 2u);
  mem().Unpin(Pfn(page));
  EXPECT_TRUE(AtHyp(page)) << "one pin is left";
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "-EBUSY");
  mem().Unpin(Pfn(page));
  EXPECT_FALSE(AtHyp(page));
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "0");
  EXPECT_TRUE(world_.Holds(page, 0x1122)) << "sharing changed the content";
}

TEST_F(HypTest, SharingIsPerPage) {
  const uint64_t run = world_.Frames(3);
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, run + 1), "0");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run + 2), "-EPERM");
  EXPECT_EQ(NameOf(mem().Pin(Pfn(run))), "-EPERM");
  EXPECT_EQ(NameOf(mem().Pin(Pfn(run + 2))), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, run), "0");
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, run + 2), "0");
}

TEST_F(HypTest, PinStopsWhereTheCountDoes) {
  const uint64_t page = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
  ASSERT_EQ(NameOf(mem().Pin(Pfn(page))), "0");
  const PageRecord before = Record(page);
  // Saturated by hand: 2^28 pins take too long.
  uint32_t word;
  std::memcpy(&word, static_cast<void*>(&Record(page)), sizeof(word));
  word |= PageRecord::kMaxCount << 4;
  std::memcpy(static_cast<void*>(&Record(page)), &word, sizeof(word));
  EXPECT_EQ(NameOf(mem().Pin(Pfn(page))), "-EBUSY");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "-EBUSY");
  Record(page) = before;
  mem().Unpin(Pfn(page));
}

TEST_F(HypTest, PinWithoutTablesFails) {
  // A page of RAM 2, whose part of EL2's table has no tables yet.
  const uint64_t page = tests::kRam2Base / kPageSize;
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
  std::vector<PhysAddr> taken;
  {
    SpinlockHolder hold(mem().hyp_table().lock);
    while (const auto pop = mem().hyp_table().stock.Pop())
      taken.push_back(*pop);
  }
  EXPECT_EQ(NameOf(mem().Pin(Pfn(page))), "-ENOMEM");
  EXPECT_EQ(Record(page).count(), 0u);
  EXPECT_EQ(Donate({{Pfn(page + 1), 1}}), "-ENOMEM");
  EXPECT_TRUE(Host(page + 1));
  EXPECT_EQ(NameOf(mem().DonateHypAndPin({Pfn(page + 1), 1}, Pfn(page))),
            "-ENOMEM");
  EXPECT_TRUE(Host(page + 1));
  EXPECT_EQ(Record(page).count(), 0u);
  SpinlockHolder hold(mem().hyp_table().lock);
  for (PhysAddr pop : taken) mem().hyp_table().stock.Push(pop);
}

TEST_F(HypDeathTest, UnpinOfAnUnpinnedPageIsFatal) {
  const uint64_t page = world_.Frames(1);
  EXPECT_DEATH(mem().Unpin(Pfn(page)), "count");
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
  EXPECT_DEATH(mem().Unpin(Pfn(page)), "count");
}

TEST_F(HypDeathTest, PagesWithoutARecordAreFatal) {
  EXPECT_DEATH(mem().Unpin(Pfn(tests::kUartBase / kPageSize)), "record");
  EXPECT_EQ(mem().HypDonateHost({Pfn(0), 1}).error(), Errno::kEperm);
}

TEST_F(HypDeathTest, LocksAreTakenInOrder) {
  const uint64_t page = world_.Frames(1);
  EXPECT_DEATH(
      {
        SpinlockHolder hold(mem().hyp_table().lock);
        static_cast<void>(mem().ShareHyp(page));
      },
      "held_ranks");
}

// ---- Donate and give back ---------------------------------------------------

TEST_F(HypTest, DonationTakesThePageFromEveryCpu) {
  const uint64_t page = world_.Frames(2);
  // Both CPUs have it in their TLBs.
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(world_.Store(page * kPageSize, cpu));
    ASSERT_TRUE(world_.Store((page + 1) * kPageSize, cpu));
  }
  ASSERT_EQ(Donate({{Pfn(page), 2}}), "0");
  EXPECT_TRUE(AtHyp(page));
  EXPECT_TRUE(AtHyp(page + 1));
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    for (uint64_t pfn : {page, page + 1}) {
      EXPECT_FALSE(Host(pfn)) << "CPU " << cpu;
      EXPECT_FALSE(world_.Store(pfn * kPageSize, 1)) << "CPU " << cpu;
      EXPECT_FALSE(world_.Exec(pfn * kPageSize)) << "CPU " << cpu;
    }
  }
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(page), 2})), "0");
  EXPECT_FALSE(AtHyp(page));
  EXPECT_FALSE(AtHyp(page + 1));
  EXPECT_TRUE(Host(page));
  EXPECT_TRUE(Host(page + 1));
}

TEST_F(HypTest, SeveralRangesGoAllOrNone) {
  const uint64_t run = world_.Frames(10);
  const uint64_t ram2 = tests::kRam2Base / kPageSize;
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, run + 9), "0");
  EXPECT_EQ(Donate({{Pfn(run), 2}, {Pfn(ram2), 3}, {Pfn(run + 8), 2}}),
            "-EPERM");
  for (uint64_t pfn : {run, run + 1, ram2, ram2 + 2, run + 8}) {
    EXPECT_TRUE(Host(pfn));
    EXPECT_FALSE(AtHyp(pfn));
  }
  EXPECT_EQ(Donate({{Pfn(run), 2}, {Pfn(ram2), 3}, {Pfn(run + 8), 1}}), "0");
  for (uint64_t pfn : {run, run + 1, ram2, ram2 + 2, run + 8})
    EXPECT_FALSE(Host(pfn));
  EXPECT_TRUE(Host(run + 2));
  EXPECT_TRUE(Host(ram2 + 3));
}

TEST_F(HypTest, OverlapsAreRefused) {
  const uint64_t run = world_.Frames(10);
  EXPECT_EQ(Donate({{Pfn(run), 2}, {Pfn(run), 2}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run), 2}, {Pfn(run + 1), 2}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run + 1), 2}, {Pfn(run), 2}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run), 10}, {Pfn(run + 4), 1}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run + 4), 1}, {Pfn(run), 10}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run), 1}, {Pfn(run + 4), 1}, {Pfn(run), 1}}),
            "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run), 2}, {Pfn(run + 2), 2}}), "0")
      << "they only touch";
}

// Zero pages passed the range check of the reference.
TEST_F(HypTest, E33_EmptyRangesAreRefused) {
  const uint64_t run = world_.Frames(2);
  EXPECT_EQ(Donate({{Pfn(run), 0}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(run), 1}, {Pfn(run + 1), 0}}), "-EINVAL");
  EXPECT_EQ(Donate({{Pfn(0), 0}}), "-EINVAL");
  EXPECT_TRUE(Host(run));
}

// Errors come in order of the ranges: shape of the first before state of the
// second.
TEST_F(HypTest, FirstRangesErrorComesFirst) {
  const uint64_t run = world_.Frames(4);
  const FrameRange good{Pfn(run), 1};
  const FrameRange el2{Pfn(world_.image_first()), 1};
  const FrameRange empty{Pfn(run), 0};
  EXPECT_EQ(Donate({el2, empty}), "-EPERM");
  EXPECT_EQ(Donate({empty, el2}), "-EINVAL");
  EXPECT_EQ(Donate({good, el2}), "-EPERM");
  // Memory before the run page, in donate-and-pin; region before state.
  EXPECT_EQ(NameOf(mem().DonateHypAndPin(empty, el2.first)), "-EINVAL");
  EXPECT_EQ(NameOf(mem().DonateHypAndPin(el2, Pfn(uint64_t{1} << 20))),
            "-EPERM");
  const uint64_t half = (tests::kRam2Base + tests::kRam2Size) / kPageSize;
  EXPECT_EQ(NameOf(mem().DonateHypAndPin(good, Pfn(half))), "-EINVAL");
  EXPECT_TRUE(Host(run));
}

TEST_F(HypTest, E11_PagesSomebodyCountsOnDoNotGoBack) {
  const uint64_t run = world_.Frames(2);
  ASSERT_EQ(Donate({{Pfn(run), 2}}), "0");
  // No call can cause it: a count by hand.
  Record(run + 1).Increment();
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(run), 2})), "-EBUSY");
  EXPECT_FALSE(Host(run));
  EXPECT_TRUE(AtHyp(run));
  Record(run + 1).Decrement();
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(run), 2})), "0");
}

TEST_F(HypTest, OnlyHypsOwnPagesGoBack) {
  const uint64_t run = world_.Frames(3);
  ASSERT_EQ(Donate({{Pfn(run), 2}}), "0");
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(run), 3})), "-EPERM")
      << "the last is the host's";
  EXPECT_FALSE(Host(run));
  EXPECT_TRUE(AtHyp(run + 1));
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, run + 2), "0");
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(run + 2), 1})), "-EPERM")
      << "borrowed";
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(run), 2})), "0");
}

// A donation that crosses a table of the host's and one of EL2's.
TEST_F(HypTest, E41_DonationAcrossTables) {
  const uint64_t first = tests::kRam2Base / kPageSize + 500;
  ASSERT_EQ(Donate({{Pfn(first), 600}}), "0");
  for (uint64_t pfn :
       {first, first + 11, first + 12, first + 523, first + 524, first + 599}) {
    EXPECT_FALSE(Host(pfn)) << pfn - first;
    EXPECT_TRUE(AtHyp(pfn)) << pfn - first;
  }
  EXPECT_TRUE(Host(first - 1));
  EXPECT_TRUE(Host(first + 600));
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(first), 600})), "0");
  EXPECT_TRUE(Host(first + 599));
}

// ---- A page has one role ----------------------------------------------------

TEST_F(HypTest, E42_APageHasOneRole) {
  const HostVm vm = world_.MakeVm(1);
  const uint64_t run_page = vm.run_pages[0];
  const uint64_t memory = world_.Frames(1);
  // The run page of a vCPU: not another's, no memory, no stock, no guest's.
  EXPECT_EQ(NameOf(mem().DonateHypAndPin({Pfn(memory), 1}, Pfn(run_page))),
            "-EBUSY");
  EXPECT_TRUE(Host(memory))
      << "the memory was taken though the run page was not to be had";
  EXPECT_EQ(Call(HF_TOPUP_VM, vm.handle, run_page, 1), "-EPERM");
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, run_page, 0, 1), "-EPERM");
  // The VM's frames, its root, its vCPU's and its stock: neither shared nor
  // given.
  for (uint64_t pfn : {vm.memory, vm.root, vm.vcpu_memory[0]}) {
    EXPECT_EQ(Call(HF_HOST_SHARE_HYP, pfn), "-EPERM");
    EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, pfn), "-EPERM");
    EXPECT_EQ(Call(HF_TOPUP_VM, vm.handle, pfn, 1), "-EPERM");
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, pfn, 0, 1), "-EPERM");
    EXPECT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1), "-EPERM");
    EXPECT_FALSE(Host(pfn));
  }
}

// While the records are sound, a page the host owns is no page of EL2's. If one
// ever is not, nothing may be built on it: both halves are looked at.
TEST_F(HypTest, BothStatesAreLookedAt) {
  const HostVm vm = world_.MakeVm(1);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t page = world_.Frames(1);
  for (PageState state : {PageState::kOwned, PageState::kSharedOwned,
                          PageState::kSharedBorrowed}) {
    Record(page).set_hyp(state);
    EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "-EPERM");
    EXPECT_EQ(Donate({{Pfn(page), 1}}), "-EPERM");
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "-EPERM");
    EXPECT_EQ(NameOf(mem().HypDonateHost({Pfn(page), 1})), "-EPERM");
  }
  Record(page).set_hyp(PageState::kNoPage);
  Record(page).set_host(PageState::kSharedOwned);
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "-EPERM");
  EXPECT_EQ(NameOf(mem().Pin(Pfn(page))), "-EPERM");
  Record(page).set_host(PageState::kOwned);
}

// Frame numbers that only the page shift would make good.
TEST_F(HypTest, E34_LostBitsAreNotIgnored) {
  const uint64_t page = world_.Frames(1);
  const uint64_t aliases[] = {
      page | uint64_t{1} << (tests::kPaBits - kPageShift),
      page | uint64_t{1} << (64 - kPageShift), page | uint64_t{1} << 63};
  for (uint64_t alias : aliases) {
    EXPECT_EQ(Call(HF_HOST_SHARE_HYP, alias), "-EINVAL");
    EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, alias), "-EINVAL");
    EXPECT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, alias, 1), "-EFAULT");
  }
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
}

}  // namespace
}  // namespace holdfast::mem_protect
