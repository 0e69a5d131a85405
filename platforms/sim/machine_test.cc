// SPDX-License-Identifier: Apache-2.0
//
// The machine round the MMU: CPUs, memory, devices, events, violations, panics.
#include "platforms/sim/machine.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "base/spinlock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/sim/test_tables.h"
#include "platforms/stream/text.h"

namespace holdfast::sim::testing_tables {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using enum ViolationKind;

// ---- Memory -----------------------------------------------------------------

TEST(Ram, WindowWithHoles) {
  Machine machine({.ram = {{PhysAddr(0x80000000), 0x10000},
                           {PhysAddr(0x40000000), 0x20000}}});
  const Ram& ram = machine.ram();
  EXPECT_TRUE(ram.Contains(PhysAddr(0x40000000), 0x20000));
  EXPECT_TRUE(ram.Contains(PhysAddr(0x8000ffff), 1));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x3fffffff), 1));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x4001ffff), 2));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x40020000), 1));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x80010000), 1));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x40000000), 0));
  EXPECT_FALSE(ram.Contains(PhysAddr(0x40000000), ~uint64_t{0}));
  OnCpu on_cpu(machine, 0);
  auto* low = static_cast<char*>(machine::PhysToVirt(PhysAddr(0x40000000)));
  auto* high = static_cast<char*>(machine::PhysToVirt(PhysAddr(0x80000000)));
  EXPECT_EQ(high - low, 0x40000000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(low) % 0x200000, 0u);
  EXPECT_EQ(machine::VirtToPhys(high + 5), PhysAddr(0x80000005));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST(Ram, SparseSixtyFourGiB) {
  Machine machine({.ram = {{PhysAddr(0x40000000), uint64_t{64} << 30}}});
  OnCpu on_cpu(machine, 0);
  const PhysAddr last(0x40000000 + (uint64_t{64} << 30) - 8);
  *static_cast<uint64_t*>(machine::PhysToVirt(last)) = 5;
  EXPECT_EQ(machine.HostRead64(0, Ipa(last.value())), 5u);
}

TEST(RamDeathTest, HolesFault) {
  Machine machine({.ram = {{PhysAddr(0x40000000), 0x10000},
                           {PhysAddr(0x80000000), 0x10000}},
                   .hooks = false});
  OnCpu on_cpu(machine, 0);
  EXPECT_DEATH(*static_cast<volatile char*>(
                   machine::PhysToVirt(PhysAddr(0x60000000))) = 1,
               "");
}

TEST(Ram, SizesOfAccesses) {
  Machine machine(Config());
  EXPECT_TRUE(
      machine.HostWrite64(0, Ipa(0x40000000), 0x1122334455667788).has_value());
  EXPECT_EQ(machine.HostRead(0, Ipa(0x40000000), 4), 0x55667788u);
  EXPECT_EQ(machine.HostRead(0, Ipa(0x40000006), 2), 0x1122u);
  EXPECT_EQ(machine.HostRead(0, Ipa(0x40000001), 1), 0x77u);
  EXPECT_TRUE(machine.HostWrite(0, Ipa(0x40000004), 4, 0xaabbccdd).has_value());
  EXPECT_TRUE(machine.HostWrite(0, Ipa(0x40000002), 2, 0xeeff).has_value());
  EXPECT_TRUE(machine.HostWrite(0, Ipa(0x40000000), 1, 0x99).has_value());
  EXPECT_EQ(machine.HostRead64(0, Ipa(0x40000000)), 0xaabbccddeeff7799u);
  EXPECT_EQ(machine.HostExec(0, Ipa(0x40000004)), 0xaabbccddu);
}

TEST(Ram, Pages) {
  Machine machine(Config());
  EXPECT_TRUE(machine.HostFillPage(0, Ipa(0x40001000), 7).has_value());
  EXPECT_EQ(machine.HostPageIs(0, Ipa(0x40001000), 7), true);
  EXPECT_EQ(machine.HostRead64(0, Ipa(0x40000ff8)), 0u);
  EXPECT_EQ(machine.HostRead64(0, Ipa(0x40002000)), 0u);
  EXPECT_TRUE(machine.HostWrite(0, Ipa(0x40001fff), 1, 1).has_value());
  EXPECT_EQ(machine.HostPageIs(0, Ipa(0x40001000), 7), false);
  OnCpu on_cpu(machine, 0);
  machine::ZeroPage(PhysAddr(0x40001000));
  EXPECT_EQ(machine.HostPageIs(0, Ipa(0x40001000), 0), true);
}

