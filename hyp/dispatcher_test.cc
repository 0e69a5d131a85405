// SPDX-License-Identifier: Apache-2.0
//
// The dispatcher: which ids are served, what registers hold afterwards, and
// what the ring of events keeps.
#include <algorithm>
#include <cstdint>
#include <set>
#include <string>

#include "base/event_ring.h"
#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/calls.h"
#include "hyp/hypervisor.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using tests::HostVm;
using tests::World;

constexpr uint64_t kJunk = 0xdead'beef'dead'beef;

TEST(CallTable, E17_FindsItsOwnIdsOnly) {
  std::set<uint32_t> ids;
  for (const Call& call : kCalls) {
    EXPECT_TRUE(ids.insert(call.id).second) << call.name;
    ASSERT_EQ(FindCall(call.id), &call);
    EXPECT_NE(call.handler, nullptr);
    // The same number with a bit more is nobody's: above 31 (edge 16), the
    // service, the SVE hint, the calling convention.
    for (unsigned bit : {6u, 7u, 15u, 16u, 24u, 29u, 30u, 31u, 32u, 47u, 63u}) {
      EXPECT_EQ(FindCall(call.id ^ uint64_t{1} << bit), nullptr)
          << call.name << " bit " << bit;
    }
  }
  for (uint64_t number = 0; number < 0x10000; ++number) {
    const uint64_t id = 0xC600'0000 + number;
    EXPECT_EQ(FindCall(id) != nullptr,
              ids.count(static_cast<uint32_t>(id)) != 0)
        << number;
  }
  EXPECT_EQ(FindCall(0), nullptr);
  EXPECT_EQ(FindCall(~uint64_t{0}), nullptr);
  EXPECT_EQ(FindCall(HF_CALL_BASE - 1), nullptr);
}

class DispatcherTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }
  HostRegs Call(HostRegs regs) {
    world_.hv().HandleHostCall(regs);
    return regs;
  }
  const Event& Back(unsigned i) { return machine::ThisCpu().events.Back(i); }

  World world_{World::Options{.cpus = 2}};
};

// x0 = -1 and no word of what EL2's registers held.
TEST_F(DispatcherTest, UnknownIdsAreNotSupported) {
  for (uint64_t id :
       {uint64_t{0}, ~uint64_t{0}, uint64_t{HF_CALL(0x0au)},
        uint64_t{HF_CALL(0x3fu)}, uint64_t{HF_CALL(0x40u)},
        uint64_t{HF_CALL_BASE} - 1, uint64_t{HF_RESERVE_VM} | uint64_t{1} << 32,
        uint64_t{HF_RESERVE_VM} & ~(uint64_t{1} << 30)}) {
    const HostRegs regs = Call({{id, kJunk, kJunk, kJunk, kJunk, kJunk}});
    EXPECT_EQ(regs.x[0], ~uint64_t{0}) << std::hex << id;
    EXPECT_EQ(regs.x[1], 0u);
    EXPECT_EQ(regs.x[2], 0u);
    EXPECT_EQ(regs.x[3], 0u);
    EXPECT_EQ(regs.x[4], kJunk) << "x4 and up are the host's";
    EXPECT_EQ(regs.x[5], kJunk);
    EXPECT_EQ(Back(0).kind, EventKind::kCallExit);
    EXPECT_EQ(Back(0).a, id);
  }
  // None of them was taken for the call it looks like.
  EXPECT_EQ(Call({{HF_RESERVE_VM}}).x[1], 0x1000u);
}

TEST_F(DispatcherTest, ResultRegistersAreZeroUnlessSet) {
  for (const hyp::Call& call : kCalls) {
    if (call.id == HF_PROBE) continue;  // sets them all
    const HostRegs regs = Call({{call.id, kJunk, kJunk, kJunk, kJunk, kJunk}});
    EXPECT_EQ(regs.x[0], 0u) << call.name;
    EXPECT_NE(regs.x[1], kJunk) << call.name;
    EXPECT_EQ(regs.x[2], 0u) << call.name;
    EXPECT_EQ(regs.x[3], 0u) << call.name;
    EXPECT_EQ(regs.x[4], kJunk) << call.name;
    EXPECT_EQ(regs.x[5], kJunk) << call.name;
  }
}

// Errors are sign-extended to 64 bits.
TEST_F(DispatcherTest, ErrorsAreNegativeErrnos) {
  EXPECT_EQ(Call({{HF_HOST_SHARE_HYP, world_.image_first()}}).x[1],
            uint64_t(-HF_EPERM));
  EXPECT_EQ(Call({{HF_UNRESERVE_VM, 0}}).x[1], uint64_t(-HF_EINVAL));
  EXPECT_EQ(Call({{HF_VCPU_LOAD, 0}}).x[1], uint64_t(-HF_ENOENT));
}

TEST_F(DispatcherTest, EventsRecordCalls) {
  const uint64_t page = world_.Frames(1);
  Call({{HF_HOST_SHARE_HYP, page, 7}});
  EXPECT_EQ(Back(0).kind, EventKind::kCallExit);
  EXPECT_EQ(Back(0).a, HF_HOST_SHARE_HYP);
  EXPECT_EQ(Back(0).b, 0u);
  unsigned i = 1;
  bool state = false;
  for (; Back(i).kind != EventKind::kCallEnter &&
         Back(i).kind != EventKind::kNone;
       ++i) {
    state |= Back(i).kind == EventKind::kPageState && Back(i).a == page;
  }
  EXPECT_TRUE(state) << "the change of the page's state is not there";
  EXPECT_EQ(Back(i).kind, EventKind::kCallEnter);
  EXPECT_EQ(Back(i).a, HF_HOST_SHARE_HYP);
  EXPECT_EQ(Back(i).b, page);
  EXPECT_EQ(Back(i).c, 7u);
  Call({{HF_HOST_SHARE_HYP, page}});
  EXPECT_EQ(static_cast<int64_t>(Back(0).b), -HF_EPERM)
      << "errors are recorded as they left";
  EXPECT_EQ(Back(1).kind, EventKind::kCallEnter)
      << "a refused call changed something";
  EXPECT_EQ(Back(0).sequence, Back(1).sequence + 1);
}

TEST_F(DispatcherTest, EventsAreTheCallingCpus) {
  const Event before = Back(0);
  {
    sim::OnCpu other(world_.machine(), 1);
    Call({{HF_RESERVE_VM}});
    EXPECT_EQ(Back(0).a, HF_RESERVE_VM);
  }
  EXPECT_EQ(Back(0).sequence, before.sequence);
}

TEST_F(DispatcherTest, EventsRecordVmsAndVcpus) {
  const HostVm vm = world_.MakeVm();
  Call({{HF_VCPU_LOAD, vm.handle, 0}});
  EXPECT_EQ(Back(1).kind, EventKind::kVcpu);
  EXPECT_EQ(Back(1).a, vm.handle);
  EXPECT_EQ(Back(1).c, 1u);
  Call({{HF_VCPU_PUT}});
  EXPECT_EQ(Back(1).kind, EventKind::kVcpu);
  EXPECT_EQ(Back(1).c, 0u);
  Call({{HF_START_TEARDOWN_VM, vm.handle}});
  EXPECT_EQ(Back(1).kind, EventKind::kVmState);
  EXPECT_EQ(Back(1).a, vm.handle);
}

}  // namespace
}  // namespace holdfast::hyp
