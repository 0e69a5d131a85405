// SPDX-License-Identifier: Apache-2.0
//
// The oracle itself: it is content with a Holdfast that keeps the contract, and
// says what is wrong with one that does not. Bugs are planted from outside: a
// hook changes memory while a call runs, as a wrong line of EL2's would.
#include "tests/spec/oracle.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_format.h"
#include "base/machine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/world/world.h"

namespace holdfast::spec {
namespace {

using mem_protect::PageRecord;
using sim::SchedulingPoint;
using testing::AllOf;
using testing::HasSubstr;

using Hook = std::function<void(SchedulingPoint point, uint64_t address)>;

class OracleTest : public testing::Test {
 protected:
  OracleTest()
      : world_({.cpus = 2,
                .print_violations = false,
                .scheduling_point = [this](unsigned cpu, SchedulingPoint point,
                                           uint64_t at) {
                  if (before_) before_(point, at);
                  if (at != blind_to_ || at == 0)
                    oracle_.OnPoint(cpu, point, at);
                  if (after_) after_(point, at);
                }}) {
    oracle_.Attach(world_.board());
  }

  uint64_t Ok(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
              uint64_t x4 = 0, uint64_t x5 = 0) {
    const tests::Reply reply = oracle_.Call(id, x1, x2, x3, x4, x5);
    EXPECT_TRUE(reply.ok()) << tests::ToString(reply) << "\n"
                            << oracle_.Trouble();
    return reply.x1;
  }
  // A VM with a vCPU loaded here.
  tests::HostVm LoadedVm(bool is_protected) {
    const tests::HostVm vm = world_.MakeVm(2, 8, is_protected);
    Ok(HF_VCPU_LOAD, vm.handle, 0);
    return vm;
  }
  uint64_t Donated(uint64_t gfn) {
    const uint64_t pfn = world_.Frames(1);
    Ok(HF_HOST_DONATE_GUEST, pfn, gfn, 1);
    return pfn;
  }
  int64_t GuestCall(uint64_t id, uint64_t ipa) {
    hyp::GuestRegs regs{.x = {id, ipa, 0, 0}, .pc = tests::kGuestPc};
    oracle_.GuestCall(regs);
    return static_cast<int64_t>(regs.x[0]);
  }

  // Bugs. Each happens once, when the host's lock is about to be released, just
  // before the oracle looks.
  void AtHostRelease(std::function<void()> bug) {
    before_ = [this, bug = std::move(bug)](SchedulingPoint point,
                                           uint64_t address) {
      if (point != SchedulingPoint::kLockReleased || address != HostLock())
        return;
      const std::function<void()> now = bug;
      before_ = nullptr;
      now();
    };
  }
  uint64_t HostLock() {
    return reinterpret_cast<uintptr_t>(&world_.mem().host_table().lock);
  }
  PageRecord& RecordOf(uint64_t pfn) {
    return const_cast<PageRecord&>(*world_.mem().RecordOf(Pfn(pfn)));
  }
  uint64_t* Word(uint64_t address) {
    return static_cast<uint64_t*>(world_.machine().ram().At(PhysAddr(address)));
  }
  // The entry of the last level for a page, in the stage 2 with this root.
  uint64_t* Entry(PhysAddr root, uint64_t page) {
    const Layout& layout = oracle_.layout();
    uint64_t table = root.value();
    uint64_t index = page / PagesAt(layout.start_level);
    for (int level = layout.start_level;; ++level) {
      uint64_t* const entry = Word(table + index * 8);
      if (level == 3) return entry;
      table = *entry & 0xffff'ffff'f000;
      index = page / PagesAt(level + 1) % kEntries;
    }
  }
  uint64_t* HostEntry(uint64_t pfn) {
    return Entry(world_.hv().host_context().root, pfn);
  }

