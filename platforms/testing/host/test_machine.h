// SPDX-License-Identifier: Apache-2.0
//
// The machine that tests stand on: here the simulated one. (el2/ has the one
// that takes its place in an image for EL2.)
#ifndef HOLDFAST_PLATFORMS_TESTING_HOST_TEST_MACHINE_H_
#define HOLDFAST_PLATFORMS_TESTING_HOST_TEST_MACHINE_H_

#include <cstdint>

#include "platforms/sim/machine.h"  // IWYU pragma: export

namespace holdfast::sim {

// Whether a translation that was taken back is used until its invalidation.
inline constexpr bool kStaleTlb = true;

// The lowest address that a machine may have RAM at.
inline constexpr uint64_t kLowestRam = 0;

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_TESTING_HOST_TEST_MACHINE_H_
