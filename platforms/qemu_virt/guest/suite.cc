// SPDX-License-Identifier: Apache-2.0
//
// What a guest does in the tests of payload/guests.cc, one thing after another.
#include "base/granule.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/runtime.h"
#include "platforms/qemu_virt/guest/suite_steps.h"
#include "platforms/qemu_virt/payload/gic.h"
#include "platforms/qemu_virt/payload/registers.h"

namespace holdfast::guest {
namespace {

using payload::EndInterrupt;
using payload::kNoInterrupt;
using payload::TakeInterrupt;

extern "C" const char __bss_end[];

constexpr uint32_t kTimer = 27;
constexpr uint64_t kInvalid = static_cast<uint64_t>(-3);
constexpr uint64_t kPsciCpuOn = 0xc400'0003, kPsciAffinityInfo = 0xc400'0004;

struct alignas(kPageSize) Page {
  volatile uint64_t words[kPageSize / 8];
};
Page g_page, g_poison, g_other, g_code, g_table;
// Set by vCPU 1.
volatile uint64_t g_secondary_ran;

uint64_t Address(const Page& page) { return reinterpret_cast<uint64_t>(&page); }
uint64_t Do(SuiteStep step, uint64_t a = 0, uint64_t b = 0) {
  return Step(static_cast<uint64_t>(step), a, b);
}

// Every register holds what it held before the host ran.
void Registers() {
  payload::OpenFp();
  payload::WriteFreeRegisters(kGuestPattern);
  payload::Registers after;
  payload::CallWithAllRegisters(kGuestPattern, &after, kCallStep,
                                static_cast<uint64_t>(SuiteStep::kRegisters), 0,
                                0);
  const payload::FreeRegisters free = payload::ReadFreeRegisters();
  bool same = true;
  for (unsigned i = 4; i < 29; ++i) same &= after.x[i] == kGuestPattern + i;
  Expect(same, "the guest's general registers outlive the host");
  same = true;
  for (unsigned i = 0; i < 32; ++i) {
    same &= after.q[i][0] == kGuestPattern + 64 + i &&
            after.q[i][1] == kGuestPattern + 64 + i;
  }
  Expect(same, "and its vectors");
  same = true;
  for (unsigned i = 0; i < payload::kFreeRegisters; ++i)
    same &= free.value[i] == kGuestPattern + 0x100 + i;
  Expect(same, "and its system registers");
  bool foreign = false;
  for (const uint64_t x : after.x)
    foreign |= (x & kPatternMask) == kHostPattern;
  Expect(!foreign, "it sees nothing of the host");
}

void Identity() {
  uint64_t pfr0;
  asm volatile("mrs %0, id_aa64pfr0_el1" : "=r"(pfr0));
  uint64_t pfr1;
  asm volatile("mrs %0, id_aa64pfr1_el1" : "=r"(pfr1));
  uint64_t dfr0;
  asm volatile("mrs %0, id_aa64dfr0_el1" : "=r"(dfr0));
  uint64_t smfr0;
  asm volatile("mrs %0, S3_0_C0_C4_5" : "=r"(smfr0));
  uint64_t mpidr;
  asm volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
  Expect((pfr0 & 0xff) == 0x11, "AArch64 only, at EL0 and EL1");
  Expect((pfr0 >> 32 & 0xf) == 0, "no SVE");
  Expect((pfr0 >> 24 & 0xf) == 1, "a GIC");
  Expect((pfr1 >> 8 & 0xf) == 0 && (pfr1 >> 24 & 0xf) == 0, "no MTE, no SME");
  Expect(dfr0 == 6 && smfr0 == 0, "no PMU, trace or profiling");
  Expect(mpidr == 0x8000'0000, "it is vCPU 0");
  const Fault fault = TryUndefinedRegister();
  Expect(fault && fault.exception_class() == 0, "trace is undefined");
}

void Calls() {
  Expect(Hvc(HF_GUEST_FEATURES).x[0] == 0x7d, "features");
  Expect(Hvc(HF_GUEST_MEMINFO, 1).x[0] == kInvalid, "meminfo of 1");
  Expect(Smc(HF_GUEST_MEMINFO).x[0] == ~uint64_t{0}, "SMC is nobody's");
  const uint64_t page = Address(g_page);
  Expect(Hvc(HF_GUEST_MEM_SHARE, page + 8).x[0] == kInvalid, "unaligned");
  Expect(Hvc(HF_GUEST_MEM_SHARE, page, 1, 1).x[0] == kInvalid,
         "an argument more");
  Expect(Hvc(HF_GUEST_MEM_SHARE, ~uint64_t{0} << 12).x[0] == kInvalid,
         "beyond all addresses");
  Expect(Hvc(HF_GUEST_MEM_UNSHARE, page).x[0] == kInvalid, "not shared");
  g_page.words[0] = 41;
  Expect(Hvc(HF_GUEST_MEM_SHARE, page).x[0] == 0, "share");
  Expect(Hvc(HF_GUEST_MEM_SHARE, page).x[0] == kInvalid, "share twice");
  Expect(Do(SuiteStep::kShared, page, 41) == 0, "the host uses the page");
  Expect(g_page.words[0] == 42, "and the guest sees what it wrote");
  Expect(Hvc(HF_GUEST_MEM_UNSHARE, page).x[0] == 0, "unshare");
  Expect(Do(SuiteStep::kUnshared, page) == 0, "the host is out of it");
}

void Devices() {
  Expect(Hvc(HF_GUEST_MMIO_MAP, kDevice, 1).x[0] == 0, "a device");
  auto* const device = reinterpret_cast<volatile uint32_t*>(kDevice);
  Expect(device[2] == 0x5a5a'0008, "a load from a device");
  device[3] = 0x1234'5678;
  Expect(device[3] == 0x1234'5678, "a store to a device, read back");
  auto* const bytes = reinterpret_cast<volatile int8_t*>(kDevice);
  Expect(bytes[17] == -0x6f, "a signed byte");  // 0x91
}

// None is pending, and none comes once it may (HCR_EL2.VSE would make one).
void NoSError() {
  uint64_t isr;
  asm volatile("mrs %0, isr_el1" : "=r"(isr));
  Expect((isr >> 8 & 1) == 0, "no SError of the host's making");
  asm volatile("msr daifclr, #4\n isb\n msr daifset, #4");
}

void Interrupts() {
  payload::OpenInterrupts();
  Expect(TakeInterrupt() == kNoInterrupt, "no interrupt yet");
  Do(SuiteStep::kInject, 40, 287);
  const uint32_t first = TakeInterrupt();
  EndInterrupt(first);
  const uint32_t second = TakeInterrupt();
  EndInterrupt(second);
  Expect((first == 40 && second == 287) || (first == 287 && second == 40),
         "both interrupts arrive");
  Expect(TakeInterrupt() == kNoInterrupt, "once");
}

uint64_t Now() {
  uint64_t now;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(now));
  return now;
}
void SetTimer(uint64_t when) {
  asm volatile("msr cntv_cval_el0, %0" : : "r"(when));
  asm volatile("msr cntv_ctl_el0, %0\n isb" : : "r"(uint64_t{1}));
}
// What it would be told of next, and stays pending.
uint64_t PendingInterrupt() {
  uint64_t intid;
  asm volatile("mrs %0, S3_0_C12_C12_2" : "=r"(intid));  // ICC_HPPIR1_EL1
  return intid;
}
void TimerIs(bool waits) {
  uint64_t frequency;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  for (unsigned round = 0; round < 3; ++round) {
    const uint64_t when = Now() + frequency / 200;
    SetTimer(when);
    if (waits) {
      asm volatile("wfi");
    } else {
      while (PendingInterrupt() == kNoInterrupt) {
      }
    }
    const uint32_t intid = TakeInterrupt();
    Expect(intid == kTimer, "the timer's interrupt arrives");
    Expect(Now() >= when, "not too early");
    uint64_t control;
    asm volatile("mrs %0, cntv_ctl_el0" : "=r"(control));
    Expect(control == 5, "the timer's own registers say so");
    asm volatile("msr cntv_ctl_el0, xzr\n isb");
    EndInterrupt(intid);
    Expect(TakeInterrupt() == kNoInterrupt, "it is a level that has gone");
  }
}

void TimerIsToldOff() {
  SetTimer(Now());
  while (PendingInterrupt() == kNoInterrupt) {
  }
  asm volatile("msr cntv_ctl_el0, xzr\n isb");
  Hvc(HF_GUEST_FEATURES);  // EL2 has a look
  Expect(PendingInterrupt() == kNoInterrupt,
         "a timer told off before it was seen is not heard of");
}

void Secondary(unsigned vcpu) {
  uint64_t mpidr;
  asm volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
  payload::OpenInterrupts();
  g_secondary_ran = vcpu == 1 && mpidr == 0x8000'0001 ? 1 : 2;
  asm volatile("dsb sy");
  uint32_t intid;
  while ((intid = TakeInterrupt()) == kNoInterrupt) asm volatile("wfi");
  EndInterrupt(intid);
  g_secondary_ran = intid == 3 ? 3 : 4;
  asm volatile("dsb sy");
  payload::SendInterrupt(/*target=*/0, 9);
}

void Cores() {
  OnSecondary(Secondary);
  Expect(Hvc(kPsciAffinityInfo, 1).x[0] == 1, "vCPU 1 is off");
  Expect(
      Hvc(kPsciCpuOn, 7, SecondaryEntry(), 1).x[0] == static_cast<uint64_t>(-2),
      "there is no vCPU 7");
  Expect(
      Hvc(kPsciCpuOn, 0, SecondaryEntry(), 1).x[0] == static_cast<uint64_t>(-4),
      "vCPU 0 is on");
  Expect(Hvc(kPsciCpuOn, 1, SecondaryEntry(), 1).x[0] == 0,
         "it turns vCPU 1 on");
  while (g_secondary_ran == 0) asm volatile("yield");
  asm volatile("wfe");  // the host may run others first
  Expect(g_secondary_ran == 1, "which runs where it was told to");
  payload::SendInterrupt(/*target=*/1, 3);
  uint32_t intid;
  while ((intid = TakeInterrupt()) == kNoInterrupt) asm volatile("wfi");
  EndInterrupt(intid);
  Expect(intid == 9 && g_secondary_ran == 3, "they interrupt each other");
  while (Hvc(kPsciAffinityInfo, 1).x[0] != 1) asm volatile("yield");
}

void Poison() {
  g_poison.words[3] = 0x5ec2e7;
  const uint64_t page = Address(g_poison);
  Expect(Hvc(HF_GUEST_POISON_ABORTS, 1).x[0] == 0, "aborts at poison");
  Expect(Do(SuiteStep::kForceReclaim, page) == 0, "the host takes the page");
  uint64_t value = 0;
  const Fault read = TryRead64(page + 24, &value);
  Expect(read && read.exception_class() == 0x25 && read.status() == 0x10 &&
             read.far == page + 24,
         "a load from poison aborts");
  const Fault write = TryWrite64(page + 24, 1);
  Expect(write && (write.esr & 1u << 6) != 0, "and so does a store");
  Expect(Hvc(HF_GUEST_POISON_ABORTS, 0).x[0] == 0, "no more");
}

// ---- Faults at other addresses than their IPA -------------------------------

constexpr uint64_t kGiB = uint64_t{1} << 30;
// Of the root (payload/start.S): blocks of 1 GiB, identity, of which these are
// no memory of the guest's. The one is all of its memory again; the other a
// table.
constexpr unsigned kMemoryIndex = HF_GUEST_ENTRY / kGiB, kAliasIndex = 4,
                   kTableIndex = 5;
constexpr uint64_t kTableDescriptor = 3;

uint64_t ByAlias(const Page& page) {
  return Address(page) % kGiB + kAliasIndex * kGiB;
}
uint64_t ByTable(const Page& page) {
  return Address(page) % kGiB + kTableIndex * kGiB;
}
volatile uint64_t* Root() {
  uint64_t ttbr0;
  asm volatile("mrs %0, ttbr0_el1" : "=r"(ttbr0));
  return reinterpret_cast<volatile uint64_t*>(ttbr0);
}
void SetRoot(unsigned index, uint64_t entry) {
  Root()[index] = 0;
  asm volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" : : : "memory");
  Root()[index] = entry;
  asm volatile("dsb ishst\n isb" : : : "memory");
}
void Lend(const Page& page, uint64_t rights, uint64_t syndrome) {
  Expect(Do(SuiteStep::kLend, Address(page), rights | syndrome << 32) == 0,
         "the host lends the page anew");
}
void Missed(const char* what) { Expect(Do(SuiteStep::kMissed) == 0, what); }

// Permission faults, for which HPFAR_EL2 says nothing: EL2 finds the page by
// the guest's own tables.
void RightsAreMissing(uint64_t (*by)(const Page& page)) {
  constexpr uint64_t kRead = HF_PROT_R, kWrite = HF_PROT_W,
                     kExecute = HF_PROT_PX | HF_PROT_UX;
  uint64_t value = 0;
  g_other.words[1] = 11;
  Lend(g_other, kRead | kExecute, HF_ACCESS_WRITE | HF_ACCESS_PERMISSION);
  Expect(!TryRead64(by(g_other) + 8, &value) && value == 11, "it can be read");
  Expect(!TryWrite64(by(g_other) + 8, 12) && g_other.words[1] == 12,
         "and written, with the host's help");
  Missed("a store without the right is the host's");

  Lend(g_other, kWrite | kExecute, HF_ACCESS_PERMISSION);
  Expect(!TryRead64(by(g_other) + 8, &value) && value == 12, "it is read");
  Missed("a load without the right is the host's");

  g_code.words[0] = 0xd65f'03c0;  // RET
  asm volatile("dsb ish\n ic ialluis\n dsb ish\n isb" : : : "memory");
  Lend(g_code, kRead | kWrite, HF_ACCESS_FETCH | HF_ACCESS_PERMISSION);
  Expect(!TryRead64(by(g_code), &value), "code can be read");
  Expect(!TryExecute(by(g_code)), "and run, with the host's help");
  Missed("a fetch without the right is the host's");
  Expect(!TryExecute(by(g_code)), "and once it has it, it is not");
}

// Faults of the walk through the guest's own table.
void TableIsMissing() {
  uint64_t value = 0;
  g_other.words[2] = 21;
  Lend(g_table, HF_PROT_W, HF_ACCESS_WALK | HF_ACCESS_PERMISSION);
  Expect(!TryRead64(ByTable(g_other) + 16, &value) && value == 21,
         "the host lets the walk read the table");
  Missed("a walk that may not read is the host's");
  Lend(g_table, 0, HF_ACCESS_WALK);
  Expect(!TryRead64(ByTable(g_other) + 16, &value) && value == 21,
         "the host brings the table");
  Missed("a walk through what is not there is the host's");
  Lend(g_table, 0, HF_ACCESS_WALK | HF_ACCESS_FETCH);
  Expect(!TryExecute(ByTable(g_code)), "for a fetch, too");
  Missed("a fetch's walk is the host's");
}

// A table that nobody has been at: the host brings it, empty.
void TableIsNew() {
  Expect(reinterpret_cast<uint64_t>(__bss_end) <= kUntouched, "a page is idle");
  SetRoot(kTableIndex, kUntouched | kTableDescriptor);
  Do(SuiteStep::kLend, kUntouched, uint64_t{HF_ACCESS_WALK} << 32);
  uint64_t value;
  const Fault fault = TryRead64(ByTable(g_other), &value);
  Expect(fault && fault.exception_class() == 0x25 && fault.status() == 0x06,
         "then the fault is the guest's own");
  Missed("a walk through what is not there is the host's");
}

void WriteProtected() {
  g_other.words[0] = 1;
  Do(SuiteStep::kWriteProtect, Address(g_other));
  Expect(g_other.words[0] == 1, "the page can be read");
  g_other.words[0] = 2;  // the host gives the right back
  Expect(g_other.words[0] == 2, "and written again");
  Missed("a store to what is write-protected is the host's");
}

}  // namespace

int GuestMain() {
  Registers();
  Registers();
  Identity();
  Devices();
  Interrupts();
  NoSError();
  TimerIs(/*waits=*/true);
  TimerIs(/*waits=*/false);
  TimerIsToldOff();
  Cores();
  const bool is_protected = Hvc(HF_GUEST_FEATURES).x[0] == 0x7d;
  TableIsNew();
  if (!is_protected) {
    WriteProtected();
    SetRoot(kAliasIndex, Root()[kMemoryIndex]);
    RightsAreMissing(ByAlias);
    // A block of 2 MiB here, by a table.
    g_table.words[0] = Root()[kMemoryIndex];
    SetRoot(kTableIndex, Address(g_table) | kTableDescriptor);
    RightsAreMissing(ByTable);
    TableIsMissing();
    return 0;
  }
  Calls();
  Poison();
  Print("guest: all is well so far\n");
  Do(SuiteStep::kTouchPoison, Address(g_poison), AllExpectationsMet() ? 0 : 1);
  g_poison.words[0] = 1;
  Print("FAIL the guest went on behind poison\n");
  return 1;
}

}  // namespace holdfast::guest