  Oracle oracle_;
  Hook before_;
  Hook after_;
  uint64_t blind_to_ = 0;  // a lock that the oracle is not told of
  tests::World world_;
};

// ---- A Holdfast that keeps the contract -------------------------------------

TEST_F(OracleTest, IsContentWithALife) {
  const tests::HostVm vm = LoadedVm(true);
  const uint64_t pfn = Donated(5);
  EXPECT_TRUE(oracle_.GuestStore(vm.handle, 5 * kPageSize, 0x5ec7e7));
  EXPECT_FALSE(oracle_.Load(pfn * kPageSize).has_value());
  EXPECT_EQ(GuestCall(HF_GUEST_MEM_SHARE, 5 * kPageSize), 0);
  EXPECT_EQ(oracle_.Load(pfn * kPageSize), 0x5ec7e7u);
  EXPECT_TRUE(oracle_.Store(pfn * kPageSize, 7));
  EXPECT_EQ(oracle_.GuestLoad(vm.handle, 5 * kPageSize), 7u);
  EXPECT_EQ(GuestCall(HF_GUEST_MEM_UNSHARE, 5 * kPageSize), 0);
  EXPECT_FALSE(oracle_.Store(pfn * kPageSize, 8));

  Ok(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1);
  EXPECT_EQ(oracle_.Load(pfn * kPageSize), 0u);
  EXPECT_FALSE(oracle_.GuestLoad(vm.handle, 5 * kPageSize).has_value());
  EXPECT_EQ(Ok(HF_VCPU_IN_POISON_FAULT), 1u);
  EXPECT_EQ(GuestCall(HF_GUEST_MEM_SHARE, 6 * kPageSize),
            static_cast<int64_t>(HF_GUEST_MEM_SHARE))
      << "the page is not there: the call is made again";
  Donated(6);
  EXPECT_EQ(GuestCall(HF_GUEST_MEM_SHARE, 6 * kPageSize), 0);
  oracle_.CpuOff();

  Ok(HF_START_TEARDOWN_VM, vm.handle);
  EXPECT_EQ(oracle_.Call(HF_DRAIN_VM, vm.handle).result(), -HF_EBUSY);
  Ok(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, 6, 1);
  while (oracle_.Call(HF_DRAIN_VM, vm.handle).x2 != 0) continue;
  Ok(HF_FINALIZE_TEARDOWN_VM, vm.handle);
  EXPECT_EQ(oracle_.FullTrouble(), "");
  EXPECT_EQ(world_.Trouble(), "");
}

TEST_F(OracleTest, IsContentWithLoans) {
  const tests::HostVm vm = LoadedVm(false);
  const uint64_t pfn = world_.Frames(1);
  Ok(HF_HOST_SHARE_GUEST, pfn, 1, 1, kAllRights);
  Ok(HF_HOST_SHARE_GUEST, pfn, 2, 1, kRead);
  EXPECT_EQ(oracle_.state().host->pages.at(pfn).count, 2u);
  EXPECT_TRUE(oracle_.Store(pfn * kPageSize, 1));
  EXPECT_EQ(oracle_.GuestLoad(vm.handle, 2 * kPageSize), 1u);
  EXPECT_FALSE(oracle_.GuestStore(vm.handle, 2 * kPageSize, 2));
  Ok(HF_HOST_RELAX_PERMS_GUEST, 2, kWrite);
  EXPECT_TRUE(oracle_.GuestStore(vm.handle, 2 * kPageSize, 2));
  EXPECT_EQ(Ok(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, 1, 1, 1), 1u);
  EXPECT_EQ(Ok(HF_HOST_TEST_CLEAR_YOUNG_GUEST, vm.handle, 1, 1, 1), 0u);
  Ok(HF_HOST_MKYOUNG_GUEST, 1);
  Ok(HF_HOST_UNSHARE_GUEST, vm.handle, 1, 1);
  Ok(HF_HOST_UNSHARE_GUEST, vm.handle, 2, 1);
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

TEST_F(OracleTest, IsContentWithBlocks) {
  const tests::HostVm vm = LoadedVm(false);
  constexpr uint64_t kPages = PagesAt(2);
  const uint64_t block = world_.Frames(1, kPages < 4096 ? kPages : 1);
  const tests::Reply reply =
      oracle_.Call(HF_HOST_SHARE_GUEST, block, kPages, kPages, kRead | kWrite);
  if (kBlockPages == 0) {
    // Larger granules have none.
    EXPECT_EQ(reply.result(), -HF_EINVAL);
  } else {
    EXPECT_TRUE(reply.ok());
    Ok(HF_HOST_WRPROTECT_GUEST, vm.handle, kPages + 7, 1);
    Ok(HF_TLB_FLUSH_VMID, vm.handle);
    EXPECT_FALSE(oracle_.GuestStore(vm.handle, (kPages + 3) * kPageSize, 3));
    EXPECT_EQ(
        oracle_.Call(HF_HOST_UNSHARE_GUEST, vm.handle, kPages, 1).result(),
        -HF_E2BIG);
    Ok(HF_HOST_UNSHARE_GUEST, vm.handle, kPages, kPages);
  }
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

TEST_F(OracleTest, IsContentWithTheSecureWorld) {
  LoadedVm(false);
  const uint64_t pfn = world_.Frames(4);
  const auto errno_of = [](const Status& status) {
    return status.has_value() ? 0 : static_cast<int>(status.error());
  };
  EXPECT_EQ(errno_of(oracle_.ShareFfa(pfn, 2)), 0);
  EXPECT_EQ(errno_of(oracle_.ShareFfa(pfn + 1, 2)), HF_EPERM);
  Ok(HF_HOST_SHARE_HYP, pfn + 2);
  Ok(HF_HOST_SHARE_GUEST, pfn + 3, 3, 1, kRead);
  EXPECT_EQ(oracle_.Call(HF_HOST_UNSHARE_HYP, pfn).result(), -HF_EPERM);
  EXPECT_EQ(oracle_.Call(HF_HOST_SHARE_GUEST, pfn, 4, 1, kRead).result(),
            -HF_EPERM);
  for (uint64_t i = 1; i <= 3; ++i)
    EXPECT_EQ(errno_of(oracle_.UnshareFfa(pfn + i, i < 3 ? 2 : 1)), HF_EPERM);
  EXPECT_EQ(errno_of(oracle_.UnshareFfa(pfn, 2)), 0);
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

// The state says what happened, in its own words.
TEST_F(OracleTest, StateSaysWhatThereIs) {
  const tests::HostVm vm = LoadedVm(true);
  const uint64_t pfn = Donated(9);
  const State& state = oracle_.state();
  EXPECT_EQ(state.host->pages.at(pfn), (Page{PageState::kNone, PageState::kNone,
                                             0, Owner::Guest(vm.handle, 9)}));
  const GuestEntry& entry = state.vms.at(vm.handle)->entries.at(9);
  EXPECT_EQ(entry.pfn, pfn);
  EXPECT_EQ(entry.rights, kAllRights);
  EXPECT_EQ(state.vms.at(vm.handle)->stock.size() +
                state.vms.at(vm.handle)->tables.size(),
            8u);
  const Slot& slot = state.table->slots.at(vm.handle);
  EXPECT_EQ(slot.state, SlotState::kLive);
  EXPECT_EQ(slot.references, 1u) << "that of the loaded vCPU";
  EXPECT_TRUE(slot.vcpus.at(0).loaded);
  EXPECT_FALSE(slot.vcpus.at(1).loaded);
  EXPECT_EQ(state.host->pages.at(vm.run_pages[0]).count, 1u);
  EXPECT_TRUE(state.hyp->pages.at(vm.run_pages[0]).mapped);
  EXPECT_EQ(state.cpus[0].loaded->handle, vm.handle);
}

TEST_F(OracleTest, CopiesOfStatesStay) {
  LoadedVm(true);
  const State before = oracle_.state();
  const uint64_t pfn = Donated(9);
  EXPECT_FALSE(before == oracle_.state());
  EXPECT_FALSE(before.host->pages.contains(pfn));
  EXPECT_NE(absl::HashOf(before), absl::HashOf(oracle_.state()));
  Ok(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1);
  EXPECT_EQ(*before.host, *oracle_.state().host);
  EXPECT_THAT(Diff(before, oracle_.state()),
              AllOf(HasSubstr("gfn 0x9"), HasSubstr("found    poison")));
}

TEST_F(OracleTest, ResyncTakesWhatThereIs) {
  LoadedVm(true);
  const uint64_t pfn = world_.Frames(1);
  const State before = oracle_.state();
  RecordOf(pfn).set_host(mem_protect::PageState::kSharedOwned);
  oracle_.Resync();
  EXPECT_EQ(oracle_.state().host->pages.at(pfn).host, PageState::kShared);
  RecordOf(pfn).set_host(mem_protect::PageState::kOwned);
  oracle_.Resync();
  EXPECT_EQ(oracle_.state(), before);
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

// ---- Planted bugs
// ------------------------------------------------------------

TEST_F(OracleTest, ShowsAWrongState) {
  const uint64_t pfn = world_.Frames(1);
  AtHostRelease(
      [&] { RecordOf(pfn).set_host(mem_protect::PageState::kOwned); });
  oracle_.Call(HF_HOST_SHARE_HYP, pfn);
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("call host_share_hyp pfn="),
                    HasSubstr("expected host shared, hyp borrowed"),
                    HasSubstr("found    host owned, hyp borrowed"),
                    HasSubstr("EL2 noted: page state")));
}

TEST_F(OracleTest, ShowsAWrongError) {
  const uint64_t pfn = world_.Frames(1);
  // While the lock is held the page seems another's; then it is as it was.
  after_ = [&](SchedulingPoint point, uint64_t address) {
    if (point != SchedulingPoint::kLockAcquired || address != HostLock())
      return;
    RecordOf(pfn).set_host(mem_protect::PageState::kNoPage);
    after_ = nullptr;
    AtHostRelease(
        [&] { RecordOf(pfn).set_host(mem_protect::PageState::kOwned); });
  };
  EXPECT_EQ(oracle_.Call(HF_HOST_SHARE_HYP, pfn).result(), -HF_EPERM);
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("result"), HasSubstr("expected x0 0, x1 0,"),
                    HasSubstr("found    x0 0, x1 -1,")));
}

TEST_F(OracleTest, ShowsARecordChangedWithoutTheLock) {
  const uint64_t pfn = world_.Frames(2);
  RecordOf(pfn).set_hyp(mem_protect::PageState::kOwned);
  oracle_.Call(HF_HOST_SHARE_HYP, pfn + 1);
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("changed without its lock: the host's part"),
                    HasSubstr("found    host owned, hyp owned")));
}

