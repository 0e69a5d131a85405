// SPDX-License-Identifier: Apache-2.0
//
// What of the board's memory is whose: the map for the hypervisor, the part EL2
// keeps, and what is left for the host to know of.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_MEMORY_LAYOUT_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_MEMORY_LAYOUT_H_

#include <array>
#include <cstdint>
#include <optional>

#include "base/cpu_features.h"
#include "base/cpu_local.h"
#include "mem_protect/mem_protect.h"
#include "platforms/qemu_virt/dtb.h"

namespace holdfast::qemu_virt {

struct MemoryLayout {
  // The GIC's distributor, a frame of each redistributor, UART, RTC, RAM.
  std::array<mem_protect::Region, 4 + kMaxCpus> regions;
  vm_table::FrameRange image, carveout;
  // What the device tree tells the host.
  uint64_t host_base = 0, host_size = 0;
};

// Fills in `layout`. Null, or why it is impossible.
const char* LayOutMemory(const DtbInfo& info, const CpuFeatures& features,
                         uint64_t dtb, uint64_t dtb_size, MemoryLayout& layout);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_MEMORY_LAYOUT_H_
