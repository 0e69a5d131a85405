// SPDX-License-Identifier: Apache-2.0
//
// PSCI as a guest has it (Arm DEN0022, 1.1): its vCPUs are cores, which it
// turns on and off. EL2 serves it, so that a host has no say in where a core
// begins.
#ifndef HOLDFAST_HYP_GUEST_PSCI_H_
#define HOLDFAST_HYP_GUEST_PSCI_H_

#include <cstdint>
#include <optional>

#include "base/guest.h"
#include "hyp/run_page.h"
#include "vm_table/vm_table.h"

namespace holdfast::hyp {

// Whether the function id in w0 is one of PSCI's or SMCCC's own.
bool IsPsci(uint64_t x0);
// Serves the call in `regs` of a vCPU that is loaded on this CPU. Returns the
// exit that it leads to, if it does not just go on.
std::optional<RunExit> HandlePsci(vm_table::VmTable& vms, vm_table::Vcpu& vcpu,
                                  GuestRegs& regs);

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_GUEST_PSCI_H_