TEST_F(OracleTest, ShowsAStoreWithoutTheLock) {
  LoadedVm(true);
  const uint64_t pfn = Donated(3);
  uint64_t* const entry = HostEntry(pfn);
  const uint64_t was = *entry;
  machine::StorePte(entry, 0);
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("store without the lock"));
  machine::StorePte(entry, was);
}

// A table's words are compared every now and then, whoever wrote them.
TEST_F(OracleTest, ShowsAStoreBehindItsBack) {
  LoadedVm(true);
  const uint64_t pfn = Donated(3);
  const uint64_t other = world_.Frames(1);
  *HostEntry(pfn) ^= uint64_t{1} << 20;  // its gfn
  for (int i = 0; i < 16; ++i) {
    oracle_.Call(HF_HOST_SHARE_HYP, other);
    oracle_.Call(HF_HOST_UNSHARE_HYP, other);
  }
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("changed without its lock: the host's part"),
                    HasSubstr("at gfn 0x3"), HasSubstr("at gfn 0x2")));
}

TEST_F(OracleTest, ShowsALockThatWasNotTaken) {
  const tests::HostVm vm = LoadedVm(true);
  blind_to_ = reinterpret_cast<uintptr_t>(&world_.mem().hyp_table().lock);
  oracle_.Call(HF_TOPUP_VM, vm.handle, world_.Frames(1), 1);
  EXPECT_THAT(oracle_.Trouble(),
              HasSubstr("needs EL2's table, whose lock the call did not hold"));
}

