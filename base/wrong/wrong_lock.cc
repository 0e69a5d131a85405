// SPDX-License-Identifier: Apache-2.0
// A function that needs a lock, with that of another object.
#include "base/spinlock.h"

namespace holdfast {

struct Table {
  void Grow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) { ++entries; }

  Spinlock lock{LockRank::kHost};
  int entries ABSL_GUARDED_BY(lock) = 0;
};

void Use(Table& one, Table& other) {
  SpinlockHolder hold(one.lock);
#ifdef HOLDFAST_WRONG
  other.Grow();
#else
  static_cast<void>(other);
  one.Grow();
#endif
}

}  // namespace holdfast
