// SPDX-License-Identifier: Apache-2.0
// Data that a lock guards, without the lock.
#include "base/spinlock.h"

namespace holdfast {

struct Table {
  Spinlock lock{LockRank::kHost};
  int entries ABSL_GUARDED_BY(lock) = 0;
};

void Use(Table& table) {
#ifndef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#endif
  ++table.entries;
}

}  // namespace holdfast
