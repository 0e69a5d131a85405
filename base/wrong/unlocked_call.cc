// SPDX-License-Identifier: Apache-2.0
// A function that needs a lock, without the lock.
#include "base/spinlock.h"

namespace holdfast {

struct Table {
  void Grow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) { ++entries; }

  Spinlock lock{LockRank::kHost};
  int entries ABSL_GUARDED_BY(lock) = 0;
};

void Use(Table& table) {
#ifndef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#endif
  table.Grow();
}

}  // namespace holdfast
