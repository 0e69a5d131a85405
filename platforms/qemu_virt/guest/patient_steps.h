// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PATIENT_STEPS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PATIENT_STEPS_H_

#include <cstdint>

namespace holdfast::guest {

// What the host may answer to the patient guest's step (kCallStep 0). The next
// step's argument is the interrupt that it took, or 1023; 0 if it was to wait.
inline constexpr uint64_t kWait = 0, kTake = 1, kEnd = 2;

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_PATIENT_STEPS_H_
