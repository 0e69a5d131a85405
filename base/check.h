// SPDX-License-Identifier: Apache-2.0
//
// HOLDFAST_CHECK: a check that is on in every build. It guards only what no
// caller, host or guest, can cause; whatever they can cause is an error value.
#ifndef HOLDFAST_BASE_CHECK_H_
#define HOLDFAST_BASE_CHECK_H_

namespace holdfast {

// Ends the machine: prints where and what, and the last events of each CPU.
// Implemented by the machine backend (platforms/). Any CPU, any lock held.
[[noreturn]] void Panic(const char* file, int line, const char* what);

namespace internal {

// A function, so that a check that never fails is no untested branch of its
// user.
[[gnu::always_inline]] constexpr void Check(bool holds, const char* file,
                                            int line, const char* what) {
  if (!holds) [[unlikely]]
    Panic(file, line, what);
}

}  // namespace internal
}  // namespace holdfast

#define HOLDFAST_CHECK(condition)                                     \
  ::holdfast::internal::Check(static_cast<bool>(condition), __FILE__, \
                              __LINE__, #condition)

// For a state that no path leads to.
#define HOLDFAST_UNREACHABLE(what) ::holdfast::Panic(__FILE__, __LINE__, what)

#endif  // HOLDFAST_BASE_CHECK_H_
