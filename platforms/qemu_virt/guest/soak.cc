// SPDX-License-Identifier: Apache-2.0
//
// A guest whose two vCPUs go on until the host has taken all their secrets.
// What they hold, each checks all the time; each has tables of its own, by
// which one address is another page, so that a translation that one left behind
// on a CPU would show the other a wrong page.
#include <cstddef>

#include "base/granule.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/runtime.h"
#include "platforms/qemu_virt/guest/soak_steps.h"

namespace holdfast::guest {
namespace {

constexpr unsigned kVcpus = 2, kVictims = 8;
constexpr uint64_t kPsciCpuOn = 0xc400'0003;
// Where each vCPU sees its own page: in the fourth GiB.
constexpr uint64_t kOwnView = 0xc000'0000;

struct alignas(kPageSize) Page {
  volatile uint64_t words[kPageSize / 8];
};
// A walk of 4 KiB pages, whatever the stage 2 has.
struct alignas(4096) Table {
  uint64_t entries[512];
};

struct Vcpu {
  Page own, shared;
  Page victims[kVictims];
  Table level1, level2, level3;
};
Vcpu g_vcpus[kVcpus];
volatile uint64_t g_ended[kVcpus];

uint64_t Address(const void* what) { return reinterpret_cast<uint64_t>(what); }

// This vCPU's tables: as they were, and its own page at kOwnView (Arm ARM D8.3;
// normal memory, inner shareable, accessed).
void UseOwnTables(Vcpu& vcpu) {
  uint64_t old;
  asm volatile("mrs %0, ttbr0_el1" : "=r"(old));
  const auto* const from = reinterpret_cast<const uint64_t*>(old);
  for (unsigned i = 0; i < 512; ++i) vcpu.level1.entries[i] = from[i];
  vcpu.level1.entries[kOwnView >> 30] = Address(&vcpu.level2) | 3;
  vcpu.level2.entries[0] = Address(&vcpu.level3) | 3;
  vcpu.level3.entries[0] = Address(&vcpu.own) | 1 << 10 | 3 << 8 | 3;
  asm volatile("dsb sy\n msr ttbr0_el1, %0\n isb\n tlbi vmalle1\n dsb nsh\n isb"
               :
               : "r"(Address(&vcpu.level1))
               : "memory");
}

void Run(unsigned index) {
  Vcpu& vcpu = g_vcpus[index];
  UseOwnTables(vcpu);
  const auto* const view = reinterpret_cast<const volatile uint64_t*>(kOwnView);
  const uint64_t secret = 0x5ec2e7'0000'0000 + index;
  unsigned victim = 0;
  bool told = false;
  for (uint64_t round = 1; victim < kVictims; ++round) {
    // Nobody else writes here, and it is seen by both addresses.
    for (size_t i = 0; i < 16; ++i) vcpu.own.words[i] = secret + round * 2 + i;
    Hvc(HF_GUEST_MEMINFO);
    asm volatile("wfi");
    for (size_t i = 0; i < 16; ++i) {
      if (view[i] != secret + round * 2 + i) {
        Expect(false, "a vCPU sees its own page");
        return;
      }
    }
    // A page goes to the host and comes back.
    vcpu.shared.words[0] = round;
    Expect(Hvc(HF_GUEST_MEM_SHARE, Address(&vcpu.shared)).x[0] == 0, "share");
    Expect(Step(kPing, Address(&vcpu.shared), round) == 0, "the host has it");
    Expect(vcpu.shared.words[0] == round + 1, "and answers in it");
    Expect(Hvc(HF_GUEST_MEM_UNSHARE, Address(&vcpu.shared)).x[0] == 0,
           "unshare");
    // A secret stays, or is gone; it never is anything else.
    const uint64_t page = Address(&vcpu.victims[victim]) + 8;
    if (!told) {
      Expect(!TryWrite64(page, secret), "a page of its own");
      Step(kVictim, page);
      told = true;
    }
    uint64_t value = 0;
    if (TryRead64(page, &value)) {
      ++victim;
      told = false;
    } else {
      Expect(value == secret, "a secret is one, or it is gone");
    }
  }
  g_ended[index] = 1;
  asm volatile("dsb sy");
}

}  // namespace

int GuestMain() {
  Hvc(HF_GUEST_POISON_ABORTS, 1);
  OnSecondary(Run);
  Hvc(kPsciCpuOn, 1, SecondaryEntry(), 1);
  Run(0);
  while (g_ended[1] == 0) asm volatile("wfi");
  return 0;
}

}  // namespace holdfast::guest
