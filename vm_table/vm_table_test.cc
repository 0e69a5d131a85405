// SPDX-License-Identifier: Apache-2.0
//
// Slots, references and vCPUs: each transition and each that must be refused,
// in the state diagram of vm_table.h. One simulated CPU at a time; the races
// are in vm_table_concurrent_test.cc.
#include "vm_table/vm_table.h"

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test_machine.h"
#include "vm_table/test_table.h"

namespace holdfast::vm_table {
namespace {

using testing::AnyOf;
using testing::ElementsAre;

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
constexpr VmHandle kFirst{0x1000};
constexpr VmHandle kLast{0x10fe};
constexpr VmHandle kNoHandles[] = {
    VmHandle(0),      VmHandle(1),      VmHandle(0xfff), VmHandle(0x10ff),
    VmHandle(0x1100), VmHandle(0x8000), VmHandle(0xffff)};

// ---- The diagram ------------------------------------------------------------

enum class State { kFree, kReserved, kInitialising, kLive, kDying };
constexpr State kStates[] = {State::kFree, State::kReserved,
                             State::kInitialising, State::kLive, State::kDying};

std::string Name(State state) {
  static constexpr const char* kNames[] = {"free", "reserved", "initialising",
                                           "live", "dying"};
  return kNames[static_cast<int>(state)];
}

// A table whose first slot is in a state of choice. Looking at the state
// changes it (there is no other way to tell some apart), so it is looked at
// once, last.
class OneSlot {
 public:
  explicit OneSlot(State state) : vm_(MakeVm(kFirst, 1)) {
    if (state == State::kFree) return;
    EXPECT_EQ(table.Reserve().value(), kFirst);
    if (state == State::kReserved) return;
    EXPECT_TRUE(table.BeginInit(kFirst).has_value());
    if (state == State::kInitialising) return;
    table.Publish(*vm_);
    if (state == State::kLive) return;
    EXPECT_TRUE(table.StartTeardown(kFirst).has_value());
  }

  State Look() {
    if (table.Find(kFirst) != nullptr) {
      EXPECT_EQ(table.Find(kFirst), vm_.get());
      return table.IsDying(*vm_) ? State::kDying : State::kLive;
    }
    if (table.Unreserve(kFirst).has_value()) return State::kReserved;
    return table.Reserve().value() == kFirst ? State::kFree
                                             : State::kInitialising;
  }

  Vm& vm() { return *vm_; }

  TestTable table;

 private:
  VmPointer vm_;
};

class VmTableTest : public testing::Test {
 protected:
  sim::Machine machine_{TestMachine(4)};
  sim::OnCpu on_cpu_{machine_, 0};
  TestTable table_;
};
using VmTableDeathTest = VmTableTest;

TEST_F(VmTableTest, EachStateIsWhatItIsMade) {
  for (const State state : kStates)
    EXPECT_EQ(OneSlot(state).Look(), state) << Name(state);
}

TEST_F(VmTableTest, ReserveTakesAFreeSlotOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const VmHandle handle = slot.table.Reserve().value();
    EXPECT_EQ(handle, state == State::kFree ? kFirst : VmHandle(0x1001));
    EXPECT_EQ(slot.Look(), state == State::kFree ? State::kReserved : state);
  }
}

TEST_F(VmTableTest, UnreserveTakesAReservedSlotOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const Status status = slot.table.Unreserve(kFirst);
    if (state == State::kReserved) {
      EXPECT_TRUE(status.has_value());
      EXPECT_EQ(slot.Look(), State::kFree);
    } else {
      EXPECT_EQ(status.error(), Errno::kEinval);
      EXPECT_EQ(slot.Look(), state);
    }
  }
}

TEST_F(VmTableTest, BeginInitTakesAReservedSlotOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const Status status = slot.table.BeginInit(kFirst);
    if (state == State::kReserved) {
      EXPECT_TRUE(status.has_value());
      EXPECT_EQ(slot.Look(), State::kInitialising);
    } else {
      EXPECT_EQ(status.error(), Errno::kEinval);
      EXPECT_EQ(slot.Look(), state);
    }
  }
}

