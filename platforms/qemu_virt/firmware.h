// SPDX-License-Identifier: Apache-2.0
//
// EL2's own calls to firmware. Entry points that firmware gets are EL2's
// (start.S), never a host's.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_FIRMWARE_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_FIRMWARE_H_

#include <cstdint>

#include "platforms/qemu_virt/board.h"

namespace holdfast::qemu_virt {

// An SMC. Only x0 comes back to the caller.
uint64_t CallFirmware(uint64_t id, uint64_t a = 0, uint64_t b = 0,
                      uint64_t c = 0);

// Fills in where the host goes when the CPU of `args` comes up or wakes up, and
// makes it readable with the MMU off. Returns what secondary_entry takes in x0.
uint64_t PrepareStart(StartArgs& args, uint64_t entry, uint64_t context);

// CPU_ON of `cpu` into EL2, with its `on` arguments; a PSCI result.
uint64_t StartCpu(BoardCpu& cpu, uint64_t entry, uint64_t context);

// This CPU's end, until somebody starts it again.
[[noreturn]] void PowerOff();

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_FIRMWARE_H_
