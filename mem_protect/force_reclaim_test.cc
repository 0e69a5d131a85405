// SPDX-License-Identifier: Apache-2.0
//
// Forced reclaim: the host takes a page back from a guest that still runs.
#include <cstdint>
#include <string>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kSecret = 0x5ec2e7'5ec2e7;

class ForceReclaimTest : public testing::Test {
 protected:
  explicit ForceReclaimTest(const World::Options& options = {.cpus = 2})
      : world_(options), vm_(world_.MakeVm(2)) {
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0");
  }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4, x5));
  }
  uint64_t Give(uint64_t gfn, uint64_t content = 0) {
    const uint64_t page = world_.Frames(1);
    EXPECT_TRUE(world_.Fill(page, content));
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
    return page;
  }
  std::string Force(uint64_t pfn) {
    return Call(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1);
  }
  vm_table::Vm& Object(const HostVm& vm) {
    SpinlockHolder hold(world_.hv().vms().lock);
    return *world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
  }
  // Writes a raw entry for the page of `ipa` into a stage 2, behind EL2's back.
  static void Plant(MemProtect::Stage2& table, Ipa ipa, uint64_t raw) {
    SpinlockHolder hold(table.lock);
    ASSERT_EQ(table.Find(ipa)->level(), kPageLevel);
    machine::StorePte(EntryOf(table, ipa), raw);
    machine::DsbIshst();
  }
  static uint64_t* EntryOf(MemProtect::Stage2& table, Ipa ipa) {
    uint64_t* entries =
        static_cast<uint64_t*>(machine::PhysToVirt(table.context().root));
    for (int8_t level = table.shape().start.value();; ++level) {
      const unsigned shift = MemProtect::Granule::Shift(Level(level));
      uint64_t index = ipa.value() >> shift;
      if (level != table.shape().start.value())
        index %= MemProtect::Granule::kEntries;
      if (level == 3) return entries + index;
      entries = static_cast<uint64_t*>(machine::PhysToVirt(
          pgtable::Pte<MemProtect::Granule>(machine::LoadPte(entries + index))
              .address()));
    }
  }

  World world_;
  HostVm vm_;
};

TEST_F(ForceReclaimTest, GuestLosesThePageOnEveryCpuAndTheHostReadsZero) {
  const uint64_t page = Give(6);
  // The translation is in every CPU's TLB, for reads and writes.
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(
        world_.GuestStore(vm_.handle, 6 * kPageSize + 8 * cpu, kSecret));
    ASSERT_EQ(world_.GuestLoad(vm_.handle, 6 * kPageSize + 8 * cpu), kSecret);
    ASSERT_FALSE(world_.Load(page * kPageSize).has_value());
  }
  EXPECT_EQ(Force(page), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(world_.GuestLoad(vm_.handle, 6 * kPageSize).has_value())
        << "CPU " << cpu;
    EXPECT_FALSE(world_.GuestStore(vm_.handle, 6 * kPageSize, kSecret))
        << "CPU " << cpu;
    EXPECT_TRUE(world_.Holds(page, 0)) << "CPU " << cpu;
  }
  EXPECT_EQ(Force(page), "-EAGAIN") << "the host has it";
}

// Not the page only: neighbours in RAM and in the guest stay as they are.
TEST_F(ForceReclaimTest, E21_NeighboursAreLeftAlone) {
  const uint64_t run = world_.Frames(3);
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(world_.Fill(run + i, kSecret + i));
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, run + i, 10 + i, 1), "0");
  }
  EXPECT_EQ(Force(run + 1), "0");
  for (uint64_t i : {0u, 2u}) {
    EXPECT_EQ(world_.GuestLoad(vm_.handle, (10 + i) * kPageSize), kSecret + i);
    EXPECT_EQ(world_.GuestLoad(vm_.handle, (11 + i) * kPageSize - 8),
              kSecret + i);
    EXPECT_FALSE(world_.Load((run + i) * kPageSize).has_value());
  }
  EXPECT_TRUE(world_.Holds(run + 1, 0));
}

TEST_F(ForceReclaimTest, PoisonedGfnStaysDeadAndThePageLivesOn) {
  const uint64_t page = Give(6, kSecret);
  EXPECT_EQ(Force(page), "0");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 6, 1), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, world_.Frames(1), 6, 1), "-EPERM");
  ASSERT_TRUE(world_.Fill(page, 1));
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 7, 1), "0");
  EXPECT_EQ(world_.GuestLoad(vm_.handle, 7 * kPageSize), 1u);
  EXPECT_EQ(Force(page), "0");
  EXPECT_TRUE(world_.Holds(page, 0));
  // For the VM's life: a reclaim when it dies does not change that; the next
  // VM's gfn is another.
  world_.EndVm(vm_);
  vm_ = world_.MakeVm();
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 6, 1), "0");
}

