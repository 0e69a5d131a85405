// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_RUNTIME_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_RUNTIME_H_

#include <cstdint>

namespace holdfast::testing_el2 {

// Where operator new takes memory from. Before the first of them.
void InitHeap(uint64_t start, uint64_t size);

}  // namespace holdfast::testing_el2

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_RUNTIME_H_
