// SPDX-License-Identifier: Apache-2.0
//
// What the backend keeps for each CPU; TPIDR_EL2 points to it. A board derives
// its own block from it, fills it in at boot and writes TPIDR_EL2 before any
// function of the facade is called.
#ifndef HOLDFAST_PLATFORMS_AARCH64_CPU_H_
#define HOLDFAST_PLATFORMS_AARCH64_CPU_H_

#include <cstdint>

#include "base/cpu_local.h"
#include "platforms/aarch64/cpu_id.h"
#include "platforms/aarch64/fp_state.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::machine {
struct GuestState;
}

namespace holdfast::aarch64 {

struct Cpu {
  // The guest that runs on this CPU, or null: the host does. Where the vectors
  // look for it: HF_CPU_RUNNING.
  machine::GuestState* running = nullptr;

  CpuLocal local;

  // Of all CPUs together: decided at boot, the same on every CPU.
  CpuProfile machine;

  // The fixmap window (fixmap.h): where it is, and its level-3 entry. Null
  // until EL2's final tables are in place; the boot tables map all RAM by
  // identity.
  uint64_t* fixmap_entry = nullptr;
  uint64_t fixmap_window = 0;
  bool fixmap_used = false;

  // What EnterStage2Context put aside.
  bool stage2_entered = false;
  bool stage2_switched = false;
  uint64_t saved_vttbr = 0;
  uint64_t saved_vtcr = 0;
  uint64_t saved_tcr_el1 = 0;
  uint64_t saved_sctlr_el1 = 0;

  // The host's vectors while a guest uses the registers.
  VectorState host_vectors;
};

// No "memory" here: TPIDR_EL2 never changes while C++ runs, so that reads of it
// may be shared.
inline Cpu& This() {
  Cpu* cpu;
  asm("mrs %0, tpidr_el2" : "=r"(cpu));
  return *cpu;
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_CPU_H_
