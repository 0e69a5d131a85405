// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SOAK_STEPS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SOAK_STEPS_H_

#include <cstdint>

namespace holdfast::guest {

// Steps of the soak (kCallStep). Page a is shared and holds b: the host writes
// b + 1. Page a holds a secret: the host may take it at any time.
inline constexpr uint64_t kPing = 1, kVictim = 2;

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SOAK_STEPS_H_
