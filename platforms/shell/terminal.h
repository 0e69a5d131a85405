// SPDX-License-Identifier: Apache-2.0
//
// A prompt on a terminal: editing, history and completion by libedit. Knows
// lines, not what they mean.
#ifndef HOLDFAST_PLATFORMS_SHELL_TERMINAL_H_
#define HOLDFAST_PLATFORMS_SHELL_TERMINAL_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::shell {

// What the word at the end of `before` can become.
using Completer =
    std::function<std::vector<std::string>(const std::string& before)>;

// One at a time in a process: libedit's state is the process's.
class Terminal {
 public:
  explicit Terminal(Completer with);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // The next line; nothing at the end of input.
  std::optional<std::string> ReadLine();
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_TERMINAL_H_
