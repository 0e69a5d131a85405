// SPDX-License-Identifier: Apache-2.0
//
// Calls that do a part of their work and say where to go on (`finish call`).
#ifndef HOLDFAST_PLATFORMS_SHELL_RANGE_CALL_H_
#define HOLDFAST_PLATFORMS_SHELL_RANGE_CALL_H_

#include <cstdint>

#include "hyp/calls.h"
#include "tests/world/board.h"

namespace holdfast::shell {

// What a range call is to be called with next: false if it is done.
bool NextPart(const tests::Reply& reply, uint32_t id, hyp::Args* x);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_RANGE_CALL_H_
