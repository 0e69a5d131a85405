// SPDX-License-Identifier: Apache-2.0
//
// As much of absl/strings as tests at EL2 use: Abseil's library is the host's.
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_TEST_TEXT_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_TEST_TEXT_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace holdfast::testing_el2 {

// In base 10 or 16, with a sign if `negative`.
std::string NumberText(uint64_t magnitude, bool negative, unsigned base);

template <class T>
  requires std::integral<T> || std::is_enum_v<T>
std::string NumberText(T value, unsigned base = 10) {
  if constexpr (std::is_enum_v<T>) {
    return NumberText(static_cast<std::underlying_type_t<T>>(value), base);
  } else {
    const bool negative = base == 10 && value < 0;
    const auto bits = static_cast<uint64_t>(
        static_cast<std::conditional_t<std::is_same_v<T, bool>, unsigned,
                                       std::make_unsigned_t<std::conditional_t<
                                           std::is_same_v<T, bool>, int, T>>>>(
            value));
    return NumberText(negative ? 0 - static_cast<uint64_t>(value) : bits,
                      negative, base);
  }
}

// One argument of a format or a concatenation.
struct Argument {
  Argument(std::string_view t) : text(t), is_text(true) {}    // NOLINT
  Argument(const std::string& t) : text(t), is_text(true) {}  // NOLINT
  Argument(const char* t) : text(t), is_text(true) {}         // NOLINT
  template <class T>
    requires std::integral<T> || std::is_enum_v<T>
  Argument(T value)  // NOLINT
      : decimal(NumberText(value)), hex(NumberText(value, 16)) {}

  std::string_view text;
  bool is_text = false;
  std::string decimal, hex;

  std::string_view plain() const {
    return is_text ? text : std::string_view(decimal);
  }
};

// %d %u %s %x %v, with # before x; %%. Nothing else: no width, no precision.
void AppendFormat(std::string* to, std::string_view format,
                  const Argument* arguments, size_t count);

}  // namespace holdfast::testing_el2

namespace absl {

template <class... Args>
void StrAppendFormat(std::string* to, std::string_view format,
                     const Args&... args) {
  const holdfast::testing_el2::Argument list[] = {
      holdfast::testing_el2::Argument(args)..., std::string_view()};
  holdfast::testing_el2::AppendFormat(to, format, list, sizeof...(args));
}

template <class... Args>
std::string StrFormat(std::string_view format, const Args&... args) {
  std::string text;
  StrAppendFormat(&text, format, args...);
  return text;
}

template <class... Args>
std::string StrCat(const Args&... args) {
  std::string text;
  ((text += holdfast::testing_el2::Argument(args).plain()), ...);
  return text;
}

template <class Range>
std::string StrJoin(const Range& parts, std::string_view separator) {
  std::string text;
  bool first = true;
  for (const auto& part : parts) {
    if (!first) text += separator;
    first = false;
    text += holdfast::testing_el2::Argument(part).plain();
  }
  return text;
}

}  // namespace absl

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_TEST_TEXT_H_
