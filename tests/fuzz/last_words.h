// SPDX-License-Identifier: Apache-2.0
//
// What a process that tries scripts says if EL2 panics: the script that did it.
#ifndef HOLDFAST_TESTS_FUZZ_LAST_WORDS_H_
#define HOLDFAST_TESTS_FUZZ_LAST_WORDS_H_

#include <cstddef>
#include <string>
#include <vector>

namespace holdfast::fuzz {

// One at a time in a process. A panic while it lives prints the lines on stderr
// and ends the process with status 3.
class LastWords {
 public:
  LastWords();
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

  // The script so far.
  void Say(const std::vector<std::string>& lines);
  // One line more.
  void Add(const std::string& line);
  // One line more instead of those that were added after Say.
  void Then(const std::string& line);

 private:
  size_t at_ = 0;
  size_t base_ = 0;
};

}  // namespace holdfast::fuzz

#endif  // HOLDFAST_TESTS_FUZZ_LAST_WORDS_H_
