// SPDX-License-Identifier: Apache-2.0
//
// EL2's final mappings besides the carve-out, which the hypervisor maps itself:
// the image with W xor X and holes for the stacks' guard pages, the UART, and
// the CPUs' fixmap windows.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_MAP_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_MAP_H_

#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/el2_regime.h"

namespace holdfast::qemu_virt {

// On the boot CPU, once the hypervisor is initialised. The table is not in use
// yet; what it returns is what makes a CPU use it.
El2Regime MapEl2(Board& board);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_MAP_H_
