// SPDX-License-Identifier: Apache-2.0
//
// Between host and non-protected guest: sharing pages and blocks, taking them
// back, and what a guest may do with them; all seen by loads, stores and
// fetches on the simulated machine, whose TLB uses what it still may.
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kGfns = uint64_t{1} << (tests::kPaBits - kPageShift);
constexpr uint64_t kBlock = MemProtect::kBlockPages;
constexpr uint64_t kRw = HF_PROT_R | HF_PROT_W;
constexpr uint64_t kRwx = kRw | HF_PROT_PX | HF_PROT_UX;
constexpr CpuFeatures kFeatures = {
    .pa_bits = tests::kPaBits, .fwb = false, .xnx = true};

CpuFeatures With(void (*change)(CpuFeatures& features)) {
  CpuFeatures features = kFeatures;
  change(features);
  return features;
}

class ShareTest : public testing::Test {
 protected:
  explicit ShareTest(const World::Options& options = {.cpus = 2})
      : world_(options) {}
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  HostVm OpenVm(uint64_t stock = 16) {
    return world_.MakeVm(2, stock, /*is_protected=*/false);
  }
  // Its vCPU 0 is loaded here, and nothing else.
  void Load(const HostVm& vm) {
    if (world_.hv().loaded(machine::ThisCpu().index) != nullptr)
      EXPECT_EQ(Call(HF_VCPU_PUT), "0");
    EXPECT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  }
  HostVm LoadedVm(uint64_t stock = 16) {
    const HostVm vm = OpenVm(stock);
    Load(vm);
    return vm;
  }
  std::string Share(uint64_t pfn, uint64_t gfn, uint64_t pages = 1,
                    uint64_t prot = kRwx) {
    return Call(HF_HOST_SHARE_GUEST, pfn, gfn, pages, prot);
  }
  std::string Unshare(const HostVm& vm, uint64_t gfn, uint64_t pages = 1) {
    return Call(HF_HOST_UNSHARE_GUEST, vm.handle, gfn, pages);
  }
  // A page of the host's with `content`, shared at `gfn` of the loaded VM.
  uint64_t Lend(uint64_t gfn, uint64_t content = 0, uint64_t prot = kRwx) {
    const uint64_t page = world_.Frames(1);
    EXPECT_TRUE(world_.Fill(page, content));
    EXPECT_EQ(Share(page, gfn, 1, prot), "0") << "gfn " << gfn;
    return page;
  }
  // Frames of a block, each filled with its index.
  uint64_t BlockFrames() {
    const uint64_t first = world_.Frames(kBlock, kBlock);
    for (uint64_t i = 0; i < kBlock; ++i)
      EXPECT_TRUE(world_.Fill(first + i, i));
    return first;
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }
  PageState HostState(uint64_t pfn) {
    return world_.mem().RecordOf(Pfn(pfn))->host();
  }
  uint32_t Count(uint64_t pfn) {
    return world_.mem().RecordOf(Pfn(pfn))->count();
  }
  // Behind EL2's back.
  void SetCount(uint64_t pfn, uint32_t count) {
    auto* record = const_cast<PageRecord*>(world_.mem().RecordOf(Pfn(pfn)));
    uint32_t word = 0;
    std::memcpy(&word, record, sizeof word);
    word = (word & 15) | count << 4;
    std::memcpy(static_cast<void*>(record), &word, sizeof word);
  }
  bool Owned(uint64_t pfn) {
    return HostState(pfn) == PageState::kOwned && Count(pfn) == 0;
  }
  bool Read(const HostVm& vm, uint64_t gfn) {
    return world_.GuestLoad(vm.handle, gfn * kPageSize).has_value();
  }
  bool Write(const HostVm& vm, uint64_t gfn, uint64_t value = 1) {
    return world_.GuestStore(vm.handle, gfn * kPageSize, value);
  }
  // Frames free in the VM's stock.
  uint64_t Stock(const HostVm& vm) {
    SpinlockHolder hold(world_.hv().vms().lock);
    Vm& object =
        *world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
    SpinlockHolder vm_hold(object.stage2.lock);
    return object.stage2.stock.free();
  }

  World world_;
};

// ---- Sharing ----------------------------------------------------------------

TEST_F(ShareTest, GuestAndHostUseThePageTogether) {
  const HostVm vm = LoadedVm();
  EXPECT_FALSE(Read(vm, 7));
  const uint64_t page = Lend(7, 0xc0ffee);
  EXPECT_EQ(HostState(page), PageState::kSharedOwned);
  EXPECT_EQ(Count(page), 1u);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_EQ(world_.GuestLoad(vm.handle, 8 * kPageSize - 8), 0xc0ffeeu);
    EXPECT_TRUE(world_.GuestStore(vm.handle, 7 * kPageSize, 90 + cpu));
    EXPECT_EQ(world_.Load(page * kPageSize), 90u + cpu);
    EXPECT_TRUE(world_.Store(page * kPageSize, 80 + cpu));
    EXPECT_EQ(world_.GuestLoad(vm.handle, 7 * kPageSize), 80u + cpu);
  }
  EXPECT_FALSE(Read(vm, 6));
  EXPECT_FALSE(Read(vm, 8));
  world_.EndVm(vm);
  EXPECT_TRUE(Owned(page));
  EXPECT_EQ(world_.Load(page * kPageSize), 81u) << "contents stay";
}

