// SPDX-License-Identifier: Apache-2.0
//
// A line of text in a fixed buffer, for programs without a C library. What does
// not fit is cut.
#ifndef HOLDFAST_TESTS_STORY_TEXT_H_
#define HOLDFAST_TESTS_STORY_TEXT_H_

#include <cstddef>
#include <cstdint>

namespace holdfast::story {

class Text {
 public:
  const char* c_str() const { return buffer_; }

  Text& operator<<(const char* text) {
    while (*text != '\0') Put(*text++);
    return *this;
  }
  Text& operator<<(char c) {
    Put(c);
    return *this;
  }
  Text& operator<<(uint64_t value) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (count > 0) Put(digits[--count]);
    return *this;
  }
  Text& operator<<(unsigned value) { return *this << uint64_t{value}; }
  Text& Hex(uint64_t value) {
    *this << "0x";
    int shift = 60;
    while (shift > 0 && ((value >> shift) & 15) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4)
      Put("0123456789abcdef"[(value >> shift) & 15]);
    return *this;
  }
  // Spaces up to column `column` (counted in bytes put so far).
  Text& Column(size_t column) {
    while (size_ < column && size_ + 1 < sizeof(buffer_)) Put(' ');
    return *this;
  }

 private:
  void Put(char c) {
    if (size_ + 1 >= sizeof(buffer_)) return;
    buffer_[size_++] = c;
    buffer_[size_] = '\0';
  }

  char buffer_[512] = {};
  size_t size_ = 0;
};

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_TEXT_H_
