// SPDX-License-Identifier: Apache-2.0
//
// The life of VMs: every error in its documented order, every success, what
// becomes of memory on the way, and that no call works for longer than its
// budget.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"
#include "vm_table/vm_table.h"

namespace holdfast::hyp {
namespace {

using mem_protect::PageState;
using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kJunk = 0x5ec2e7'0ddba11;
constexpr uint64_t kPfns = uint64_t{1} << (tests::kPaBits - kPageShift);
constexpr uint64_t kRam2 = tests::kRam2Base / kPageSize;

class LifeCycleTest : public testing::Test {
 protected:
  explicit LifeCycleTest(const World::Options& options = {.cpus = 2})
      : world_(options) {
    const Reply needs = world_.Call(HF_VM_FRAMES_NEEDED, 1);
    memory_frames_ = needs.x1;
    root_frames_ = needs.x2;
    vcpu_frames_ = needs.x3;
  }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4, x5));
  }
  // The same with x2: "-EBUSY 3".
  std::string Call2(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                    uint64_t x3 = 0) {
    const Reply reply = world_.Call(id, x1, x2, x3);
    return tests::ToString(reply) + " " + std::to_string(reply.x2);
  }
  uint64_t Memory() { return world_.Frames(memory_frames_); }
  uint64_t Root() { return world_.Frames(root_frames_, root_frames_); }
  uint64_t Reserved() { return world_.Call(HF_RESERVE_VM).x1; }
  // A VM of two vCPUs, none of them initialised, no stock.
  uint64_t BareVm(unsigned vcpus = 2) {
    const uint64_t handle = Reserved();
    const uint64_t frames = world_.Call(HF_VM_FRAMES_NEEDED, vcpus).x1;
    EXPECT_EQ(Call(HF_INIT_VM, handle, world_.Frames(frames), Root(), vcpus,
                   HF_VM_PROTECTED),
              "0");
    return handle;
  }
  uint64_t Shared() {
    const uint64_t page = world_.Frames(1);
    EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
    return page;
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }
  uint64_t Give(uint64_t gfn) {
    const uint64_t page = world_.Frames(1);
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
    return page;
  }
  void DrainAll(uint64_t handle) {
    for (int i = 0; i < 1000; ++i) {
      const Reply reply = world_.Call(HF_DRAIN_VM, handle);
      ASSERT_EQ(tests::ToString(reply), "0");
      if (reply.x2 == 0) return;
    }
    FAIL() << "drain does not end";
  }

  World world_;
  uint64_t memory_frames_ = 0;
  uint64_t root_frames_ = 0;
  uint64_t vcpu_frames_ = 0;
};

// ---- Slots ------------------------------------------------------------------

TEST_F(LifeCycleTest, HandlesAreDistinctAndRunOut) {
  std::set<uint64_t> handles;
  for (unsigned i = 0; i < vm_table::kVmSlots; ++i) {
    const Reply reply = world_.Call(HF_RESERVE_VM);
    ASSERT_TRUE(reply.ok());
    EXPECT_GE(reply.x1, 0x1000u);
    EXPECT_LT(reply.x1, 0x1000u + 255);
    EXPECT_TRUE(handles.insert(reply.x1).second) << reply.x1;
  }
  EXPECT_EQ(Call(HF_RESERVE_VM), "-ENOMEM");
  EXPECT_EQ(Call(HF_UNRESERVE_VM, 0x1000 + 100), "0");
  EXPECT_EQ(world_.Call(HF_RESERVE_VM).x1, 0x1000u + 100)
      << "the slot that is free";
  EXPECT_EQ(Call(HF_RESERVE_VM), "-ENOMEM");
}

TEST_F(LifeCycleTest, UnreserveWantsAReservedSlot) {
  const uint64_t handle = Reserved();
  for (uint64_t bad :
       {uint64_t{0}, uint64_t{0xfff}, uint64_t{0x1000} + 255, uint64_t{0xffff},
        handle + 1, handle | 0x10000, handle | uint64_t{1} << 63}) {
    EXPECT_EQ(Call(HF_UNRESERVE_VM, bad), "-EINVAL") << bad;
  }
  EXPECT_EQ(Call(HF_UNRESERVE_VM, handle), "0");
  EXPECT_EQ(Call(HF_UNRESERVE_VM, handle), "-EINVAL");
  const uint64_t vm = BareVm();
  EXPECT_EQ(Call(HF_UNRESERVE_VM, vm), "-EINVAL") << "a VM is in it";
}