TEST_F(OracleTest, ShowsAPageThatIsNotZeroed) {
  LoadedVm(true);
  const uint64_t pfn = Donated(3);
  AtHostRelease([&] { *Word(pfn * kPageSize + 64) = 0x5ec7e7; });
  Ok(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1);
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("does not read zero"));
}

TEST_F(OracleTest, ShowsMemoryOfEl2GivenBackAsItIs) {
  const tests::HostVm vm = world_.MakeVm(1, 1);
  Ok(HF_START_TEARDOWN_VM, vm.handle);
  AtHostRelease([&] {
    for (uint64_t pfn : {vm.vcpu_memory[0], vm.memory})
      *Word(pfn * kPageSize + kPageSize - 8) = 1;
  });
  while (oracle_.Call(HF_DRAIN_VM, vm.handle).x2 != 0) continue;
  AtHostRelease([&] { *Word(vm.memory * kPageSize) = 1; });
  Ok(HF_FINALIZE_TEARDOWN_VM, vm.handle);
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("does not read zero"));
}

TEST_F(OracleTest, ShowsStockThatIsNotZero) {
  const tests::HostVm vm = world_.MakeVm(1, 1);
  const uint64_t pfn = world_.Frames(1);
  // Zeroed, and then not any more, before it becomes stock.
  AtHostRelease([&] {
    before_ = [&](SchedulingPoint point, uint64_t) {
      if (point == SchedulingPoint::kLockReleased)
        *Word(pfn * kPageSize + 24) = 3;
    };
  });
  oracle_.Call(HF_TOPUP_VM, vm.handle, pfn, 1);
  before_ = nullptr;
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("of its stock is not zero"));
}