TEST(Ram, GuestPages) {
  Guest guest(Config());
  EXPECT_TRUE(guest.machine.GuestFillPage(1, guest.context, Ipa(0x2000), 9)
                  .has_value());
  EXPECT_EQ(guest.machine.GuestPageIs(1, guest.context, Ipa(0x2000), 9), true);
  EXPECT_EQ(guest.machine.HostPageIs(1, Ipa(0x40102000), 9), true);
  EXPECT_FALSE(
      guest.machine.GuestPageIs(1, guest.context, Ipa(0x8000), 9).has_value());
}

TEST(Machine, AccessOutsideMemory) {
  Machine machine(Config());
  EXPECT_EQ(
      machine.HostWrite64(0, Ipa(0x1000), 1).error(),
      (Fault{
          .kind = FaultKind::kExternal, .ipa = Ipa(0x1000), .is_write = true}));
  EXPECT_FALSE(machine.HostFillPage(0, Ipa(0x1000), 1).has_value());
}

TEST(Machine, Devices) {
  Machine machine(Config());
  uint64_t written = 0;
  machine.AddMmio({.base = PhysAddr(0x9000000), .size = 0x1000});
  machine.AddMmio(
      {.base = PhysAddr(0x9010000),
       .size = 0x1000,
       .read = [](uint64_t offset, unsigned bytes) { return offset + bytes; },
       .write = [&](uint64_t, unsigned, uint64_t value) { written = value; }});
  EXPECT_TRUE(machine.HostWrite(1, Ipa(0x9000010), 4, 0x12345678).has_value());
  EXPECT_EQ(machine.HostRead(0, Ipa(0x9000012), 2), 0x1234u);
  EXPECT_EQ(machine.HostRead(0, Ipa(0x9010100), 4), 0x104u);
  EXPECT_TRUE(machine.HostWrite(0, Ipa(0x9010ffc), 4, 5).has_value());
  EXPECT_EQ(written, 5u);
  EXPECT_FALSE(machine.HostRead(0, Ipa(0x9001000), 4).has_value());
  ASSERT_THAT(machine.mmio_accesses(), SizeIs(4));
  EXPECT_EQ(machine.mmio_accesses()[0].cpu, 1u);
  EXPECT_EQ(machine.mmio_accesses()[0].pa, PhysAddr(0x9000010));
  EXPECT_TRUE(machine.mmio_accesses()[0].is_write);
  EXPECT_EQ(machine.mmio_accesses()[1].value, 0x1234u);
}

TEST(Machine, RetryAfterAFault) {
  Guest guest(Config());
  int faults = 0;
  const auto value = Retry(
      [&] { return guest.machine.GuestRead64(0, guest.context, Ipa(0x8000)); },
      [&](const Fault& fault) {
        EXPECT_EQ(fault.ipa, Ipa(0x8000));
        EXPECT_EQ(fault.kind, FaultKind::kTranslation);
        if (++faults == 2) Guest::Publish(0x40002040, 0x40103000 | kRw);
        return true;
      });
  EXPECT_EQ(value, 0x1003u);
  EXPECT_EQ(faults, 2);
  EXPECT_FALSE(Retry(
                   [&] {
                     return guest.machine.GuestRead64(0, guest.context,
                                                      Ipa(0x9000));
                   },
                   [](const Fault&) { return false; })
                   .has_value());
}

// ---- CPUs -------------------------------------------------------------------

TEST(OnCpuTest, BindsAndRestores) {
  Machine first(Config(2));
  Machine second(Config(2));
  OnCpu a(first, 1);
  EXPECT_EQ(machine::ThisCpu().index, 1u);
  EXPECT_EQ(&machine::ThisCpu(), &first.cpu(1).local);
  {
    OnCpu b(second, 0);
    EXPECT_EQ(&machine::ThisCpu(), &second.cpu(0).local);
    OnCpu again(second, 0);
  }
  EXPECT_EQ(&machine::ThisCpu(), &first.cpu(1).local);
}

