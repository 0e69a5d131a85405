// SPDX-License-Identifier: Apache-2.0
//
// One event as one line of text, without a C library:
//   #12 cpu1 store-pte pa=0x40001008 old=0x0 new=0x400007ff
// text.h reads it back.
#ifndef HOLDFAST_PLATFORMS_STREAM_LINE_H_
#define HOLDFAST_PLATFORMS_STREAM_LINE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platforms/stream/event.h"

namespace holdfast::stream {

// The first line of a stream, with its newline. The number is the format's.
inline constexpr std::string_view kStreamHead = "holdfast-stream 1\n";

constexpr bool IsLevel(std::string_view field) { return field == "level"; }
constexpr bool IsDecimal(std::string_view field) {
  for (const char* name : kDecimalFields) {
    if (field == name) return true;
  }
  return IsLevel(field);
}

class Line {
 public:
  explicit constexpr Line(const Event& event) {
    const EventShape& shape = ShapeOf(event.type);
    Add("#");
    AddNumber(event.seq, 10);
    Add(" cpu");
    AddNumber(event.cpu, 10);
    Add(" ");
    Add(shape.name);
    for (size_t i = 0; i < kMaxFields && shape.fields[i] != nullptr; ++i) {
      const std::string_view field = shape.fields[i];
      const uint64_t value = FieldOf(event, i);
      Add(" ");
      Add(field);
      Add("=");
      if (IsLevel(field) && value == ~uint64_t{0}) {
        Add("any");
      } else {
        AddNumber(value, IsDecimal(field) ? 10 : 16);
      }
    }
  }

  // Without a newline.
  constexpr std::string_view text() const { return {bytes_, size_}; }

 private:
  constexpr void Add(std::string_view text) {
    for (const char c : text) bytes_[size_++] = c;
  }
  constexpr void AddNumber(uint64_t value, unsigned base) {
    if (base == 16) Add("0x");
    char digits[20] = {};
    size_t at = sizeof(digits);
    do {
      digits[--at] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    Add({digits + at, sizeof(digits) - at});
  }

  size_t size_ = 0;
  // Two numbers and a name, then fields: a name of at most 14, 20 digits.
  char bytes_[64 + 24 + kMaxFields * 36] = {};
};

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_LINE_H_