TEST_F(LifeCycleTest, E38_FramesNeeded) {
  EXPECT_EQ(Call(HF_VM_FRAMES_NEEDED, 0), "-EINVAL");
  EXPECT_EQ(Call(HF_VM_FRAMES_NEEDED, HF_MAX_VCPUS + 1), "-EINVAL");
  EXPECT_EQ(Call(HF_VM_FRAMES_NEEDED, uint64_t{1} << 32 | 1), "-EINVAL")
      << "truncated";
  const Reply one = world_.Call(HF_VM_FRAMES_NEEDED, 1);
  const Reply most = world_.Call(HF_VM_FRAMES_NEEDED, HF_MAX_VCPUS);
  EXPECT_GE(one.x1, 1u);
  EXPECT_GT(most.x1, one.x1) << "vCPU pointers take room";
  EXPECT_EQ(most.x1, PagesFor(vm_table::Vm::BytesFor(HF_MAX_VCPUS)));
  EXPECT_EQ(one.x2, world_.mem().stage2_shape().root_pages);
  EXPECT_GE(one.x3, 1u);
}

// ---- init_vm ----------------------------------------------------------------

TEST_F(LifeCycleTest, InitVmErrors) {
  const uint64_t handle = Reserved();
  const uint64_t live = BareVm();
  const uint64_t memory = Memory();
  const uint64_t root = Root();
  const auto init = [&](uint64_t h, uint64_t m, uint64_t r, uint64_t vcpus = 1,
                        uint64_t flags = HF_VM_PROTECTED) {
    return Call(HF_INIT_VM, h, m, r, vcpus, flags);
  };
  // Handle and slot.
  EXPECT_EQ(init(0, memory, root), "-EINVAL");
  EXPECT_EQ(init(handle | 0x10000, memory, root), "-EINVAL");
  EXPECT_EQ(init(0x10fe, memory, root), "-EINVAL") << "free";
  EXPECT_EQ(init(0x10ff, memory, root), "-EINVAL") << "no slot";
  EXPECT_EQ(init(live, memory, root), "-EINVAL");
  // Shape and arguments.
  EXPECT_EQ(init(handle, memory, root, 0), "-EINVAL");
  EXPECT_EQ(init(handle, memory, root, HF_MAX_VCPUS + 1), "-EINVAL");
  EXPECT_EQ(init(handle, memory, root, uint64_t{1} << 32 | 1), "-EINVAL");
  EXPECT_EQ(init(handle, memory, root, 1, 2), "-EINVAL");
  EXPECT_EQ(init(handle, memory, root, 1, uint64_t{1} << 63 | 1), "-EINVAL");
  EXPECT_EQ(init(handle, kPfns, root), "-EINVAL");
  EXPECT_EQ(init(handle, memory, kPfns), "-EINVAL");
  EXPECT_EQ(init(handle, ~uint64_t{0}, root), "-EINVAL");
  EXPECT_EQ(init(handle, memory, ~uint64_t{1}), "-EINVAL");
  // Overlap, in whole and in part.
  EXPECT_EQ(init(handle, root, root), "-EINVAL");
  EXPECT_EQ(init(handle, root + root_frames_ - 1, root), "-EINVAL");
  // Memory of somebody else's: EPERM; the first range's error first.
  const uint64_t el2 = world_.image_first();
  EXPECT_EQ(init(handle, el2, root), "-EPERM");
  EXPECT_EQ(init(handle, memory, el2), "-EPERM");
  EXPECT_EQ(init(handle, el2, el2), "-EPERM")
      << "state of the first before the overlap";
  const uint64_t shared = Shared();
  EXPECT_EQ(init(handle, shared, root), "-EPERM");
  // Arguments before memory.
  EXPECT_EQ(init(handle, el2, root, 0), "-EINVAL");
  EXPECT_EQ(init(handle, el2, root, 1, 4), "-EINVAL");
  EXPECT_EQ(init(live, el2, root), "-EINVAL");
  EXPECT_EQ(init(handle, el2, kPfns), "-EINVAL")
      << "shape of both before the state of one";
  EXPECT_EQ(init(handle, kPfns, el2), "-EINVAL");
  // Nothing of all that took anything, nor spoilt the slot.
  for (uint64_t i = 0; i < memory_frames_; ++i) EXPECT_TRUE(Host(memory + i));
  for (uint64_t i = 0; i < root_frames_; ++i) EXPECT_TRUE(Host(root + i));
  EXPECT_EQ(init(handle, memory, root), "0");
  EXPECT_EQ(init(handle, Memory(), Root()), "-EINVAL") << "twice";
}

