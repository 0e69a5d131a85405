// SPDX-License-Identifier: Apache-2.0
//
// Aborts of the host: what the component answers the trap vector, and its
// record.
#include <cstdint>
#include <optional>

#include "base/event_ring.h"
#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using mem_protect::FaultKind;
using tests::HostVm;
using tests::World;

class AbortTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  HostAbortAction Abort(std::optional<uint64_t> ipa,
                        FaultKind kind = FaultKind::kTranslation,
                        uint64_t syndrome = 0) {
    HostAbort abort;
    if (ipa.has_value()) abort.ipa = Ipa(*ipa);
    abort.kind = kind;
    abort.syndrome = syndrome;
    return world_.hv().HandleHostAbort(abort);
  }
  const Event& Last() { return machine::ThisCpu().events.Back(0); }

  World world_{World::Options{.cpus = 2}};
};

TEST_F(AbortTest, MapsWhatIsTheHosts) {
  EXPECT_EQ(Abort(tests::kRamBase), HostAbortAction::kRetry);
  EXPECT_TRUE(world_.machine().HostRead64(0, Ipa(tests::kRamBase)).has_value());
  EXPECT_EQ(Abort(tests::kUartBase), HostAbortAction::kRetry);
}

// The reference panicked when the address could not be resolved (design 10.9).
TEST_F(AbortTest, D10_09_UnresolvedAddressIsInjected) {
  EXPECT_EQ(Abort(std::nullopt), HostAbortAction::kInjectExternal);
  EXPECT_EQ(Abort(std::nullopt, FaultKind::kPermission),
            HostAbortAction::kInjectExternal);
}

TEST_F(AbortTest, OtherFaultsAreInjectedWherever) {
  ASSERT_TRUE(world_.Load(tests::kRamBase).has_value());
  for (FaultKind kind : {FaultKind::kPermission, FaultKind::kOther}) {
    EXPECT_EQ(Abort(tests::kRamBase, kind), HostAbortAction::kInjectExternal);
    EXPECT_EQ(Abort(tests::kRam2Base, kind), HostAbortAction::kInjectExternal);
    EXPECT_EQ(Abort(tests::kUartBase, kind), HostAbortAction::kInjectExternal);
  }
}

TEST_F(AbortTest, AnyAddressIsSafe) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (uint64_t offset : {uint64_t{0}, ~uint64_t{0}}) {
      const uint64_t ipa = (uint64_t{1} << bit) + offset;
      for (FaultKind kind : {FaultKind::kTranslation, FaultKind::kPermission,
                             FaultKind::kOther}) {
        static_cast<void>(Abort(ipa, kind));
      }
    }
  }
  EXPECT_EQ(Abort(~uint64_t{0}), HostAbortAction::kInjectExternal);
}

// A guest's page, EL2's page, no page at all: one answer.
TEST_F(AbortTest, WhatIsNotTheHostsIsInjected) {
  const HostVm vm = world_.MakeVm();
  ASSERT_TRUE(world_.Call(HF_VCPU_LOAD, vm.handle, 0).ok());
  const uint64_t page = world_.Frames(1);
  ASSERT_TRUE(world_.Call(HF_HOST_DONATE_GUEST, page, 0, 1).ok());
  for (uint64_t address :
       {page * kPageSize, vm.memory * kPageSize, vm.root * kPageSize,
        tests::kImageBase, tests::kNoMapBase, tests::kFwCfgBase}) {
    EXPECT_EQ(Abort(address), HostAbortAction::kInjectExternal)
        << std::hex << address;
    EXPECT_FALSE(world_.Load(address).has_value());
  }
  ASSERT_TRUE(world_.Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1).ok());
  EXPECT_EQ(Abort(page * kPageSize), HostAbortAction::kRetry);
}

TEST_F(AbortTest, RecordsTheAbort) {
  static_cast<void>(
      Abort(tests::kFwCfgBase, FaultKind::kTranslation, 0x9200'0006));
  EXPECT_EQ(Last().kind, EventKind::kHostAbort);
  EXPECT_EQ(Last().a, tests::kFwCfgBase);
  EXPECT_EQ(Last().b, 0x9200'0006u);
  EXPECT_EQ(Last().c, static_cast<uint64_t>(HostAbortAction::kInjectExternal));
  static_cast<void>(Abort(tests::kRamBase));
  EXPECT_EQ(Last().c, static_cast<uint64_t>(HostAbortAction::kRetry));
}

}  // namespace
}  // namespace holdfast::hyp
