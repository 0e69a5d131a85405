// SPDX-License-Identifier: Apache-2.0
//
// Between host and guest: donation of pages, and taking them back from a VM
// that is dying.
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kGfns = uint64_t{1} << (tests::kPaBits - kPageShift);
constexpr CpuFeatures kFeatures = {
    .pa_bits = tests::kPaBits, .fwb = false, .xnx = true};

class GuestTest : public testing::Test {
 protected:
  explicit GuestTest(const World::Options& options = {.cpus = 2})
      : world_(options) {}
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  HostVm LoadedVm(uint64_t stock = 16) {
    const HostVm vm = world_.MakeVm(2, stock);
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
    return vm;
  }
  // A page of the host's with `content`, at `gfn` of the loaded VM.
  uint64_t Give(uint64_t gfn, uint64_t content = 0) {
    const uint64_t page = world_.Frames(1);
    EXPECT_TRUE(world_.Fill(page, content));
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0") << "gfn " << gfn;
    return page;
  }
  void Kill(const HostVm& vm) {
    EXPECT_EQ(Call(HF_VCPU_PUT), "0");
    EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }

  World world_;
};

// ---- Donation ---------------------------------------------------------------

TEST_F(GuestTest, GuestGetsThePageWithItsContentAndTheHostLosesIt) {
  const HostVm vm = LoadedVm();
  const uint64_t page = world_.Frames(1);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(world_.Fill(page, 0xc0ffee));  // into both CPUs' TLBs
  }
  EXPECT_FALSE(world_.GuestLoad(vm.handle, 7 * kPageSize).has_value());
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 7, 1), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(Host(page)) << "CPU " << cpu;
    EXPECT_FALSE(world_.Store(page * kPageSize, 1)) << "CPU " << cpu;
    EXPECT_EQ(world_.GuestLoad(vm.handle, 8 * kPageSize - 8), 0xc0ffeeu);
  }
  EXPECT_TRUE(world_.GuestStore(vm.handle, 7 * kPageSize, 99));
  EXPECT_EQ(world_.GuestLoad(vm.handle, 7 * kPageSize), 99u);
  EXPECT_FALSE(world_.GuestLoad(vm.handle, 6 * kPageSize).has_value());
  EXPECT_FALSE(world_.GuestLoad(vm.handle, 8 * kPageSize).has_value());
}

TEST_F(GuestTest, DonationNeedsALoadedProtectedVcpu) {
  const uint64_t page = world_.Frames(1);
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "-EINVAL")
      << "nothing is loaded";
  const HostVm open = world_.MakeVm(1, 16, /*is_protected=*/false);
  ASSERT_EQ(Call(HF_VCPU_LOAD, open.handle, 0), "0");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "-EINVAL")
      << "its VM is not protected";
  EXPECT_EQ(Call(HF_VCPU_PUT), "0");
  const HostVm vm = LoadedVm();
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "-EINVAL")
        << "loaded on another CPU";
  }
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "0");
}

// The documented order: loaded vCPU, region and state of the page, gfn in
// range, gfn free, stock. Each pair of errors at once gives the first.
TEST_F(GuestTest, ErrorsComeInOrder) {
  const uint64_t el2 = world_.image_first();
  const uint64_t beyond = kGfns;  // the first gfn that does not exist
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, ~uint64_t{0}, beyond, 1), "-EINVAL");
  const HostVm vm = LoadedVm(2);  // for one gfn: two tables
  const uint64_t page = Give(0);
  const uint64_t mine = world_.Frames(1);
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, ~uint64_t{0}, beyond, 1), "-EINVAL")
      << "pfn before gfn";
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, el2, beyond, 1), "-EPERM")
      << "state before gfn";
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, beyond, 1), "-EPERM");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, mine, beyond, 1), "-ERANGE");
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, mine, 0, 1), "-EPERM")
      << "the gfn has a page";
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, el2, kGfns - 1, 1), "-EPERM")
      << "state before stock";
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, mine, kGfns - 1, 1), "-ENOMEM");
  EXPECT_TRUE(Host(mine));
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, mine, 1, 1), "0");
}

// gfns with bits that a shift would drop named a low one in the reference.
TEST_F(GuestTest, E34_GfnsBeyondTheInputAreErange) {
  const HostVm vm = LoadedVm(64);
  const uint64_t page = world_.Frames(1);
  for (uint64_t gfn : {kGfns, kGfns + 5, uint64_t{1} << (64 - kPageShift),
                       uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "-ERANGE") << gfn;
  }
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, kGfns - 1, 1), "0");
  EXPECT_TRUE(world_.GuestLoad(vm.handle, (kGfns - 1) * kPageSize).has_value());
  Kill(vm);
  for (uint64_t gfn : {kGfns, uint64_t{1} << (64 - kPageShift), ~uint64_t{0}}) {
    EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, gfn, 1), "-ERANGE")
        << gfn;
  }
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, kGfns - 1, 1), "0");
}

