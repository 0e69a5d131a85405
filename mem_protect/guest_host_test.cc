// SPDX-License-Identifier: Apache-2.0
//
// Between protected guest and host: MEM_SHARE and MEM_UNSHARE as a guest makes
// them, what host and guest can do with the page before, between and after, and
// the question whether a gfn is poisoned.
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::GuestReply;
using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kGfns = uint64_t{1} << (tests::kPaBits - kPageShift);
constexpr int64_t kInvalid = HF_GUEST_INVALID_PARAMETER;

class GuestHostTest : public testing::Test {
 protected:
  explicit GuestHostTest(const World::Options& options = {.cpus = 2})
      : world_(options), vm_(world_.MakeVm(2)) {
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0");
  }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  uint64_t Give(uint64_t gfn, uint64_t content = 0) {
    const uint64_t page = world_.Frames(1);
    EXPECT_TRUE(world_.Fill(page, content));
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
    return page;
  }
  // What the guest finds in x0, if it resumes.
  int64_t Guest(uint64_t id, uint64_t ipa) {
    const GuestReply reply = world_.GuestCall(id, ipa);
    EXPECT_TRUE(reply.resumed());
    EXPECT_EQ(reply.regs.pc, tests::kGuestPc);
    return reply.result();
  }
  int64_t Share(uint64_t gfn) {
    return Guest(HF_GUEST_MEM_SHARE, gfn * kPageSize);
  }
  int64_t Unshare(uint64_t gfn) {
    return Guest(HF_GUEST_MEM_UNSHARE, gfn * kPageSize);
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }
  PageState HostState(uint64_t pfn) {
    return world_.mem().RecordOf(Pfn(pfn))->host();
  }
  Vm& Object() {
    SpinlockHolder hold(world_.hv().vms().lock);
    return *world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm_.handle)));
  }

  World world_;
  HostVm vm_;
};

TEST_F(GuestHostTest, HostUsesASharedPageAndLosesItAgain) {
  const uint64_t page = Give(6, 0x5ec2e7);
  EXPECT_FALSE(Host(page));
  ASSERT_EQ(Share(6), 0);
  EXPECT_EQ(HostState(page), PageState::kSharedBorrowed);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_TRUE(world_.Holds(page, 0x5ec2e7)) << "nothing is cleared";
  }
  EXPECT_TRUE(world_.Store(page * kPageSize, 1));
  EXPECT_EQ(world_.GuestLoad(vm_.handle, 6 * kPageSize), 1u);
  EXPECT_TRUE(world_.GuestStore(vm_.handle, 6 * kPageSize, 2));
  EXPECT_EQ(world_.Load(page * kPageSize), 2u);
  EXPECT_EQ(world_.Trouble(), "");

  ASSERT_EQ(Unshare(6), 0);
  EXPECT_EQ(HostState(page), PageState::kNoPage);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(Host(page)) << "CPU " << cpu << " has it in its TLB";
    EXPECT_FALSE(world_.Store(page * kPageSize, 3)) << "CPU " << cpu;
    EXPECT_EQ(world_.GuestLoad(vm_.handle, 6 * kPageSize), 2u)
        << "what the host left";
  }
  // Again, and for good.
  EXPECT_EQ(Share(6), 0);
  EXPECT_TRUE(Host(page));
}

// Borrowed is not owned: nothing that takes a page of the host's takes it.
TEST_F(GuestHostTest, WhatTheHostBorrowsItCannotGiveAway) {
  const uint64_t page = Give(6);
  ASSERT_EQ(Share(6), 0);
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 7, 1), "-EPERM");
  EXPECT_EQ(Call(HF_TOPUP_VM, vm_.handle, page, 1), "-EPERM");
  EXPECT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "-EAGAIN")
      << "it may touch it already";
  EXPECT_EQ(world_.mem().ShareFfa(page, 1).error(), Errno::kEperm);
  EXPECT_EQ(world_.mem().UnshareFfa(page, 1).error(), Errno::kEperm);
  EXPECT_EQ(HostState(page), PageState::kSharedBorrowed);
  EXPECT_EQ(Unshare(6), 0);
}

TEST_F(GuestHostTest, WrongStatesAreInvalidParameters) {
  const uint64_t page = Give(6);
  EXPECT_EQ(Unshare(6), kInvalid) << "not shared";
  ASSERT_EQ(Share(6), 0);
  EXPECT_EQ(Share(6), kInvalid) << "shared already";
  EXPECT_TRUE(Host(page));
  ASSERT_EQ(Unshare(6), 0);
  EXPECT_EQ(Unshare(6), kInvalid);
  // A missing page: unshare does not ask the host for it.
  EXPECT_EQ(Unshare(7), kInvalid);
  EXPECT_EQ(Unshare(kGfns / 2), kInvalid);
  // Poison.
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  EXPECT_EQ(Share(6), kInvalid);
  EXPECT_EQ(Unshare(6), kInvalid);
  // Addresses that are no page's.
  for (uint64_t ipa : {uint64_t{1}, kPageSize - 1, kPageSize / 2,
                       kGfns * kPageSize, ~uint64_t{0}, uint64_t{1} << 63}) {
    EXPECT_EQ(Guest(HF_GUEST_MEM_SHARE, ipa), kInvalid) << ipa;
    EXPECT_EQ(Guest(HF_GUEST_MEM_UNSHARE, ipa), kInvalid) << ipa;
  }
}