TEST_F(VmTableDeathTest, AbortInitNeedsAnInitialisingSlot) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    if (state == State::kInitialising) {
      slot.table.AbortInit(kFirst);
      EXPECT_EQ(slot.Look(), State::kReserved);
    } else {
      EXPECT_DEATH(slot.table.AbortInit(kFirst), "panic: .*vm_table.cc");
    }
  }
}

TEST_F(VmTableDeathTest, PublishNeedsAnInitialisingSlot) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    if (state == State::kInitialising) {
      slot.table.Publish(slot.vm());
      EXPECT_EQ(slot.Look(), State::kLive);
    } else {
      EXPECT_DEATH(slot.table.Publish(slot.vm()), "panic: .*vm_table.cc");
    }
  }
}

TEST_F(VmTableTest, StartTeardownTakesALiveVmOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const Status status = slot.table.StartTeardown(kFirst);
    if (state == State::kLive) {
      EXPECT_TRUE(status.has_value());
      EXPECT_EQ(slot.Look(), State::kDying);
    } else {
      EXPECT_EQ(status.error(), Errno::kEinval);
      EXPECT_EQ(slot.Look(), state);
    }
  }
}

TEST_F(VmTableTest, FindToFinalizeFindsADyingVmOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const Result<Vm*> found = slot.table.FindToFinalize(kFirst);
    if (state == State::kDying) {
      EXPECT_EQ(found.value(), &slot.vm());
    } else {
      EXPECT_EQ(found.error(), Errno::kEinval);
    }
    // It only looks.
    EXPECT_EQ(slot.Look(), state);
  }
}

TEST_F(VmTableDeathTest, RemoveNeedsADyingVm) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    if (state == State::kDying) {
      slot.table.Remove(slot.vm());
      EXPECT_EQ(slot.Look(), State::kFree);
    } else {
      EXPECT_DEATH(slot.table.Remove(slot.vm()), "panic: .*vm_table.cc");
    }
  }
}

TEST_F(VmTableTest, FindFindsPublishedVmsOnly) {
  for (const State state : kStates) {
    SCOPED_TRACE(Name(state));
    OneSlot slot(state);
    const bool published = state == State::kLive || state == State::kDying;
    EXPECT_EQ(slot.table.Find(kFirst), published ? &slot.vm() : nullptr);
  }
}

// Another VM with the same handle does not get the slot's place.
TEST_F(VmTableDeathTest, RemoveNeedsTheVmOfTheSlot) {
  OneSlot slot(State::kDying);
  const VmPointer impostor = MakeVm(kFirst, 1);
  EXPECT_DEATH(slot.table.Remove(*impostor), "panic: .*vm_table.cc");
}

TEST_F(VmTableTest, AWholeLifeIsRecorded) {
  OneSlot slot(State::kDying);
  slot.table.Remove(slot.vm());
  // reserved 1, initialising 2, live 3, dying 4, free 0.
  const EventRing& events = machine_.cpu(0).local.events;
  std::vector<uint64_t> states;
  for (unsigned i = 5; i-- > 0;) {
    EXPECT_EQ(events.Back(i).kind, EventKind::kVmState);
    EXPECT_EQ(events.Back(i).a, kFirst.value());
    states.push_back(events.Back(i).b);
  }
  EXPECT_THAT(states, ElementsAre(1, 2, 3, 4, 0));
}

// ---- Handles ----------------------------------------------------------------

