// SPDX-License-Identifier: Apache-2.0
//
// Interrupts that a guest's cores send each other: writes of ICC_SGI1R_EL1,
// which trap (GICv3, IHI 0069, 12.2.21).
#ifndef HOLDFAST_HYP_GUEST_SGI_H_
#define HOLDFAST_HYP_GUEST_SGI_H_

#include <cstdint>
#include <optional>

#include "hyp/run_page.h"
#include "vm_table/vm_table.h"

namespace holdfast::hyp {

// Makes what `vcpu`, loaded on this CPU, wrote there pending for the vCPUs that
// it names. The exit tells the host which to wake; there is none if it named
// none but itself.
std::optional<RunExit> SendSgi(vm_table::VmTable& vms, vm_table::Vcpu& vcpu,
                               uint64_t value);

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_GUEST_SGI_H_
