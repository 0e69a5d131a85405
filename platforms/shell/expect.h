// SPDX-License-Identifier: Apache-2.0
//
// Whether what came of a command is what was expected. Does nothing.
#ifndef HOLDFAST_PLATFORMS_SHELL_EXPECT_H_
#define HOLDFAST_PLATFORMS_SHELL_EXPECT_H_

#include <string>

#include "platforms/shell/command.h"
#include "platforms/shell/outcome.h"
#include "platforms/shell/parsed.h"
#include "platforms/shell/session.h"

namespace holdfast::shell {

// "" if it is; else what it is instead: "expected -EPERM, but it is 0".
// `expect` is about the last command of `cpu`. An error if there was none.
Parsed<std::string> Compare(Session& session, unsigned cpu,
                            const ExpectCommand& expect);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_EXPECT_H_
