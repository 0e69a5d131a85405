// SPDX-License-Identifier: Apache-2.0
//
// Random calls over runs of pages and blocks, each held against the executable
// specification: donations, forced reclaims, shares by guests and the ends of
// VMs, of a few blocks of RAM that two protected VMs and one other take turns
// at. What a call does is the specification's to know, not this file's.
#include <array>
#include <cstdint>
#include <random>

#include "base/granule.h"
#include "gtest/gtest.h"
#include "hyp/abi.h"
#include "tests/spec/oracle.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr unsigned kCalls = 1'500;
#else
constexpr unsigned kCalls = 40'000;
#endif
#endif

constexpr uint64_t kBlock = kPageSize / 8;  // pages of a table
constexpr uint64_t kBlocks = 4;
constexpr uint64_t kPages = kBlocks * kBlock;
constexpr uint64_t kGfn = 4 * kBlock;

class RandomRanges {
 public:
  RandomRanges(World& world, spec::Oracle& oracle, unsigned seed)
      : world_(world),
        oracle_(oracle),
        random_(seed),
        first_(world.Frames(kPages, kBlock)) {}

  // A new VM of slot `i`, in that slot's frames, with some stock.
  void Make(unsigned i) {
    Slot& slot = slots_[i];
    const Reply needs = oracle_.Call(HF_VM_FRAMES_NEEDED, kVcpus);
    if (slot.memory == 0) {
      slot.memory = world_.Frames(needs.x1);
      slot.root = world_.Frames(needs.x2, needs.x2);
      slot.vcpus = world_.Frames(kVcpus * needs.x3);
      slot.run_pages = world_.Frames(kVcpus);
      slot.stock = world_.Frames(kMostStock);
      for (uint64_t v = 0; v < kVcpus; ++v)
        Do(HF_HOST_SHARE_HYP, slot.run_pages + v);
    }
    slot.handle = oracle_.Call(HF_RESERVE_VM).x1;
    Do(HF_INIT_VM, slot.handle, slot.memory, slot.root, kVcpus,
       i == 2 ? 0 : HF_VM_PROTECTED);
    for (uint64_t v = 0; v < kVcpus; ++v)
      Do(HF_INIT_VCPU, slot.handle, v, slot.vcpus + v * needs.x3,
         slot.run_pages + v);
    Do(HF_TOPUP_VM, slot.handle, slot.stock, 2 + Below(kMostStock - 1));
  }

  void Step() {
    const auto i = static_cast<unsigned>(Below(3));
    const Slot& vm = slots_[i];
    switch (Below(16)) {
      case 0:
        return End(i);
      case 1:
      case 2:
        oracle_.Call(HF_VCPU_PUT);
        oracle_.Call(HF_VCPU_LOAD, slots_[Below(5) % 3].handle, Below(2));
        return;
      case 3:
        Count(donated_,
              oracle_.Call(HF_HOST_DONATE_GUEST, Frame(), Gfn(), Run()));
        return;
      case 4:
      case 5:
      case 6:
      case 7:
        Count(donated_,
              oracle_.Call(HF_HOST_DONATE_GUEST, Block(), BlockGfn(), kBlock));
        return;
      case 8:
        Count(forced_,
              Below(2) == 0
                  ? oracle_.Call(HF_FORCE_RECLAIM_GUEST_PAGE, Frame(), Run())
                  : oracle_.Call(HF_FORCE_RECLAIM_GUEST_PAGE, Block(), kBlock));
        return;
      case 9:
        return Guest(HF_GUEST_MEM_SHARE);
      case 10:
        return Guest(HF_GUEST_MEM_UNSHARE);
      case 11:
        oracle_.Call(HF_HOST_SHARE_GUEST, first_ + Below(kBlocks) * kBlock,
                     kGfn + Below(3) * kBlock, kBlock, 0xf);
        oracle_.Call(HF_HOST_UNSHARE_GUEST, vm.handle, kGfn + Below(3) * kBlock,
                     kBlock);
        return;
      case 12: {  // in the way, until its turn comes
        if (shared_ != 0) oracle_.Call(HF_HOST_UNSHARE_HYP, shared_);
        shared_ = Below(4) == 0 ? Frame() : 0;
        if (shared_ != 0) oracle_.Call(HF_HOST_SHARE_HYP, shared_);
        return;
      }
      case 13:
        oracle_.Store(Frame() * kPageSize, Below(1000));
        return;
      case 14:
        oracle_.GuestStore(vm.handle, Gfn() * kPageSize, Below(1000));
        return;
      default:
        oracle_.Load(Frame() * kPageSize);
        oracle_.GuestLoad(vm.handle, Gfn() * kPageSize);
        return;
    }
  }