TEST_F(OracleTest, ShowsAMappingTheHostMayNotHave) {
  LoadedVm(true);
  const uint64_t pfn = world_.Frames(1);
  AtHostRelease(
      [&] { machine::StorePte(HostEntry(pfn), pfn * kPageSize | 0x7ff); });
  Ok(HF_HOST_DONATE_GUEST, pfn, 3, 1);
  EXPECT_THAT(oracle_.Trouble(), AllOf(HasSubstr("the host's table maps page"),
                                       HasSubstr("which is not the host's")));
}

TEST_F(OracleTest, ShowsWrongBitsOfALeaf) {
  const tests::HostVm vm = LoadedVm(true);
  vm_table::Vm* object;
  {
    SpinlockHolder hold(world_.hv().vms().lock);
    object = world_.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
  }
  const auto lock = reinterpret_cast<uintptr_t>(&object->stage2.lock);
  before_ = [&](SchedulingPoint point, uint64_t address) {
    if (point != SchedulingPoint::kLockReleased || address != lock) return;
    // Not cacheable, and not shareable.
    uint64_t* const entry = Entry(object->stage2.context().root, 4);
    machine::StorePte(entry, *entry & ~uint64_t{0x328});
    before_ = nullptr;  // the last: it ends this function's captures
  };
  Donated(4);
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("gfn 0x4"), HasSubstr("WRONG BITS")));
}

TEST_F(OracleTest, ShowsContentsThatChanged) {
  const tests::HostVm vm = LoadedVm(true);
  const uint64_t pfn = Donated(3);
  EXPECT_TRUE(oracle_.GuestStore(vm.handle, 3 * kPageSize, 1234));
  *Word(pfn * kPageSize) = 0;
  oracle_.GuestLoad(vm.handle, 3 * kPageSize);
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("read 0 at"));
}

