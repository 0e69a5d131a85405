// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "test_text.h"

namespace holdfast::testing_el2 {

std::string NumberText(uint64_t magnitude, bool negative, unsigned base) {
  char digits[24];
  size_t at = sizeof(digits);
  do {
    digits[--at] = "0123456789abcdef"[magnitude % base];
    magnitude /= base;
  } while (magnitude != 0);
  if (negative) digits[--at] = '-';
  return std::string(digits + at, sizeof(digits) - at);
}

void AppendFormat(std::string* to, std::string_view format,
                  const Argument* arguments, size_t count) {
  size_t used = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      *to += format[i];
      continue;
    }
    ++i;
    HOLDFAST_CHECK(i < format.size());
    if (format[i] == '%') {
      *to += '%';
      continue;
    }
    const bool prefix = format[i] == '#';
    if (prefix) ++i;
    HOLDFAST_CHECK(i < format.size() && used < count);
    const Argument& argument = arguments[used++];
    switch (format[i]) {
      case 'x':
        HOLDFAST_CHECK(!argument.is_text);
        if (prefix && argument.hex != "0") *to += "0x";
        *to += argument.hex;
        break;
      case 'd':
      case 'u':
      case 's':
      case 'v':
        *to += argument.plain();
        break;
      default:
        HOLDFAST_UNREACHABLE("a format this has not");
    }
  }
  HOLDFAST_CHECK(used == count);
}

}  // namespace holdfast::testing_el2
