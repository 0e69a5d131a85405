// SPDX-License-Identifier: Apache-2.0
//
// Names of the barrier and TLB maintenance instructions of base/machine.h.
#ifndef HOLDFAST_PLATFORMS_SIM_OPERATIONS_H_
#define HOLDFAST_PLATFORMS_SIM_OPERATIONS_H_

#include <cstdint>

namespace holdfast::sim {

enum class BarrierKind : uint8_t { kDsbIshst, kDsbIsh, kDsbNsh, kIsb };

enum class TlbiKind : uint8_t {
  kIpas2e1is,
  kIpas2e1,
  kRipas2e1is,
  kVmalle1is,
  kVmalle1,
  kVmalls12e1is,
  kAlle1is,
  kVale2is,
  kVae2is,
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_OPERATIONS_H_