TEST(OnCpuDeathTest, NoCpu) {
  EXPECT_DEATH(machine::ThisCpu(), "panic: this thread is no simulated CPU");
  EXPECT_DEATH(machine::DsbIsh(), "panic: this thread is no simulated CPU");
  EXPECT_DEATH(machine::PhysToVirt(PhysAddr(0x40000000)), "panic: this thread");
  EXPECT_DEATH(HOLDFAST_CHECK(1 + 1 == 3), "panic: .*1 \\+ 1 == 3");
}

TEST(PanicDeathTest, ShowsTheCpuAndItsEvents) {
  Machine machine(Config(2));
  OnCpu on_cpu(machine, 1);
  machine::ThisCpu().events.Record(EventKind::kSmc, 0x84000001, 1);
  machine::ThisCpu().events.Record(EventKind::kCallEnter, 0xc6000012, 3, 4);
  EXPECT_DEATH(HOLDFAST_CHECK(false),
               "panic: .*machine_test.cc:[0-9]+: false \\(CPU 1\\)\n"
               "  event 0: smc 0x84000001 0x1 0\n"
               "  event 1: call 0xc6000012 0x3 0x4");
}

TEST(Machine, Console) {
  MachineConfig config = Config();
  config.capture_console = true;
  Machine machine(std::move(config));
  OnCpu on_cpu(machine, 0);
  machine::ConsoleWrite("hello ", 6);
  machine::ConsoleWrite("there", 5);
  EXPECT_EQ(machine.console(), "hello there");
}

TEST(Machine, WithoutHooks) {
  MachineConfig config = Config();
  config.hooks = false;
  Guest guest(std::move(config));
  Guest::Store(0x40002008, 0);
  EXPECT_EQ(machine::LoadPte(Guest::At(0x40002008)), 0u);
  EXPECT_FALSE(guest.CanRead(1, 0x1000));
  EXPECT_TRUE(guest.CanRead(1, 0x2000));
  machine::ZeroPage(PhysAddr(0x40102000));
  EXPECT_EQ(guest.machine.GuestRead64(0, guest.context, Ipa(0x2000)), 0u);
  EXPECT_THAT(guest.machine.events(), IsEmpty());
}

// ---- Events -----------------------------------------------------------------

std::vector<std::string> Lines(const Machine& machine) {
  std::vector<std::string> lines;
  for (const Event& event : machine.events())
    lines.push_back(stream::ToString(event));
  return lines;
}