// The hardware ignores VTTBR's low bits: it would walk the host's memory next
// to it.
TEST_F(LifeCycleTest, D10_01_MisalignedRootIsRefused) {
  ASSERT_GT(root_frames_, 1u);
  const uint64_t handle = Reserved();
  const uint64_t memory = Memory();
  const uint64_t run = world_.Frames(2 * root_frames_, 2 * root_frames_);
  for (uint64_t i = 1; i < root_frames_; ++i) {
    EXPECT_EQ(Call(HF_INIT_VM, handle, memory, run + i, 1, HF_VM_PROTECTED),
              "-EINVAL");
    EXPECT_EQ(Call(HF_INIT_VM, handle, world_.image_first(), run + i, 1, 1),
              "-EINVAL")
        << "shape before memory";
  }
  for (uint64_t i = 0; i < 2 * root_frames_; ++i) EXPECT_TRUE(Host(run + i));
  EXPECT_EQ(
      Call(HF_INIT_VM, handle, memory, run + root_frames_, 1, HF_VM_PROTECTED),
      "0")
      << "its own size is alignment enough";
}

// A failed init left references on the donated pages in the reference.
TEST_F(LifeCycleTest, E06_E10_FailedInitLeavesSlotAndMemory) {
  const uint64_t handle = Reserved();
  const uint64_t memory = Memory();
  const uint64_t root = Root();
  // The last frame of the root is the only one that is wrong.
  ASSERT_EQ(Call(HF_HOST_SHARE_HYP, root + root_frames_ - 1), "0");
  EXPECT_EQ(Call(HF_INIT_VM, handle, memory, root, 1, HF_VM_PROTECTED),
            "-EPERM");
  EXPECT_TRUE(world_.Fill(memory, 1));
  EXPECT_TRUE(world_.Fill(root, 1));
  EXPECT_EQ(Call(HF_TOPUP_VM, handle, memory, 1), "-ENOENT")
      << "half a VM is there";
  EXPECT_EQ(Call(HF_VCPU_LOAD, handle, 0), "-ENOENT");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, handle), "-EINVAL");
  ASSERT_EQ(Call(HF_HOST_UNSHARE_HYP, root + root_frames_ - 1), "0");
  // The slot is reserved, neither free nor stuck.
  EXPECT_NE(Reserved(), handle);
  EXPECT_EQ(Call(HF_INIT_VM, handle, memory, root, 1, HF_VM_PROTECTED), "0");
}

// ---- Contents ---------------------------------------------------------------

// Whatever the host gives EL2 comes back zero, every byte of it (edge 37: the
// tail of what an object needs kept the host's bytes, or EL2's).
TEST_F(LifeCycleTest, E37_MemoryGivenToEl2ComesBackZero) {
  const unsigned vcpus = 3;
  HostVm vm;
  vm.memory_frames = world_.Call(HF_VM_FRAMES_NEEDED, vcpus).x1;
  vm.memory = world_.Frames(vm.memory_frames);
  const uint64_t root = Root();
  const uint64_t stock = world_.Frames(10);
  const uint64_t vcpu = world_.Frames(vcpu_frames_);
  const uint64_t run_page = Shared();
  std::vector<uint64_t> given;
  const auto fill = [&](uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      ASSERT_TRUE(world_.Fill(first + i, kJunk));
      given.push_back(first + i);
    }
  };
  fill(vm.memory, vm.memory_frames);
  fill(root, root_frames_);
  fill(stock, 10);
  fill(vcpu, vcpu_frames_);
  ASSERT_TRUE(world_.Fill(run_page, kJunk));
  const uint64_t handle = Reserved();
  ASSERT_EQ(Call(HF_INIT_VM, handle, vm.memory, root, vcpus, HF_VM_PROTECTED),
            "0");
  ASSERT_EQ(Call(HF_INIT_VCPU, handle, 1, vcpu, run_page), "0");
  ASSERT_EQ(Call(HF_TOPUP_VM, handle, stock, 10), "0");
  for (uint64_t pfn : given) EXPECT_FALSE(Host(pfn));
  ASSERT_EQ(Call(HF_VCPU_LOAD, handle, 1), "0");
  Give(0);
  Give(1 << 20);  // tables are made from the stock
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, handle), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, 0, 1), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, 1 << 20, 1), "0");
  ASSERT_NO_FATAL_FAILURE(DrainAll(handle));
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, handle), "0");
  for (uint64_t pfn : given)
    EXPECT_TRUE(world_.Holds(pfn, 0)) << std::hex << pfn;
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run_page), "0");
  EXPECT_TRUE(world_.Holds(run_page, kJunk))
      << "a shared page is not EL2's to clear";
}

// ---- init_vcpu --------------------------------------------------------------

