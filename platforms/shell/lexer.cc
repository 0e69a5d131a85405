// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/lexer.h"

namespace holdfast::shell {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

}  // namespace

Parsed<std::vector<Word>> Lex(const std::string& line) {
  std::vector<Word> words;
  size_t i = 0;
  while (i < line.size()) {
    if (IsBlank(line[i])) {
      ++i;
      continue;
    }
    if (line[i] == '#') break;
    Word word{"", i + 1};
    while (i < line.size() && !IsBlank(line[i])) {
      if (line[i] != '"') {
        word.text += line[i++];
        continue;
      }
      const size_t end = line.find('"', i + 1);
      if (end == std::string::npos)
        return Bad(i + 1, "this quote is never closed", "\"...\" on one line");
      word.text += line.substr(i + 1, end - i - 1);
      i = end + 1;
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace holdfast::shell
