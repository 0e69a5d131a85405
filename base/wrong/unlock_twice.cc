// SPDX-License-Identifier: Apache-2.0
// A lock is let go once.
#include "base/spinlock.h"

namespace holdfast {

void Use(Spinlock& lock) {
  lock.Lock();
  lock.Unlock();
#ifdef HOLDFAST_WRONG
  lock.Unlock();
#endif
}

}  // namespace holdfast