TEST_F(LifeCycleTest, InitVcpuErrors) {
  const uint64_t handle = BareVm(2);
  const uint64_t reserved = Reserved();
  const uint64_t memory = world_.Frames(vcpu_frames_);
  const uint64_t run = Shared();
  const uint64_t el2 = world_.image_first();
  const auto init = [&](uint64_t h, uint64_t index, uint64_t m, uint64_t r) {
    return Call(HF_INIT_VCPU, h, index, m, r);
  };
  // The VM.
  EXPECT_EQ(init(0, 0, memory, run), "-ENOENT");
  EXPECT_EQ(init(handle | 0x10000, 0, memory, run), "-ENOENT");
  EXPECT_EQ(init(reserved, 0, memory, run), "-ENOENT");
  EXPECT_EQ(init(reserved, 9, el2, el2), "-ENOENT") << "VM before the rest";
  // The index, before memory.
  EXPECT_EQ(init(handle, 2, memory, run), "-EINVAL");
  EXPECT_EQ(init(handle, ~uint64_t{0}, memory, run), "-EINVAL");
  EXPECT_EQ(init(handle, uint64_t{1} << 32, memory, run), "-EINVAL");
  EXPECT_EQ(init(handle, 2, el2, run), "-EINVAL");
  // Frames, shape before state.
  EXPECT_EQ(init(handle, 0, kPfns, run), "-EINVAL");
  EXPECT_EQ(init(handle, 0, el2, kPfns), "-EINVAL");
  EXPECT_EQ(init(handle, 0, el2, run), "-EPERM");
  EXPECT_EQ(init(handle, 0, memory, el2), "-EPERM");
  EXPECT_EQ(init(handle, 0, memory, memory), "-EPERM")
      << "a run page is shared, not given";
  EXPECT_EQ(init(handle, 0, run, run), "-EPERM");
  EXPECT_EQ(init(handle, 0, memory, world_.Frames(1)), "-EPERM")
      << "an unshared run page";
  EXPECT_TRUE(Host(memory)) << "a failed call took the memory";
  EXPECT_EQ(init(handle, 0, memory, run), "0");
  EXPECT_FALSE(Host(memory));
  EXPECT_TRUE(Host(run));
  // The slot, and the run page, are taken.
  const uint64_t memory2 = world_.Frames(vcpu_frames_);
  EXPECT_EQ(init(handle, 0, memory2, Shared()), "-EINVAL");
  EXPECT_EQ(init(handle, 1, memory2, run), "-EBUSY");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run), "-EBUSY");
  EXPECT_TRUE(Host(memory2));
  EXPECT_EQ(init(handle, 1, memory2, Shared()), "0");
}

// A failed init_vcpu left the page pinned, or a half-made vCPU to be seen.
TEST_F(LifeCycleTest, E14_FailedInitVcpuPinsAndPublishesNothing) {
  const uint64_t handle = BareVm(2);
  const uint64_t run = Shared();
  EXPECT_EQ(Call(HF_INIT_VCPU, handle, 0, world_.image_first(), run), "-EPERM");
  EXPECT_EQ(Call(HF_INIT_VCPU, handle, 5, world_.Frames(1), run), "-EINVAL");
  EXPECT_EQ(world_.mem().RecordOf(Pfn(run))->count(), 0u);
  EXPECT_EQ(Call(HF_VCPU_LOAD, handle, 0), "-ENOENT");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run), "0");
}

TEST_F(LifeCycleTest, DyingVmsGetNoVcpuAndNoStock) {
  const HostVm vm = world_.MakeVm(1);
  const uint64_t handle = BareVm(2);
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, handle), "0");
  const uint64_t run = Shared();
  const uint64_t memory = world_.Frames(1);
  EXPECT_EQ(Call(HF_INIT_VCPU, handle, 0, memory, run), "-EINVAL");
  EXPECT_EQ(Call(HF_TOPUP_VM, handle, memory, 1), "-EINVAL");
  EXPECT_EQ(Call(HF_TOPUP_VM, handle, world_.image_first(), 1), "-EINVAL")
      << "VM before memory";
  EXPECT_EQ(Call(HF_VCPU_LOAD, handle, 0), "-EINVAL");
  EXPECT_TRUE(Host(memory));
  world_.EndVm(vm);
}

// ---- Stock ------------------------------------------------------------------

