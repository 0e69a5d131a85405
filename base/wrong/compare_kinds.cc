// SPDX-License-Identifier: Apache-2.0
// Whether a physical address equals a guest's makes no sense.
#include "base/addr.h"

namespace holdfast {

bool Use(PhysAddr phys, Ipa ipa) {
#ifdef HOLDFAST_WRONG
  return phys == ipa;
#else
  return phys.value() == ipa.value();
#endif
}

}  // namespace holdfast