TEST(Events, Stream) {
  Guest guest(Config());
  guest.machine.ClearEvents();
  Guest::Store(0x40002008, 0);
  machine::DsbIshst();
  {
    OnCpu other(guest.machine, 1);
    machine::EnterStage2Context(guest.context);
    machine::TlbiIpas2e1is(Ipa(0x1000), kPageLevel);
    machine::TlbiIpas2e1is(Ipa(0x1000), Level(-1));
    machine::TlbiRipas2e1is(Ipa(0x1000), 0x2000);
    machine::DsbIsh();
    machine::TlbiVmalle1is();
    machine::TlbiVmalle1();
    machine::TlbiVmalls12e1is();
    machine::DsbIsh();
    machine::DsbNsh();
    machine::LeaveStage2Context();
  }
  machine::Isb();
  Guest::Publish(0x40002008, 0x40101000 | kRw);
  machine::ZeroPage(PhysAddr(0x40101000));
  machine::CleanInvalidateToPoc(PhysAddr(0x40101000), 0x1000);
  machine::InvalidateICache(PhysAddr(0x40101000), 0x2000);
  machine::IcIallu();
  machine::TlbiVale2is(HypVa(0x8000));
  machine::TlbiVae2is(HypVa(0x9000));
  machine::TlbiAlle1is();
  EXPECT_THAT(
      Lines(guest.machine),
      ElementsAre(
          "#1 cpu0 store-pte pa=0x40002008 old=0x401017db new=0x0",
          "#2 cpu0 dsb-ishst",
          "#3 cpu1 enter-context vttbr=0x1000040000000 vtcr=0x80050059",
          "#4 cpu1 tlbi-ipas2e1is vmid=1 ipa=0x1000 level=3",
          "#5 cpu1 tlbi-ipas2e1is vmid=1 ipa=0x1000 level=any",
          "#6 cpu1 tlbi-ripas2e1is vmid=1 ipa=0x1000 size=0x2000",
          "#7 cpu1 dsb-ish", "#8 cpu1 tlbi-vmalle1is vmid=1",
          "#9 cpu1 tlbi-vmalle1 vmid=1", "#10 cpu1 tlbi-vmalls12e1is vmid=1",
          "#11 cpu1 dsb-ish", "#12 cpu1 dsb-nsh",
          "#13 cpu1 leave-context vttbr=0x1000040000000 vtcr=0x80050059",
          "#14 cpu0 isb",
          "#15 cpu0 publish-pte pa=0x40002008 old=0x0 new=0x401017db",
          "#16 cpu0 zero-page pa=0x40101000",
          "#17 cpu0 clean-invalidate pa=0x40101000 size=0x1000",
          "#18 cpu0 invalidate-icache pa=0x40101000 size=0x2000",
          "#19 cpu0 ic-iallu", "#20 cpu0 tlbi-vale2is va=0x8000",
          "#21 cpu0 tlbi-vae2is va=0x9000", "#22 cpu0 tlbi-alle1is"));
  EXPECT_THAT(guest.machine.violations(), IsEmpty());
}

TEST(Events, LocksAndTables) {
  Guest guest(Config());
  guest.machine.ClearEvents();
  Spinlock lock(LockRank::kHost);
  lock.Lock();
  lock.Unlock();
  guest.machine.EnableHostStage2(1, guest.context);
  machine::OnStage2Destroyed(guest.context);
  const std::vector<Event> events = guest.machine.events();
  ASSERT_THAT(events, SizeIs(4));
  EXPECT_EQ(events[0].type, EventType::kLock);
  EXPECT_EQ(events[0].a, reinterpret_cast<uintptr_t>(&lock));
  EXPECT_EQ(events[1].type, EventType::kUnlock);
  EXPECT_EQ(events[2].type, EventType::kHostStage2);
  EXPECT_EQ(events[2].cpu, 1u);
  EXPECT_EQ(events[3].type, EventType::kStage2Destroyed);
}

TEST(Events, SchedulingPoints) {
  std::vector<std::pair<SchedulingPoint, uint64_t>> points;
  MachineConfig config = Config();
  config.scheduling_point = [&](unsigned cpu, SchedulingPoint point,
                                uint64_t address) {
    EXPECT_EQ(cpu, 0u);
    points.emplace_back(point, address);
  };
  Guest guest(std::move(config));
  Spinlock lock(LockRank::kHost);
  const auto at = reinterpret_cast<uintptr_t>(&lock);
  lock.Lock();
  Guest::Store(0x40002038, 0);
  machine::DsbIsh();
  machine::TlbiAlle1is();
  machine::LockWait();
  lock.Unlock();
  guest.CanRead(0, 0x1000);
  using enum SchedulingPoint;
  EXPECT_THAT(points, ElementsAre(std::pair(kLockRequested, at),
                                  std::pair(kLockAcquired, at),
                                  std::pair(kTableStore, uint64_t{0x40002038}),
                                  std::pair(kBarrier, uint64_t{0}),
                                  std::pair(kTlbi, uint64_t{0}),
                                  std::pair(kLockWait, uint64_t{0}),
                                  std::pair(kLockReleased, at),
                                  std::pair(kAccess, uint64_t{0x1000})));
}

// ---- Violations -------------------------------------------------------------

struct ViolationTest : ::testing::Test, Guest {
  ViolationTest() : Guest(Config(2)) {}
  void ExpectOnly(ViolationKind kind) {
    EXPECT_THAT(Kinds(machine), ElementsAre(kind)) << Messages(machine);
  }
  // A lock that guards a second table, VMID 2, root 0x40010000.
  Stage2Context Second(const void* lock) {
    const Stage2Context second{
        .vmid = Vmid(2), .root = PhysAddr(0x40010000), .vtcr = kVtcr};
    machine::OnStage2Created(second, lock);
    return second;
  }
};

