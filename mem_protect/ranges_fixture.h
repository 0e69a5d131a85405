// SPDX-License-Identifier: Apache-2.0
//
// For tests of calls over many pages of a protected guest: a VM whose vCPU is
// loaded, calls whose answers are text ("512" pages done, or "-EPERM"), and
// looks into the tables.
#ifndef HOLDFAST_MEM_PROTECT_RANGES_FIXTURE_H_
#define HOLDFAST_MEM_PROTECT_RANGES_FIXTURE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {

class RangesTest : public testing::Test {
 protected:
  RangesTest() { Load(vm_); }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  tests::Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                    uint64_t x3 = 0) {
    return world_.Call(id, x1, x2, x3);
  }
  // "512" pages done, or "-EPERM".
  std::string Pages(const tests::Reply& reply) {
    return reply.ok() ? std::to_string(reply.x2) : tests::ToString(reply);
  }
  std::string Donate(uint64_t pfn, uint64_t gfn, uint64_t pages) {
    return Pages(Call(HF_HOST_DONATE_GUEST, pfn, gfn, pages));
  }
  std::string Force(uint64_t pfn, uint64_t pages) {
    return Pages(Call(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, pages));
  }
  std::string Guest(uint64_t id, uint64_t gfn, uint64_t pages) {
    const tests::GuestReply reply =
        world_.GuestCall(id, gfn * kPageSize, pages);
    if (!reply.resumed()) return "exit";
    return reply.result() != 0 ? std::to_string(reply.result())
                               : std::to_string(reply.regs.x[1]);
  }
  std::string Share(uint64_t gfn, uint64_t pages) {
    return Guest(HF_GUEST_MEM_SHARE, gfn, pages);
  }
  std::string Unshare(uint64_t gfn, uint64_t pages) {
    return Guest(HF_GUEST_MEM_UNSHARE, gfn, pages);
  }
  // "0 5": done, and gfn 5 is next; "0 -" if none is.
  std::string Reclaim(uint64_t gfn, uint64_t pages) {
    const tests::Reply reply =
        Call(HF_RECLAIM_DYING_GUEST_PAGE, vm_.handle, gfn, pages);
    const std::string next =
        reply.x2 == HF_NO_GFN ? "-" : std::to_string(reply.x2);
    return tests::ToString(reply) + " " + next;
  }
  void Load(const tests::HostVm& vm) {
    if (world_.hv().loaded(0) != nullptr) ASSERT_TRUE(Call(HF_VCPU_PUT).ok());
    ASSERT_TRUE(Call(HF_VCPU_LOAD, vm.handle, 0).ok());
  }
  void Kill() {
    ASSERT_TRUE(Call(HF_VCPU_PUT).ok());
    ASSERT_TRUE(Call(HF_START_TEARDOWN_VM, vm_.handle).ok());
  }

  // The host's table, or the guest's, at one of the pages.
  pgtable::PteKind HostKind(uint64_t pfn, Level level) {
    SpinlockHolder hold(world_.mem().host_table().lock);
    const auto at = *world_.mem().host_table().Find(Ipa(pfn * kPageSize));
    return at.level() == level ? at.kind() : pgtable::PteKind::kEmpty;
  }
  Vm& Object() {
    SpinlockHolder hold(world_.hv().vms().lock);
    return *world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm_.handle)));
  }
  Level GuestLevel(uint64_t gfn) {
    Vm& vm = Object();
    SpinlockHolder hold(vm.stage2.lock);
    return vm.stage2.Find(Gfn(gfn).address())->level();
  }
  uint32_t Stock() {
    Vm& vm = Object();
    SpinlockHolder hold(vm.stage2.lock);
    return vm.stage2.stock.free();
  }
  bool HostReads(uint64_t pfn) {
    return world_.Load(pfn * kPageSize).has_value();
  }
  // The first word of each page is its number.
  void Number(uint64_t pfn, uint64_t pages) {
    for (uint64_t i = 0; i < pages; ++i)
      ASSERT_TRUE(world_.Store((pfn + i) * kPageSize, 1000 + i));
  }
  std::optional<uint64_t> GuestWord(uint64_t gfn) {
    return world_.GuestLoad(vm_.handle, gfn * kPageSize);
  }

  tests::World world_{tests::World::Options{.cpus = 2}};
  tests::HostVm vm_ = world_.MakeVm(2, 16);
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_RANGES_FIXTURE_H_
