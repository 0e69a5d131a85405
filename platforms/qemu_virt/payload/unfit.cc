// SPDX-License-Identifier: Apache-2.0
//
// A CPU that does not fit the machine (`mixed=N`, faults.h) never runs host
// code; the others do.
#include "platforms/qemu_virt/payload/runtime.h"

namespace holdfast::payload {
namespace {

constexpr uint64_t kCpuOn = 0xc400'0003;
constexpr uint64_t kAffinityInfo = 0xc400'0004;
constexpr uint64_t kAffinityOff = 1;
constexpr uint64_t kOnPending = 0 - uint64_t{5};
constexpr uint64_t kInternalFailure = 0 - uint64_t{6};

uint64_t CpuOn(unsigned cpu) {
  return Smc(kCpuOn, {CpuMpidr(cpu), SecondaryEntry(), cpu}).x[0];
}

bool IsOff(unsigned cpu) {
  return Smc(kAffinityInfo, {CpuMpidr(cpu), 0}).x[0] == kAffinityOff;
}

}  // namespace

int PayloadMain() {
  std::atomic<unsigned> ran{0};
  // 2: EL2 knows it since its survey. 3: it finds out when the CPU comes up.
  const uint64_t way = BootNumber("mixed");
  const unsigned unfit = way == 2 ? 3 : 2;
  RunOnCpus(unfit, [&](unsigned) { ran.fetch_add(1); });
  Expect(ran.load() == unfit, "the CPUs before it run");
  if (way == 3) {
    Expect(CpuOn(unfit) == 0, "CPU_ON is accepted");
    // Until the CPU has come up and found out.
    while (CpuOn(unfit) == kOnPending) asm volatile("yield");
    while (!IsOff(unfit)) asm volatile("yield");
  }
  Expect(IsOff(unfit), "it is off");
  Expect(CpuOn(unfit) == kInternalFailure, "CPU_ON fails");
  Expect(CpuOn(unfit) == kInternalFailure, "and again");
  Expect(IsOff(unfit), "it stays off");
  Expect(ran.load() == unfit, "it never ran");
  if (AllExpectationsMet()) Print("host: the unfit cpu never ran\n");
  return 0;
}

}  // namespace holdfast::payload