TEST_F(ViolationTest, MessageNamesEverything) {
  machine::ZeroPage(PhysAddr(0x10000000));
  ASSERT_THAT(machine.violations(), SizeIs(1));
  EXPECT_EQ(machine.violations()[0].message,
            "CPU 0: not RAM: zero-page 0x10000000 size 0x1000");
  EXPECT_EQ(machine.events().back().type, EventType::kViolation);
  machine.ClearViolations();
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, PhysToVirtOutsideRam) {
  machine::PhysToVirt(PhysAddr(0x44000000));
  ExpectOnly(kNotRam);
}

TEST_F(ViolationTest, StoreOutsideRam) {
  alignas(8) uint64_t word = 0;
  machine::StorePte(&word, 5);
  EXPECT_EQ(word, 5u);
  ExpectOnly(kNotRam);
}

TEST_F(ViolationTest, TableOutsideRam) {
  Publish(0x40001010, 0x50000003);
  ExpectOnly(kNotRam);
}

TEST_F(ViolationTest, Unaligned) {
  machine::CleanInvalidateToPoc(PhysAddr(0x40101008), 0x1000);
  machine::InvalidateICache(PhysAddr(0x40101000), 0x800);
  EXPECT_THAT(Kinds(machine), ElementsAre(kUnaligned, kUnaligned));
}

TEST_F(ViolationTest, LiveTableZeroed) {
  machine::ZeroPage(PhysAddr(0x40002000));
  ExpectOnly(kLiveTableOverwritten);
}

// The host maps 0x40800000, 2 MiB.
struct PageInUseTest : ViolationTest {
  PageInUseTest() {
    Raw(0x40020000 + 8, 0x40021003);
    Raw(0x40021000 + 8 * 4, 0x40800000 | kBlockRw);
    machine::OnStage2Created(host, nullptr);
  }
  const Stage2Context host{
      .vmid = kHostVmid, .root = PhysAddr(0x40020000), .vtcr = kVtcr};
};

TEST_F(PageInUseTest, ZeroedWhileTheHostMapsIt) {
  machine::ZeroPage(PhysAddr(0x40901000));
  ExpectOnly(kPageInUse);
}

