// SPDX-License-Identifier: Apache-2.0
//
// Leaving QEMU with an exit status: Arm semihosting, SYS_EXIT_EXTENDED. Works
// from EL1 and EL2 when QEMU runs with -semihosting-config enable=on.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_SEMIHOSTING_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_SEMIHOSTING_H_

#include <cstdint>

namespace holdfast::qemu_virt {

[[noreturn]] inline void ExitQemu(uint64_t status) {
  // ADP_Stopped_ApplicationExit, and the status.
  const volatile uint64_t block[2] = {0x20026, status};
  register uint64_t operation asm("x0") = 0x20;
  register const volatile uint64_t* argument asm("x1") = block;
  asm volatile("hlt #0xf000" : "+r"(operation) : "r"(argument) : "memory");
  // Without semihosting HLT is undefined and never gets here; be sure.
  for (;;) asm volatile("wfi");
}

// Exit statuses. 1 is also QEMU's own, for what it cannot do.
inline constexpr uint64_t kExitRefused = 1;
inline constexpr uint64_t kExitPanic = 70;

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_SEMIHOSTING_H_
