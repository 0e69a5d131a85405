// SPDX-License-Identifier: Apache-2.0
//
// HVCs of a guest: which are served and to whom, what registers hold then, and
// the exit that asks the host for a missing page.
#include <cstdint>
#include <string>

#include "base/event_ring.h"
#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "hyp/syndrome.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using tests::GuestReply;
using tests::HostVm;
using tests::World;

constexpr uint64_t kGfns = uint64_t{1} << (tests::kPaBits - kPageShift);
constexpr int64_t kInvalid = HF_GUEST_INVALID_PARAMETER;

class GuestCallsTest : public testing::Test {
 protected:
  GuestCallsTest() { EXPECT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0"); }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3));
  }
  vm_table::Vcpu& Loaded() {
    return *world_.hv().loaded(machine::ThisCpu().index);
  }
  void ExpectAnswer(const GuestReply& reply, int64_t x0, uint64_t x1 = 0) {
    EXPECT_TRUE(reply.resumed());
    EXPECT_EQ(reply.result(), x0);
    EXPECT_EQ(reply.regs.x[1], x1);
    EXPECT_EQ(reply.regs.x[2], 0u);
    EXPECT_EQ(reply.regs.x[3], 0u);
    EXPECT_EQ(reply.regs.pc, tests::kGuestPc);
  }

  World world_{World::Options{.cpus = 2}};
  HostVm vm_ = world_.MakeVm(2);
};

TEST_F(GuestCallsTest, FeaturesNameEveryFunctionServed) {
  // Bits 0 and 2 to 6: features itself and the five below.
  ExpectAnswer(world_.GuestCall(HF_GUEST_FEATURES), 0x7d);
  ExpectAnswer(world_.GuestCall(HF_GUEST_FEATURES, 1, 2, 3), 0x7d);
}

TEST_F(GuestCallsTest, MeminfoIsThePageSize) {
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEMINFO),
               static_cast<int64_t>(kPageSize));
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEMINFO, 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEMINFO, 0, 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEMINFO, 0, 0, 1ull << 63), kInvalid);
}

TEST_F(GuestCallsTest, UnusedArgumentsMustBeZero) {
  const uint64_t page = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 1, 1), "0");
  for (uint64_t id : {HF_GUEST_MEM_SHARE, HF_GUEST_MEM_UNSHARE}) {
    ExpectAnswer(world_.GuestCall(id, kPageSize, 0, 1), kInvalid);
    // Before anything of the page: a missing one is not asked for.
    ExpectAnswer(world_.GuestCall(id, 2 * kPageSize, 1, 1), kInvalid);
  }
  EXPECT_FALSE(world_.Load(page * kPageSize).has_value());
}

// Guests of pKVM know no ranges, and pass 0.
TEST_F(GuestCallsTest, NoPagesIsOnePage) {
  const uint64_t page = world_.Frames(2);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 1, 2), "0");
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kPageSize), 0, 1);
  EXPECT_TRUE(world_.Load(page * kPageSize).has_value());
  EXPECT_FALSE(world_.Load((page + 1) * kPageSize).has_value());
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_UNSHARE, kPageSize), 0, 1);
  EXPECT_FALSE(world_.Load(page * kPageSize).has_value());
}

TEST_F(GuestCallsTest, RangesSayHowFarTheyCame) {
  const uint64_t page = world_.Frames(3);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 1, 3), "0");
  const uint64_t last = (page + 2) * kPageSize;
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kPageSize, 2), 0, 2);
  EXPECT_FALSE(world_.Load(last).has_value());
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kPageSize, 3), kInvalid);
  // The fourth is missing: not asked for before the third is shared.
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, 3 * kPageSize, 2), 0, 1);
  EXPECT_TRUE(world_.Load(last).has_value());
  EXPECT_FALSE(
      world_.GuestCall(HF_GUEST_MEM_SHARE, 4 * kPageSize, 2).resumed());
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_UNSHARE, kPageSize, 100), 0, 3);
  EXPECT_FALSE(world_.Load(last).has_value());
}

