// SPDX-License-Identifier: Apache-2.0
//
// What may stand where a person is typing. A pure function of the line so far:
// it knows the language, and no terminal.
#ifndef HOLDFAST_PLATFORMS_SHELL_COMPLETION_H_
#define HOLDFAST_PLATFORMS_SHELL_COMPLETION_H_

#include <string>
#include <vector>

#include "platforms/shell/number.h"

namespace holdfast::shell {

// `before` is the line up to the cursor. Whole words that the last, perhaps
// empty, one of it can become.
std::vector<std::string> Complete(const std::string& before,
                                  const Names& names);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_COMPLETION_H_
