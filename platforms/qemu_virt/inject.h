// SPDX-License-Identifier: Apache-2.0
//
// Exceptions that EL2 makes the host take at EL1, as if the CPU had
// (exception_entry.h).
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_INJECT_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_INJECT_H_

#include <cstdint>

namespace holdfast::qemu_virt {

// A synchronous external abort for the access that EL2 took as `esr`, an
// instruction or data abort from a lower EL.
void InjectExternalAbort(uint64_t esr, uint64_t far);

// The same abort as EL2 took it, marked by S1PTW, which no EL1 sees otherwise.
void InjectStage2Fault(uint64_t esr, uint64_t far);

// An undefined instruction: for whatever traps and EL2 does not provide.
void InjectUndefined();

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_INJECT_H_
