// SPDX-License-Identifier: Apache-2.0
//
// What the simulated machine keeps of a vCPU. Its program is a function of the
// test's (MachineConfig::guest).
#ifndef HOLDFAST_PLATFORMS_SIM_GUEST_H_
#define HOLDFAST_PLATFORMS_SIM_GUEST_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "base/guest.h"

namespace holdfast::machine {

struct GuestState {
  GuestRegs regs;
  uint64_t mpidr = 0;
  // What it takes when it goes on; the program forgets them.
  bool abort_injected = false;
  bool undefined_injected = false;
  // When its timer fires; ~0: it does not.
  uint64_t deadline = ~uint64_t{0};
  // Pending interrupts, a bit each.
  std::array<std::atomic<uint64_t>, (kSpiEnd + 63) / 64> pending{};
};

}  // namespace holdfast::machine

#endif  // HOLDFAST_PLATFORMS_SIM_GUEST_H_