// x2 of ENOMEM: exactly what is missing; with that it works, with one less it
// does not.
TEST_F(GuestTest, E13_EnomemSaysHowMuchIsMissing) {
  const HostVm vm = LoadedVm(0);
  const uint64_t page = world_.Frames(1);
  const auto missing = [&](uint64_t gfn) {
    const Reply reply = world_.Call(HF_HOST_DONATE_GUEST, page, gfn, 1);
    EXPECT_EQ(tests::ToString(reply), "-ENOMEM");
    EXPECT_TRUE(Host(page));
    return reply.x2;
  };
  const auto topup = [&] {
    EXPECT_EQ(Call(HF_TOPUP_VM, vm.handle, world_.Frames(1), 1), "0");
  };
  ASSERT_EQ(missing(0), 2u);
  topup();
  ASSERT_EQ(missing(0), 1u);
  topup();
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, 0, 1), "0");
  // Another 2 MiB of the same gigabyte: one table more. The same 2 MiB: none.
  const uint64_t second = world_.Frames(2);
  Reply reply = world_.Call(HF_HOST_DONATE_GUEST, second, 512, 1);
  EXPECT_EQ(tests::ToString(reply), "-ENOMEM");
  EXPECT_EQ(reply.x2, 1u);
  reply = world_.Call(HF_HOST_DONATE_GUEST, second, kGfns / 2, 1);
  EXPECT_EQ(reply.x2, 2u);
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, second, 511, 1), "0");
}

TEST_F(GuestTest, OneVmsGfnsAreNotAnothers) {
  const HostVm a = world_.MakeVm();
  const HostVm b = world_.MakeVm();
  ASSERT_EQ(Call(HF_VCPU_LOAD, a.handle, 0), "0");
  Give(3, 0xaaaa);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_VCPU_LOAD, b.handle, 0), "0");
  EXPECT_FALSE(world_.GuestLoad(b.handle, 3 * kPageSize).has_value());
  Give(3, 0xbbbb);
  EXPECT_EQ(world_.GuestLoad(a.handle, 3 * kPageSize), 0xaaaau);
  EXPECT_EQ(world_.GuestLoad(b.handle, 3 * kPageSize), 0xbbbbu);
}

// A page's home after a donation is told by the host's entry alone: it must
// name the VM and the very gfn. (BrokenInvariants compares them for odd gfns
// and handles.)
TEST_F(GuestTest, AnnotationsNameVmAndGfn) {
  for (int i = 0; i < 3; ++i) static_cast<void>(world_.Call(HF_RESERVE_VM));
  const HostVm vm = LoadedVm(64);
  for (uint64_t gfn : {uint64_t{1}, uint64_t{511}, uint64_t{512},
                       kGfns / 2 + 0x1'2345, kGfns - 1}) {
    const uint64_t page = Give(gfn);
    EXPECT_EQ(world_.Trouble(), "");
    SpinlockHolder hold(world_.mem().host_table().lock);
    const auto at = *world_.mem().host_table().Find(Ipa(page * kPageSize));
    EXPECT_EQ(at.pte().raw(),
              uint64_t{2} << 60 | gfn << 20 | vm.handle << 4 | 2 << 1);
  }
}

// Design 10.6: to PoC whatever FWB says, after the host is out, before the
// guest is in.
class CleanTest : public GuestTest, public testing::WithParamInterface<bool> {
 protected:
  CleanTest()
      : GuestTest({.cpus = 1, .record_events = true, .features = [] {
                     CpuFeatures features = kFeatures;
                     features.fwb = GetParam();
                     return features;
                   }()}) {}

  // Positions in the stream, or -1.
  int Find(sim::EventType type, uint64_t a, int from = 0) {
    const auto events = world_.machine().events();
    for (size_t i = static_cast<size_t>(from); i < events.size(); ++i) {
      if (events[i].type == type && events[i].a == a)
        return static_cast<int>(i);
    }
    return -1;
  }
};

TEST_P(CleanTest, D10_06_DonationCleansBetweenHostAndGuest) {
  const HostVm vm = LoadedVm();
  const uint64_t page = world_.Frames(1);
  world_.Fill(page, 5);
  Give(1);  // tables are there
  world_.machine().ClearEvents();
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, 2, 1), "0");
  const int tlbi = Find(sim::EventType::kTlbiIpas2e1is, 0);
  const int clean = Find(sim::EventType::kCleanInvalidate, page * kPageSize);
  const int fetch = Find(sim::EventType::kInvalidateICache, page * kPageSize);
  const auto events = world_.machine().events();
  int map = -1;
  for (size_t i = 0; i < events.size(); ++i) {
    if (events[i].type == sim::EventType::kPublishPte &&
        (events[i].c & 1) != 0) {
      map = static_cast<int>(i);
    }
  }
  EXPECT_GE(tlbi, 0);
  EXPECT_GT(clean, tlbi) << "cleaned while the host could still write";
  EXPECT_GT(map, clean) << "mapped for the guest before it was clean";
  EXPECT_GT(map, fetch);
  EXPECT_GE(fetch, 0) << "this machine has no DIC";
}

