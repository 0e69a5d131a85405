// SPDX-License-Identifier: Apache-2.0
//
// Writing to a PL011 UART (Arm DDI 0183). The boot loader's settings are kept.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_

#include <cstddef>
#include <cstdint>

#include "platforms/qemu_virt/layout.h"

namespace holdfast::qemu_virt {

inline void UartWrite(const char* bytes, size_t size) {
  auto* const data = reinterpret_cast<volatile uint32_t*>(HF_UART_BASE);
  auto* const flags =
      reinterpret_cast<const volatile uint32_t*>(HF_UART_BASE + 0x18);
  constexpr uint32_t kTransmitFull = 1u << 5;
  for (size_t i = 0; i < size; ++i) {
    while ((*flags & kTransmitFull) != 0) {
    }
    *data = static_cast<uint8_t>(bytes[i]);
  }
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PL011_H_