TEST_F(VmTableDeathTest, HandlesAtTheEdges) {
  // All slots taken, VMs in the first and the last.
  const VmPointer first = MakeVm(kFirst, 1);
  const VmPointer last = MakeVm(kLast, 1);
  for (uint32_t i = 0; i < kVmSlots; ++i)
    ASSERT_TRUE(table_.Reserve().has_value());
  for (Vm* vm : {first.get(), last.get()}) {
    ASSERT_TRUE(table_.BeginInit(vm->handle()).has_value());
    table_.Publish(*vm);
  }
  EXPECT_EQ(table_.Find(kFirst), first.get());
  EXPECT_EQ(table_.Find(kLast), last.get());
  EXPECT_EQ(VmTable::VmidOf(kFirst), Vmid(1));
  EXPECT_EQ(VmTable::VmidOf(kLast), Vmid(255));
  for (const VmHandle handle : kNoHandles) {
    SCOPED_TRACE(handle.value());
    EXPECT_EQ(table_.Find(handle), nullptr);
    EXPECT_EQ(table_.Unreserve(handle).error(), Errno::kEinval);
    EXPECT_EQ(table_.BeginInit(handle).error(), Errno::kEinval);
    EXPECT_EQ(table_.StartTeardown(handle).error(), Errno::kEinval);
    EXPECT_EQ(table_.FindToFinalize(handle).error(), Errno::kEinval);
    EXPECT_EQ(table_.Load(handle, 0).error(), Errno::kEnoent);
    EXPECT_DEATH(table_.AbortInit(handle), "panic: .*vm_table.cc");
    EXPECT_DEATH(static_cast<void>(VmTable::VmidOf(handle)),
                 "panic: .*vm_table.cc");
    const VmPointer stray = MakeVm(handle, 1);
    EXPECT_DEATH(table_.Publish(*stray), "panic: .*vm_table.cc");
    EXPECT_DEATH(table_.Remove(*stray), "panic: .*vm_table.cc");
  }
}

TEST_F(VmTableTest, AllSlotsThenNoneThenTheFreedOne) {
  for (uint32_t i = 0; i < 255; ++i) {
    EXPECT_EQ(table_.Reserve().value(),
              VmHandle(static_cast<uint16_t>(0x1000 + i)));
  }
  EXPECT_EQ(table_.Reserve().error(), Errno::kEnomem);
  for (const VmHandle handle : {VmHandle(0x1080), kLast, kFirst}) {
    EXPECT_TRUE(table_.Unreserve(handle).has_value());
    EXPECT_EQ(table_.Reserve().value(), handle);
    EXPECT_EQ(table_.Reserve().error(), Errno::kEnomem);
  }
  // The slot of a VM that is gone comes back too.
  const VmPointer vm = MakeVm(kLast, 1);
  ASSERT_TRUE(table_.BeginInit(kLast).has_value());
  table_.Publish(*vm);
  ASSERT_TRUE(table_.StartTeardown(kLast).has_value());
  EXPECT_EQ(table_.Reserve().error(), Errno::kEnomem);
  table_.Remove(*vm);
  EXPECT_EQ(table_.Find(kLast), nullptr);
  EXPECT_EQ(table_.Reserve().value(), kLast);
}

// ---- References -------------------------------------------------------------

class LiveVmTest : public VmTableTest {
 protected:
  static constexpr uint32_t kVcpus = 5;

  LiveVmTest() : vm_(table_.AddVm(kVcpus)) {}

  VmHandle handle() const { return vm_->handle(); }

  VmPointer vm_;
};
using LiveVmDeathTest = LiveVmTest;

TEST_F(LiveVmTest, AReferenceHoldsUpTheTeardown) {
  {
    const VmRef first = table_.Reference(*vm_);
    const VmRef second = table_.Reference(*vm_);
    EXPECT_EQ(table_.References(*vm_), 2u);
    EXPECT_EQ(&*first, vm_.get());
    EXPECT_EQ(second->handle(), handle());
    EXPECT_EQ(table_.StartTeardown(handle()).error(), Errno::kEbusy);
    // The count comes first: a VM that is both in use and not dying is in use.
    EXPECT_EQ(table_.FindToFinalize(handle()).error(), Errno::kEbusy);
    EXPECT_FALSE(table_.IsDying(*vm_));
  }
  EXPECT_EQ(table_.References(*vm_), 0u);
  EXPECT_TRUE(table_.StartTeardown(handle()).has_value());
}

TEST_F(LiveVmDeathTest, AReferenceHoldsUpTheRemoval) {
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());
  {
    // A dying VM can be referenced: its pages are reclaimed so.
    const VmRef reference = table_.Reference(*vm_);
    EXPECT_EQ(table_.StartTeardown(handle()).error(), Errno::kEbusy);
    EXPECT_EQ(table_.FindToFinalize(handle()).error(), Errno::kEbusy);
    EXPECT_DEATH(table_.Remove(*vm_), "panic: .*references_");
  }
  EXPECT_EQ(table_.FindToFinalize(handle()).value(), vm_.get());
}

