// SPDX-License-Identifier: Apache-2.0
//
// The tables EL2 boots on, until the hypervisor's own are built: one level-1
// table of 1 GiB identity blocks (4 KiB granule, 39-bit addresses, whatever
// granule the build has). No W^X yet; no host runs before it is replaced.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_BOOT_TABLE_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_BOOT_TABLE_H_

#include <cstdint>

#include "base/addr.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/el2_regime.h"
#include "platforms/qemu_virt/layout.h"

namespace holdfast::qemu_virt {

class BootTable {
 public:
  // The block with the devices and the one with the image.
  void Fill() {
    table_[0] = kDeviceBlock;
    MapRam(PhysAddr(HF_RAM_BASE), 1);
  }

  // Maps the blocks that hold [base, base + size). They were invalid, which the
  // TLB does not remember, so no invalidation is due. False: out of reach.
  bool MapRam(PhysAddr base, uint64_t size) {
    for (uint64_t i = base.value() >> 30; i <= (base.value() + size - 1) >> 30;
         ++i) {
      if (i >= 512) return false;
      table_[i] = i << 30 | kNormalBlock;
    }
    aarch64::DsbIshst();
    aarch64::Isb();
    return true;
  }

  El2Regime regime() const {
    return {.ttbr0 = reinterpret_cast<uint64_t>(table_),
            .tcr = TcrFor(39, aarch64::TcrEl2::kTg4k, 5),
            .sctlr = kSctlrEl2};
  }

 private:
  // Block, AF, AP[1] RES1; normal: inner shareable, index 0; device: index 4,
  // XN.
  static constexpr uint64_t kNormalBlock = 1u << 10 | 3u << 8 | 1u << 6 | 1;
  static constexpr uint64_t kDeviceBlock =
      uint64_t{1} << 54 | 1u << 10 | 1u << 6 | 4u << 2 | 1;

  alignas(4096) uint64_t table_[512] = {};
};

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_BOOT_TABLE_H_
