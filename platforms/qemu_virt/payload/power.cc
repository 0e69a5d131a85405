// SPDX-License-Identifier: Apache-2.0
//
// CPUs that sleep, wake up, go off and come back: the host is at EL1 after all
// of it, EL2's registers are what they were, and no vCPU stays behind.
//
// QEMU takes CPU_SUSPEND for WFI and returns, whatever power state is asked
// for; the way through the resume entry is the test image's (faults.h).
#include "hyp/abi.h"
#include "platforms/qemu_virt/faults.h"
#include "platforms/qemu_virt/payload/qemu_host.h"

namespace holdfast::payload {
namespace {

constexpr uint64_t kCpuSuspend = 0xc400'0001;
constexpr uint64_t kCpuOn = 0xc400'0003, kCpuOn32 = 0x8400'0003;
constexpr uint64_t kAffinityInfo = 0xc400'0004;
constexpr uint64_t kAffinityOff = 1;
constexpr uint64_t kPowerDown = 1u << 16;
constexpr uint64_t kNotSupported = ~uint64_t{0};

// As PSCI 0.1 named them on this board, and what of later versions takes an
// entry point or stops a CPU: QEMU would start CPUs at EL2 by some of these.
constexpr uint64_t kOtherNames[] = {
    0x95c1'ba5e, 0x95c1'ba5f, 0x95c1'ba60, 0x95c1'ba61,  // PSCI 0.1
    0x8400'0005, 0xc400'0005,                            // MIGRATE
    0x8400'000b,                                         // CPU_FREEZE
    0x8400'000c, 0xc400'000c,                            // CPU_DEFAULT_SUSPEND
    0x8400'000d, 0xc400'000d,                            // NODE_HW_STATE
    0x8400'000f,                                         // SET_SUSPEND_MODE
};

uint64_t CurrentEl() {
  uint64_t el;
  asm volatile("mrs %0, currentel" : "=r"(el));
  return el >> 2;
}

uint64_t Digest() {
  return AskForFault(static_cast<uint64_t>(qemu_virt::Fault::kDigestRegisters));
}

// What any CPU finds, whenever it looks.
void ExpectProtected() {
  uint64_t value = 0;
  Expect(CurrentEl() == 1, "the host runs at EL1");
  Expect(TryRead64(HF_IMAGE_BASE, &value).IsExternalAbort(), "stage 2 is on");
  Expect(SmcWithImmediate(0x8400'0000).x[0] == kNotSupported,
         "SMCs are filtered");
  Expect(static_cast<bool>(TryUndefinedRegister()), "trace registers trap");
  uint64_t midr, mpidr, own = CpuMpidr(CpuIndex());
  asm volatile("mrs %0, midr_el1" : "=r"(midr));
  asm volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
  Expect(midr != 0 && (mpidr & 0xff00'ffff'ff) == own,
         "a CPU knows itself by its registers");
}

// ---- An interrupt to wake up by --------------------------------------------

constexpr uint64_t kVirtualTimer = 27;

// Masked in PSTATE, so that it stays pending.
void EnableTimerInterrupt() {
  constexpr uint64_t kGicd = 0x0800'0000, kGicr = 0x080a'0000;
  constexpr uint64_t kSgiBase = 0x1'0000, kGroup = 0x80, kEnable = 0x100;
  constexpr uint64_t kWaker = 0x14;
  Expect(!TryWrite32(kGicd, 0x12), "GICD_CTLR: affinity routing, group 1");
  Expect(!TryWrite32(kGicr + kWaker, 0), "GICR_WAKER");
  Expect(!TryWrite32(kGicr + kSgiBase + kGroup, 0xffff'ffff), "group 1");
  Expect(!TryWrite32(kGicr + kSgiBase + kEnable, 1u << kVirtualTimer),
         "enabled");
  asm volatile(
      "msr S3_0_C12_C12_5, %0\n isb\n"  // ICC_SRE_EL1
      "msr S3_0_C4_C6_0, %1\n"          // ICC_PMR_EL1
      "msr S3_0_C12_C12_7, %2\n isb"    // ICC_IGRPEN1_EL1
      :
      : "r"(7ul), "r"(0xfful), "r"(1ul));
}

void StartTimer() {
  uint64_t frequency;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
  asm volatile("msr cntv_tval_el0, %0\n msr cntv_ctl_el0, %1\n isb"
               :
               : "r"(frequency / 200), "r"(1ul));
}

bool TimerFired() {
  uint64_t control;
  asm volatile("isb\n mrs %0, cntv_ctl_el0" : "=r"(control));
  return (control & 4) != 0;
}

void StopTimer() { asm volatile("msr cntv_ctl_el0, xzr\n isb"); }

// ---- The tests --------------------------------------------------------------

struct Test {
  QemuHost host;
  uint64_t handle = 0;
  unsigned phase = 0;
  uint64_t before = 0;

  bool Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
            uint64_t x4 = 0, uint64_t x5 = 0) {
    const story::Reply reply = host.Call(id, x1, x2, x3, x4, x5);
    return reply.x0 == 0 && reply.x1 == 0;
  }
  // A VM with one vCPU.
  bool Make() {
    const story::Reply needs = host.Call(HF_VM_FRAMES_NEEDED, 1, 0, 0, 0, 0);
    handle = host.Call(HF_RESERVE_VM, 0, 0, 0, 0, 0).x1;
    const uint64_t run_page = host.Frames(1, 1);
    return Call(HF_INIT_VM, handle, host.Frames(needs.x1, 1),
                host.Frames(needs.x2, needs.x2), 1, HF_VM_PROTECTED) &&
           Call(HF_HOST_SHARE_HYP, run_page) &&
           Call(HF_INIT_VCPU, handle, 0, host.Frames(needs.x3, 1), run_page);
  }
  bool Load() { return Call(HF_VCPU_LOAD, handle, 0); }
  bool Put() { return Call(HF_VCPU_PUT); }
};

// CPU 0 sleeps with a vCPU loaded and comes back where it was.
void Suspend(Test& test, uint64_t state) {
  const uint64_t before = Digest();
  StartTimer();
  const CallResult result =
      Smc(kCpuSuspend, {state, SecondaryEntry(), CpuIndex()});
  Expect(result.x[0] == 0, "CPU_SUSPEND returns success");
  Expect(TimerFired(), "an interrupt woke it up, nothing else");
  StopTimer();
  Expect(Digest() == before, "EL2's registers are intact");
  ExpectProtected();
  // Had it stayed loaded here, this would be EBUSY.
  RunOnCpus(2, [&](unsigned cpu) {
    if (cpu == 1) Expect(test.Load(), "the vCPU was put: another CPU loads it");
  });
  // CPU 1 went off with it; but done is not off yet.
  while (Smc(kAffinityInfo, {CpuMpidr(1), 0}).x[0] != kAffinityOff)
    asm volatile("yield");
  Expect(test.Load(), "CPU_OFF put it too");
}

// CPU 1 loses its power, and EL2 all its registers, with a vCPU loaded; it
// comes back through EL2 into this function's second half.
void LosePower(Test& test, unsigned cpu) {
  if (cpu != 1) return;
  if (test.phase++ == 0) {
    Expect(test.Load(), "vcpu_load on the CPU that will sleep");
    ExpectProtected();
    test.before = Digest();
    AskForFault(static_cast<uint64_t>(qemu_virt::Fault::kLosePower),
                SecondaryEntry(), cpu);
    Expect(false, "power down does not return");
    return;
  }
  Expect(Digest() == test.before, "EL2's registers are as before");
  ExpectProtected();
}

// Entry points are the host's to choose and EL1's to run.
void Entries(Test& test) {
  for (const uint64_t id : kOtherNames) {
    Expect(Smc(id, {CpuMpidr(1), SecondaryEntry(), 1}).x[0] == kNotSupported,
           "other names of the same are denied");
  }
  RunOnCpus(2, [&](unsigned) { ExpectProtected(); });
  // A CPU that starts in EL2's code takes aborts at EL1, for ever: it is lost
  // to the host and to nobody else.
  for (const uint64_t id : {kCpuOn, kCpuOn32}) {
    const unsigned cpu = id == kCpuOn ? 2 : 3;
    Expect(Smc(id, {CpuMpidr(cpu), HF_IMAGE_BASE, 0}).x[0] == 0,
           "CPU_ON with an entry in EL2's code is accepted");
  }
  // 0: on. QEMU says that it is off until it runs.
  for (const unsigned cpu : {2u, 3u}) {
    while (Smc(kAffinityInfo, {CpuMpidr(cpu), 0}).x[0] != 0)
      asm volatile("yield");
  }
  // On a single TCG thread each YIELD costs the time slices of both.
  for (unsigned i = 0; i < 5; ++i) {
    Expect(test.host.Call(HF_VCPU_PUT, 0, 0, 0, 0, 0).x0 == 0, "EL2 answers");
    asm volatile("yield");
  }
  ExpectProtected();
}

}  // namespace

int PayloadMain() {
  if (CpuCount() < 4) {
    Print("power: needs four CPUs\n");
    return 1;
  }
  Test test;
  ExpectProtected();
  Expect(Digest() != kNotSupported, "this is an image for tests");
  Expect(test.Make() && test.Load(), "a VM with its vCPU loaded");
  EnableTimerInterrupt();
  Suspend(test, 0);
  Suspend(test, kPowerDown);
  Expect(test.Put(), "vcpu_put");
  Print("power: suspend done\n");

  RunOnCpus(2, [&](unsigned cpu) { LosePower(test, cpu); });
  Expect(test.phase == 2, "the CPU came back");
  Expect(test.Load() && test.Put(), "and had put its vCPU");
  Print("power: resume done\n");

  Entries(test);
  if (AllExpectationsMet()) Print("power: all CPUs came back at EL1\n");
  return 0;
}

}  // namespace holdfast::payload
