// SPDX-License-Identifier: Apache-2.0
//
// Frames and ranges at, over and beyond the borders of regions: every call that
// takes one, at every border.
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::World;

struct Border {
  const char* what;
  uint64_t pfn;
  // Of calls that take the page from the host or share it / of forced reclaim.
  const char* take;
  const char* force;
};

std::vector<Border> Borders(const World& world) {
  using namespace tests;
  constexpr uint64_t kPa = uint64_t{1} << (kPaBits - kPageShift);
  const auto frame = [](uint64_t address) { return address / kPageSize; };
  const uint64_t ram2 = frame(kRam2Base);
  const uint64_t ram2_end =
      frame(kRam2Base + kRam2Size);  // its last, half page
  return {
      {"frame 0", 0, "-EPERM", "-EFAULT"},
      {"before MMIO", frame(kGicBase) - 1, "-EPERM", "-EFAULT"},
      {"first of MMIO", frame(kGicBase), "-EPERM", "-EFAULT"},
      {"last of MMIO", frame(kGicBase) + 15, "-EPERM", "-EFAULT"},
      {"after MMIO", frame(kGicBase) + 16, "-EPERM", "-EFAULT"},
      {"before RAM", frame(kRamBase) - 1, "-EPERM", "-EFAULT"},
      {"first of RAM", frame(kRamBase), "0", "-EAGAIN"},
      {"before the image", world.image_first() - 1, "0", "-EAGAIN"},
      {"first of the image", world.image_first(), "-EPERM", "-EPERM"},
      {"last of the image", world.image_first() + kImageFrames - 1, "-EPERM",
       "-EPERM"},
      {"after the image", world.image_first() + kImageFrames, "0", "-EAGAIN"},
      {"before the carve-out", world.carveout_first() - 1, "0", "-EAGAIN"},
      {"first of the carve-out", world.carveout_first(), "-EPERM", "-EPERM"},
      {"last of RAM", frame(kRamBase + kRamSize) - 1, "-EPERM", "-EPERM"},
      {"first of NOMAP", frame(kNoMapBase), "-EPERM", "-EFAULT"},
      {"last of NOMAP", frame(kNoMapBase + kNoMapSize) - 1, "-EPERM",
       "-EFAULT"},
      {"after NOMAP", frame(kNoMapBase + kNoMapSize), "-EPERM", "-EFAULT"},
      {"before RAM 2", ram2 - 1, "-EPERM", "-EFAULT"},
      {"first of RAM 2", ram2, "0", "-EAGAIN"},
      {"last whole page of RAM 2", ram2_end - 1, "0", "-EAGAIN"},
      {"half page of RAM 2", ram2_end, "-EINVAL", "-EFAULT"},
      {"after RAM 2", ram2_end + 1, "-EPERM", "-EFAULT"},
      {"last of the PA space", kPa - 1, "-EPERM", "-EFAULT"},
      {"beyond the PA space", kPa, "-EINVAL", "-EFAULT"},
      {"alias of RAM 2 beyond it", kPa + ram2, "-EINVAL", "-EFAULT"},
      {"alias that a page shift would drop",
       (uint64_t{1} << (64 - kPageShift)) + ram2, "-EINVAL", "-EFAULT"},
      {"the highest number", ~uint64_t{0}, "-EINVAL", "-EFAULT"},
      {"the sign bit", uint64_t{1} << 63, "-EINVAL", "-EFAULT"},
  };
}