TEST_F(ShareTest, RightsAreTheOnesAskedFor) {
  if (!world_.machine().config().features.xnx) GTEST_SKIP() << "no XNX";
  const HostVm vm = LoadedVm();
  for (uint64_t prot = 0; prot < 16; ++prot) {
    SCOPED_TRACE(prot);
    Lend(prot, 5, prot);
    const uint64_t ipa = prot * kPageSize;
    EXPECT_EQ(world_.GuestLoad(vm.handle, ipa).has_value(),
              (prot & HF_PROT_R) != 0);
    EXPECT_EQ(world_.GuestStore(vm.handle, ipa, 5), (prot & HF_PROT_W) != 0);
    // A fetch needs the page readable, too.
    const bool readable = (prot & HF_PROT_R) != 0;
    EXPECT_EQ(world_.GuestExec(vm.handle, ipa, /*privileged=*/true),
              readable && (prot & HF_PROT_PX) != 0);
    EXPECT_EQ(world_.GuestExec(vm.handle, ipa, /*privileged=*/false),
              readable && (prot & HF_PROT_UX) != 0);
  }
  // Refused for its rights, not for want of a page.
  EXPECT_FALSE(Write(vm, HF_PROT_R));
  EXPECT_EQ(world_.guest_fault().kind, sim::FaultKind::kPermission);
}

TEST_F(ShareTest, UnknownRightsAreRefused) {
  const HostVm vm = LoadedVm();
  const uint64_t page = world_.Frames(1);
  for (unsigned bit = 4; bit < 64; ++bit) {
    EXPECT_EQ(Share(page, 0, 1, kRwx | uint64_t{1} << bit), "-EINVAL") << bit;
    EXPECT_EQ(
        Call(HF_HOST_RELAX_PERMS_GUEST, 0, HF_PROT_R | uint64_t{1} << bit),
        "-EINVAL")
        << bit;
  }
  EXPECT_TRUE(Owned(page));
  EXPECT_FALSE(Read(vm, 0));
}

TEST_F(ShareTest, CallsOnTheLoadedVcpuWantANonProtectedOne) {
  const uint64_t page = world_.Frames(1);
  const auto all_refused = [&](const char* why) {
    // Everything else is wrong as well: this comes first.
    EXPECT_EQ(Share(~uint64_t{0}, kGfns, 3, 64), "-EINVAL") << why;
    EXPECT_EQ(Share(page, 0), "-EINVAL") << why;
    EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 0, kRw), "-EINVAL") << why;
    EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kGfns, kRw), "-EINVAL") << why;
    EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, 0), "-EINVAL") << why;
    EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, kGfns), "-EINVAL") << why;
  };
  all_refused("nothing is loaded");
  const HostVm closed = world_.MakeVm();
  Load(closed);
  all_refused("its VM is protected");
  const HostVm vm = LoadedVm();
  {
    sim::OnCpu other(world_.machine(), 1);
    all_refused("loaded on another CPU");
  }
  EXPECT_EQ(Share(page, 0), "0");
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 0, kRw), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, 0), "0");
}

TEST_F(ShareTest, CallsOnAHandleWantANonProtectedVm) {
  const HostVm closed = world_.MakeVm();
  Load(closed);
  const HostVm vm = OpenVm();
  for (uint64_t handle :
       {closed.handle, vm.handle + 1, vm.handle | 0x10000,
        vm.handle | uint64_t{1} << 63, uint64_t{0}, ~uint64_t{0}}) {
    SCOPED_TRACE(handle);
    // Number of pages and gfn are wrong, too: the handle comes first.
    EXPECT_EQ(Call(HF_HOST_UNSHARE_GUEST, handle, kGfns, 1), "-EINVAL");
    EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, handle, kGfns, 1), "-EINVAL");
    EXPECT_EQ(Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, handle, kGfns, 1, 1),
              "-EINVAL");
    EXPECT_EQ(Call(HF_TLB_FLUSH_VMID, handle), "-EINVAL");
  }
  // Nothing needs to be loaded, and any CPU will do.
  EXPECT_EQ(Call(HF_HOST_UNSHARE_GUEST, vm.handle, kGfns, 1), "-ERANGE");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, kGfns, 1), "-ERANGE");
  EXPECT_EQ(Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, kGfns, 1, 1),
            "-ERANGE");
  EXPECT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
}

// The documented order of host_share_guest: rights, frame and number of pages,
// region, gfn, state of each page, stock. Each pair of errors at once gives the
// first.
TEST_F(ShareTest, ErrorsComeInOrder) {
  // Tables for one gfn.
  const HostVm vm = LoadedVm(static_cast<uint64_t>(
      kPageLevel.value() - world_.mem().stage2_shape().start.value()));
  const uint64_t taken = Lend(0);
  const uint64_t page = world_.Frames(1);
  const uint64_t full = world_.Frames(1);
  ASSERT_EQ(Share(full, 1), "0");
  SetCount(full, PageRecord::kMaxCount);
  const uint64_t nomap = tests::kNoMapBase / kPageSize;
  const uint64_t half = (tests::kRam2Base + tests::kRam2Size) / kPageSize;
  const uint64_t beyond = kGfns;
  const uint64_t far = kGfns - 1;  // needs tables
  EXPECT_EQ(Share(nomap, beyond, 1, 16), "-EINVAL") << "rights before region";
  EXPECT_EQ(Share(nomap, beyond, 2), "-EINVAL") << "number before region";
  EXPECT_EQ(Share(nomap, beyond, 0), "-EINVAL");
  EXPECT_EQ(Share(kGfns, beyond), "-EINVAL") << "frame before gfn";
  EXPECT_EQ(Share(half, beyond), "-EINVAL") << "region before gfn";
  EXPECT_EQ(Share(nomap, beyond), "-EPERM") << "region before gfn";
  EXPECT_EQ(Share(world_.image_first(), beyond), "-ERANGE")
      << "gfn before state";
  EXPECT_EQ(Share(full, beyond), "-ERANGE");
  EXPECT_EQ(Share(full, 0), "-EPERM") << "gfn before count";
  EXPECT_EQ(Share(world_.image_first(), far), "-EPERM") << "state before stock";
  EXPECT_EQ(Share(full, far), "-EBUSY") << "count before stock";
  EXPECT_EQ(Share(page, far), "-ENOMEM");
  EXPECT_TRUE(Owned(page));
  EXPECT_EQ(Share(page, 0), "-EPERM") << "the gfn has a page";
  EXPECT_EQ(Share(taken, 0), "-EPERM") << "though it is the very page";
  EXPECT_EQ(Share(page, 2), "0");
  SetCount(full, 1);
}