// C: aligned (EINVAL), in range (ERANGE), a page (EHWPOISON, ENOENT, E2BIG),
// its state (EPERM). A guest is told -3 for all; who calls the function is told
// apart.
TEST_F(GuestHostTest, ErrorsComeInOrder) {
  Vm& vm = Object();
  const uint64_t shared = Give(1);
  ASSERT_EQ(Share(1), 0);
  const uint64_t poisoned = Give(2);
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, poisoned, 1), "0");
  const auto share = [&](uint64_t ipa) {
    return world_.mem().GuestShareHost(vm, ipa, 1).error();
  };
  const auto unshare = [&](uint64_t ipa) {
    return world_.mem().GuestUnshareHost(vm, ipa, 1).error();
  };
  EXPECT_EQ(share(~uint64_t{0}), Errno::kEinval) << "alignment before range";
  EXPECT_EQ(share(kGfns * kPageSize), Errno::kErange);
  EXPECT_EQ(share(2 * kPageSize), Errno::kEhwpoison);
  EXPECT_EQ(share(3 * kPageSize), Errno::kEnoent);
  EXPECT_EQ(share(1 * kPageSize), Errno::kEperm);
  EXPECT_EQ(unshare(~uint64_t{0}), Errno::kEinval);
  EXPECT_EQ(unshare(kGfns * kPageSize), Errno::kErange);
  EXPECT_EQ(unshare(2 * kPageSize), Errno::kEhwpoison);
  EXPECT_EQ(unshare(3 * kPageSize), Errno::kEnoent);
  const uint64_t owned = Give(4);
  EXPECT_EQ(unshare(4 * kPageSize), Errno::kEperm);
  EXPECT_FALSE(Host(owned));
  EXPECT_TRUE(Host(shared));
}

// The guest's own leaf stays as it is but for software bits: no flush, so no
// fault of it in between; and the host's is in place when the call returns.
TEST_F(GuestHostTest, SharingCostsTheGuestNoFault) {
  const uint64_t page = Give(6, 5);
  ASSERT_EQ(world_.GuestLoad(vm_.handle, 6 * kPageSize), 5u);
  ASSERT_EQ(Share(6), 0);
  EXPECT_TRUE(world_.machine().HostRead64(0, Ipa(page * kPageSize)).has_value())
      << "mapped by the call";
  EXPECT_TRUE(world_.machine().StaleEntries().empty());
}

class GuestHostEvents : public GuestHostTest {
 protected:
  GuestHostEvents() : GuestHostTest({.cpus = 1, .record_events = true}) {}
};

// The host is out, everywhere, before the guest is told that it is.
TEST_F(GuestHostEvents, UnshareFlushesBeforeTheGuestOwns) {
  const uint64_t page = Give(6);
  ASSERT_EQ(Share(6), 0);
  ASSERT_TRUE(Host(page));
  world_.machine().ClearEvents();
  ASSERT_EQ(Unshare(6), 0);
  const auto events = world_.machine().events();
  int annotated = -1;
  int flushed = -1;
  int owned = -1;
  for (size_t i = 0; i < events.size(); ++i) {
    const sim::Event& event = events[i];
    const int at = static_cast<int>(i);
    if (event.type == sim::EventType::kTlbiVmalle1is) flushed = at;
    if (event.type != sim::EventType::kStorePte) continue;
    ((event.c & 1) == 0 ? annotated : owned) = at;
  }
  EXPECT_GE(annotated, 0);
  EXPECT_GT(flushed, annotated);
  EXPECT_GT(owned, flushed);
}

// ---- Teardown ---------------------------------------------------------------

TEST_F(GuestHostTest, DyingVmsSharedPageComesBackAsItIs) {
  const uint64_t shared = Give(1, 7);
  const uint64_t secret = Give(2, 8);
  ASSERT_EQ(Share(1), 0);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(world_.GuestStore(vm_.handle, kPageSize, 7));
  }
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm_.handle), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm_.handle, 1, 1), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm_.handle, 2, 1), "0");
  EXPECT_TRUE(world_.Holds(shared, 7)) << "the host could read it before";
  EXPECT_TRUE(world_.Holds(secret, 0));
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(world_.GuestStore(vm_.handle, kPageSize, 1));
  }
  EXPECT_EQ(HostState(shared), PageState::kOwned);
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, shared), "0");
}

// ---- Poison -----------------------------------------------------------------

TEST_F(GuestHostTest, PoisonIsAskedForByTheAddressOfALeaf) {
  const uint64_t page = Give(6);
  Vm& vm = Object();
  const auto poisoned = [&](uint64_t gfn) {
    const Result<bool> result =
        world_.mem().IsPoisoned(vm, Ipa(gfn * kPageSize));
    return result.has_value() ? (*result ? "yes" : "no")
                              : ErrnoName(result.error());
  };
  EXPECT_STREQ(poisoned(6), "no");
  EXPECT_STREQ(poisoned(7), "no") << "absent";
  EXPECT_STREQ(poisoned(kGfns / 2), "EINVAL") << "no table";
  EXPECT_STREQ(poisoned(kGfns), "ERANGE");
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  EXPECT_STREQ(poisoned(6), "yes");
  EXPECT_STREQ(poisoned(5), "no");
  EXPECT_STREQ(poisoned(7), "no");
}

}  // namespace
}  // namespace holdfast::mem_protect
