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

}  // namespace holdfast

#define HOLDFAST_CHECK(condition)                    \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::holdfast::Panic(__FILE__, __LINE__, #condition))

// For a state that no path leads to.
#define HOLDFAST_UNREACHABLE(what) ::holdfast::Panic(__FILE__, __LINE__, what)

#endif  // HOLDFAST_BASE_CHECK_H_
