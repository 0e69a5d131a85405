// SPDX-License-Identifier: Apache-2.0
//
// The contract of each call, a function each (steps.h puts them together).
#ifndef HOLDFAST_TESTS_SPEC_CALL_STEPS_H_
#define HOLDFAST_TESTS_SPEC_CALL_STEPS_H_

#include "tests/spec/steps.h"

namespace holdfast::spec {

// page_steps.cc
Outcome ShareHyp(Run& run, const Arguments& x);
Outcome UnshareHyp(Run& run, const Arguments& x);
Outcome DonateGuest(Run& run, const Arguments& x);
Outcome ForceReclaim(Run& run, const Arguments& x);
Outcome ReclaimDying(Run& run, const Arguments& x);

// share_steps.cc
Outcome ShareGuest(Run& run, const Arguments& x);
Outcome UnshareGuest(Run& run, const Arguments& x);
Outcome RelaxPerms(Run& run, const Arguments& x);
Outcome WriteProtect(Run& run, const Arguments& x);
Outcome TestClearYoung(Run& run, const Arguments& x);
Outcome MakeYoung(Run& run, const Arguments& x);
Outcome FlushVmid(Run& run, const Arguments& x);

// life_steps.cc
Outcome ReserveVm(Run& run, const Arguments& x);
Outcome UnreserveVm(Run& run, const Arguments& x);
Outcome FramesNeeded(Run& run, const Arguments& x);
Outcome InitVm(Run& run, const Arguments& x);
Outcome InitVcpu(Run& run, const Arguments& x);
Outcome TopupVm(Run& run, const Arguments& x);
Outcome StartTeardown(Run& run, const Arguments& x);
Outcome DrainVm(Run& run, const Arguments& x);
Outcome FinalizeTeardown(Run& run, const Arguments& x);

// vcpu_steps.cc
Outcome VcpuLoad(Run& run, const Arguments& x);
Outcome VcpuPut(Run& run, const Arguments& x);
Outcome InPoisonFault(Run& run, const Arguments& x);

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_CALL_STEPS_H_
