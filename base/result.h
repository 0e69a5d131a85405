// SPDX-License-Identifier: Apache-2.0
//
// What a call that can fail returns: a value, or the errno of the ABI.
#ifndef HOLDFAST_BASE_RESULT_H_
#define HOLDFAST_BASE_RESULT_H_

#include <cstdint>

// A result that nobody looks at does not compile: tl's class has no
// [[nodiscard]], but a declaration before its own may add it. (After it, it is
// too late; EL2 code includes tl by this header only.)
#ifndef TL_EXPECTED_HPP
namespace tl {
template <class T, class E>
class [[nodiscard]] expected;
}  // namespace tl
#endif

#include "tl/expected.hpp"

namespace holdfast {

// Errors as hosts see them: Linux's numbers, returned negative in x1.
enum class [[nodiscard]] Errno : int32_t {
  kEperm = 1,
  kEnoent = 2,
  kE2big = 7,
  kEagain = 11,
  kEnomem = 12,
  kEfault = 14,
  kEbusy = 16,
  kEexist = 17,
  kEnodev = 19,
  kEinval = 22,
  kErange = 34,
  kEopnotsupp = 95,
  kEhwpoison = 133,
};

// "EPERM" and so on; "E?" for a number that is none of the above.
constexpr const char* ErrnoName(Errno error) {
  switch (error) {
    case Errno::kEperm:
      return "EPERM";
    case Errno::kEnoent:
      return "ENOENT";
    case Errno::kE2big:
      return "E2BIG";
    case Errno::kEagain:
      return "EAGAIN";
    case Errno::kEnomem:
      return "ENOMEM";
    case Errno::kEfault:
      return "EFAULT";
    case Errno::kEbusy:
      return "EBUSY";
    case Errno::kEexist:
      return "EEXIST";
    case Errno::kEnodev:
      return "ENODEV";
    case Errno::kEinval:
      return "EINVAL";
    case Errno::kErange:
      return "ERANGE";
    case Errno::kEopnotsupp:
      return "EOPNOTSUPP";
    case Errno::kEhwpoison:
      return "EHWPOISON";
  }
  return "E?";
}

template <class T>
using Result = tl::expected<T, Errno>;
using Status = Result<void>;

inline tl::unexpected<Errno> Error(Errno error) {
  return tl::unexpected<Errno>(error);
}

}  // namespace holdfast

// Returns the error of `expression`, if it has one, from the calling function.
#define HOLDFAST_TRY(expression)                                     \
  do {                                                               \
    if (auto holdfast_try = (expression); !holdfast_try.has_value()) \
      return ::tl::unexpected(holdfast_try.error());                 \
  } while (false)

// The same, and binds the value: HOLDFAST_TRY_ASSIGN(const Pfn pfn, Parse(x));
#define HOLDFAST_TRY_ASSIGN(declaration, expression)               \
  HOLDFAST_TRY_ASSIGN_(HOLDFAST_TRY_JOIN(holdfast_try_, __LINE__), \
                       declaration, expression)
#define HOLDFAST_TRY_JOIN(a, b) HOLDFAST_TRY_JOIN_(a, b)
#define HOLDFAST_TRY_JOIN_(a, b) a##b
#define HOLDFAST_TRY_ASSIGN_(result, declaration, expression)       \
  auto result = (expression);                                       \
  if (!result.has_value()) return ::tl::unexpected(result.error()); \
  declaration = *std::move(result)

#endif  // HOLDFAST_BASE_RESULT_H_
