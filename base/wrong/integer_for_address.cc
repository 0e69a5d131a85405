// SPDX-License-Identifier: Apache-2.0
// A number becomes an address only where somebody says so.
#include "base/addr.h"

namespace holdfast {

PhysAddr Use(uint64_t number) {
#ifdef HOLDFAST_WRONG
  return number;
#else
  return PhysAddr(number);
#endif
}

}  // namespace holdfast
