// SPDX-License-Identifier: Apache-2.0
// What a guest calls an address is no physical address.
#include "base/addr.h"

namespace holdfast {

PhysAddr PageOf(PhysAddr address) { return address.AlignDown(kPageSize); }

PhysAddr Use(PhysAddr phys, Ipa ipa) {
#ifdef HOLDFAST_WRONG
  return PageOf(ipa);
#else
  return PageOf(phys + (ipa - Ipa()));
#endif
}

}  // namespace holdfast
