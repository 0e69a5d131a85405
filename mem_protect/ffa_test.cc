// SPDX-License-Identifier: Apache-2.0
//
// What EL2 remembers of pages that the host shares with the secure world.
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::ResultName;
using tests::World;

class FfaTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  static std::string Name(const Status& status) {
    return ResultName(
        status.has_value() ? 0 : -static_cast<int64_t>(status.error()));
  }
  std::string Share(uint64_t pfn, uint64_t pages = 1) {
    return Name(world_.mem().ShareFfa(pfn, pages));
  }
  std::string Unshare(uint64_t pfn, uint64_t pages = 1) {
    return Name(world_.mem().UnshareFfa(pfn, pages));
  }
  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  PageState HostState(uint64_t pfn) {
    return world_.mem().RecordOf(Pfn(pfn))->host();
  }

  World world_{World::Options{.cpus = 1}};
};

TEST_F(FfaTest, SharedPagesStayTheHostsAndNobodyElseGetsThem) {
  const HostVm vm = world_.MakeVm();
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t first = world_.Frames(3);
  ASSERT_TRUE(world_.Fill(first, 5));
  ASSERT_EQ(Share(first, 3), "0");
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(HostState(first + i), PageState::kSharedOwned);
    EXPECT_TRUE(world_.Store((first + i) * kPageSize, 6));
    EXPECT_EQ(Call(HF_HOST_SHARE_HYP, first + i), "-EPERM");
    EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, first + i), "-EPERM");
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, first + i, 0, 1), "-EPERM");
    EXPECT_EQ(Call(HF_TOPUP_VM, vm.handle, first + i, 1), "-EPERM");
    EXPECT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, first + i, 1), "-EAGAIN");
    EXPECT_EQ(Share(first + i), "-EPERM") << "a page named twice";
  }
  EXPECT_EQ(Share(first, 3), "-EPERM");
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_EQ(Unshare(first + 1), "0");
  EXPECT_EQ(Unshare(first, 3), "-EPERM") << "one is back already";
  EXPECT_EQ(HostState(first), PageState::kSharedOwned)
      << "a refused call changed the first";
  EXPECT_EQ(Share(first, 2), "-EPERM");
  EXPECT_EQ(Unshare(first), "0");
  EXPECT_EQ(Unshare(first + 2), "0");
  EXPECT_EQ(Unshare(first + 2), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, first, 0, 1), "0");
}

// The reference looked at the host's state alone: it would have freed a page
// that EL2 or a guest was using.
TEST_F(FfaTest, E27_OnlyWhatTheSecureWorldHasIsUnshared) {
  const HostVm vm = world_.MakeVm(1, 16, /*is_protected=*/false);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t first = world_.Frames(4);
  ASSERT_EQ(Share(first, 2), "0");
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, first + 2), "0");
  ASSERT_EQ(Call(HF_HOST_SHARE_GUEST, first + 3, 0, 1, HF_PROT_R), "0");
  EXPECT_EQ(Unshare(first + 2), "-EPERM") << "EL2's";
  EXPECT_EQ(Unshare(first + 3), "-EPERM") << "a guest's";
  EXPECT_EQ(Unshare(first, 3), "-EPERM");
  EXPECT_EQ(Unshare(first, 4), "-EPERM");
  EXPECT_EQ(Unshare(first + 2, 2), "-EPERM");
  for (uint64_t i = 0; i < 4; ++i)
    EXPECT_EQ(HostState(first + i), PageState::kSharedOwned);
  EXPECT_TRUE(world_.GuestLoad(vm.handle, 0).has_value());
  EXPECT_EQ(Unshare(first, 2), "0");
  // A pinned page, too.
  ASSERT_TRUE(world_.mem().Pin(Pfn(first + 2)).has_value());
  EXPECT_EQ(Unshare(first + 2), "-EPERM");
  world_.mem().Unpin(Pfn(first + 2));
}

// C: frames within the PA size and some (EINVAL), RAM of one region (EINVAL),
// not NOMAP (EPERM), state (EPERM).
TEST_F(FfaTest, E33_RangesAreCheckedWholeAndFirst) {
  using namespace tests;
  const uint64_t page = world_.Frames(2);
  const uint64_t kPa = uint64_t{1} << (kPaBits - kPageShift);
  const uint64_t ram_end = (kRamBase + kRamSize) / kPageSize;
  const uint64_t half = (kRam2Base + kRam2Size) / kPageSize;
  for (const bool share : {true, false}) {
    const auto with = [&](uint64_t pfn, uint64_t pages) {
      return share ? Share(pfn, pages) : Unshare(pfn, pages);
    };
    EXPECT_EQ(with(page, 0), "-EINVAL");
    EXPECT_EQ(with(page, kPa), "-EINVAL");
    EXPECT_EQ(with(page, ~uint64_t{0}), "-EINVAL");
    EXPECT_EQ(with(page | kPa, 1), "-EINVAL");
    EXPECT_EQ(with(page | uint64_t{1} << (64 - kPageShift), 1), "-EINVAL");
    EXPECT_EQ(with(ram_end - 1, 2), "-EINVAL") << "two regions";
    EXPECT_EQ(with(half, 1), "-EINVAL") << "half a page";
    EXPECT_EQ(with(kNoMapBase / kPageSize, 1), "-EPERM");
    EXPECT_EQ(with(kUartBase / kPageSize, 1), "-EPERM");
    EXPECT_EQ(with(0, 1), "-EPERM");
    EXPECT_EQ(with(world_.image_first(), 1), "-EPERM");
    EXPECT_EQ(with(world_.image_first() - 1, 2), "-EPERM")
        << "the second is EL2's";
  }
  EXPECT_EQ(HostState(world_.image_first() - 1), PageState::kOwned);
}

}  // namespace
}  // namespace holdfast::mem_protect