TEST_F(PageInUseTest, MayBeCleanedWhileTheHostMapsIt) {
  machine::CleanInvalidateToPoc(PhysAddr(0x40901000), 0x1000);
  machine::ZeroPage(PhysAddr(0x40a00000));  // the next block
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(PageInUseTest, ZeroedOrCleanedBeforeTheInvalidation) {
  Store(0x40002008, 0);  // 0x40101000, stale
  machine::ZeroPage(PhysAddr(0x40101000));
  machine::CleanInvalidateToPoc(PhysAddr(0x40100000), 0x2000);
  EXPECT_THAT(Kinds(machine), ElementsAre(kPageInUse, kPageInUse));
  machine.ClearViolations();
  Invalidate(0x1000);
  machine::ZeroPage(PhysAddr(0x40101000));
  machine::CleanInvalidateToPoc(PhysAddr(0x40100000), 0x2000);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, BreakBeforeMakeAddress) {
  Publish(0x40002008, 0x40105000 | kRw);
  ExpectOnly(kBreakBeforeMake);
}

TEST_F(ViolationTest, BreakBeforeMakeAttributes) {
  Publish(0x40002008,
          0x40101000 | (kRw & ~uint64_t{0x3c}) | 5 << 2);  // non-cacheable
  ExpectOnly(kBreakBeforeMake);
}

TEST_F(ViolationTest, BreakBeforeMakeBlockToTable) {
  Publish(0x40001008, 0x40003003);
  ExpectOnly(kBreakBeforeMake);
}

TEST_F(ViolationTest, BreakBeforeMakeTableToBlock) {
  Publish(0x40001000, 0x40800000 | kBlockRw);
  ExpectOnly(kBreakBeforeMake);
}

TEST_F(ViolationTest, RightsAndSoftwareBitsNeedNoBreak) {
  Publish(0x40002008, 0x40101000 | kReadOnly);
  Publish(0x40002008, 0x40101000 | kRw | uint64_t{1} << 55);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, MakeBeforeTheInvalidation) {
  Store(0x40002008, 0);
  machine::DsbIsh();
  Publish(0x40002008, 0x40105000 | kRw);
  ExpectOnly(kMakeOverStale);
}

TEST_F(ViolationTest, FilledTableOverAStaleBlock) {
  Store(0x40001008, 0);
  machine::DsbIsh();
  Publish(0x40001008, 0x40003003);
  ExpectOnly(kMakeOverStale);
}

TEST_F(ViolationTest, TheSamePageAgainIsNoConflict) {
  Store(0x40002008, 0);
  Publish(0x40002008, 0x40101000 | kRw);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, PlainTableLink) {
  Store(0x40001010, 0x40003003);
  ExpectOnly(kPlainTableLink);
}

TEST_F(ViolationTest, ReservedBits) {
  Publish(0x40002040, 0x40108000 | kRw | 0x24);
  ExpectOnly(kReservedBits);
}

TEST_F(ViolationTest, ReservedBitsInALinkedTable) {
  Raw(0x40003000, 0x40108000 | (kRw & ~uint64_t{0x300}) | 0x100);
  Publish(0x40001010, 0x40003003);
  ExpectOnly(kReservedBits);
}

TEST_F(ViolationTest, LeafOverATable) {
  Publish(0x40002040, 0x40001000 | kRw);
  ExpectOnly(kTableMapped);
}

TEST_F(ViolationTest, BlockOverATable) {
  Publish(0x40001010, 0x40000000 | kBlockRw);
  ExpectOnly(kTableMapped);
}

TEST_F(ViolationTest, TableInHostMemory) {
  const Stage2Context host{
      .vmid = kHostVmid, .root = PhysAddr(0x40020000), .vtcr = kVtcr};
  Raw(0x40020000 + 8, 0x40021003);
  Raw(0x40021000 + 8 * 4,
      0x40800000 | kBlockRw);  // host: IPA = PA = 0x40800000, 2 MiB
  machine::OnStage2Created(host, nullptr);
  EXPECT_THAT(machine.violations(), IsEmpty());
  Publish(0x40001010, 0x40900003);
  ExpectOnly(kTableMapped);
}

TEST_F(ViolationTest, TableInMemoryAnotherMayStillReach) {
  Store(0x40002008, 0);  // 0x40101000, stale
  Publish(0x40001010, 0x40101003);
  ExpectOnly(kTableMapped);
}

TEST_F(ViolationTest, AccessToATable) {
  Raw(0x40002040, 0x40002000 | kRw);  // behind the model's back
  EXPECT_TRUE(machine.GuestWrite64(0, context, Ipa(0x8008), 0).has_value());
  ExpectOnly(kTableMapped);
}

TEST_F(ViolationTest, TableLinkedTwice) {
  Publish(0x40001010, 0x40002003);
  ExpectOnly(kTableLinkedTwice);
}

TEST_F(ViolationTest, TablePageReusedAsTable) {
  Store(0x40001000, 0);
  machine::DsbIsh();
  Second(nullptr);
  Publish(0x40010000, 0x40002003);
  EXPECT_THAT(Kinds(machine), Contains(kWalkCacheReuse));
}

TEST_F(ViolationTest, TablePageReusedAsData) {
  Store(0x40001000, 0);
  machine::DsbIsh();
  EXPECT_EQ(machine.HostRead64(0, Ipa(0x40002000)).has_value(),
            true);  // flat: not looked at
  EXPECT_THAT(machine.violations(), IsEmpty());
  Publish(0x40001010 + 8, 0x40003003);
  Publish(0x40003000, 0x40002000 | kRw);
  ExpectOnly(kWalkCacheReuse);
}

TEST_F(ViolationTest, ValidEntryInARemovedTable) {
  Store(0x40001000, 0);
  machine::DsbIsh();
  Store(0x40002100, 0x40108000 | kRw);
  ExpectOnly(kWalkCacheReuse);
}

TEST_F(ViolationTest, StoreWithoutItsLock) {
  Spinlock lock(LockRank::kHypOrVm);
  Second(&lock);
  Publish(0x40010008, 0x40003003);
  ExpectOnly(kStoreWithoutLock);
}

TEST_F(ViolationTest, StoreUnderTheLockOfAnotherCpu) {
  Spinlock lock(LockRank::kHypOrVm);
  Second(&lock);
  lock.Lock();
  {
    OnCpu other(machine, 1);
    Publish(0x40010008, 0x40003003);
    machine::DsbIshst();
  }
  lock.Unlock();
  ExpectOnly(kStoreWithoutLock);
}

TEST_F(ViolationTest, UncleanUnlock) {
  Spinlock lock(LockRank::kHypOrVm);
  Second(&lock);
  lock.Lock();
  Publish(0x40010008, 0x40800000 | kBlockRw | 2);
  Store(0x40010008, 0);
  machine::DsbIsh();
  lock.Unlock();
  EXPECT_THAT(Kinds(machine), Contains(kUnclean));
}

TEST_F(ViolationTest, UncleanLeaf) {
  Spinlock lock(LockRank::kHypOrVm);
  Raw(0x40010000, 0x40011003);
  Raw(0x40011000, 0x40800000 | kBlockRw);
  const Stage2Context second = Second(&lock);
  lock.Lock();
  Store(0x40011000, 0);
  machine::DsbIsh();
  lock.Unlock();
  ExpectOnly(kUnclean);
  machine.ClearViolations();
  lock.Lock();
  machine::EnterStage2Context(second);
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  lock.Unlock();
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, StaleAccessFlagIsNotUnclean) {
  Spinlock lock(LockRank::kHypOrVm);
  Raw(0x40010000, 0x40011003);
  Raw(0x40011000, 0x40800000 | kBlockRw);
  Second(&lock);
  lock.Lock();
  Store(0x40011000, 0x40800000 | (kBlockRw & ~uint64_t{0x400}));
  machine::DsbIshst();
  lock.Unlock();
  EXPECT_THAT(machine.StaleEntries(Vmid(2)), SizeIs(1));
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, UnlockBeforeTheDsb) {
  Spinlock lock(LockRank::kHypOrVm);
  Second(&lock);
  lock.Lock();
  Publish(0x40010008, 0x40003003);
  lock.Unlock();
  ExpectOnly(kUnfinishedStores);
}

TEST_F(ViolationTest, EnterBeforeTheDsb) {
  Publish(0x40002040, 0x40108000 | kRw);
  machine::EnterStage2Context(context);
  ExpectOnly(kUnfinishedStores);
}

TEST_F(ViolationTest, EnterAfterTheDsb) {
  for (const auto dsb : {machine::DsbIshst, machine::DsbIsh, machine::DsbNsh}) {
    Publish(0x40002040, 0x40108000 | kRw);
    dsb();
    machine::EnterStage2Context(context);
    machine::LeaveStage2Context();
    Invalidate(0x8000);
    Store(0x40002040, 0);
    Invalidate(0x8000);
  }
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, TlbiOutsideAContext) {
  machine::TlbiIpas2e1is(Ipa(0), Level(-1));
  machine::TlbiRipas2e1is(Ipa(0), 0x1000);
  machine::TlbiVmalle1is();
  machine::TlbiVmalle1();
  machine::TlbiVmalls12e1is();
  EXPECT_THAT(Kinds(machine), ElementsAre(kNoContext, kNoContext, kNoContext,
                                          kNoContext, kNoContext));
}

TEST_F(ViolationTest, ContextsDoNotNest) {
  machine::EnterStage2Context(context);
  machine::EnterStage2Context(context);
  ExpectOnly(kNestedContext);
}

TEST_F(ViolationTest, LeaveWithoutEnter) {
  machine::LeaveStage2Context();
  ExpectOnly(kLeaveWithoutEnter);
}

TEST_F(ViolationTest, LeaveBeforeTheDsb) {
  machine::EnterStage2Context(context);
  machine::TlbiVmalle1is();
  machine::LeaveStage2Context();
  ExpectOnly(kUnfinishedTlbi);
}

TEST_F(ViolationTest, UnknownContext) {
  Stage2Context wrong = context;
  wrong.root = PhysAddr(0x40001000);
  machine::EnterStage2Context(wrong);
  machine::LeaveStage2Context();
  wrong.vmid = Vmid(7);
  machine::EnterStage2Context(wrong);
  machine::LeaveStage2Context();
  machine::OnStage2Destroyed(wrong);
  EXPECT_THAT(Kinds(machine),
              ElementsAre(kUnknownContext, kUnknownContext, kUnknownContext));
}

TEST_F(ViolationTest, DestroyedWhileEntered) {
  OnCpu other(machine, 1);
  machine::EnterStage2Context(context);
  OnCpu self(machine, 0);
  machine::OnStage2Destroyed(context);
  ExpectOnly(kUnknownContext);
}

TEST_F(ViolationTest, BadTlbiOperands) {
  machine::EnterStage2Context(context);
  machine::TlbiIpas2e1is(Ipa(0x1008), Level(-1));
  machine::TlbiIpas2e1is(Ipa(uint64_t{1} << 39), Level(-1));
  machine::TlbiIpas2e1is(Ipa(0), Level(4));
  machine::TlbiRipas2e1is(Ipa(0), 0);
  machine::TlbiRipas2e1is(Ipa(0), 0x1800);
  machine::TlbiRipas2e1is(Ipa(0), (machine::kMaxRangeTlbiPages + 1) << 12);
  machine::TlbiRipas2e1is(Ipa((uint64_t{1} << 39) - 0x1000), 0x2000);
  EXPECT_THAT(machine.violations(), SizeIs(7));
  EXPECT_THAT(Kinds(machine), ::testing::Each(kBadTlbiOperand));
  machine.ClearViolations();
  machine::TlbiRipas2e1is(Ipa(0), machine::kMaxRangeTlbiPages << 12);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST(Violations, RangeTlbiThatTheCpuLacks) {
  MachineConfig config = Config();
  config.range_tlbi = false;
  Guest guest(std::move(config));
  EXPECT_FALSE(machine::HasRangeTlbi());
  machine::EnterStage2Context(guest.context);
  machine::TlbiRipas2e1is(Ipa(0), 0x1000);
  EXPECT_THAT(Kinds(guest.machine), ElementsAre(kBadTlbiOperand));
}

TEST_F(ViolationTest, VmidReusedWithoutAnInvalidation) {
  Stage2Context second = Second(nullptr);
  machine::OnStage2Destroyed(second);
  Second(nullptr);
  ExpectOnly(kVmidReuse);
  machine.ClearViolations();
  machine::OnStage2Destroyed(second);
  machine::EnterStage2Context(second);
  machine::TlbiVmalls12e1is();
  machine::DsbIsh();
  machine::LeaveStage2Context();
  Second(nullptr);
  EXPECT_THAT(machine.violations(), IsEmpty());
}

TEST_F(ViolationTest, VmidUsedAfterTheInvalidation) {
  Stage2Context second = Second(nullptr);
  machine::TlbiAlle1is();
  machine::DsbIsh();
  (void)machine.GuestRead64(1, second, Ipa(0));
  machine::OnStage2Destroyed(second);
  Second(nullptr);
  ExpectOnly(kVmidReuse);
}

TEST_F(ViolationTest, BadRoots) {
  machine::OnStage2Created(context, nullptr);  // again
  // 40 bits, two root tables, aligned to one; no walk for this VTCR.
  machine::OnStage2Created(
      {.vmid = Vmid(3), .root = PhysAddr(0x40031000), .vtcr = 0x80050058},
      nullptr);
  machine::OnStage2Created(
      {.vmid = Vmid(4), .root = PhysAddr(0x40040000), .vtcr = 0x80050050},
      nullptr);
  EXPECT_THAT(Kinds(machine), ElementsAre(kBadRoot, kBadRoot, kBadRoot));
  machine.ClearViolations();
  machine::OnStage2Created(
      {.vmid = Vmid(5), .root = PhysAddr(0x50000000), .vtcr = kVtcr}, nullptr);
  ExpectOnly(kNotRam);
}

}  // namespace
}  // namespace holdfast::sim::testing_tables
