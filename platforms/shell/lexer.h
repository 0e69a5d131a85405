// SPDX-License-Identifier: Apache-2.0
//
// A line as words. Blanks part words, "..." keeps blanks in one, and # at the
// start of a word ends the line. Knows nothing of what words mean.
#ifndef HOLDFAST_PLATFORMS_SHELL_LEXER_H_
#define HOLDFAST_PLATFORMS_SHELL_LEXER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "platforms/shell/parsed.h"

namespace holdfast::shell {

struct Word {
  std::string text;
  size_t column = 1;
};

Parsed<std::vector<Word>> Lex(const std::string& line);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_LEXER_H_