TEST_F(ShareTest, E34_FramesAndGfnsWithLostBitsAreRefused) {
  const HostVm vm = LoadedVm(64);
  const uint64_t page = world_.Frames(1);
  for (uint64_t lost :
       {kGfns, uint64_t{1} << (64 - kPageShift), uint64_t{1} << 63}) {
    EXPECT_EQ(Share(page, lost), "-ERANGE") << lost;
    EXPECT_EQ(Share(page | lost, 0), "-EINVAL") << lost;
    EXPECT_EQ(Unshare(vm, lost), "-ERANGE") << lost;
    EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, lost, kRw), "-ERANGE") << lost;
    EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, lost, 1), "-ERANGE");
    EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, lost), "-ERANGE") << lost;
  }
  EXPECT_EQ(Share(page, kGfns - 1), "0");
  EXPECT_TRUE(Read(vm, kGfns - 1));
  EXPECT_EQ(Unshare(vm, kGfns - 1), "0");
}

TEST_F(ShareTest, E33_NoPagesAreRefused) {
  const HostVm vm = LoadedVm();
  Lend(0);
  EXPECT_EQ(Share(world_.Frames(1), 1, 0), "-EINVAL");
  EXPECT_EQ(Share(0, 1, 0), "-EINVAL");
  EXPECT_EQ(Unshare(vm, 0, 0), "-EINVAL");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 0, 0), "-EINVAL");
  EXPECT_EQ(Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, 0, 0, 1),
            "-EINVAL");
}

TEST_F(ShareTest, EnomemSaysHowMuchIsMissing) {
  const HostVm vm = LoadedVm(0);
  const uint64_t page = world_.Frames(1);
  for (;;) {
    const Reply reply =
        world_.Call(HF_HOST_SHARE_GUEST, page, kGfns - 1, 1, kRw);
    if (reply.ok()) break;
    ASSERT_EQ(tests::ToString(reply), "-ENOMEM");
    ASSERT_GT(reply.x2, 0u);
    ASSERT_LE(reply.x2, 3u);
    EXPECT_TRUE(Owned(page));
    // With one less it does not work.
    const Reply topup =
        world_.Call(HF_TOPUP_VM, vm.handle, world_.Frames(1), 1);
    ASSERT_TRUE(topup.ok());
    const Reply again =
        world_.Call(HF_HOST_SHARE_GUEST, page, kGfns - 1, 1, kRw);
    EXPECT_EQ(again.ok(), reply.x2 == 1);
    if (again.ok()) break;
    EXPECT_EQ(again.x2, reply.x2 - 1);
  }
  EXPECT_EQ(Stock(vm), 0u) << "it took what it said";
}

// Who still borrows a page is counted: it is the host's alone after the last.
TEST_F(ShareTest, CountsMappingsOverVmsAndGfns) {
  const HostVm a = LoadedVm();
  const HostVm b = OpenVm();
  const uint64_t page = Lend(1, 5);
  EXPECT_EQ(Share(page, 2), "0");
  Load(b);
  EXPECT_EQ(Share(page, 1), "0");
  EXPECT_EQ(Count(page), 3u);
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_TRUE(Write(a, 1, 7));
  EXPECT_EQ(world_.GuestLoad(a.handle, 2 * kPageSize), 7u);
  EXPECT_EQ(world_.GuestLoad(b.handle, 1 * kPageSize), 7u);

  EXPECT_EQ(Unshare(a, 1), "0");
  EXPECT_EQ(Count(page), 2u);
  EXPECT_FALSE(Read(a, 1));
  EXPECT_TRUE(Read(a, 2));
  EXPECT_TRUE(Read(b, 1));
  EXPECT_EQ(Unshare(b, 1), "0");
  EXPECT_EQ(HostState(page), PageState::kSharedOwned);
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "-EPERM") << "one still borrows it";
  EXPECT_TRUE(Read(a, 2));
  EXPECT_EQ(Unshare(a, 2), "0");
  EXPECT_TRUE(Owned(page));
  EXPECT_EQ(Call(HF_HOST_SHARE_HYP, page), "0");
  EXPECT_EQ(Call(HF_HOST_UNSHARE_HYP, page), "0");
}

TEST_F(ShareTest, CountThatCannotGrowIsEbusy) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(0);
  SetCount(page, PageRecord::kMaxCount - 1);
  EXPECT_EQ(Share(page, 1), "0");
  EXPECT_EQ(Count(page), PageRecord::kMaxCount);
  EXPECT_EQ(Share(page, 2), "-EBUSY");
  EXPECT_EQ(Count(page), PageRecord::kMaxCount);
  EXPECT_FALSE(Read(vm, 2));
  EXPECT_EQ(Unshare(vm, 1), "0");
  EXPECT_EQ(Share(page, 2), "0");
  SetCount(page, 2);
}

// FEAT_XNX absent: EL1 and EL0 execute together or not at all. The reference
// changed the page's state first and then panicked.
class NoXnx : public ShareTest {
 protected:
  NoXnx()
      : ShareTest({.cpus = 1,
                   .features = With([](CpuFeatures& f) { f.xnx = false; })}) {}
};