TEST_F(GuestCallsTest, DevicesAreWholePagesInTheInputRange) {
  const uint64_t limit = uint64_t{1} << Loaded().vm().stage2.shape().ipa_bits;
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, kPageSize, 1), 0);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, limit - kPageSize, 1), 0);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, 0, limit / kPageSize), 0);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, 8, 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, 0, 0), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, 0, 1, 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, limit, 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, limit - kPageSize, 2),
               kInvalid);
  ExpectAnswer(
      world_.GuestCall(HF_GUEST_MMIO_MAP, kPageSize, uint64_t{1} << 52),
      kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, kPageSize, ~uint64_t{0}),
               kInvalid);
  // 3 are taken.
  for (size_t i = 3; i < vm_table::Vm::kMaxDevices; ++i)
    ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, kPageSize, 1), 0);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MMIO_MAP, kPageSize, 1), kInvalid);
}

TEST_F(GuestCallsTest, PoisonAbortsAreOnOrOff) {
  ExpectAnswer(world_.GuestCall(HF_GUEST_POISON_ABORTS, 1), 0);
  EXPECT_TRUE(Loaded().vm().poison_aborts.load());
  ExpectAnswer(world_.GuestCall(HF_GUEST_POISON_ABORTS, 2), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_POISON_ABORTS, 0, 1), kInvalid);
  EXPECT_TRUE(Loaded().vm().poison_aborts.load());
  ExpectAnswer(world_.GuestCall(HF_GUEST_POISON_ABORTS, 0), 0);
  EXPECT_FALSE(Loaded().vm().poison_aborts.load());
}

// Everything else is the host's to answer, registers as they were.
TEST_F(GuestCallsTest, OtherIdsExitUntouched) {
  const uint64_t ids[] = {0,
                          ~uint64_t{0},
                          0x84000000,  // PSCI_VERSION
                          0xC6000000,
                          0xC6000001,
                          0xC6000007,
                          0xC6000008,
                          0x86000002,
                          HF_HOST_SHARE_HYP,
                          HF_PROBE,
                          HF_SMCCC_UID,
                          HF_GUEST_MEM_SHARE | uint64_t{1} << 32,
                          HF_GUEST_MEM_SHARE | uint64_t{1} << 16};
  for (uint64_t id : ids) {
    const GuestReply reply = world_.GuestCall(id, 11, 22, 33);
    EXPECT_EQ(reply.action, GuestAction::kExit) << std::hex << id;
    EXPECT_EQ(reply.regs.x[0], id);
    EXPECT_EQ(reply.regs.x[1], 11u);
    EXPECT_EQ(reply.regs.x[2], 22u);
    EXPECT_EQ(reply.regs.x[3], 33u);
    EXPECT_EQ(reply.regs.pc, tests::kGuestPc);
    EXPECT_EQ(ExceptionClassOf(Loaded().exit.esr), kEcHvc64);
  }
}

TEST_F(GuestCallsTest, NonProtectedGuestsCallTheHost) {
  const HostVm open = world_.MakeVm(1, 16, /*is_protected=*/false);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_VCPU_LOAD, open.handle, 0), "0");
  for (uint64_t id : {HF_GUEST_FEATURES, HF_GUEST_MEMINFO, HF_GUEST_MEM_SHARE,
                      HF_GUEST_MEM_UNSHARE}) {
    const GuestReply reply = world_.GuestCall(id, kPageSize);
    EXPECT_EQ(reply.action, GuestAction::kExit);
    EXPECT_EQ(reply.regs.x[0], id);
    EXPECT_EQ(reply.regs.x[1], kPageSize);
    EXPECT_EQ(reply.regs.pc, tests::kGuestPc);
  }
}

