// SPDX-License-Identifier: Apache-2.0
//
// The life of a VM as data, as mem_protect/matrix.h has that of a page: every
// state that a handle can be in between two calls, times every call that names
// one. life_cycle_matrix_test.cc runs each cell; docs/states.md is made of the
// same rows. Cells are as there. ("Initialising" is seen during init_vm only,
// by other CPUs.) Text only: it knows no code.
#ifndef HOLDFAST_HYP_LIFE_CYCLE_MATRIX_H_
#define HOLDFAST_HYP_LIFE_CYCLE_MATRIX_H_

#include <array>

#include "mem_protect/matrix.h"

namespace holdfast::hyp::life_cycle_matrix {

struct State {
  const char* name;
  const char* what;
};

// clang-format off

inline constexpr std::array kStates = {
    State{"free", "nobody's"},
    State{"reserved", "taken by reserve_vm"},
    State{"live", "a VM; vCPU 0 is initialised, vCPU 1 is not"},
    State{"loaded", "a VM whose vCPU 0 is loaded on this CPU"},
    State{"dying, in use", "dying, and the guest still has a page"},
    State{"dying", "dying, without guest pages; with stock and vCPUs"},
    State{"drained", "dying, with nothing of the host's but its own frames"},
};
using StateRow = mem_protect::matrix::Row<kStates.size()>;

inline constexpr std::array kRows = {
    // call                                       free      reserved  live       loaded    dying, in use  dying        drained
    StateRow{"unreserve_vm",                    {"EINVAL", "0>free", "EINVAL",  "EINVAL", "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"init_vm",                         {"EINVAL", "0>live", "EINVAL",  "EINVAL", "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"init_vcpu of vCPU 1",             {"ENOENT", "ENOENT", "0",       "0",      "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"init_vcpu of vCPU 0",             {"ENOENT", "ENOENT", "EINVAL",  "EINVAL", "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"topup_vm",                        {"ENOENT", "ENOENT", "0",       "0",      "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"vcpu_load of vCPU 0",             {"ENOENT", "ENOENT", "0>loaded", "EBUSY", "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"vcpu_load of vCPU 1",             {"ENOENT", "ENOENT", "ENOENT",  "EBUSY",  "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"vcpu_put",                        {"EINVAL", "EINVAL", "EINVAL",  "0>live", "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"host_donate_guest",               {"EINVAL", "EINVAL", "EINVAL",  "0",      "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"start_teardown_vm",               {"EINVAL", "EINVAL", "0>dying", "EBUSY",  "EINVAL",      "EINVAL",    "EINVAL"}},
    StateRow{"reclaim_dying_guest_page",        {"EINVAL", "EINVAL", "EINVAL",  "EINVAL", "0>dying",     "ENOENT",    "ENOENT"}},
    StateRow{"drain_vm, until nothing is left", {"EINVAL", "EINVAL", "EINVAL",  "EINVAL", "EBUSY",       "0>drained", "0"}},
    StateRow{"finalize_teardown_vm",            {"EINVAL", "EINVAL", "EINVAL",  "EBUSY",  "EBUSY",       "EBUSY",     "0>free"}},
};

// clang-format on

}  // namespace holdfast::hyp::life_cycle_matrix

#endif  // HOLDFAST_HYP_LIFE_CYCLE_MATRIX_H_
