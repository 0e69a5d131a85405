// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/stdin_lines.h"

#include <unistd.h>

#include <utility>

namespace holdfast::shell {

std::optional<std::string> StdinLines::Next() {
  while (true) {
    const size_t end = ahead_.find('\n', at_);
    if (end != std::string::npos) {
      std::string line = ahead_.substr(at_, end - at_);
      at_ = end + 1;
      return line;
    }
    ahead_.erase(0, std::exchange(at_, 0));
    const size_t size = ahead_.size();
    ahead_.resize(size + chunk_);
    const ssize_t got = read(STDIN_FILENO, &ahead_[size], chunk_);
    ahead_.resize(size + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got > 0) continue;
    // The last line may have no newline.
    if (ahead_.empty()) return std::nullopt;
    return std::exchange(ahead_, "");
  }
}

}  // namespace holdfast::shell