TEST(Borders, EveryCallAtEveryBorder) {
  World world(World::Options{.cpus = 1});
  ASSERT_EQ(world.Frames(1), tests::kRamBase / kPageSize);  // for this test
  const HostVm vm = world.MakeVm(4);
  const auto call = [&](uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                        uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
    return tests::ToString(world.Call(id, x1, x2, x3, x4, x5));
  };
  const uint64_t handle = world.Call(HF_RESERVE_VM).x1;
  const uint64_t root = world.Frames(vm.root_frames, vm.root_frames);
  const HostVm needy = [&] {
    HostVm made = vm;
    made.handle = world.Call(HF_RESERVE_VM).x1;
    EXPECT_EQ(
        call(HF_INIT_VM, made.handle, world.Frames(vm.memory_frames),
             world.Frames(vm.root_frames, vm.root_frames), 4, HF_VM_PROTECTED),
        "0");
    return made;
  }();
  const uint64_t run = world.Frames(1);
  ASSERT_EQ(call(HF_HOST_SHARE_HYP, run), "0");
  ASSERT_EQ(call(HF_VCPU_LOAD, vm.handle, 0), "0");
  uint64_t gfn = 0;
  for (const Border& border : Borders(world)) {
    SCOPED_TRACE(border.what);
    const bool good = std::string(border.take) == "0";
    EXPECT_EQ(call(HF_FORCE_RECLAIM_GUEST_PAGE, border.pfn, 1), border.force);
    EXPECT_EQ(call(HF_HOST_SHARE_HYP, border.pfn), border.take);
    EXPECT_EQ(call(HF_HOST_UNSHARE_HYP, border.pfn), border.take);
    EXPECT_EQ(call(HF_HOST_DONATE_GUEST, border.pfn, gfn, 1), border.take);
    EXPECT_EQ(call(HF_FORCE_RECLAIM_GUEST_PAGE, border.pfn, 1),
              good ? "0" : border.force);
    ++gfn;
    if (!good) {
      // As memory of a VM or a vCPU, as a run page, as stock.
      EXPECT_EQ(call(HF_INIT_VM, handle, border.pfn, root, 1, HF_VM_PROTECTED),
                border.take);
      EXPECT_EQ(call(HF_INIT_VCPU, needy.handle, 0, border.pfn, run),
                border.take);
      EXPECT_EQ(
          call(HF_INIT_VCPU, needy.handle, 0, world.Frames(1), border.pfn),
          border.take);
      EXPECT_EQ(call(HF_TOPUP_VM, vm.handle, border.pfn, 1), border.take);
      if (border.pfn % vm.root_frames == 0) {
        EXPECT_NE(call(HF_INIT_VM, handle, world.Frames(1), border.pfn, 1,
                       HF_VM_PROTECTED),
                  "0");
      }
    } else {
      EXPECT_EQ(call(HF_TOPUP_VM, vm.handle, border.pfn, 1), "0");
      EXPECT_FALSE(world.Load(border.pfn * kPageSize).has_value());
    }
    EXPECT_EQ(world.Trouble(), "");
  }
  EXPECT_EQ(call(HF_HOST_UNSHARE_HYP, run), "0")
      << "a failed call has pinned it";
}

// Ranges over a border: no frame may be taken on the strength of the first.
TEST(Edge, E01_E02_RangesAreCheckedWhole) {
  using namespace tests;
  World world(World::Options{.cpus = 1});
  const HostVm vm = world.MakeVm();
  const auto topup = [&](uint64_t pfn, uint64_t count) {
    return ToString(world.Call(HF_TOPUP_VM, vm.handle, pfn, count));
  };
  const uint64_t ram2 = kRam2Base / kPageSize;
  const uint64_t ram2_end = (kRam2Base + kRam2Size) / kPageSize;
  const uint64_t end = (kRamBase + kRamSize) / kPageSize;
  EXPECT_EQ(topup(ram2 - 1, 2), "-EINVAL") << "starts in a gap";
  EXPECT_EQ(topup(ram2_end - 1, 2), "-EINVAL") << "ends in a half page";
  EXPECT_EQ(topup(ram2_end - 2, 4), "-EINVAL") << "ends beyond the region";
  EXPECT_EQ(topup(end - 1, 2), "-EINVAL") << "two regions";
  EXPECT_EQ(topup(ram2_end + 1, 2), "-EPERM") << "all in a gap";
  EXPECT_EQ(topup(kGicBase / kPageSize, 2), "-EPERM") << "all in MMIO";
  EXPECT_EQ(topup(kGicBase / kPageSize + 15, 2), "-EINVAL") << "leaves MMIO";
  EXPECT_EQ(topup(world.image_first() - 1, 2), "-EPERM")
      << "the second is EL2's";
  EXPECT_EQ(topup(world.carveout_first() - 3, 4), "-EPERM")
      << "the last is EL2's";
  // pfn + count, or either in bytes, wraps.
  EXPECT_EQ(topup((uint64_t{1} << (kPaBits - kPageShift)) - 1, 2), "-EINVAL");
  EXPECT_EQ(topup((uint64_t{1} << (kPaBits - kPageShift)) - 1, ~uint64_t{0}),
            "-EINVAL");
  EXPECT_EQ(topup(~uint64_t{0}, 2), "-EINVAL");
  // A page in the middle is shared, then the last.
  const uint64_t run = world.Frames(3);
  ASSERT_TRUE(world.Call(HF_HOST_SHARE_HYP, run + 1).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  ASSERT_TRUE(world.Call(HF_HOST_UNSHARE_HYP, run + 1).ok());
  ASSERT_TRUE(world.Call(HF_HOST_SHARE_HYP, run + 2).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  ASSERT_TRUE(world.Call(HF_HOST_UNSHARE_HYP, run + 2).ok());
  // The last is a guest's: EL2 has no part in it, only the host's state tells.
  ASSERT_TRUE(world.Call(HF_VCPU_LOAD, vm.handle, 0).ok());
  ASSERT_TRUE(world.Call(HF_HOST_DONATE_GUEST, run + 2, 0, 1).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  EXPECT_EQ(topup(run + 1, 2), "-EPERM");
  for (uint64_t pfn :
       {ram2, ram2_end - 1, run, run + 1, world.image_first() - 1}) {
    EXPECT_TRUE(world.Load(pfn * kPageSize).has_value())
        << "a refused call took " << pfn;
  }
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::mem_protect