  // It all happens often enough to mean something.
  void ExpectEnough(unsigned steps) const {
    for (const Tally& tally : {donated_, forced_, changed_}) {
      EXPECT_GT(tally.some, steps / 200);
      EXPECT_GT(tally.all, steps / 600);
    }
  }

 private:
  static constexpr uint64_t kVcpus = 2;
  static constexpr uint64_t kMostStock = 12;
  struct Slot {
    uint64_t handle = 0;
    uint64_t memory = 0, root = 0, vcpus = 0, run_pages = 0, stock = 0;
  };

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  uint64_t Frame() { return first_ + Below(kPages); }
  uint64_t Block() { return first_ + Below(kBlocks) * kBlock; }
  uint64_t BlockGfn() { return kGfn + Below(kBlocks) * kBlock; }
  // Some of another table.
  uint64_t Gfn() { return kGfn + Below(kPages + kBlock); }
  uint64_t Run() {
    switch (Below(4)) {
      case 0:
        return Below(3);
      case 1:
        return kBlock;
      case 2:
        return Below(8) == 0 ? ~uint64_t{0} : 2 * kBlock;
      default:
        return Below(kBlock);
    }
  }
  void Guest(uint64_t id) {
    if (world_.hv().loaded(0) == nullptr) return;
    const bool block = Below(2) == 0;
    hyp::GuestRegs regs{.x = {id, (block ? BlockGfn() : Gfn()) * kPageSize,
                              block ? kBlock : Run(), 0}};
    const hyp::GuestAction action = oracle_.GuestCall(regs);
    if (action == hyp::GuestAction::kResume && regs.x[0] == 0)
      Count(changed_, {.x2 = regs.x[1]});
  }
  // Calls that did something, and those among them that did a table at once.
  struct Tally {
    unsigned some = 0, all = 0;
  };
  static void Count(Tally& tally, const Reply& reply) {
    if (!reply.ok()) return;
    ++tally.some;
    if (reply.x2 == kBlock) ++tally.all;
  }

  // In calls of any size, from any place. And another one comes.
  void End(unsigned i) {
    const uint64_t handle = slots_[i].handle;
    oracle_.Call(HF_VCPU_PUT);
    Do(HF_START_TEARDOWN_VM, handle);
    oracle_.Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, Gfn(), Run());
    oracle_.Call(HF_FORCE_RECLAIM_GUEST_PAGE, Frame(), Run());
    for (uint64_t gfn = kGfn; gfn < kGfn + kBlocks * kBlock; gfn += kBlock)
      oracle_.Call(HF_HOST_UNSHARE_GUEST, handle, gfn, kBlock);
    for (uint64_t gfn = 0; gfn != HF_NO_GFN;) {
      const Reply reply = oracle_.Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, gfn,
                                       1 + Below(2 * kBlock));
      ASSERT_TRUE(reply.ok() || reply.result() == -HF_ENOENT);
      gfn = reply.x2;
    }
    Reply drained;
    do {
      drained = oracle_.Call(HF_DRAIN_VM, handle);
      ASSERT_TRUE(drained.ok());
    } while (drained.x2 != 0);
    Do(HF_FINALIZE_TEARDOWN_VM, handle);
    Make(i);
  }
  void Do(uint64_t id, uint64_t x1, uint64_t x2 = 0, uint64_t x3 = 0,
          uint64_t x4 = 0, uint64_t x5 = 0) {
    EXPECT_EQ(tests::ToString(oracle_.Call(id, x1, x2, x3, x4, x5)), "0");
  }

  World& world_;
  spec::Oracle& oracle_;
  std::mt19937 random_;
  const uint64_t first_;
  uint64_t shared_ = 0;  // with EL2, if it could be
  std::array<Slot, 3> slots_;
  Tally donated_, forced_, changed_;
};

TEST(RandomRanges, AreAsTheSpecificationHasThem) {
  for (unsigned seed : {1u, 2u}) {
    spec::Oracle oracle;
    World world(World::Options{.cpus = 1, .scheduling_point = oracle.Hook()});
    oracle.Attach(world.board());
    RandomRanges ranges(world, oracle, seed);
    for (unsigned i = 0; i < 3; ++i) ranges.Make(i);
    for (unsigned i = 0; i < kCalls; ++i) {
      ranges.Step();
      ASSERT_EQ(oracle.Trouble(), "") << "step " << i << " of seed " << seed;
      if (i % 500 != 0) continue;
      ASSERT_EQ(oracle.FullTrouble(), "") << "step " << i;
      ASSERT_EQ(world.Trouble(), "") << "step " << i;
    }
    EXPECT_EQ(oracle.FullTrouble(), "");
    EXPECT_EQ(world.Trouble(), "");
    ranges.ExpectEnough(kCalls);
  }
}

}  // namespace
}  // namespace holdfast::tests