// MEM_SHARE of a page that is not there: the host sees a store that faulted,
// brings the page, and the guest's HVC runs again.
TEST_F(GuestCallsTest, E22_MissingPageIsAskedForAsAnAbort) {
  constexpr uint64_t kGfn = 0x1234;
  // In a table that is there: else the question for poison has no answer.
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, world_.Frames(1), kGfn + 1, 1), "0");
  GuestReply reply = world_.GuestCall(HF_GUEST_MEM_SHARE, kGfn * kPageSize);
  EXPECT_EQ(reply.action, GuestAction::kExit);
  EXPECT_EQ(reply.regs.x[0], HF_GUEST_MEM_SHARE) << "to be run again";
  EXPECT_EQ(reply.regs.x[1], kGfn * kPageSize);
  EXPECT_EQ(reply.regs.pc, tests::kGuestPc - 4) << "the HVC itself";
  const vm_table::GuestExit& exit = Loaded().exit;
  // EC 0x24, IL (the reference forgot it), no instruction syndrome, write,
  // translation fault of level 3.
  EXPECT_EQ(exit.esr, uint64_t{0x24} << 26 | 1u << 25 | 1u << 6 | 0x07);
  EXPECT_EQ(exit.far, 0u);
  EXPECT_EQ(exit.hpfar, kGfn * kPageSize >> 12 << 4);
  EXPECT_TRUE(IsTranslationAbort(exit.esr));
  EXPECT_EQ(FaultPage(exit), Ipa(kGfn * kPageSize));
  EXPECT_EQ(Call(HF_VCPU_IN_POISON_FAULT), "0");

  // The host does what it does for any fault.
  const uint64_t page = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page,
                 FaultPage(Loaded().exit).value() / kPageSize, 1),
            "0");
  reply = world_.GuestCall(reply.regs.x[0], reply.regs.x[1], reply.regs.x[2],
                           reply.regs.x[3]);
  ExpectAnswer(reply, 0, 1);
  EXPECT_TRUE(world_.Load(page * kPageSize).has_value());
}

// A guest's fault while another CPU takes its block apart (break-before-make)
// is none: it waits for that CPU, and goes on.
TEST_F(GuestCallsTest, AFaultWhereThePageIsResumes) {
  const uint64_t page = world_.Frames(1);
  const auto fault = [](uint64_t gfn, uint64_t status) {
    return vm_table::GuestExit{.esr = EsrOf(kEcDataAbortLower, status),
                               .far = 0,
                               .hpfar = HpfarOf(Ipa(gfn * kPageSize))};
  };
  const auto missing = fault(0x40, kFaultTranslationLevel3);
  EXPECT_EQ(world_.hv().HandleGuestAbort(missing), GuestAction::kExit);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0x40, 1), "0");
  EXPECT_EQ(world_.hv().HandleGuestAbort(missing), GuestAction::kResume);
  // A right that it has not stays so (a permission fault of level 3).
  EXPECT_EQ(world_.hv().HandleGuestAbort(fault(0x40, 0x0f)),
            GuestAction::kExit);
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  EXPECT_EQ(world_.hv().HandleGuestAbort(missing), GuestAction::kExit);
}

// Only that case: whatever else is wrong is answered, or the host would loop.
TEST_F(GuestCallsTest, OnlyAMissingPageIsAskedFor) {
  const uint64_t page = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 1, 1), "0");
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kPageSize), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kGfns * kPageSize),
               kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_SHARE, kPageSize + 1), kInvalid);
  ExpectAnswer(world_.GuestCall(HF_GUEST_MEM_UNSHARE, 2 * kPageSize), kInvalid);
}

TEST_F(GuestCallsTest, EventsRecordCallsAndAborts) {
  const auto last = [](EventKind kind) {
    for (unsigned i = 0;; ++i) {
      const Event& event = machine::ThisCpu().events.Back(i);
      if (event.kind == kind || event.kind == EventKind::kNone) return event;
    }
  };
  world_.GuestCall(HF_GUEST_MEM_UNSHARE, 7 * kPageSize);
  const Event call = last(EventKind::kGuestCall);
  EXPECT_EQ(call.kind, EventKind::kGuestCall);
  EXPECT_EQ(call.a, HF_GUEST_MEM_UNSHARE);
  EXPECT_EQ(call.b, 7 * kPageSize);
  EXPECT_EQ(call.c, vm_.handle);
  EXPECT_FALSE(world_.GuestLoad(vm_.handle, 9 * kPageSize).has_value());
  const Event abort = last(EventKind::kGuestAbort);
  EXPECT_EQ(abort.a, 9 * kPageSize);
  EXPECT_EQ(abort.b, Loaded().exit.esr);
  EXPECT_EQ(abort.c, vm_.handle);
}

// No guest runs where no vCPU is loaded: that would be a bug of the platform.
TEST_F(GuestCallsTest, TrapsWithoutAGuestAreBugs) {
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_DEATH(world_.GuestCall(HF_GUEST_FEATURES), "loaded");
  EXPECT_DEATH(static_cast<void>(world_.hv().HandleGuestAbort({})), "loaded");
}

}  // namespace
}  // namespace holdfast::hyp
