// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/guest/runtime.h"

#include "base/granule.h"
#include "hyp/abi.h"

namespace holdfast::guest {
namespace {

union ConsolePage {
  Console console;
  char page[kPageSize];
};
alignas(kPageSize) ConsolePage g_console;
void (*g_secondary)(unsigned vcpu);
bool g_failed;

extern "C" const char payload_secondary[];

constexpr uint64_t kPsciCpuOff = 0x8400'0002;

CallResult Call(bool smc, uint64_t id, uint64_t a, uint64_t b, uint64_t c) {
  register uint64_t x0 asm("x0") = id;
  register uint64_t x1 asm("x1") = a;
  register uint64_t x2 asm("x2") = b;
  register uint64_t x3 asm("x3") = c;
  if (smc) {
    asm volatile("smc #0"
                 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                 :
                 : "memory");
  } else {
    asm volatile("hvc #0"
                 : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                 :
                 : "memory");
  }
  return {{x0, x1, x2, x3}};
}

}  // namespace

CallResult Hvc(uint64_t id, uint64_t a, uint64_t b, uint64_t c) {
  return Call(false, id, a, b, c);
}
CallResult Smc(uint64_t id, uint64_t a, uint64_t b, uint64_t c) {
  return Call(true, id, a, b, c);
}

void Write(const char* bytes, uint64_t size) {
  for (uint64_t i = 0; i < size; ++i) g_console.console.text[i] = bytes[i];
  g_console.console.size = size;
  Hvc(kCallFlush);
}

void Expect(bool condition, const char* what) {
  if (condition) return;
  Print("FAIL ", what, "\n");
  g_failed = true;
}
bool AllExpectationsMet() { return !g_failed; }

void OnSecondary(void (*function)(unsigned vcpu)) { g_secondary = function; }
uint64_t SecondaryEntry() {
  return reinterpret_cast<uint64_t>(payload_secondary);
}

extern "C" void PayloadStart(uint64_t) {
  const auto console = reinterpret_cast<uint64_t>(&g_console);
  g_console.console.size = 0;
  // (A guest that is not protected needs not: its host serves no such call, and
  // has its pages anyway.)
  Hvc(HF_GUEST_MEM_SHARE, console);
  Hvc(kCallConsole, console);
  const int status = GuestMain();
  Hvc(kCallDone, status == 0 && g_failed ? 1 : static_cast<uint64_t>(status));
  for (;;) asm volatile("wfi");
}

extern "C" void PayloadSecondary(uint64_t vcpu) {
  g_secondary(static_cast<unsigned>(vcpu));
  Hvc(kPsciCpuOff);
}

extern "C" void PayloadUnexpected(uint64_t vector) {
  uint64_t esr, elr, far;
  asm volatile("mrs %0, esr_el1" : "=r"(esr));
  asm volatile("mrs %0, elr_el1" : "=r"(elr));
  asm volatile("mrs %0, far_el1" : "=r"(far));
  Print("guest: unexpected exception, vector ", vector, ", ESR ", Hex(esr),
        " ELR ", Hex(elr), " FAR ", Hex(far), "\n");
  Hvc(kCallDone, 70);
  for (;;) asm volatile("wfi");
}

}  // namespace holdfast::guest
