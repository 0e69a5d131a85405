// SPDX-License-Identifier: Apache-2.0
//
// What must be unknown to the host for EL2's own defences to hold: the key that
// signs return addresses, and the canary of its stack frames. Made once at
// boot, read-only from then on.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_SECRETS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_SECRETS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "platforms/qemu_virt/dtb.h"

namespace holdfast::qemu_virt {

// Of data that EL2 writes before the host runs, and never again (el2.ld).
#define HOLDFAST_READ_ONLY_AFTER_INIT \
  [[gnu::section(".data.read_only_after_init")]]

struct Secrets {
  uint64_t return_key[2];
  uint64_t stack_canary;
  // Whether somebody who knows the machine and the time cannot guess them.
  bool good = false;
};

// From the firmware's seed in the device tree, and FEAT_RNG where the CPU has
// it. The host finds another seed in the place of that one: as good, and no
// help in finding out what EL2 made of the first.
Secrets MakeSecrets(std::span<std::byte> dtb, const DtbBytes& seed);

// Where start.S and the compiler look for them.
extern "C" uint64_t g_return_key[2];
extern "C" uint64_t __stack_chk_guard;  // NOLINT(bugprone-reserved-identifier)

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_SECRETS_H_