TEST_F(LifeCycleTest, TopupWorksInChunksOfTheBudget) {
  const uint64_t handle = BareVm();
  // More than fits a call: as much as fits, and x2 says how much.
  Reply reply = world_.Call(HF_TOPUP_VM, handle, kRam2, 1300);
  EXPECT_EQ(tests::ToString(reply), "0");
  EXPECT_EQ(reply.x2, 512u);
  EXPECT_FALSE(Host(kRam2 + 511));
  EXPECT_TRUE(Host(kRam2 + 512)) << "took more than it said";
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 512, 788), "0 512");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 1024, 276), "0 276");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 1300, 512), "0 512");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 1812, 513), "0 512");
  // No number of pages is too large: only the chunk counts.
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 2324, ~uint64_t{0}), "0 512");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 2836, uint64_t{1} << 63),
            "0 512");
}

TEST_F(LifeCycleTest, TopupErrors) {
  const uint64_t handle = BareVm();
  const uint64_t page = world_.Frames(1);
  EXPECT_EQ(Call2(HF_TOPUP_VM, 0, page, 1), "-ENOENT 0");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle | 0x10000, page, 1), "-ENOENT 0");
  EXPECT_EQ(Call2(HF_TOPUP_VM, Reserved(), page, 0), "-ENOENT 0")
      << "VM before nr_pages";
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, page, 0), "-EINVAL 0") << "edge 33";
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, kPfns, 1), "-EINVAL 0");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, world_.image_first(), 0), "-EINVAL 0")
      << "nr_pages before state";
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, world_.image_first(), 1), "-EPERM 0");
  // All or nothing within a chunk.
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, world_.image_first() - 5, 600),
            "-EPERM 0");
  EXPECT_TRUE(Host(world_.image_first() - 5));
  // A bad page beyond the chunk does not matter yet.
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, world_.carveout_first() - 512, 600),
            "0 512");
  EXPECT_EQ(Call2(HF_TOPUP_VM, handle, world_.carveout_first(), 88),
            "-EPERM 0");
}

// ---- vCPUs ------------------------------------------------------------------

TEST_F(LifeCycleTest, LoadErrorsAndOrder) {
  const HostVm vm = world_.MakeVm(2);
  const uint64_t bare = BareVm(2);
  EXPECT_EQ(Call(HF_VCPU_PUT), "-EINVAL") << "nothing is loaded";
  EXPECT_EQ(Call(HF_VCPU_LOAD, 0, 0), "-ENOENT");
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle | 0x10000, 0), "-ENOENT");
  EXPECT_EQ(Call(HF_VCPU_LOAD, Reserved(), 0), "-ENOENT");
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 2), "-EINVAL");
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, ~uint64_t{0}), "-EINVAL");
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, uint64_t{1} << 32), "-EINVAL");
  EXPECT_EQ(Call(HF_VCPU_LOAD, bare, 1), "-ENOENT") << "never initialised";
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 1), "-EBUSY")
      << "something is loaded here";
  EXPECT_EQ(Call(HF_VCPU_LOAD, 0, 0), "-EBUSY") << "that comes first";
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Call(HF_VCPU_PUT), "-EINVAL") << "nothing is loaded on this CPU";
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "-EBUSY") << "loaded elsewhere";
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 1), "0");
    EXPECT_EQ(world_.hv().loaded(1)->index(), 1u);
    EXPECT_EQ(Call(HF_VCPU_PUT), "0");
  }
  EXPECT_EQ(world_.hv().loaded(0)->index(), 0u);
  EXPECT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_EQ(world_.hv().loaded(0), nullptr);
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
}

// Design 10.4: a CPU that goes down or to sleep takes no vCPU with it.
TEST_F(LifeCycleTest, D10_04_CpuOffPutsTheVcpu) {
  const HostVm vm = world_.MakeVm(1);
  {
    sim::OnCpu other(world_.machine(), 1);
    world_.hv().OnCpuOff();  // nothing is loaded: nothing happens
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
    world_.hv().OnCpuOff();
  }
  EXPECT_EQ(world_.hv().loaded(1), nullptr);
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  EXPECT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
}

// ---- Teardown ---------------------------------------------------------------

TEST_F(LifeCycleTest, TeardownErrors) {
  const HostVm vm = world_.MakeVm(1);
  for (uint64_t bad : {uint64_t{0}, uint64_t{0xfff}, vm.handle + 1,
                       vm.handle | 0x10000, ~uint64_t{0}}) {
    EXPECT_EQ(Call(HF_START_TEARDOWN_VM, bad), "-EINVAL") << bad;
    EXPECT_EQ(Call(HF_DRAIN_VM, bad), "-EINVAL") << bad;
    EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, bad), "-EINVAL") << bad;
  }
  EXPECT_EQ(Call(HF_DRAIN_VM, vm.handle), "-EINVAL") << "it lives";
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EINVAL") << "it lives";
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "-EBUSY")
      << "a vCPU is loaded";
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY")
      << "referenced before living";
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "-EINVAL") << "twice";
  EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "-EINVAL");
  ASSERT_NO_FATAL_FAILURE(DrainAll(vm.handle));
  EXPECT_EQ(Call(HF_DRAIN_VM, vm.handle), "0") << "drained already: no error";
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EINVAL");
  EXPECT_EQ(Call(HF_DRAIN_VM, vm.handle), "-EINVAL");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 0, 1), "-EINVAL");
}