TEST_P(CleanTest, D10_06_ReclaimZeroesBetweenGuestAndHost) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Give(1, 0x5ec2e7);
  Kill(vm);
  world_.machine().ClearEvents();
  ASSERT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 1, 1), "0");
  const auto events = world_.machine().events();
  int unmap = -1;
  int flush = -1;
  int give = -1;
  for (size_t i = 0; i < events.size(); ++i) {
    const sim::Event& event = events[i];
    if (event.type == sim::EventType::kStorePte && event.c == 0 &&
        (event.b & 1) != 0) {
      if (unmap < 0) unmap = static_cast<int>(i);
    }
    if (event.type == sim::EventType::kTlbiVmalle1is && flush < 0)
      flush = static_cast<int>(i);
    if (event.type == sim::EventType::kPublishPte) give = static_cast<int>(i);
  }
  const int zero = Find(sim::EventType::kZeroPage, page * kPageSize);
  EXPECT_GE(unmap, 0);
  EXPECT_GT(flush, unmap);
  EXPECT_GT(zero, flush) << "zeroed while the guest could still write";
  EXPECT_GT(give, zero) << "the host had it before it was zero";
  EXPECT_GE(Find(sim::EventType::kInvalidateICache, page * kPageSize), 0);
  EXPECT_TRUE(world_.Holds(page, 0));
}

INSTANTIATE_TEST_SUITE_P(Fwb, CleanTest, testing::Bool());

// ---- Reclaim of a dying VM --------------------------------------------------

TEST_F(GuestTest, ReclaimNeedsADyingVm) {
  const HostVm vm = LoadedVm();
  Give(0);
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 0, 1), "-EINVAL")
      << "it lives";
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle + 1, 0, 1), "-EINVAL")
      << "no such VM";
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle | 0x10000, 0, 1),
            "-EINVAL");
  // The handle's error comes before the gfn's.
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, kGfns, 1), "-EINVAL");
  Kill(vm);
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, kGfns, 1), "-ERANGE");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 1, 1), "-ENOENT");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 0, 1), "0");
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 0, 1), "-ENOENT")
      << "twice";
}

TEST_F(GuestTest, ReclaimedPageReadsZeroAndTheGuestLosesIt) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Give(9, 0x5ec2e7);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_TRUE(world_.GuestStore(vm.handle, 9 * kPageSize + 8 * cpu, 1));
  }
  Kill(vm);
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 9, 1), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(world_.GuestLoad(vm.handle, 9 * kPageSize).has_value());
    EXPECT_FALSE(world_.GuestStore(vm.handle, 9 * kPageSize, 1));
    EXPECT_TRUE(world_.Holds(page, 0)) << "the host sees what the guest left";
  }
  EXPECT_TRUE(world_.Fill(page, 3));
}

