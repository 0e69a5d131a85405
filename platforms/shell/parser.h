// SPDX-License-Identifier: Apache-2.0
//
// A line as a Command, or what is wrong with it. Looks at no machine: all it
// knows of one is in ParseContext.
#ifndef HOLDFAST_PLATFORMS_SHELL_PARSER_H_
#define HOLDFAST_PLATFORMS_SHELL_PARSER_H_

#include <string>

#include "platforms/shell/command.h"
#include "platforms/shell/number.h"
#include "platforms/shell/parsed.h"

namespace holdfast::shell {

struct ParseContext {
  const Names& names;
  unsigned cpus = 1;
};

Parsed<Command> Parse(const std::string& line, const ParseContext& context);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_PARSER_H_