TEST_F(NoXnx, E30_RightsTheCpuCannotSayAreRefusedBeforeAnyChange) {
  const HostVm vm = LoadedVm();
  const uint64_t page = world_.Frames(1);
  const uint64_t shared = Lend(0, 5, HF_PROT_R);
  for (uint64_t prot = 0; prot < 16; ++prot) {
    const bool good = ((prot & HF_PROT_PX) != 0) == ((prot & HF_PROT_UX) != 0);
    EXPECT_EQ(Share(page, 1, 1, prot), good ? "0" : "-EINVAL") << prot;
    if (good) EXPECT_EQ(Unshare(vm, 1), "0");
    EXPECT_TRUE(Owned(page)) << prot;
    EXPECT_FALSE(Read(vm, 1)) << prot;
    EXPECT_EQ(world_.Trouble(), "");
    if (!good) {
      // Before everything else about the page.
      EXPECT_EQ(Share(world_.image_first(), kGfns, 1, prot), "-EINVAL");
      EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 0, prot), "-EINVAL");
      EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kGfns, prot), "-EINVAL");
    }
  }
  EXPECT_FALSE(world_.GuestExec(vm.handle, 0));
  EXPECT_FALSE(Write(vm, 0));
  EXPECT_EQ(Count(shared), 1u);
}

// ---- Unsharing --------------------------------------------------------------

TEST_F(ShareTest, UnshareTakesThePageFromTheGuestOnEveryCpuAtOnce) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(7, 3);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);  // into both CPUs' TLBs
    ASSERT_TRUE(Read(vm, 7));
    ASSERT_TRUE(Write(vm, 7, 3));
    ASSERT_TRUE(world_.GuestExec(vm.handle, 7 * kPageSize));
  }
  EXPECT_EQ(Unshare(vm, 7), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(Read(vm, 7)) << "CPU " << cpu;
    EXPECT_FALSE(Write(vm, 7)) << "CPU " << cpu;
    EXPECT_FALSE(world_.GuestExec(vm.handle, 7 * kPageSize)) << "CPU " << cpu;
  }
  EXPECT_TRUE(Owned(page));
  EXPECT_TRUE(world_.Holds(page, 3)) << "nothing is cleared";
  // It can go anywhere now, and the gfn can have another.
  EXPECT_EQ(Call(HF_TOPUP_VM, vm.handle, page, 1), "0");
  Lend(7);
}

// C: a non-protected VM, number of pages, range, a leaf, of that size.
TEST_F(ShareTest, UnshareErrorsComeInOrder) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(0);
  EXPECT_EQ(Unshare(vm, kGfns, 2), "-EINVAL") << "number before range";
  EXPECT_EQ(Unshare(vm, kGfns), "-ERANGE");
  EXPECT_EQ(Unshare(vm, 1), "-ENOENT") << "beside a page";
  EXPECT_EQ(Unshare(vm, kGfns / 2), "-ENOENT") << "where no table is";
  for (uint64_t pages :
       {uint64_t{2}, uint64_t{511}, uint64_t{513}, uint64_t{1} << 18,
        (uint64_t{1} << 52) + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    EXPECT_EQ(Unshare(vm, 0, pages), "-EINVAL") << pages;
    EXPECT_EQ(Share(world_.Frames(1), 0, pages), "-EINVAL") << pages;
  }
  // What no call leads to: a non-protected guest that owns a page.
  SpinlockHolder table_hold(world_.hv().vms().lock);
  Vm& object =
      *world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
  const auto set = [&](PageState state) {
    SpinlockHolder hold(object.stage2.lock);
    auto at = *object.stage2.Find(Ipa(0));
    object.stage2.SetSoftwareAt(at, static_cast<unsigned>(state));
  };
  set(PageState::kOwned);
  EXPECT_EQ(world_.mem().UnshareGuest(object, 0, 1).error(), Errno::kEperm);
  EXPECT_EQ(Count(page), 1u);
  set(PageState::kSharedBorrowed);
  EXPECT_TRUE(world_.mem().UnshareGuest(object, 0, 1).has_value());
}

// Pages must be had back from a VM that is dying, too; it is how they are.
TEST_F(ShareTest, E08_DyingVmsPagesAreUnshared) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(3, 5);
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "-EBUSY");
  EXPECT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
  const Reply drain = world_.Call(HF_DRAIN_VM, vm.handle);
  EXPECT_EQ(tests::ToString(drain), "-EBUSY");
  EXPECT_EQ(drain.x2, 1u) << "pages the guest still has";
  EXPECT_EQ(Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 3, 1), "-EPERM")
      << "it was lent, not given";
  EXPECT_EQ(HostState(page), PageState::kSharedOwned);
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 3, 1), "0");
  EXPECT_EQ(Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, 3, 1, 1), "1");
  EXPECT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Unshare(vm, 3), "0");
  }
  EXPECT_TRUE(Owned(page));
  Reply reply;
  do {
    reply = world_.Call(HF_DRAIN_VM, vm.handle);
    ASSERT_TRUE(reply.ok());
  } while (reply.x2 != 0);
  EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
  EXPECT_EQ(Unshare(vm, 3), "-EINVAL") << "gone";
}

TEST_F(ShareTest, TablesThatUnsharingEmptiesGoBackToTheStock) {
  const HostVm vm = LoadedVm(8);
  for (uint64_t gfn : {uint64_t{0}, kGfns / 2, kGfns - 1}) {
    Lend(gfn);
    EXPECT_LT(Stock(vm), 8u);
    EXPECT_EQ(Unshare(vm, gfn), "0");
    EXPECT_EQ(Stock(vm), 8u);
  }
}

// ---- Blocks -----------------------------------------------------------------

class BlockTest : public ShareTest {
 protected:
  using ShareTest::ShareTest;
  void SetUp() override {
    if (kBlock == 0) GTEST_SKIP() << "no blocks with this granule";
  }
};

// A table of pages is a block with small pages only.
TEST_F(ShareTest, OtherSizesAreRefused) {
  LoadedVm();
  const uint64_t entries = MemProtect::Granule::kEntries;
  const uint64_t no_block = kBlock == 0 ? entries : 2 * entries;
  EXPECT_EQ(Share(no_block, no_block, no_block), "-EINVAL");
}