TEST_F(LiveVmTest, AMovedReferenceCountsOnce) {
  {
    VmRef first = table_.Reference(*vm_);
    {
      const VmRef second = std::move(first);
      EXPECT_EQ(&*second, vm_.get());
      EXPECT_EQ(table_.References(*vm_), 1u);
    }
    // It went with the second.
    EXPECT_EQ(table_.References(*vm_), 0u);
  }
  EXPECT_EQ(table_.References(*vm_), 0u);
  std::optional<VmRef> kept;
  kept.emplace(table_.Reference(*vm_));
  EXPECT_EQ(table_.References(*vm_), 1u);
  kept.reset();
  EXPECT_EQ(table_.References(*vm_), 0u);
  const VmRef nothing;
}

TEST_F(LiveVmDeathTest, AReferenceIsNotGivenUpUnderTheLock) {
  std::optional<VmRef> reference(table_.Reference(*vm_));
  EXPECT_DEATH(
      {
        SpinlockHolder hold(table_.raw().lock);
        reference.reset();
      },
      "panic: .*spinlock.h");
}

// ---- vCPUs ------------------------------------------------------------------

TEST_F(LiveVmTest, ANewVcpuNeedsAnIndexThatIsFree) {
  EXPECT_TRUE(table_.CheckNewVcpu(*vm_, 0).has_value());
  EXPECT_TRUE(table_.CheckNewVcpu(*vm_, kVcpus - 1).has_value());
  // All 64 bits of the index count.
  for (const uint64_t index :
       {uint64_t{kVcpus}, uint64_t{kMaxVcpus}, uint64_t{1} << 32,
        (uint64_t{1} << 32) + 1, kMax}) {
    EXPECT_EQ(table_.CheckNewVcpu(*vm_, index).error(), Errno::kEinval)
        << index;
  }
  Vcpu vcpu(*vm_, 2, {}, Pfn());
  table_.PublishVcpu(vcpu);
  EXPECT_EQ(table_.CheckNewVcpu(*vm_, 2).error(), Errno::kEinval);
  EXPECT_EQ(table_.VcpusAlive(*vm_), 1u);
  EXPECT_TRUE(table_.CheckNewVcpu(*vm_, 1).has_value());
  EXPECT_TRUE(table_.CheckNewVcpu(*vm_, 3).has_value());
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());
  EXPECT_EQ(table_.CheckNewVcpu(*vm_, 1).error(), Errno::kEinval);
}

TEST_F(LiveVmDeathTest, PublishingAVcpuTwiceOrTooLateIsFatal) {
  Vcpu vcpu(*vm_, 0, {}, Pfn());
  Vcpu twin(*vm_, 0, {}, Pfn());
  Vcpu beyond(*vm_, kVcpus, {}, Pfn());
  Vcpu late(*vm_, 1, {}, Pfn());
  table_.PublishVcpu(vcpu);
  EXPECT_DEATH(table_.PublishVcpu(vcpu), "panic: .*vm_table.cc");
  EXPECT_DEATH(table_.PublishVcpu(twin), "panic: .*vm_table.cc");
  EXPECT_DEATH(table_.PublishVcpu(beyond), "panic: .*vm_table.cc");
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());
  EXPECT_DEATH(table_.PublishVcpu(late), "panic: .*vm_table.cc");
}

TEST_F(LiveVmTest, AVcpuRemembersWhereItLives) {
  const FrameRange memory{Pfn(0x40), 2};
  const Vcpu vcpu(*vm_, 3, memory, Pfn(0x99));
  EXPECT_EQ(&vcpu.vm(), vm_.get());
  EXPECT_EQ(vcpu.index(), 3u);
  EXPECT_EQ(vcpu.memory().first, Pfn(0x40));
  EXPECT_EQ(vcpu.memory().count, 2u);
  EXPECT_EQ(vcpu.run_page(), Pfn(0x99));
}

