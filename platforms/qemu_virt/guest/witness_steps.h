// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_WITNESS_STEPS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_WITNESS_STEPS_H_

#include <cstdint>

namespace holdfast::guest {

// Steps of the witness (kCallStep): the host tries to read its page, and takes
// it.
inline constexpr uint64_t kLookAtSecret = 1, kTakeSecret = 2;
inline constexpr uint64_t kSecret = 0x5ec2e7'c0ffee'0001;

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_WITNESS_STEPS_H_
