// SPDX-License-Identifier: Apache-2.0
// clang's thread-safety analysis is on, and an error: the guarded value can't
// be read without its lock.

#include "absl/base/thread_annotations.h"

namespace holdfast {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION();
  void Unlock() ABSL_UNLOCK_FUNCTION();
};

class Counter {
 public:
  int Value() {
#ifdef HOLDFAST_WRONG
    return value_;
#else
    mutex_.Lock();
    const int value = value_;
    mutex_.Unlock();
    return value;
#endif
  }

 private:
  Mutex mutex_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace holdfast