TEST_F(OracleTest, ShowsAReachThatIsTooFar) {
  LoadedVm(true);
  const uint64_t pfn = Donated(3);
  machine::StorePte(HostEntry(pfn), pfn * kPageSize | 0x7ff);
  EXPECT_TRUE(oracle_.Load(pfn * kPageSize).has_value());
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("the host reached"));
}

// ---- Guests that run --------------------------------------------------------

// CPUs take turns; the guest's side of it goes through a hook.
class GuestOracleTest : public testing::Test {
 protected:
  using Trapped = std::function<void(machine::GuestState&, GuestTrap&)>;

  GuestOracleTest()
      : oracle_({.in_turns = true}),
        world_({.cpus = 2,
                .print_violations = false,
                .scheduling_point = oracle_.Hook(),
                .guest = [this](unsigned cpu, const Stage2Context& context,
                                machine::GuestState& guest) {
                  if (entered_) entered_(guest);
                  GuestTrap trap = oracle_.Guest()(cpu, context, guest);
                  if (trapped_) trapped_(guest, trap);
                  return trap;
                }}) {
    oracle_.Attach(world_.board());
  }

  int64_t Run(const std::string& program, const RunAnswer& answer = {}) {
    const auto steps = ParseGuestProgram(program);
    EXPECT_TRUE(steps.has_value()) << program;
    return oracle_.RunVcpu(answer, *steps, program).result();
  }
  void Load(const tests::HostVm& vm, uint64_t index = 0) {
    EXPECT_TRUE(oracle_.Call(HF_VCPU_LOAD, vm.handle, index).ok());
  }

  Oracle oracle_;
  std::function<void(machine::GuestState&)> entered_;
  Trapped trapped_;
  tests::World world_;
};