// Hyp text had a valid entry and no annotation: the decoder asserted.
TEST_F(ForceReclaimTest, E28_El2sOwnMemoryIsAnErrorNotAPanic) {
  for (uint64_t i = 0; i < tests::kImageFrames; ++i) {
    EXPECT_EQ(Force(world_.image_first() + i), "-EPERM");
  }
  EXPECT_EQ(Force(world_.carveout_first()), "-EPERM");
  EXPECT_EQ(Force(vm_.memory), "-EPERM");
  EXPECT_EQ(Force(vm_.root), "-EPERM");
  // What no call leads to: a valid entry though the host has no part in the
  // page.
  const uint64_t page = Give(1);
  ASSERT_NO_FATAL_FAILURE(Plant(world_.mem().host_table(),
                                Ipa(page * kPageSize),
                                page << kPageShift | 0x7ff));
  EXPECT_EQ(Force(page), "-EINVAL");
  const uint64_t good =
      uint64_t{2} << 60 | uint64_t{1} << 20 | vm_.handle << 4 | 2 << 1;
  ASSERT_NO_FATAL_FAILURE(
      Plant(world_.mem().host_table(), Ipa(page * kPageSize), 0));
  EXPECT_EQ(Force(page), "-EINVAL");
  ASSERT_NO_FATAL_FAILURE(
      Plant(world_.mem().host_table(), Ipa(page * kPageSize), good));
  world_.machine().ClearViolations();
  EXPECT_EQ(Force(page), "0");
}

// An annotation whose VM or gfn is not (any more) what it says must be an
// error: the reference asserted that the addresses agree, or said EAGAIN for
// ever.
TEST_F(ForceReclaimTest, E31_AnnotationsThatLieAreErrors) {
  const HostVm other = world_.MakeVm();
  const uint64_t page = Give(1, kSecret);
  const uint64_t second = Give(2, kSecret);
  const uint64_t third = Give(3);
  ASSERT_EQ(Force(third), "0");  // poison at 3
  const auto entry = [](uint64_t handle, uint64_t gfn) {
    return uint64_t{2} << 60 | gfn << 20 | handle << 4 | 2 << 1;
  };
  const auto claims = [&](uint64_t raw) {
    Plant(world_.mem().host_table(), Ipa(page * kPageSize), raw);
    return Force(page);
  };
  EXPECT_EQ(claims(entry(vm_.handle, 2)), "-EPERM")
      << "another page is at that gfn";
  EXPECT_EQ(claims(entry(vm_.handle, 3)), "-EHWPOISON");
  EXPECT_EQ(claims(entry(vm_.handle, 4)), "-ENOENT");
  EXPECT_EQ(claims(entry(vm_.handle, 0x4000'0000)), "-ERANGE") << "no such gfn";
  EXPECT_EQ(claims(entry(other.handle, 1)), "-ENOENT") << "another VM";
  EXPECT_EQ(claims(entry(0x10f0, 1)), "-EAGAIN") << "no VM";
  EXPECT_EQ(claims(entry(7, 1)), "-EAGAIN") << "no handle";
  EXPECT_EQ(claims(uint64_t{3} << 60), "-EINVAL") << "no donation";
  // None of them changed anything.
  EXPECT_EQ(world_.GuestLoad(vm_.handle, 1 * kPageSize), kSecret);
  EXPECT_EQ(world_.GuestLoad(vm_.handle, 2 * kPageSize), kSecret);
  EXPECT_EQ(claims(entry(vm_.handle, 1)), "0");
  EXPECT_EQ(Force(second), "0");
}

TEST_F(ForceReclaimTest, OnlyWhatTheGuestOwnsAlone) {
  const uint64_t page = Give(1, kSecret);
  auto& stage2 = Object(vm_).stage2;
  for (PageState state :
       {PageState::kSharedOwned, PageState::kSharedBorrowed}) {
    {
      SpinlockHolder hold(stage2.lock);
      auto at = *stage2.Find(Ipa(1 * kPageSize));
      stage2.SetSoftwareAt(at, static_cast<unsigned>(state));
    }
    EXPECT_EQ(Force(page), "-EPERM");
    EXPECT_EQ(world_.GuestLoad(vm_.handle, 1 * kPageSize), kSecret);
  }
  {
    SpinlockHolder hold(stage2.lock);
    auto at = *stage2.Find(Ipa(1 * kPageSize));
    stage2.SetSoftwareAt(at, static_cast<unsigned>(PageState::kOwned));
  }
  EXPECT_EQ(Force(page), "0");
}

TEST_F(ForceReclaimTest, WorksFromAnyCpuWithNothingLoaded) {
  const uint64_t page = Give(1, kSecret);
  sim::OnCpu other(world_.machine(), 1);
  EXPECT_EQ(Force(page), "0");
  EXPECT_TRUE(world_.Holds(page, 0));
}

// Dying VMs too: a host thread may fault on a page while teardown goes on.
TEST_F(ForceReclaimTest, E08_DyingVmsCanBeReferenced) {
  const uint64_t page = Give(1, kSecret);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm_.handle), "0");
  EXPECT_EQ(Force(page), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm_.handle, 1, 1), "0")
      << "poison: success";
  EXPECT_EQ(Call(HF_DRAIN_VM, vm_.handle), "0");
}