// `next` leads from page to page, over holes and poison, and ends: each page is
// visited once, and the calls are no more than pages and hops over holes can
// explain.
TEST_F(GuestTest, NextVisitsEveryPageOnce) {
  const HostVm vm = LoadedVm(400);
  std::map<uint64_t, uint64_t> pages;  // gfn -> page
  std::set<uint64_t> poison;
  uint64_t random = 12345;
  for (int i = 0; i < 120; ++i) {
    random = random * 6364136223846793005 + 1442695040888963407;
    // Over the whole range, in clusters, and both ends.
    uint64_t gfn = i == 0 ? 0 : i == 1 ? kGfns - 1 : (random >> 20) % kGfns;
    if (i > 80 && !pages.empty())
      gfn = std::prev(pages.end())->first - 1 - (random >> 40) % 3;
    if (pages.count(gfn) != 0 || poison.count(gfn) != 0) continue;
    const uint64_t page = Give(gfn, gfn);
    if (i % 3 == 2) {
      ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
      poison.insert(gfn);
    } else {
      pages[gfn] = page;
    }
  }
  Kill(vm);
  std::set<uint64_t> visited;
  uint64_t last = 0;
  int calls = 0;
  for (uint64_t gfn = 0; gfn != HF_NO_GFN; ++calls) {
    ASSERT_LT(calls, 2000);
    const Reply reply =
        world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, gfn, 1);
    if (reply.ok() && poison.count(gfn) == 0) {
      EXPECT_TRUE(visited.insert(gfn).second);
      EXPECT_EQ(pages.count(gfn), 1u)
          << "a page came back that was never given: " << gfn;
    } else if (!reply.ok()) {
      EXPECT_EQ(tests::ToString(reply), "-ENOENT");
    }
    if (reply.x2 != HF_NO_GFN) {
      EXPECT_GT(reply.x2, last);
      last = reply.x2;
    }
    gfn = reply.x2;
  }
  EXPECT_EQ(visited.size(), pages.size());
  for (const auto& [gfn, page] : pages) {
    EXPECT_TRUE(world_.Holds(page, 0)) << "gfn " << gfn;
  }
}

TEST_F(GuestTest, NextIsSetOnEnoentAndEndsWithTheLastPage) {
  const HostVm vm = LoadedVm(64);
  Give(5);
  Give(kGfns - 1);
  Kill(vm);
  Reply reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 0, 1);
  EXPECT_EQ(tests::ToString(reply), "-ENOENT");
  EXPECT_EQ(reply.x2, 5u);
  reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 5, 1);
  EXPECT_EQ(tests::ToString(reply), "0");
  // The last gfn there is, in one hop or several.
  while (reply.x2 != HF_NO_GFN && reply.x2 != kGfns - 1) {
    reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, reply.x2, 1);
    ASSERT_EQ(tests::ToString(reply), "-ENOENT");
  }
  ASSERT_EQ(reply.x2, kGfns - 1);
  reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, kGfns - 1, 1);
  EXPECT_EQ(tests::ToString(reply), "0");
  EXPECT_EQ(reply.x2, HF_NO_GFN);
  reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 7, 1);
  EXPECT_EQ(tests::ToString(reply), "-ENOENT");
  EXPECT_EQ(reply.x2, HF_NO_GFN) << "nothing is left anywhere";
}

// A page behind the one asked for is not hidden by `next`: pages below the
// start are the caller's affair, but those above never are.
TEST_F(GuestTest, NextFindsTheNeighbour) {
  const HostVm vm = LoadedVm();
  Give(511);
  Give(512);
  Give(513);
  Kill(vm);
  EXPECT_EQ(world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 511, 1).x2,
            512u);
  EXPECT_EQ(world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 512, 1).x2,
            513u);
  EXPECT_EQ(world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 513, 1).x2,
            HF_NO_GFN);
}

// What a guest borrows was the host's all along.
TEST_F(GuestTest, ReclaimTakesNothingBorrowed) {
  const HostVm vm = LoadedVm();
  Give(4);
  Kill(vm);
  vm_table::Vm* object;
  {
    SpinlockHolder hold(world_.hv().vms().lock);
    object = world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
  }
  const auto set = [&](PageState state) {
    SpinlockHolder hold(object->stage2.lock);
    auto at = *object->stage2.Find(Ipa(4 * kPageSize));
    object->stage2.SetSoftwareAt(at, static_cast<unsigned>(state));
  };
  set(PageState::kSharedBorrowed);
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 4, 1), "-EPERM");
  EXPECT_TRUE(world_.GuestLoad(vm.handle, 4 * kPageSize).has_value());
  set(PageState::kOwned);
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 4, 1), "0");
}

TEST_F(GuestTest, PoisonNeverCounts) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Give(4);
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
  ASSERT_TRUE(world_.Fill(page, 77));
  Kill(vm);
  const Reply reply = world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 4, 1);
  EXPECT_EQ(tests::ToString(reply), "0");
  EXPECT_EQ(reply.x2, HF_NO_GFN);
  EXPECT_TRUE(world_.Holds(page, 77))
      << "the host's page was zeroed a second time";
  EXPECT_EQ(Call(HF_DRAIN_VM, vm.handle), "0") << "poison counts as a page";
}

}  // namespace
}  // namespace holdfast::mem_protect
