// SPDX-License-Identifier: Apache-2.0
//
// What every CPU keeps for itself and base/ needs to know. A backend embeds it
// in its own per-CPU block; machine::ThisCpu() finds it.
#ifndef HOLDFAST_BASE_CPU_LOCAL_H_
#define HOLDFAST_BASE_CPU_LOCAL_H_

#include <cstdint>

#include "base/event_ring.h"

namespace holdfast {

// CPUs one hypervisor can have. Indices are 0..kMaxCpus-1, dense.
inline constexpr unsigned kMaxCpus = 8;

struct CpuLocal {
  uint32_t index = 0;
  // Bit r set: this CPU holds a lock of rank r (base/spinlock.h).
  uint32_t held_ranks = 0;
  EventRing events;
};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_CPU_LOCAL_H_
