// SPDX-License-Identifier: Apache-2.0
//
// What the guests of this folder ask of their host, by calls that EL2 does not
// serve. Nothing that EL2 knows of.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PROTOCOL_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PROTOCOL_H_

#include <cstdint>

namespace holdfast::guest {

// The console's page is at this IPA, shared.
inline constexpr uint64_t kCallConsole = 0xc600'0200;
// What is in it is to be printed.
inline constexpr uint64_t kCallFlush = 0xc600'0201;
// The program has ended, with this status.
inline constexpr uint64_t kCallDone = 0xc600'0202;
// A step of a test: number, and two arguments of its own.
inline constexpr uint64_t kCallStep = 0xc600'0203;

// The console: how many bytes, and the bytes.
struct Console {
  uint64_t size;
  char text[4088];
};

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PROTOCOL_H_
