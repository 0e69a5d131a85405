// SPDX-License-Identifier: Apache-2.0
//
// Arm semihosting: leaving QEMU with an exit status (SYS_EXIT_EXTENDED), and
// files of the machine that QEMU runs on. Works from EL1 and EL2 when QEMU runs
// with -semihosting-config enable=on.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_SEMIHOSTING_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_SEMIHOSTING_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::qemu_virt {

// What QEMU does for us, by number, with a block of arguments; its answer.
inline uint64_t CallQemu(uint64_t number, const volatile uint64_t* block) {
  register uint64_t operation asm("x0") = number;
  register const volatile uint64_t* argument asm("x1") = block;
  asm volatile("hlt #0xf000" : "+r"(operation) : "r"(argument) : "memory");
  return operation;
}

// Makes a file of that name where QEMU was started; a handle, or -1.
inline int64_t CreateFile(std::string_view name) {
  // SYS_OPEN; mode 5 is "wb". The name ends in a zero that is not counted.
  const volatile uint64_t block[3] = {reinterpret_cast<uint64_t>(name.data()),
                                      5, name.size()};
  return static_cast<int64_t>(CallQemu(0x01, block));
}
// False: not all of it was written.
inline bool WriteFile(int64_t file, const char* bytes, size_t size) {
  const volatile uint64_t block[3] = {static_cast<uint64_t>(file),
                                      reinterpret_cast<uint64_t>(bytes), size};
  return CallQemu(0x05, block) == 0;  // SYS_WRITE
}

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
