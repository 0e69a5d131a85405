// SPDX-License-Identifier: Apache-2.0
//
// A guest in miniature: what the programs in this folder stand on. Identity
// mapped, MMU on, interrupts masked. What it says goes through a page that it
// shares with its host.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_RUNTIME_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_RUNTIME_H_

#include <cstdint>

#include "platforms/qemu_virt/guest/protocol.h"
#include "platforms/qemu_virt/print.h"

namespace holdfast::guest {

using qemu_virt::Hex;

// What the program defines. On vCPU 0; returns its status.
int GuestMain();

struct CallResult {
  uint64_t x[4];
};
// HVC #0, and the same of SMC.
CallResult Hvc(uint64_t id, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);
CallResult Smc(uint64_t id, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);

// Asks the host for step `n` of a test, and returns its answer.
inline uint64_t Step(uint64_t n, uint64_t a = 0, uint64_t b = 0) {
  return Hvc(kCallStep, n, a, b).x[0];
}

// payload/start.S: accesses that may fault.
struct Fault {
  uint64_t esr = 0, far = 0;
  explicit operator bool() const { return esr != 0; }
  unsigned exception_class() const {
    return static_cast<unsigned>(esr >> 26) & 0x3f;
  }
  unsigned status() const { return static_cast<unsigned>(esr) & 0x3f; }
};
Fault TryRead64(uint64_t address, uint64_t* value) asm("ProbeRead64");
Fault TryWrite64(uint64_t address, uint64_t value) asm("ProbeWrite64");
Fault TryExecute(uint64_t address) asm("ProbeExecute");
Fault TryUndefinedRegister() asm("ProbeUndefined");

// A vCPU that PSCI turns on runs this with its index.
void OnSecondary(void (*function)(unsigned vcpu));
uint64_t SecondaryEntry();

// Text for the host to print: one line.
void Write(const char* bytes, uint64_t size);
template <class... Parts>
void Print(const Parts&... parts) {
  qemu_virt::PrintTo(Write, parts...);
}
// Says so if it is not.
void Expect(bool condition, const char* what);
bool AllExpectationsMet();

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_RUNTIME_H_
