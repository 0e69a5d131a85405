// SPDX-License-Identifier: Apache-2.0
//
// The locks of the simulated machine itself (never of EL2 code, which has
// base/spinlock.h): std::mutex with clang's thread annotations.
//
//   HostMutex   an ordinary mutex.
//   ModelMutex  guards the bookkeeping of the model. It is hidden from
//               ThreadSanitizer: it would order the threads of a test at every
//               table store, and so hide the very races of EL2 code that
//               ThreadSanitizer is there to find.
#ifndef HOLDFAST_PLATFORMS_SIM_HOST_MUTEX_H_
#define HOLDFAST_PLATFORMS_SIM_HOST_MUTEX_H_

#include <mutex>

#include "absl/base/thread_annotations.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOLDFAST_SIM_TSAN 1
#endif
#endif
#ifndef HOLDFAST_SIM_TSAN
#define HOLDFAST_SIM_TSAN 0
#endif

#if HOLDFAST_SIM_TSAN
// ThreadSanitizer's dynamic annotations; part of its run-time library.
extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
void AnnotateHappensBefore(const char* file, int line, const void* address);
void AnnotateHappensAfter(const char* file, int line, const void* address);
}
#endif

namespace holdfast::sim {

class ABSL_LOCKABLE HostMutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

class ABSL_LOCKABLE ModelMutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
#if HOLDFAST_SIM_TSAN
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    mutex_.lock();
  }
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    mutex_.unlock();
#if HOLDFAST_SIM_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
#endif
  }

 private:
  std::mutex mutex_;
};

// What ModelMutex hides, but a machine does order: what was done before an
// entry of a stage 2 table was published is seen by who translates through that
// table afterwards (Arm ARM B2.3: a table walk depends on the entries it
// reads). `table` names the table: the host address of its root.
inline void TablePublished([[maybe_unused]] const void* table) {
#if HOLDFAST_SIM_TSAN
  AnnotateHappensBefore(__FILE__, __LINE__, table);
#endif
}
inline void TableTranslated([[maybe_unused]] const void* table) {
#if HOLDFAST_SIM_TSAN
  AnnotateHappensAfter(__FILE__, __LINE__, table);
#endif
}

// Holds a HostMutex or ModelMutex for a scope.
template <class Mutex>
class ABSL_SCOPED_LOCKABLE Holder {
 public:
  explicit Holder(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~Holder() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_HOST_MUTEX_H_