TEST_F(BlockTest, ABlockIsSharedAndUnsharedWhole) {
  const HostVm vm = LoadedVm();
  const uint64_t first = BlockFrames();
  ASSERT_EQ(Share(first, kBlock, kBlock), "0");
  for (uint64_t i : {uint64_t{0}, uint64_t{1}, kBlock / 2, kBlock - 1}) {
    EXPECT_EQ(world_.GuestLoad(vm.handle, (kBlock + i) * kPageSize), i);
    EXPECT_EQ(Count(first + i), 1u);
    EXPECT_EQ(HostState(first + i), PageState::kSharedOwned);
  }
  EXPECT_FALSE(Read(vm, kBlock - 1));
  EXPECT_FALSE(Read(vm, 2 * kBlock));
  EXPECT_EQ(world_.Trouble(), "");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(Write(vm, kBlock, 9));
    ASSERT_TRUE(Write(vm, 2 * kBlock - 1, 9));
  }
  EXPECT_EQ(Unshare(vm, kBlock, kBlock), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(Write(vm, kBlock));
    EXPECT_FALSE(Read(vm, 2 * kBlock - 1));
  }
  for (uint64_t i = 0; i < kBlock; ++i) ASSERT_TRUE(Owned(first + i)) << i;
}

TEST_F(BlockTest, BlocksMustBeAlignedOnBothSides) {
  const HostVm vm = LoadedVm();
  const uint64_t first = BlockFrames();
  for (uint64_t off : {uint64_t{1}, kBlock / 2, kBlock - 1}) {
    EXPECT_EQ(Share(first + off, kBlock, kBlock), "-EINVAL");
    EXPECT_EQ(Share(first, kBlock + off, kBlock), "-EINVAL");
    EXPECT_EQ(Share(first + off, kBlock + off, kBlock), "-EINVAL");
  }
  ASSERT_EQ(Share(first, kBlock, kBlock), "0");
  EXPECT_EQ(Unshare(vm, kBlock + 1, kBlock), "-EINVAL");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, kBlock + 1, kBlock),
            "-EINVAL");
  EXPECT_EQ(
      Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, kBlock + 1, kBlock, 0),
      "-EINVAL");
  // The last block there is; the one behind it.
  EXPECT_EQ(Unshare(vm, kGfns - kBlock, kBlock), "-ENOENT");
  EXPECT_EQ(Unshare(vm, kGfns, kBlock), "-ERANGE");
}

TEST_F(BlockTest, NothingMayBeAtAnyOfItsGfns) {
  const HostVm vm = LoadedVm();
  const uint64_t first = BlockFrames();
  for (uint64_t i : {uint64_t{0}, uint64_t{1}, kBlock / 2, kBlock - 1}) {
    Lend(kBlock + i);
    EXPECT_EQ(Share(first, kBlock, kBlock), "-EPERM") << "page " << i;
    EXPECT_EQ(Unshare(vm, kBlock, kBlock), i == 0 ? "-E2BIG" : "-ENOENT");
    EXPECT_TRUE(Owned(first));
    EXPECT_EQ(Unshare(vm, kBlock + i), "0");
  }
  ASSERT_EQ(Share(first, kBlock, kBlock), "0");
  EXPECT_EQ(Share(first, kBlock, kBlock), "-EPERM");
  EXPECT_EQ(Share(world_.Frames(1), kBlock + 5), "-EPERM") << "in a block";
  EXPECT_EQ(Unshare(vm, kBlock + 5), "-E2BIG");
  EXPECT_EQ(Unshare(vm, kBlock), "-E2BIG");
  EXPECT_EQ(Count(first + 5), 1u);
}

// Each page of the block is checked, and none is changed if one is refused.
TEST_F(BlockTest, EveryPageMustBeShareable) {
  const HostVm vm = LoadedVm();
  const uint64_t first = BlockFrames();
  const auto none_changed = [&](uint64_t but) {
    for (uint64_t i = 0; i < kBlock; ++i) {
      if (i != but) ASSERT_TRUE(Owned(first + i)) << i;
    }
    EXPECT_FALSE(Read(vm, kBlock));
  };
  for (uint64_t i : {uint64_t{0}, kBlock / 2, kBlock - 1}) {
    SCOPED_TRACE(i);
    ASSERT_EQ(Call(HF_HOST_SHARE_HYP, first + i), "0");
    EXPECT_EQ(Share(first, kBlock, kBlock), "-EPERM") << "EL2 borrows one";
    ASSERT_NO_FATAL_FAILURE(none_changed(i));
    ASSERT_EQ(Call(HF_HOST_UNSHARE_HYP, first + i), "0");
    ASSERT_TRUE(world_.mem().ShareFfa(first + i, 1).has_value());
    EXPECT_EQ(Share(first, kBlock, kBlock), "-EPERM") << "the secure world";
    ASSERT_NO_FATAL_FAILURE(none_changed(i));
    ASSERT_TRUE(world_.mem().UnshareFfa(first + i, 1).has_value());
    // A page that is lent already will do, as often as it can be counted.
    ASSERT_EQ(Share(first + i, 0), "0");
    SetCount(first + i, PageRecord::kMaxCount);
    EXPECT_EQ(Share(first, kBlock, kBlock), "-EBUSY");
    ASSERT_NO_FATAL_FAILURE(none_changed(i));
    SetCount(first + i, 1);
    EXPECT_EQ(Share(first, kBlock, kBlock), "0");
    EXPECT_EQ(Count(first + i), 2u);
    EXPECT_EQ(world_.Trouble(), "");
    EXPECT_EQ(Unshare(vm, kBlock, kBlock), "0");
    EXPECT_EQ(Count(first + i), 1u);
    EXPECT_EQ(HostState(first + i), PageState::kSharedOwned);
    EXPECT_EQ(Unshare(vm, 0), "0");
    ASSERT_NO_FATAL_FAILURE(none_changed(kBlock));
  }
  // Beyond the end of its region; EL2's image in it.
  const uint64_t ram2_end =
      (tests::kRam2Base + tests::kRam2Size) / kPageSize & ~(kBlock - 1);
  EXPECT_EQ(Share(ram2_end, kBlock, kBlock), "-EINVAL");
  EXPECT_EQ(Share(world_.image_first(), kBlock, kBlock), "-EPERM");
}