// The errors of Load, each with all that come after it present too.
TEST_F(LiveVmTest, LoadRefusesInOrder) {
  Vcpu vcpu(*vm_, 0, {}, Pfn());
  table_.PublishVcpu(vcpu);
  // No such VM; a slot that is only reserved is none.
  EXPECT_EQ(table_.Load(VmHandle(0x1001), kMax).error(), Errno::kEnoent);
  const VmHandle reserved = table_.Reserve().value();
  EXPECT_EQ(table_.Load(reserved, kMax).error(), Errno::kEnoent);
  // No such index, all 64 bits of it; before what is empty or loaded.
  for (const uint64_t index : {uint64_t{kVcpus}, uint64_t{1} << 32, kMax}) {
    EXPECT_EQ(table_.Load(handle(), index).error(), Errno::kEinval) << index;
  }
  // Never initialised.
  EXPECT_EQ(table_.Load(handle(), kVcpus - 1).error(), Errno::kEnoent);
  // Loaded: elsewhere, or here.
  ASSERT_TRUE(table_.Load(handle(), 0).has_value());
  {
    sim::OnCpu on_other(machine_, 1);
    EXPECT_EQ(table_.Load(handle(), 0).error(), Errno::kEbusy);
  }
  EXPECT_EQ(table_.Load(handle(), 0).error(), Errno::kEbusy);
  EXPECT_EQ(table_.References(*vm_), 1u);
  table_.Put(vcpu);
  // Dying, before what is empty.
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());
  EXPECT_EQ(table_.Load(handle(), kVcpus - 1).error(), Errno::kEinval);
  EXPECT_EQ(table_.Load(handle(), 0).error(), Errno::kEinval);
  EXPECT_EQ(table_.References(*vm_), 0u);
}

TEST_F(LiveVmTest, ALoadedVcpuHoldsUpTheTeardown) {
  Vcpu vcpu(*vm_, 1, {}, Pfn());
  table_.PublishVcpu(vcpu);
  const Result<LoadedVcpu> loaded = table_.Load(handle(), 1);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->vcpu, &vcpu);
  EXPECT_EQ(table_.References(*vm_), 1u);
  EXPECT_EQ(table_.StartTeardown(handle()).error(), Errno::kEbusy);
  {
    // Whoever puts it: the host may move it between CPUs, EL2 does not care.
    sim::OnCpu on_other(machine_, 1);
    table_.Put(vcpu);
  }
  EXPECT_EQ(table_.References(*vm_), 0u);
  EXPECT_TRUE(table_.StartTeardown(handle()).has_value());
}

TEST_F(LiveVmTest, LoadAndPutAreRecorded) {
  Vcpu vcpu(*vm_, 3, {}, Pfn());
  table_.PublishVcpu(vcpu);
  ASSERT_TRUE(table_.Load(handle(), 3).has_value());
  table_.Put(vcpu);
  const EventRing& events = machine_.cpu(0).local.events;
  for (unsigned i = 0; i < 2; ++i) {
    EXPECT_EQ(events.Back(i).kind, EventKind::kVcpu);
    EXPECT_EQ(events.Back(i).a, handle().value());
    EXPECT_EQ(events.Back(i).b, 3u);
    EXPECT_EQ(events.Back(i).c, i);  // 0: the put, which came last
  }
}

TEST_F(LiveVmDeathTest, PutNeedsALoadedVcpu) {
  Vcpu vcpu(*vm_, 0, {}, Pfn());
  EXPECT_DEATH(table_.Put(vcpu), "panic: .*loaded_");
  table_.PublishVcpu(vcpu);
  EXPECT_DEATH(table_.Put(vcpu), "panic: .*loaded_");
  ASSERT_TRUE(table_.Load(handle(), 0).has_value());
  table_.Put(vcpu);
  EXPECT_DEATH(table_.Put(vcpu), "panic: .*loaded_");
}

