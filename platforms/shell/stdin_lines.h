// SPDX-License-Identifier: Apache-2.0
//
// Lines of standard input. At first it takes no byte more than it gives, so
// that another program can be started in this one's place and read the rest.
#ifndef HOLDFAST_PLATFORMS_SHELL_STDIN_LINES_H_
#define HOLDFAST_PLATFORMS_SHELL_STDIN_LINES_H_

#include <optional>
#include <string>
#include <utility>

namespace holdfast::shell {

class StdinLines {
 public:
  // `first`: what is read before the rest.
  explicit StdinLines(std::string first) : ahead_(std::move(first)) {}

  // Nothing at the end of input.
  std::optional<std::string> Next();
  // From now on it may read ahead.
  void ReadAhead() { chunk_ = kChunk; }

 private:
  static constexpr size_t kChunk = 1 << 16;

  std::string ahead_;
  size_t at_ = 0;  // in `ahead_`
  size_t chunk_ = 1;
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_STDIN_LINES_H_