TEST_F(BlockTest, ABlockTakesFewerTables) {
  const HostVm vm = LoadedVm(1);
  const uint64_t first = BlockFrames();
  Reply reply = world_.Call(HF_HOST_SHARE_GUEST, world_.Frames(1), 0, 1, kRw);
  EXPECT_EQ(tests::ToString(reply), "-ENOMEM");
  EXPECT_EQ(reply.x2, 1u);
  EXPECT_EQ(Share(first, 0, kBlock), "0");
  EXPECT_EQ(Stock(vm), 0u);
}

// ---- Caches -----------------------------------------------------------------

struct Caches {
  bool fwb;
  bool dic;
  uint64_t prot;
};
class CacheTest : public ShareTest, public testing::WithParamInterface<Caches> {
 protected:
  CacheTest()
      : ShareTest({.cpus = 1, .record_events = true, .features = [] {
                     CpuFeatures features = kFeatures;
                     features.fwb = GetParam().fwb;
                     features.dic = GetParam().dic;
                     return features;
                   }()}) {}
  // Position of the event in the stream, or -1.
  int Find(sim::EventType type, uint64_t a) {
    const auto events = world_.machine().events();
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].type == type && events[i].a == a)
        return static_cast<int>(i);
    }
    return -1;
  }
  int Last(sim::EventType type) {
    const auto events = world_.machine().events();
    for (size_t i = events.size(); i-- > 0;) {
      if (events[i].type == type) return static_cast<int>(i);
    }
    return -1;
  }
};

TEST_P(CacheTest, TheGuestFindsWhatTheHostWrote) {
  const HostVm vm = LoadedVm();
  Lend(0);
  const uint64_t page = world_.Frames(1);
  world_.machine().ClearEvents();
  ASSERT_EQ(Share(page, 1, 1, GetParam().prot), "0");
  const int clean = Find(sim::EventType::kCleanInvalidate, page * kPageSize);
  const int fetch = Find(sim::EventType::kInvalidateICache, page * kPageSize);
  const int map = Last(sim::EventType::kPublishPte);
  ASSERT_GE(map, 0);
  const bool executable = (GetParam().prot & (HF_PROT_PX | HF_PROT_UX)) != 0;
  EXPECT_EQ(clean >= 0, !GetParam().fwb) << "FWB makes the guest see caches";
  EXPECT_EQ(fetch >= 0, executable && !GetParam().dic);
  EXPECT_LT(clean, map);
  EXPECT_LT(fetch, map);
  world_.machine().ClearEvents();
  ASSERT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 1, HF_PROT_PX | HF_PROT_UX), "0");
  const int again = Find(sim::EventType::kInvalidateICache, page * kPageSize);
  EXPECT_EQ(again >= 0, !GetParam().dic) << "before a guest may fetch";
  if (GetParam().prot == HF_PROT_R)
    EXPECT_GT(Last(sim::EventType::kStorePte), again);
  EXPECT_TRUE(world_.GuestExec(vm.handle, kPageSize));
}

INSTANTIATE_TEST_SUITE_P(
    All, CacheTest,
    testing::Values(Caches{false, false, HF_PROT_R},
                    Caches{false, false, HF_PROT_R | HF_PROT_PX},
                    Caches{false, false, HF_PROT_R | HF_PROT_UX},
                    Caches{false, true, kRwx}, Caches{true, false, kRwx},
                    Caches{true, true, kRwx}, Caches{true, false, kRw}));

// ---- Rights -----------------------------------------------------------------

TEST_F(ShareTest, WrprotectTakesEffectWithTheFlushAtTheLatest) {
  if (!sim::kStaleTlb) GTEST_SKIP() << "this TLB forgets by itself";
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(4);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(Write(vm, 4, cpu));
  }
  ASSERT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 4, 1), "0");
  EXPECT_TRUE(Write(vm, 4, 7)) << "this TLB forgets nothing by itself";
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    EXPECT_FALSE(Write(vm, 4, 8)) << "CPU " << cpu;
    EXPECT_EQ(world_.guest_fault().kind, sim::FaultKind::kPermission);
    EXPECT_EQ(world_.GuestLoad(vm.handle, 4 * kPageSize), 7u);
    EXPECT_TRUE(world_.GuestExec(vm.handle, 4 * kPageSize));
  }
  EXPECT_EQ(Count(page), 1u);
  EXPECT_TRUE(world_.Store(page * kPageSize, 9)) << "the host's rights stay";
  // Other gfns are not touched.
  Lend(5);
  EXPECT_TRUE(Write(vm, 5));
}

TEST_F(ShareTest, RelaxedRightsWorkOnTheFaultingCpuAtOnce) {
  const HostVm vm = LoadedVm();
  Lend(4, 3, HF_PROT_R);
  for (unsigned cpu : {0u, 1u}) {
    sim::OnCpu on(world_.machine(), cpu);
    ASSERT_TRUE(Read(vm, 4));
    ASSERT_FALSE(Write(vm, 4));
  }
  ASSERT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 4, HF_PROT_W), "0");
  EXPECT_TRUE(Write(vm, 4, 6));
  EXPECT_FALSE(world_.GuestExec(vm.handle, 4 * kPageSize)) << "not asked for";
  {
    // Another CPU may fault once more; the same call cures it.
    sim::OnCpu other(world_.machine(), 1);
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 1), "0");
    if (!Write(vm, 4, 7)) {
      ASSERT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 4, HF_PROT_W), "0");
    }
    ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  }
}

