// SPDX-License-Identifier: Apache-2.0
//
// Random numbers in tests: here Abseil's. (el2/ has what takes its place at
// EL2.)
#ifndef HOLDFAST_PLATFORMS_TESTING_HOST_TEST_RANDOM_H_
#define HOLDFAST_PLATFORMS_TESTING_HOST_TEST_RANDOM_H_

#include "absl/random/distributions.h"  // IWYU pragma: export
#include "absl/random/random.h"         // IWYU pragma: export

#endif  // HOLDFAST_PLATFORMS_TESTING_HOST_TEST_RANDOM_H_
