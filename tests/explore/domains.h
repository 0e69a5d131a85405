// SPDX-License-Identifier: Apache-2.0
//
// The small machines that are explored, by name.
#ifndef HOLDFAST_TESTS_EXPLORE_DOMAINS_H_
#define HOLDFAST_TESTS_EXPLORE_DOMAINS_H_

#include <vector>

#include "tests/explore/explorer.h"

namespace holdfast::explore {

std::vector<Domain> Domains();

}  // namespace holdfast::explore

#endif  // HOLDFAST_TESTS_EXPLORE_DOMAINS_H_