// The TLB of a CPU is stale for a vCPU if another of its VM ran there last.
TEST_F(LiveVmTest, StaleContextIsPerCpuAndPerVm) {
  const VmPointer other = table_.AddVm(1);
  Vcpu zero(*vm_, 0, {}, Pfn());
  Vcpu one(*vm_, 1, {}, Pfn());
  Vcpu stranger(*other, 0, {}, Pfn());
  for (Vcpu* vcpu : {&zero, &one, &stranger}) table_.PublishVcpu(*vcpu);
  const auto stale = [&](unsigned cpu, Vcpu& vcpu) {
    sim::OnCpu on_cpu(machine_, cpu);
    const Result<LoadedVcpu> loaded =
        table_.Load(vcpu.vm().handle(), vcpu.index());
    EXPECT_EQ(loaded.value().vcpu, &vcpu);
    table_.Put(vcpu);
    return loaded->stale_context;
  };
  EXPECT_FALSE(stale(0, zero)) << "nothing ran here yet";
  EXPECT_FALSE(stale(0, zero)) << "the same again";
  EXPECT_TRUE(stale(0, one)) << "0 ran here";
  EXPECT_FALSE(stale(0, one));
  EXPECT_FALSE(stale(1, zero)) << "CPU 1 has seen neither";
  EXPECT_TRUE(stale(0, zero)) << "what CPU 1 did does not count";
  EXPECT_FALSE(stale(0, stranger)) << "another VM has another VMID";
  EXPECT_FALSE(stale(0, zero)) << "nor does it disturb";
  EXPECT_TRUE(stale(1, one));
}

// Only what was loaded counts as having run.
TEST_F(LiveVmTest, ARefusedLoadIsNotRemembered) {
  Vcpu zero(*vm_, 0, {}, Pfn());
  Vcpu one(*vm_, 1, {}, Pfn());
  table_.PublishVcpu(zero);
  table_.PublishVcpu(one);
  ASSERT_TRUE(table_.Load(handle(), 0).has_value());
  table_.Put(zero);
  {
    sim::OnCpu on_other(machine_, 1);
    ASSERT_TRUE(table_.Load(handle(), 1).has_value());
  }
  EXPECT_EQ(table_.Load(handle(), 1).error(), Errno::kEbusy);
  EXPECT_EQ(table_.Load(handle(), 2).error(), Errno::kEnoent);
  EXPECT_FALSE(table_.Load(handle(), 0).value().stale_context);
}

// ---- The end of a VM's vCPUs ------------------------------------------------

TEST_F(LiveVmDeathTest, TakeVcpuKeepsToItsBudget) {
  Vcpu one(*vm_, 1, {}, Pfn());
  Vcpu four(*vm_, 4, {}, Pfn());
  table_.PublishVcpu(one);
  table_.PublishVcpu(four);
  uint32_t budget = 10;
  EXPECT_DEATH(table_.TakeVcpu(*vm_, &budget), "panic: .*dying_");
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());

  budget = 0;
  EXPECT_EQ(table_.TakeVcpu(*vm_, &budget), nullptr);
  EXPECT_EQ(budget, 0u);
  budget = 1;  // looks at slot 0, which is empty
  EXPECT_EQ(table_.TakeVcpu(*vm_, &budget), nullptr);
  EXPECT_EQ(budget, 0u);
  EXPECT_EQ(table_.VcpusAlive(*vm_), 2u);
  EXPECT_DEATH(table_.Remove(*vm_), "panic: .*vcpus_alive_");
  budget = 1;  // goes on at slot 1
  EXPECT_EQ(table_.TakeVcpu(*vm_, &budget), &one);
  EXPECT_EQ(budget, 0u);
  EXPECT_EQ(table_.VcpusAlive(*vm_), 1u);
  budget = 10;  // slots 2, 3 and 4
  EXPECT_EQ(table_.TakeVcpu(*vm_, &budget), &four);
  EXPECT_EQ(budget, 7u);
  EXPECT_EQ(table_.VcpusAlive(*vm_), 0u);
  EXPECT_EQ(table_.TakeVcpu(*vm_, &budget), nullptr);
  EXPECT_EQ(budget, 7u) << "there was nothing left to look at";
  table_.Remove(*vm_);
}

TEST_F(VmTableTest, TakesEveryVcpuOnce) {
  const VmPointer vm = table_.AddVm(kMaxVcpus);
  std::vector<std::unique_ptr<Vcpu>> vcpus;
  for (uint32_t i = 0; i < kMaxVcpus; ++i) {
    vcpus.push_back(std::make_unique<Vcpu>(*vm, i, FrameRange{}, Pfn()));
    table_.PublishVcpu(*vcpus.back());
  }
  ASSERT_TRUE(table_.StartTeardown(vm->handle()).has_value());
  uint32_t budget = kMaxVcpus;
  for (uint32_t i = 0; i < kMaxVcpus; ++i) {
    ASSERT_EQ(table_.TakeVcpu(*vm, &budget), vcpus[i].get());
    ASSERT_EQ(budget, kMaxVcpus - i - 1);
  }
  table_.Remove(*vm);
}

