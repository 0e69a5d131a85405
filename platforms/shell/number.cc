// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/number.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/granule.h"

namespace holdfast::shell {
namespace {

constexpr char kForms[] = "12, 0x40, $NAME or @ADDRESS";

Parsed<uint64_t> Variable(const Word& word, const std::string& name,
                          const Names& names) {
  const auto found = names.find(name);
  if (found != names.end()) return found->second;
  std::string known =
      absl::StrJoin(names, ", ", [](std::string* out, const auto& entry) {
        absl::StrAppend(out, "$", entry.first);
      });
  return Bad(word.column, absl::StrCat("nothing is called $", name),
             names.empty() ? "let NAME = call ..., before it is used"
                           : absl::StrCat("one of ", known));
}

}  // namespace

std::optional<uint64_t> PlainNumber(const std::string& text) {
  const bool negative = !text.empty() && text[0] == '-';
  size_t at = negative ? 1 : 0;
  int base = 10;
  if (text.size() > at + 2 && text[at] == '0' &&
      (text[at + 1] == 'x' || text[at + 1] == 'X')) {
    base = 16;
    at += 2;
  }
  uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] =
      std::from_chars(text.data() + at, end, value, base);
  if (error != std::errc() || stop != end || at == text.size())
    return std::nullopt;
  return negative ? ~value + 1 : value;
}

bool IsName(const std::string& text) {
  return !text.empty() &&
         std::isdigit(static_cast<unsigned char>(text[0])) == 0 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_';
         });
}

Parsed<uint64_t> NumberOf(const Word& word, const Names& names,
                          const std::string& what) {
  if (word.text.size() > 1 && word.text[0] == '@') {
    const Word address{word.text.substr(1), word.column + 1};
    const Parsed<uint64_t> value = NumberOf(address, names, what);
    if (!value.has_value()) return value;
    return *value >> kPageShift;
  }
  if (word.text.size() > 1 && word.text[0] == '$')
    return Variable(word, word.text.substr(1), names);
  if (const auto value = PlainNumber(word.text)) return *value;
  return Bad(word.column,
             absl::StrCat("'", word.text, "' is no number, where ", what,
                          " should be"),
             kForms);
}

Parsed<uint64_t> SizeOf(const Word& word, const Names& names,
                        const std::string& what) {
  constexpr std::pair<char, unsigned> kUnits[] = {
      {'K', 10}, {'k', 10}, {'M', 20}, {'G', 30}};
  for (const auto& [unit, shift] : kUnits) {
    if (word.text.empty() || word.text.back() != unit) continue;
    const auto value = PlainNumber(word.text.substr(0, word.text.size() - 1));
    if (!value.has_value() || *value >= uint64_t{1} << (63 - shift)) break;
    return *value << shift;
  }
  if (const auto value = NumberOf(word, names, what)) return *value;
  return Bad(
      word.column,
      absl::StrCat("'", word.text, "' is no size, where ", what, " should be"),
      "4096, 0x1000, 64K, 64M or 1G");
}

std::string Show(uint64_t number) {
  return number < 10 ? absl::StrCat(number) : absl::StrFormat("%#x", number);
}

std::string ShowSize(uint64_t bytes) {
  constexpr std::pair<unsigned, const char*> kUnits[] = {
      {30, "G"}, {20, "M"}, {10, "K"}};
  for (const auto& [shift, unit] : kUnits) {
    if (bytes != 0 && bytes % (uint64_t{1} << shift) == 0)
      return absl::StrCat(bytes >> shift, unit);
  }
  return Show(bytes);
}

}  // namespace holdfast::shell