// ---- What the stream of events says -----------------------------------------

class ForceReclaimEvents : public ForceReclaimTest {
 protected:
  ForceReclaimEvents() : ForceReclaimTest({.cpus = 1, .record_events = true}) {}
};

// The VM table's lock is not held while a page is worked on (design 10.5): one
// long section would hold up the life of every VM. And never the page before
// its flush.
TEST_F(ForceReclaimEvents, E09_D10_05_TableLockIsDroppedBeforeTheWork) {
  const uint64_t page = Give(1);
  const uint64_t table_lock =
      reinterpret_cast<uint64_t>(&world_.hv().vms().lock);
  world_.machine().ClearEvents();
  ASSERT_EQ(Force(page), "0");
  bool held = false;
  bool flushed = false;
  bool zeroed = false;
  bool fetched = false;  // instructions of it are gone from I-caches
  for (const sim::Event& event : world_.machine().events()) {
    switch (event.type) {
      case sim::EventType::kLock:
        held |= event.a == table_lock;
        break;
      case sim::EventType::kUnlock:
        held &= event.a != table_lock;
        break;
      case sim::EventType::kStorePte:
      case sim::EventType::kPublishPte:
        EXPECT_FALSE(held) << sim::EventTypeName(event.type);
        if ((event.c & 1) != 0) {
          EXPECT_TRUE(zeroed) << "the host had it before it was zero";
          EXPECT_TRUE(fetched) << "the host could run what the guest left";
        }
        break;
      case sim::EventType::kTlbiVmalle1is:
        flushed = true;
        break;
      case sim::EventType::kZeroPage:
        EXPECT_FALSE(held);
        EXPECT_TRUE(flushed) << "zeroed while the guest could still write";
        EXPECT_EQ(event.a, page * kPageSize);
        zeroed = true;
        break;
      case sim::EventType::kInvalidateICache:
        fetched = event.a == page * kPageSize && zeroed;
        break;
      default:
        break;
    }
  }
  EXPECT_TRUE(zeroed);
}

// The VM is referenced instead: while the page is worked on, another CPU can
// take the table's lock, and is told that the VM is in use.
TEST(Design, D10_05_TeardownMeetsAReferenceNotALock) {
  World* in_use = nullptr;
  uint64_t handle = 0;
  int asked = 0;
  World::Options options{.cpus = 2};
  options.scheduling_point = [&](unsigned cpu, sim::SchedulingPoint point,
                                 uint64_t) {
    if (in_use == nullptr || cpu != 0 ||
        point != sim::SchedulingPoint::kTableStore)
      return;
    sim::OnCpu other(in_use->machine(), 1);
    ++asked;
    EXPECT_EQ(tests::ToString(in_use->Call(HF_START_TEARDOWN_VM, handle)),
              "-EBUSY");
    EXPECT_TRUE(
        in_use->Call(HF_UNRESERVE_VM, in_use->Call(HF_RESERVE_VM).x1).ok());
  };
  World world(options);
  const HostVm vm = world.MakeVm(1);
  handle = vm.handle;
  const uint64_t page = world.Frames(1);
  ASSERT_TRUE(world.Call(HF_VCPU_LOAD, handle, 0).ok());
  ASSERT_TRUE(world.Call(HF_HOST_DONATE_GUEST, page, 0, 1).ok());
  ASSERT_TRUE(world.Call(HF_VCPU_PUT).ok());
  in_use = &world;
  EXPECT_TRUE(world.Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1).ok());
  EXPECT_GE(asked, 2) << "the guest's entry and the host's";
  in_use = nullptr;
  EXPECT_TRUE(world.Call(HF_START_TEARDOWN_VM, handle).ok())
      << "the reference is kept";
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::mem_protect
