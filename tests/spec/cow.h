// SPDX-License-Identifier: Apache-2.0
//
// A value that is copied when it is changed and not before: a snapshot of a
// whole state costs a few pointers. Not for several threads at once: who keeps
// states guards them.
#ifndef HOLDFAST_TESTS_SPEC_COW_H_
#define HOLDFAST_TESTS_SPEC_COW_H_

#include <memory>
#include <utility>

namespace holdfast::spec {

template <class T>
class Cow {
 public:
  Cow() : value_(std::make_shared<T>()) {}
  explicit Cow(T value) : value_(std::make_shared<T>(std::move(value))) {}

  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }

  // The value, to be changed. Other copies keep what they have.
  T& Mut() {
    if (value_.use_count() > 1) value_ = std::make_shared<T>(*value_);
    return *value_;
  }

  friend bool operator==(const Cow& a, const Cow& b) {
    return a.value_ == b.value_ || *a.value_ == *b.value_;
  }
  template <class H>
  friend H AbslHashValue(H h, const Cow& cow) {
    return H::combine(std::move(h), *cow.value_);
  }

 private:
  std::shared_ptr<T> value_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_COW_H_