// ---- Objects ----------------------------------------------------------------

TEST_F(VmTableTest, AVmRemembersItsShape) {
  const VmPointer vm = MakeVm(VmHandle(0x1005), 7);
  EXPECT_EQ(vm->handle(), VmHandle(0x1005));
  EXPECT_TRUE(vm->is_protected());
  EXPECT_EQ(vm->vcpu_count(), 7u);
  EXPECT_EQ(Vm::BytesFor(7), sizeof(Vm) + 7 * sizeof(Vcpu*));
  EXPECT_EQ(Vm::BytesForVcpu(), sizeof(Vcpu));
}

TEST(FrameRangeTest, OverlapsIfOneFrameIsCommon) {
  constexpr FrameRange kRange{Pfn(10), 4};  // 10..13
  for (const FrameRange other :
       {FrameRange{Pfn(10), 4}, FrameRange{Pfn(0), 11}, FrameRange{Pfn(13), 1},
        FrameRange{Pfn(11), 2}, FrameRange{Pfn(0), 100}}) {
    EXPECT_TRUE(kRange.Overlaps(other)) << other.first.value();
    EXPECT_TRUE(other.Overlaps(kRange)) << other.first.value();
  }
  for (const FrameRange other : {FrameRange{Pfn(0), 10}, FrameRange{Pfn(14), 1},
                                 FrameRange{Pfn(11), 0}, FrameRange{}}) {
    EXPECT_FALSE(kRange.Overlaps(other)) << other.first.value();
    EXPECT_FALSE(other.Overlaps(kRange)) << other.first.value();
  }
  EXPECT_EQ(kRange.start(), PhysAddr(10 * kPageSize));
  EXPECT_EQ(kRange.size(), 4 * kPageSize);
}

// ---- The lock ---------------------------------------------------------------

// Where clang cannot look (code built without the analysis), the table asks
// itself.
struct Unlocked {
  VmTable& table;
  Vm& vm;
  Vcpu& vcpu;

  void Call(int member) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    uint32_t budget = 1;
    switch (member) {
      case 0:
        static_cast<void>(table.Reserve());
        break;
      case 1:
        static_cast<void>(table.Unreserve(kLast));
        break;
      case 2:
        static_cast<void>(table.BeginInit(kLast));
        break;
      case 3:
        static_cast<void>(table.Find(vm.handle()));
        break;
      case 4:
        static_cast<void>(table.Reference(vm));
        break;
      case 5:
        static_cast<void>(table.IsDying(vm));
        break;
      case 6:
        static_cast<void>(table.StartTeardown(vm.handle()));
        break;
      case 7:
        static_cast<void>(table.FindToFinalize(vm.handle()));
        break;
      case 8:
        static_cast<void>(table.CheckNewVcpu(vm, 0));
        break;
      case 9:
        table.PublishVcpu(vcpu);
        break;
      case 10:
        static_cast<void>(table.Load(vm.handle(), 0));
        break;
      case 11:
        static_cast<void>(table.VcpusAlive(vm));
        break;
      case 12:
        static_cast<void>(table.References(vm));
        break;
      case 13:
        static_cast<void>(table.TakeVcpu(vm, &budget));
        break;
      default:
        break;
    }
  }
};

// What clang cannot see (another object's lock, a cast) is caught at run time.
TEST_F(LiveVmDeathTest, EveryMemberNeedsTheLock) {
  Vcpu vcpu(*vm_, 0, {}, Pfn());
  Unlocked unlocked{table_.raw(), *vm_, vcpu};
  for (int member = 0; member <= 12; ++member) {
    EXPECT_DEATH(unlocked.Call(member), "panic: .*spinlock.h.*HeldByThisCpu")
        << member;
  }
  ASSERT_TRUE(table_.StartTeardown(handle()).has_value());
  EXPECT_DEATH(unlocked.Call(13), "panic: .*spinlock.h.*HeldByThisCpu");
}

}  // namespace
}  // namespace holdfast::vm_table
