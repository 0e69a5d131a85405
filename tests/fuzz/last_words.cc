// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/last_words.h"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace holdfast::fuzz {
namespace {

// For the signal handler, which may not allocate.
char words[1 << 16];

void OnAbort(int) {
  constexpr char kTitle[] = "EL2 panicked at the end of this script:\n";
  [[maybe_unused]] ssize_t written =
      write(STDERR_FILENO, kTitle, sizeof(kTitle) - 1);
  written = write(STDERR_FILENO, words, std::strlen(words));
  _exit(3);
}

}  // namespace

LastWords::LastWords() { std::signal(SIGABRT, OnAbort); }
LastWords::~LastWords() { std::signal(SIGABRT, SIG_DFL); }

void LastWords::Say(const std::vector<std::string>& lines) {
  at_ = 0;
  for (const std::string& line : lines) Add(line);
  base_ = at_;
}

void LastWords::Then(const std::string& line) {
  at_ = base_;
  Add(line);
}

void LastWords::Add(const std::string& line) {
  if (at_ + line.size() + 2 > sizeof(words)) return;
  std::memcpy(words + at_, line.data(), line.size());
  at_ += line.size();
  words[at_++] = '\n';
  words[at_] = '\0';
}

}  // namespace holdfast::fuzz