// Asking for the right to write made the reference forget the one to execute.
TEST_F(ShareTest, E19_RelaxAddsAndNeverTakes) {
  if (!world_.machine().config().features.xnx) GTEST_SKIP() << "no XNX";
  const HostVm vm = LoadedVm();
  uint64_t gfn = 0;
  for (uint64_t had = 0; had < 16; ++had) {
    for (uint64_t more = 0; more < 16; ++more, ++gfn) {
      SCOPED_TRACE(std::to_string(had) + " and " + std::to_string(more));
      Lend(gfn, 5, had);
      EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, gfn, more), "0");
      const uint64_t now = had | more;
      const bool readable = (now & HF_PROT_R) != 0;
      const uint64_t ipa = gfn * kPageSize;
      EXPECT_EQ(world_.GuestLoad(vm.handle, ipa).has_value(), readable);
      EXPECT_EQ(world_.GuestStore(vm.handle, ipa, 5), (now & HF_PROT_W) != 0);
      EXPECT_EQ(world_.GuestExec(vm.handle, ipa, true),
                readable && (now & HF_PROT_PX) != 0);
      EXPECT_EQ(world_.GuestExec(vm.handle, ipa, false),
                readable && (now & HF_PROT_UX) != 0);
    }
  }
}

class EventTest : public BlockTest {
 protected:
  EventTest() : BlockTest({.cpus = 1, .record_events = true}) {}
  void SetUp() override {}
  std::vector<sim::Event> Tlbis() {
    std::vector<sim::Event> tlbis;
    for (const sim::Event& event : world_.machine().events()) {
      if (event.type == sim::EventType::kTlbiIpas2e1 ||
          event.type == sim::EventType::kTlbiIpas2e1is) {
        tlbis.push_back(event);
      }
    }
    return tlbis;
  }
};

// The reference used a level it had not set when there was no leaf.
TEST_F(EventTest, E20_RelaxNamesTheLevelOfItsLeafAndNothingForAHole) {
  const HostVm vm = LoadedVm();
  Lend(3, 0, HF_PROT_R);
  world_.machine().ClearEvents();
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 4, HF_PROT_W), "-EAGAIN")
      << "beside a page";
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kGfns / 2, HF_PROT_W), "-EAGAIN")
      << "where no table is";
  EXPECT_TRUE(Tlbis().empty());
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 3, HF_PROT_W), "0");
  ASSERT_EQ(Tlbis().size(), 1u);
  EXPECT_EQ(static_cast<int>(Tlbis()[0].c), 3);
  world_.machine().ClearEvents();
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 3, HF_PROT_W), "0");
  EXPECT_TRUE(Tlbis().empty()) << "it had that";
  if (kBlock == 0) return;
  ASSERT_EQ(Share(BlockFrames(), kBlock, kBlock, HF_PROT_R), "0");
  ASSERT_TRUE(Read(vm, kBlock + 77));
  world_.machine().ClearEvents();
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kBlock + 77, HF_PROT_W), "0");
  ASSERT_EQ(Tlbis().size(), 1u);
  EXPECT_EQ(static_cast<int>(Tlbis()[0].c), 2);
  EXPECT_TRUE(Write(vm, kBlock + 77)) << "the whole block";
  EXPECT_TRUE(Write(vm, kBlock + 78));
}

TEST_F(ShareTest, RelaxErrorsComeInOrder) {
  const HostVm vm = LoadedVm();
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kGfns, 16), "-EINVAL");
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, kGfns, kRw), "-ERANGE");
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 0, kRw), "-EAGAIN");
}

TEST_F(BlockTest, E04_WrprotectOfRangesHolesAndPartsOfBlocks) {
  const HostVm vm = LoadedVm();
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 0, kBlock), "0")
      << "all a hole";
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, kGfns - 1, 1), "0");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, kGfns, kBlock), "-ERANGE");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, kGfns, 5), "-EINVAL");
  for (uint64_t gfn : {uint64_t{1}, uint64_t{200}, kBlock - 1}) Lend(gfn);
  ASSERT_EQ(Share(BlockFrames(), kBlock, kBlock), "0");
  ASSERT_EQ(Share(BlockFrames(), 2 * kBlock, kBlock), "0");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 0, kBlock), "0");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 2 * kBlock + 5, 1), "0");
  EXPECT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  for (uint64_t gfn : {uint64_t{1}, uint64_t{200}, kBlock - 1}) {
    EXPECT_FALSE(Write(vm, gfn)) << gfn;
    EXPECT_TRUE(Read(vm, gfn)) << gfn;
  }
  EXPECT_TRUE(Write(vm, kBlock)) << "beside the range";
  EXPECT_FALSE(Write(vm, 2 * kBlock + 5));
  EXPECT_FALSE(Write(vm, 2 * kBlock)) << "a block has its rights as a whole";
}

TEST_F(ShareTest, FlushIsForOneVmid) {
  if (!sim::kStaleTlb) GTEST_SKIP() << "this TLB forgets by itself";
  const HostVm a = LoadedVm();
  Lend(4);
  const HostVm b = OpenVm();
  Load(b);
  Lend(4);
  ASSERT_TRUE(Write(a, 4));
  ASSERT_TRUE(Write(b, 4));
  ASSERT_EQ(Call(HF_HOST_WRPROTECT_GUEST, a.handle, 4, 1), "0");
  ASSERT_EQ(Call(HF_HOST_WRPROTECT_GUEST, b.handle, 4, 1), "0");
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, a.handle), "0");
  EXPECT_FALSE(Write(a, 4));
  EXPECT_TRUE(Write(b, 4)) << "its TLB entries were not asked for";
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, b.handle), "0");
  EXPECT_FALSE(Write(b, 4));
}

