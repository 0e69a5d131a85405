// SPDX-License-Identifier: Apache-2.0
//
// A stage-2 context as the hardware takes it: what VTTBR_EL2 and VTCR_EL2 hold
// (Arm ARM D19.2).
#ifndef HOLDFAST_BASE_STAGE2_CONTEXT_H_
#define HOLDFAST_BASE_STAGE2_CONTEXT_H_

#include <cstdint>

#include "base/addr.h"

namespace holdfast {

struct Stage2Context {
  Vmid vmid;
  PhysAddr root;
  uint64_t vtcr = 0;

  // VTTBR_EL2: VMID in 63:48, BADDR below. CnP is not used.
  constexpr uint64_t vttbr() const {
    return uint64_t{vmid.value()} << 48 | root.value();
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_STAGE2_CONTEXT_H_
