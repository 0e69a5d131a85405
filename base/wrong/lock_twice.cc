// SPDX-License-Identifier: Apache-2.0
// A lock that is held already.
#include "base/spinlock.h"

namespace holdfast {

void Use(Spinlock& lock) {
  SpinlockHolder hold(lock);
#ifdef HOLDFAST_WRONG
  SpinlockHolder again(lock);
#endif
}

}  // namespace holdfast
