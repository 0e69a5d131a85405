// SPDX-License-Identifier: Apache-2.0
//
// A simulated CPU as the facade's inline paths see it. A host thread *is* a CPU
// while it is bound to one (sim::OnCpu in machine.h); what the model keeps
// about a CPU besides is in machine.h. This header is included by EL2
// libraries: it holds nothing but what the hot paths need.
#ifndef HOLDFAST_PLATFORMS_SIM_CPU_H_
#define HOLDFAST_PLATFORMS_SIM_CPU_H_

#include <atomic>
#include <cstdint>

#include "base/cpu_local.h"

namespace holdfast::sim {

class Machine;

struct Cpu {
  CpuLocal local;
  // Host address of physical address 0 (RAM is one window; see ram.h).
  uintptr_t ram_bias = 0;
  // The model wants to see every operation. Also set for "no CPU at all", so
  // that the inline paths need one branch only.
  bool hooks = true;
  // It also keeps the event stream.
  bool records = false;
  // log2 of the page size ZeroPage clears.
  unsigned page_shift = 0;
  bool has_range_tlbi = false;
  bool tlbi_needs_repeat = false;
  Machine* machine = nullptr;
  // Turns spent waiting for the lock being taken.
  unsigned lock_spins = 0;
  // Identity of the thread that is this CPU; null if none.
  std::atomic<const void*> bound_thread{nullptr};
};

// What threads that are no CPU use: every slow path panics on it.
extern Cpu unbound_cpu;

// The CPU this thread is.
inline constinit thread_local Cpu* current_cpu = &unbound_cpu;

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_CPU_H_