// A VM was finalised while a vCPU was loaded: use after free.
TEST_F(LifeCycleTest, E07_ReferencedVmIsNotFinalised) {
  const HostVm vm = world_.MakeVm(1, 4);
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  // A reference, as a call on another CPU holds it.
  auto& vms = world_.hv().vms();
  std::optional<vm_table::VmRef> reference;
  {
    SpinlockHolder hold(vms.lock);
    reference.emplace(
        vms.Reference(*vms.Find(VmHandle(static_cast<uint16_t>(vm.handle)))));
  }
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY");
  ASSERT_NO_FATAL_FAILURE(DrainAll(vm.handle));
  EXPECT_EQ(Call2(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY 0")
      << "all else is done";
  EXPECT_FALSE(Host(vm.memory));
  reference.reset();
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
  EXPECT_TRUE(Host(vm.memory));
}

// finalize did not look whether all pages came back; they then had an owner
// nobody knew.
TEST_F(LifeCycleTest, E31_FinalizeCountsWhatHasNotComeBack) {
  const HostVm vm = world_.MakeVm(2, 10);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t page = Give(0);
  const uint64_t poisoned = Give(1);
  Give(2);
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, poisoned, 1), "0");
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  // Two pages, ten frames of stock (two of them tables), two vCPUs; poison is
  // none.
  EXPECT_EQ(Call2(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY 14");
  EXPECT_EQ(Call2(HF_DRAIN_VM, vm.handle), "-EBUSY 2");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 2, 1), "0");
  EXPECT_EQ(Call2(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY 13");
  EXPECT_EQ(Call2(HF_DRAIN_VM, vm.handle), "-EBUSY 1");
  // The last page: reclaimed or taken by force, both count.
  EXPECT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  EXPECT_EQ(Call2(HF_FINALIZE_TEARDOWN_VM, vm.handle), "-EBUSY 12");
  const Reply drain = world_.Call(HF_DRAIN_VM, vm.handle);
  EXPECT_EQ(tests::ToString(drain), "0");
  EXPECT_EQ(drain.x2, 0u);
  EXPECT_EQ(drain.x3, 10u + 2 * vcpu_frames_) << "frames that came back";
  EXPECT_EQ(Call2(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0 0");
  for (uint64_t run : vm.run_pages)
    EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, run), "0");
}

// A handle that is used again names another VM: none of the old one's poison,
// pages, stock or translations.
TEST_F(LifeCycleTest, HandleAndVmidAreReusedClean) {
  uint64_t handle = 0;
  for (int round = 0; round < 4; ++round) {
    const HostVm vm = world_.MakeVm(1, 8);
    if (round > 0) EXPECT_EQ(vm.handle, handle);
    handle = vm.handle;
    for (uint64_t gfn : {0u, 1u, 5u}) {
      EXPECT_FALSE(world_.GuestLoad(handle, gfn * kPageSize).has_value())
          << "round " << round;
    }
    ASSERT_EQ(Call(HF_VCPU_LOAD, handle, 0), "0");
    const uint64_t page = Give(0);
    Give(1);
    for (unsigned cpu : {0u, 1u}) {
      sim::OnCpu on(world_.machine(), cpu);
      EXPECT_TRUE(world_.GuestStore(handle, 0, kJunk));
      EXPECT_TRUE(world_.GuestStore(handle, kPageSize, kJunk));
    }
    ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
    world_.EndVm(vm);
    EXPECT_EQ(world_.machine().StaleEntries(Vmid(1)).size(), 0u);
    ASSERT_EQ(world_.Trouble(), "");
  }
}

TEST_F(LifeCycleTest, AllSlotsLive) {
  std::vector<HostVm> vms;
  for (unsigned i = 0; i < vm_table::kVmSlots; ++i) {
    vms.push_back(world_.MakeVm(1, 2));
    const HostVm& vm = vms.back();
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
    const uint64_t page = world_.Frames(1);
    ASSERT_TRUE(world_.Store(page * kPageSize, 1000 + i));
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 3, 1), "0");
    ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  }
  EXPECT_EQ(Call(HF_RESERVE_VM), "-ENOMEM");
  for (unsigned i = 0; i < vms.size(); ++i) {
    EXPECT_EQ(world_.GuestLoad(vms[i].handle, 3 * kPageSize), 1000u + i);
  }
  EXPECT_EQ(world_.Trouble(), "");
  world_.EndVm(vms[77]);
  EXPECT_EQ(world_.Call(HF_RESERVE_VM).x1, vms[77].handle);
  EXPECT_EQ(world_.GuestLoad(vms[76].handle, 3 * kPageSize), 1076u);
  EXPECT_EQ(world_.GuestLoad(vms[78].handle, 3 * kPageSize), 1078u);
}

