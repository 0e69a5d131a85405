// SPDX-License-Identifier: Apache-2.0
//
// What reading a line gives: the thing, or what is wrong with the line. Knows
// nothing of commands or machines.
#ifndef HOLDFAST_PLATFORMS_SHELL_PARSED_H_
#define HOLDFAST_PLATFORMS_SHELL_PARSED_H_

#include <cstddef>
#include <string>
#include <utility>

#include "tl/expected.hpp"

namespace holdfast::shell {

// A line that was not carried out; the machine is as it was before it.
struct BadLine {
  size_t column = 0;  // from 1; 0: the line as a whole
  std::string what;   // what is wrong with it
  std::string right;  // what would be right
};

template <class T>
using Parsed = tl::expected<T, BadLine>;

inline tl::unexpected<BadLine> Bad(size_t column, std::string what,
                                   std::string right) {
  return tl::unexpected<BadLine>(
      BadLine{column, std::move(what), std::move(right)});
}

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_PARSED_H_
