// SPDX-License-Identifier: Apache-2.0
//
// The EL2 translation regime in registers (Arm ARM D8.2, D19.2): what of it all
// of this board's EL2 tables have in common.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_REGIME_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_REGIME_H_

#include <cstdint>

#include "platforms/aarch64/cpu_id.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::qemu_virt {

struct El2Regime {
  uint64_t ttbr0 = 0, tcr = 0, sctlr = 0;
};

// As pgtable/attr.h indexes it: 0 normal write-back, 4 device nGnRE.
inline constexpr uint64_t kMairEl2 = aarch64::MairEl2::kNormalWriteBack |
                                     aarch64::MairEl2::kDeviceNGnRE << (8 * 4);

inline constexpr uint64_t kSctlrEl2 =
    aarch64::SctlrEl2::kRes1 | aarch64::SctlrEl2::kM | aarch64::SctlrEl2::kC |
    aarch64::SctlrEl2::kI | aarch64::SctlrEl2::kSa;

// What a CPU of a machine with `profile` checks of EL2's own jumps.
inline uint64_t BranchChecks(const aarch64::CpuProfile& profile) {
  return (profile.pauth ? aarch64::SctlrEl2::kEnIa : 0) |
         (profile.bti ? aarch64::SctlrEl2::kBt : 0);
}

// `max_ps`: the largest output size (TCR_EL2.PS encoding) the granule allows.
inline uint64_t TcrFor(unsigned va_bits, uint64_t granule, uint64_t max_ps) {
  using aarch64::TcrEl2;
  const uint64_t range =
      aarch64::IdAa64Mmfr0El1::PaRange::Get(aarch64::IdAa64Mmfr0El1::Read());
  return TcrEl2::kRes1 | TcrEl2::T0sz::Put(64 - va_bits) |
         TcrEl2::Irgn0::Put(TcrEl2::kWriteBackWriteAllocate) |
         TcrEl2::Orgn0::Put(TcrEl2::kWriteBackWriteAllocate) |
         TcrEl2::Sh0::Put(TcrEl2::kInnerShareable) | TcrEl2::Tg0::Put(granule) |
         TcrEl2::Ps::Put(range < max_ps ? range : max_ps);
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_EL2_REGIME_H_
