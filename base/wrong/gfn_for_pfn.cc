// SPDX-License-Identifier: Apache-2.0
// A guest's frame number is no frame of the machine.
#include "base/addr.h"

namespace holdfast {

PhysAddr StartOf(Pfn pfn) { return pfn.address(); }

PhysAddr Use(Pfn pfn, Gfn gfn) {
#ifdef HOLDFAST_WRONG
  static_cast<void>(pfn);
  return StartOf(gfn);
#else
  static_cast<void>(gfn);
  return StartOf(pfn);
#endif
}

}  // namespace holdfast
