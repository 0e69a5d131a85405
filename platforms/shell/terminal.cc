// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/terminal.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "editline/readline.h"

namespace holdfast::shell {
namespace {

constexpr char kPrompt[] = "hf> ";
constexpr char kBlanks[] = " \t";

// libedit calls functions without a context.
Completer* completer;
std::vector<std::string>* found;

char* NextFound(const char*, int state) {
  if (found->size() <= static_cast<size_t>(state)) return nullptr;
  return strdup((*found)[static_cast<size_t>(state)].c_str());
}

char** CompleteWord(const char* text, int, int end) {
  // No names of files when there is nothing else.
  rl_attempted_completion_over = 1;
  *found = (*completer)(std::string(rl_line_buffer, static_cast<size_t>(end)));
  if (found->empty()) return nullptr;
  // After "pfn=" comes a value, not a blank.
  rl_completion_append_character =
      found->size() == 1 && found->front().back() == '=' ? '\0' : ' ';
  return rl_completion_matches(text, &NextFound);
}

}  // namespace

Terminal::Terminal(Completer with) {
  completer = new Completer(std::move(with));
  found = new std::vector<std::string>;
  rl_readline_name = "holdfast";
  rl_initialize();
  using_history();
  rl_attempted_completion_function = &CompleteWord;
  static char breaks[sizeof(kBlanks)];
  std::memcpy(breaks, kBlanks, sizeof(kBlanks));
  rl_completer_word_break_characters = breaks;
}

Terminal::~Terminal() {
  delete std::exchange(completer, nullptr);
  delete std::exchange(found, nullptr);
}

std::optional<std::string> Terminal::ReadLine() {
  std::fflush(stdout);
  char* const line = readline(kPrompt);
  if (line == nullptr) return std::nullopt;
  std::string text = line;
  std::free(line);
  if (!text.empty()) add_history(text.c_str());
  return text;
}

}  // namespace holdfast::shell