// ---- Bounded work -----------------------------------------------------------

// Counts what EL2 did (stores to tables, TLBIs, pages zeroed, locks ...) in
// each call.
class BoundedTest : public LifeCycleTest {
 protected:
  explicit BoundedTest(unsigned pa_bits = tests::kPaBits)
      : LifeCycleTest(
            {.cpus = 1,
             .record_events = true,
             .features = {.pa_bits = pa_bits, .fwb = true, .xnx = true}}) {}

  // Per page step: enough for a store, its flush, locks and cleaning, far less
  // than a second run of the budget.
  static constexpr size_t kPerStep = 40;

  Reply Counted(uint64_t id, uint64_t x1, uint64_t x2 = 0, uint64_t x3 = 0) {
    world_.machine().ClearEvents();
    const Reply reply = world_.Call(id, x1, x2, x3);
    most_ = std::max(most_, world_.machine().events().size());
    world_.machine().ClearEvents();
    return reply;
  }
  size_t most_ = 0;
};

TEST_F(BoundedTest, DrainOfABigVm) {
  const HostVm vm = world_.MakeVm(1, 0);
  const uint64_t handle = vm.handle;
  // Every second frame, so that none joins another on the way back.
  uint64_t stock = 0;
  for (uint64_t pfn = kRam2; pfn + 1 < kRam2 + 4096; pfn += 2, ++stock) {
    ASSERT_EQ(Call(HF_TOPUP_VM, handle, pfn, 1), "0");
  }
  ASSERT_EQ(Call(HF_VCPU_LOAD, handle, 0), "0");
  // 600 tables with one poisoned page each.
  const uint64_t page = world_.Frames(1);
  for (uint64_t i = 0; i < 600; ++i) {
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, i * 512, 1), "0");
    ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  }
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, handle), "0");
  uint64_t left = stock + 1;
  uint64_t returned = 0;
  int calls = 0;
  for (; left > 0; ++calls) {
    ASSERT_LT(calls, 100);
    const Reply reply = Counted(HF_DRAIN_VM, handle);
    ASSERT_EQ(tests::ToString(reply), "0");
    EXPECT_LE(reply.x3, kBudget + 1);
    EXPECT_EQ(left - reply.x2, reply.x3)
        << "frames that came back, and frames to come";
    left = reply.x2;
    returned += reply.x3;
  }
  EXPECT_EQ(returned, stock + vcpu_frames_);
  EXPECT_GE(calls, 4);
  EXPECT_LE(most_, kBudget * kPerStep);
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, handle), "0");
  EXPECT_TRUE(Host(kRam2));
}

TEST_F(BoundedTest, DrainOfManyVcpus) {
  const uint64_t handle = BareVm(HF_MAX_VCPUS);
  for (uint64_t i = 0; i < HF_MAX_VCPUS; ++i) {
    ASSERT_EQ(Call(HF_INIT_VCPU, handle, i, kRam2 + i, Shared()), "0");
  }
  const uint64_t stock = 300;
  ASSERT_EQ(Call2(HF_TOPUP_VM, handle, kRam2 + 1000, stock), "0 300");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, handle), "0");
  const Reply first = Counted(HF_DRAIN_VM, handle);
  EXPECT_GT(first.x2, 0u) << "800 frames in one call";
  EXPECT_LE(most_, kBudget * kPerStep);
  ASSERT_NO_FATAL_FAILURE(DrainAll(handle));
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, handle), "0");
}

TEST_F(BoundedTest, TopupReclaimAndFinalize) {
  const HostVm vm = world_.MakeVm(1, 0);
  ASSERT_EQ(Counted(HF_TOPUP_VM, vm.handle, kRam2, 4096).x2, kBudget);
  EXPECT_LE(most_, kBudget * kPerStep);
  ASSERT_EQ(Counted(HF_TOPUP_VM, vm.handle, kRam2 + kBudget, 4096).x2, kBudget);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  Give(5);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  most_ = 0;
  EXPECT_EQ(
      tests::ToString(Counted(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 5, 1)),
      "0");
  EXPECT_LE(most_, 100u) << "one page";
  ASSERT_NO_FATAL_FAILURE(DrainAll(vm.handle));
  most_ = 0;
  EXPECT_EQ(tests::ToString(Counted(HF_FINALIZE_TEARDOWN_VM, vm.handle)), "0");
  EXPECT_LE(most_, 150u) << "finalize is constant-time";
}

