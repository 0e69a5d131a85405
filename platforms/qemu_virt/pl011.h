// SPDX-License-Identifier: Apache-2.0
//
// Writing to a PL011 UART (Arm DDI 0183). The boot loader's settings are kept.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_

#include <cstddef>
#include <cstdint>

#include "platforms/qemu_virt/layout.h"

namespace holdfast::qemu_virt {

// The registers are the host's too, which may stop the transmitter for good: so
// no more is waited for one byte than a slow line takes to drain, and then the
// rest is dropped.
inline constexpr unsigned kUartPolls = 1u << 14;

// `base`: the address of the registers.
inline void Pl011Write(uint64_t base, const char* bytes, size_t size) {
  auto* const data = reinterpret_cast<volatile uint32_t*>(base);
  auto* const flags = reinterpret_cast<const volatile uint32_t*>(base + 0x18);
  constexpr uint32_t kTransmitFull = 1u << 5;
  for (size_t i = 0; i < size; ++i) {
    for (unsigned polls = 0; (*flags & kTransmitFull) != 0; ++polls) {
      if (polls == kUartPolls) return;
    }
    *data = static_cast<uint8_t>(bytes[i]);
  }
}

inline void UartWrite(const char* bytes, size_t size) {
  Pl011Write(HF_UART_BASE, bytes, size);
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_
