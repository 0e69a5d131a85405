// SPDX-License-Identifier: Apache-2.0
//
// The GIC's redistributors as the host sees them (Arm IHI 0069, 12.10-12.11).
// Their RD_base frames hold the addresses of the LPI tables, which the GIC
// reads and writes in physical memory: DMA past stage 2. So these frames stay
// hidden, and EL2 makes the host's accesses to them, without LPIs. The SGI_base
// frames have no such register and are mapped for the host.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_H_

#include <cstdint>

#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/redistributor_registers.h"

namespace holdfast::qemu_virt {

inline constexpr uint64_t kRedistributorBase = 0x080a'0000;
inline constexpr uint64_t kRedistributorStride = 0x2'0000;
// RD_base, then SGI_base.
inline constexpr uint64_t kRedistributorFrame = gicr::kFrameSize;

// A data abort of the host at `ipa`. True if it was an access to a
// redistributor and is done; the host goes on behind it.
bool HandleRedistributor(TrapFrame& frame, uint64_t esr, uint64_t ipa);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_H_