// Stock goes back clean to PoC: EL2's cache may hold its zeroes, and a host
// that reads round the cache would see what was there before.
TEST_F(BoundedTest, StockComesBackClean) {
  const uint64_t handle = BareVm();
  ASSERT_EQ(Call(HF_TOPUP_VM, handle, kRam2, 6), "0");
  ASSERT_EQ(Call(HF_TOPUP_VM, handle, kRam2 + 100, 1), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, handle), "0");
  world_.machine().ClearEvents();
  ASSERT_EQ(Call2(HF_DRAIN_VM, handle), "0 0");
  std::set<uint64_t> clean;
  for (const sim::Event& event : world_.machine().events()) {
    if (event.type == sim::EventType::kCleanInvalidate) {
      for (uint64_t at = 0; at < event.b; at += kPageSize) {
        clean.insert((event.a + at) / kPageSize);
      }
    }
  }
  for (uint64_t i : {0, 1, 5, 100}) EXPECT_EQ(clean.count(kRam2 + i), 1u) << i;
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, handle), "0");
}

// Deep and sparse: a pruned table frees those above it too, so more tables come
// free than were looked at.
class DeepTest : public BoundedTest {
 protected:
  DeepTest() : BoundedTest(48) {}
};

TEST_F(DeepTest, DrainKeepsToItsBudget) {
  const HostVm vm = world_.MakeVm(1, 0);
  ASSERT_EQ(Call2(HF_TOPUP_VM, vm.handle, kRam2, 512), "0 512");
  ASSERT_EQ(Call2(HF_TOPUP_VM, vm.handle, kRam2 + 512, 512), "0 512");
  ASSERT_EQ(Call2(HF_TOPUP_VM, vm.handle, kRam2 + 1024, 512), "0 512");
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t page = world_.Frames(1);
  // One poisoned page in each 512 GiB: three tables each.
  for (uint64_t i = 0; i < 400; ++i) {
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, i << 27, 1), "0") << i;
    ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  }
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  for (;;) {
    const Reply reply = Counted(HF_DRAIN_VM, vm.handle);
    ASSERT_EQ(tests::ToString(reply), "0");
    EXPECT_LE(reply.x3, kBudget + 1) << "frames in one call";
    if (reply.x2 == 0) break;
  }
  EXPECT_LE(most_, kBudget * kPerStep);
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
}

// ---- Design 10.13 -----------------------------------------------------------

class LoadEventsTest : public LifeCycleTest {
 protected:
  LoadEventsTest() : LifeCycleTest({.cpus = 2, .record_events = true}) {}
  // "VMALLE1 IC DSB" and so on: what a load did besides locking.
  std::string Load(uint64_t handle, uint64_t index) {
    world_.machine().ClearEvents();
    EXPECT_EQ(Call(HF_VCPU_LOAD, handle, index), "0");
    std::string done;
    for (const sim::Event& event : world_.machine().events()) {
      if (event.type == sim::EventType::kTlbiVmalle1)
        done += " VMALLE1:" + std::to_string(event.a);
      if (event.type == sim::EventType::kIcIallu) done += " IC";
      if (event.type == sim::EventType::kDsbNsh && !done.empty())
        done += " DSB";
      if (event.type == sim::EventType::kIsb) done += " ISB";
    }
    EXPECT_EQ(Call(HF_VCPU_PUT), "0");
    return done;
  }
};

TEST_F(LoadEventsTest, D10_13_AnotherVcpuOfAVmFindsNothingOfTheLast) {
  const HostVm a = world_.MakeVm(2);
  const HostVm b = world_.MakeVm(2);
  const std::string flush = " VMALLE1:1 IC DSB ISB";
  EXPECT_EQ(Load(a.handle, 0), "");
  EXPECT_EQ(Load(a.handle, 0), "") << "the same vCPU";
  EXPECT_EQ(Load(a.handle, 1), flush);
  EXPECT_EQ(Load(b.handle, 0), "") << "another VM has a VMID of its own";
  EXPECT_EQ(Load(a.handle, 1), "") << "still the last of its VM here";
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Load(a.handle, 0), "") << "none of this VM was here";
    EXPECT_EQ(Load(a.handle, 1), flush);
  }
  EXPECT_EQ(Load(a.handle, 0), flush);
}

}  // namespace
}  // namespace holdfast::hyp
