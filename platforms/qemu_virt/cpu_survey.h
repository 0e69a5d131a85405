// SPDX-License-Identifier: Apache-2.0
//
// The CPUs of a machine may differ. Before the host runs, each comes up at EL2
// once, says what it is, and goes off again: so the hypervisor is configured
// for what all of them can do, and knows the errata of all. When the host turns
// one on later, it is compared with that configuration again.
//
// A CPU that does not fit is turned off, for good, and CPU_ON of it fails: it
// never runs host code. No panic: the other CPUs are as safe without it, and
// the host decides when a CPU comes up, so that it would be the host's way to
// stop EL2. Nor would parking it at EL2 be better: it would answer no PSCI
// call, and the host could not tell it from one that is still on its way.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_CPU_SURVEY_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_CPU_SURVEY_H_

#include "platforms/qemu_virt/board.h"

namespace holdfast::qemu_virt {

// On the boot CPU, before there is a hypervisor: fills in `board.profile`, and
// what the backend needs to know of it. The CPUs' `on` arguments lead to the
// boot tables. Null, or why the machine cannot be used.
const char* SurveyCpus(Board& board);

// On a CPU that has just come up. Returns if it may run host code; else (it is
// a survey, or the CPU does not fit) the CPU goes off.
void JoinMachine(BoardCpu& cpu);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_CPU_SURVEY_H_
