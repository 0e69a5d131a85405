// SPDX-License-Identifier: Apache-2.0
// Nor does an address become a number by itself.
#include "base/addr.h"

namespace holdfast {

uint64_t Use(PhysAddr address) {
#ifdef HOLDFAST_WRONG
  return address;
#else
  return address.value();
#endif
}

}  // namespace holdfast