// ---- Age --------------------------------------------------------------------

class AgeTest : public BlockTest {
 protected:
  using BlockTest::BlockTest;
  void SetUp() override {}
  std::string Young(const HostVm& vm, uint64_t gfn, uint64_t pages = 1,
                    bool mkold = false) {
    return Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, gfn, pages, mkold);
  }
};

TEST_F(AgeTest, SoftwareAccessFlag) {
  const HostVm vm = LoadedVm();
  Lend(4);
  EXPECT_EQ(Young(vm, 4), "1") << "a new page counts as used";
  EXPECT_EQ(Young(vm, 4), "1") << "asking changes nothing";
  EXPECT_EQ(Young(vm, 4, 1, true), "1");
  EXPECT_EQ(Young(vm, 4, 1, true), "0");
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  // This CPU has no hardware flag: the guest faults, and the host marks it.
  EXPECT_FALSE(Read(vm, 4));
  EXPECT_EQ(world_.guest_fault().kind, sim::FaultKind::kAccessFlag);
  EXPECT_EQ(Young(vm, 4), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, 4), "0");
  EXPECT_TRUE(Write(vm, 4));
  EXPECT_EQ(Young(vm, 4), "1");
  EXPECT_EQ(Young(vm, 5), "0") << "a hole";
}

TEST_F(AgeTest, MkyoungOfAHoleDoesNothing) {
  const HostVm vm = LoadedVm();
  const uint64_t stock = Stock(vm);
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, 4), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, kGfns - 1), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, kGfns), "-ERANGE");
  EXPECT_EQ(Stock(vm), stock);
  EXPECT_FALSE(Read(vm, 4));
}

class HardwareAge : public AgeTest {
 protected:
  HardwareAge()
      : AgeTest({.cpus = 1,
                 .features = With([](CpuFeatures& f) { f.hafdbs = true; })}) {}
};

TEST_F(HardwareAge, HardwareSetsTheFlag) {
  const HostVm vm = LoadedVm();
  Lend(4);
  ASSERT_TRUE(Read(vm, 4));
  EXPECT_EQ(Young(vm, 4, 1, true), "1");
  EXPECT_TRUE(Read(vm, 4)) << "no fault";
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  EXPECT_TRUE(Read(vm, 4)) << "no fault";
  EXPECT_EQ(Young(vm, 4, 1, true), "1");
  ASSERT_EQ(Call(HF_TLB_FLUSH_VMID, vm.handle), "0");
  EXPECT_TRUE(Write(vm, 4));
  EXPECT_EQ(Young(vm, 4), "1");
}

TEST_F(AgeTest, AnyPageOfARangeMakesItYoung) {
  if (kBlock == 0) GTEST_SKIP();
  const HostVm vm = LoadedVm();
  EXPECT_EQ(Young(vm, 0, kBlock, true), "0") << "all a hole";
  Lend(0);
  Lend(kBlock - 1);
  EXPECT_EQ(Young(vm, 0, kBlock, true), "1");
  EXPECT_EQ(Young(vm, 0, kBlock, true), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, kBlock - 1), "0");
  EXPECT_EQ(Young(vm, 0), "0");
  EXPECT_EQ(Young(vm, 0, kBlock, false), "1");
  EXPECT_EQ(Young(vm, kBlock - 1), "1");
  // A block has one flag.
  ASSERT_EQ(Share(BlockFrames(), kBlock, kBlock), "0");
  EXPECT_EQ(Young(vm, kBlock + 9, 1, true), "1");
  EXPECT_EQ(Young(vm, kBlock, kBlock, true), "0");
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, kBlock + 100), "0");
  EXPECT_EQ(Young(vm, kBlock + 9), "1");
  EXPECT_EQ(Young(vm, 0, kBlock), "1") << "beside it";
}

// The reference asserted that the walk worked, and ORed its error into a bool.
TEST_F(AgeTest, E32_E43_GfnsBeyondTheInputAreAnErrorAndNotYoung) {
  const HostVm vm = LoadedVm();
  Lend(kGfns - 1);
  for (uint64_t gfn :
       {kGfns, kGfns + 1, uint64_t{1} << (64 - kPageShift), ~uint64_t{0}}) {
    const Reply reply =
        world_.Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, gfn, 1, 1);
    EXPECT_EQ(tests::ToString(reply), "-ERANGE") << gfn;
  }
  EXPECT_EQ(Young(vm, kGfns, 2), "-EINVAL") << "number before range";
  EXPECT_EQ(Young(vm, kGfns - 1), "1");
}

// mkold is any number.
TEST_F(AgeTest, MkoldIsAFlag) {
  const HostVm vm = LoadedVm();
  Lend(4);
  EXPECT_EQ(Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, 4, 1, 1ull << 63),
            "1");
  EXPECT_EQ(Young(vm, 4), "0");
}

// Rights and age are no business of the counts.
TEST_F(AgeTest, ThePageStaysAsItIs) {
  const HostVm vm = LoadedVm();
  const uint64_t page = Lend(4);
  EXPECT_EQ(Young(vm, 4, 1, true), "1");
  EXPECT_EQ(Call(HF_HOST_WRPROTECT_GUEST, vm.handle, 4, 1), "0");
  EXPECT_EQ(Call(HF_HOST_RELAX_PERMS_GUEST, 4, kRw), "0");
  EXPECT_FALSE(Read(vm, 4)) << "more rights do not make it young";
  EXPECT_EQ(Call(HF_HOST_MKYOUNG_GUEST, 4), "0");
  EXPECT_TRUE(Write(vm, 4));
  EXPECT_EQ(Count(page), 1u);
  EXPECT_EQ(world_.Trouble(), "");
  EXPECT_EQ(Unshare(vm, 4), "0");
  EXPECT_TRUE(Owned(page));
}

}  // namespace
}  // namespace holdfast::mem_protect
