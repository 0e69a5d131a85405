// SPDX-License-Identifier: Apache-2.0
//
// Texts in tests: here Abseil's. (el2/ has what takes its place at EL2.)
#ifndef HOLDFAST_PLATFORMS_TESTING_HOST_TEST_TEXT_H_
#define HOLDFAST_PLATFORMS_TESTING_HOST_TEST_TEXT_H_

#include "absl/strings/str_cat.h"     // IWYU pragma: export
#include "absl/strings/str_format.h"  // IWYU pragma: export
#include "absl/strings/str_join.h"    // IWYU pragma: export

#endif  // HOLDFAST_PLATFORMS_TESTING_HOST_TEST_TEXT_H_
