// SPDX-License-Identifier: Apache-2.0
// A way out that keeps the lock.
#include "base/spinlock.h"

namespace holdfast {

bool Use(Spinlock& lock, bool early) {
  lock.Lock();
  if (early) {
#ifndef HOLDFAST_WRONG
    lock.Unlock();
#endif
    return false;
  }
  lock.Unlock();
  return true;
}

}  // namespace holdfast