TEST_F(GuestOracleTest, IsContentWithDevices) {
  Load(world_.MakeVm(1, 8, /*is_protected=*/false));
  for (const char* access : {"1", "1 signed", "1 wide", "1 signed wide", "2",
                             "2 signed wide", "4", "4 signed wide", "8 wide"}) {
    for (const char* what : {"read", "write"}) {
      EXPECT_EQ(Run(absl::StrFormat("%s 0x9000010 %s", what, access)),
                HF_EXIT_MMIO);
      EXPECT_EQ(Run("", {.answered = 1, .mmio_value = 0x8182'8384'8586'8788}),
                HF_EXIT_INTERRUPT);
    }
  }
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

TEST_F(GuestOracleTest, IsContentWithCores) {
  const tests::HostVm vm = world_.MakeVm(2, 8);
  Load(vm);
  EXPECT_EQ(Run("hvc 0xc4000003 1 0x8000 7"), HF_EXIT_CPU_ON);
  {
    sim::OnCpu other(world_.machine(), 1);
    Load(vm, 1);
    EXPECT_EQ(Run("hvc 0xc4000004 0; sgi 0x5000001"), HF_EXIT_KICK);
  }
  EXPECT_EQ(Run("wfi; ack; wfi 12"), HF_EXIT_WAIT);
  EXPECT_EQ(Run("hvc 0x84000009"), HF_EXIT_SYSTEM_RESET);
  sim::OnCpu other(world_.machine(), 1);
  EXPECT_EQ(Run("hvc 0x1234"), HF_EXIT_SYSTEM_RESET);
  EXPECT_EQ(oracle_.FullTrouble(), "");
}

TEST_F(GuestOracleTest, ShowsARegisterThatIsNotTheGuests) {
  Load(world_.MakeVm(1, 8));
  EXPECT_EQ(Run("hvc 0x1234 1"), HF_EXIT_CALL);
  entered_ = [](machine::GuestState& guest) { guest.regs.x[2] = 99; };
  EXPECT_EQ(Run("", {.answered = 1, .result = {1, 2, 3, 4}}),
            HF_EXIT_INTERRUPT);
  EXPECT_THAT(oracle_.Trouble(),
              AllOf(HasSubstr("the guest goes on"),
                    HasSubstr("x2: expected 0x3, found 0x63")));
}

TEST_F(GuestOracleTest, ShowsAnInterruptThatNobodySent) {
  Load(world_.MakeVm(1, 8));
  entered_ = [](machine::GuestState& guest) {
    machine::PendGuestInterrupt(guest, 27);
  };
  Run("");
  EXPECT_THAT(oracle_.Trouble(), HasSubstr("interrupt 27"));
}

// What EL2 took differs from what the guest did: then so does what it tells.
TEST_F(GuestOracleTest, ShowsAWrongRunPage) {
  Load(world_.MakeVm(1, 8, /*is_protected=*/false));
  trapped_ = [](machine::GuestState& guest, GuestTrap&) {
    guest.regs.x[5] = 0x1234;
  };
  EXPECT_EQ(Run("write 0x9000010 2"), HF_EXIT_MMIO);
  EXPECT_THAT(oracle_.Trouble(), AllOf(HasSubstr("run page, word 3"),
                                       HasSubstr("found    0x1234")));
}

TEST_F(GuestOracleTest, ShowsAWrongExit) {
  Load(world_.MakeVm(1, 8));
  trapped_ = [](machine::GuestState&, GuestTrap& trap) { trap = {}; };
  EXPECT_EQ(Run("hvc 0x1234"), HF_EXIT_INTERRUPT);
  EXPECT_THAT(oracle_.Trouble(), AllOf(HasSubstr("expected x0 0, x1 0x3,"),
                                       HasSubstr("found    x0 0, x1 0,")));
}

TEST(ContentsTest, KnowsWhoMayKnow) {
  Layout layout;
  layout.pa_bits = layout.ipa_bits = 40;
  layout.regions = {{0, 1 << 20, Region::Kind::kMemory}};
  Contents contents(layout);
  constexpr uint64_t kGuest = 0x1000, kPfn = 16, kAt = kPfn * kPageSize;
  State owned_by_guest;
  Vm vm;
  vm.entries[2].pfn = kPfn;
  owned_by_guest.vms[kGuest] = Cow<Vm>(vm);
  owned_by_guest.host.Mut().pages[kPfn] = {PageState::kNone, PageState::kNone,
                                           0, Owner::Guest(kGuest, 2)};
  const State back;
  const std::vector<uint64_t> changed = {kPfn};

  contents.Wrote(kGuest, kAt, 77, owned_by_guest);
  EXPECT_EQ(contents.Read(kGuest, kAt, 77, owned_by_guest), "");
  EXPECT_THAT(contents.Read(kHostWrote, kAt, 77, back),
              HasSubstr("let it in neither before nor since"));
  contents.PagesChanged(changed, *owned_by_guest.host, *back.host);
  EXPECT_EQ(contents.Read(kHostWrote, kAt, 0, back), "");
  EXPECT_THAT(contents.Read(kHostWrote, kAt, 77, back), HasSubstr("holds 0"));

  // Let in by a share, the host knows; and what is written later, once it is
  // out again, it does not.
  State shared = owned_by_guest;
  shared.host.Mut().pages[kPfn] = {
      PageState::kBorrowed, PageState::kNone, 0, {}};
  contents.Wrote(kGuest, kAt, 1, owned_by_guest);
  contents.PagesChanged(changed, *owned_by_guest.host, *shared.host);
  EXPECT_EQ(contents.Read(kHostWrote, kAt, 1, shared), "");
  contents.PagesChanged(changed, *shared.host, *owned_by_guest.host);
  contents.Wrote(kGuest, kAt, 2, owned_by_guest);
  EXPECT_NE(contents.Read(kHostWrote, kAt, 2, shared), "");
}

}  // namespace
}  // namespace holdfast::spec
