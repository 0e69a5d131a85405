// SPDX-License-Identifier: Apache-2.0
#include "platforms/stream/text.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/cpu_local.h"
#include "platforms/stream/line.h"

namespace holdfast::stream {
namespace {

absl::string_view Of(std::string_view text) {
  return {text.data(), text.size()};
}

// A number as Line writes it: no sign, no leading zero, lower case.
std::optional<uint64_t> ReadNumber(absl::string_view text, unsigned base) {
  if (base == 16 && !absl::ConsumePrefix(&text, "0x")) return std::nullopt;
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    unsigned digit = 16;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a') + 10;
    if (digit >= base) return std::nullopt;
    if (value > (~uint64_t{0} - digit) / base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

// What comes before the next space, which goes too.
absl::string_view NextWord(absl::string_view* rest) {
  const size_t space = rest->find(' ');
  const absl::string_view word = rest->substr(0, space);
  rest->remove_prefix(space == absl::string_view::npos ? rest->size()
                                                       : space + 1);
  return word;
}

const EventShape* ShapeNamed(absl::string_view name) {
  for (const EventShape& shape : kEventShapes) {
    if (name == shape.name) return &shape;
  }
  return nullptr;
}

std::optional<uint64_t> ReadField(absl::string_view word,
                                  absl::string_view name) {
  if (!absl::ConsumePrefix(&word, name) || !absl::ConsumePrefix(&word, "="))
    return std::nullopt;
  const std::string_view field(name.data(), name.size());
  if (IsLevel(field) && word == "any") return ~uint64_t{0};
  return ReadNumber(word, IsDecimal(field) ? 10 : 16);
}

}  // namespace

std::string ToString(const Event& event) {
  return std::string(Line(event).text());
}

std::string ToText(absl::Span<const Event> events) {
  std::string text(kStreamHead);
  for (const Event& event : events) {
    text += Line(event).text();
    text += '\n';
  }
  return text;
}

std::string ToString(const BadStream& bad) {
  return absl::StrCat("line ", bad.line, ": ", bad.what);
}

tl::expected<Event, std::string> ReadEvent(absl::string_view line) {
  absl::string_view rest = line;
  Event event;
  absl::string_view word = NextWord(&rest);
  std::optional<uint64_t> number;
  if (absl::ConsumePrefix(&word, "#")) number = ReadNumber(word, 10);
  if (!number.has_value())
    return tl::unexpected<std::string>("it begins with no #NUMBER");
  event.seq = *number;
  word = NextWord(&rest);
  number = std::nullopt;
  if (absl::ConsumePrefix(&word, "cpu")) number = ReadNumber(word, 10);
  if (!number.has_value() || *number >= kMaxCpus) {
    return tl::unexpected(
        absl::StrCat("no cpuN with N below ", kMaxCpus, " after the number"));
  }
  event.cpu = static_cast<unsigned>(*number);
  word = NextWord(&rest);
  const EventShape* const shape = ShapeNamed(word);
  if (shape == nullptr)
    return tl::unexpected(absl::StrCat("there is no event '", word, "'"));
  event.type = shape->type;
  uint64_t* const fields[kMaxFields] = {&event.a, &event.b, &event.c,
                                        &event.d, &event.e, &event.f};
  for (size_t i = 0; i < kMaxFields && shape->fields[i] != nullptr; ++i) {
    word = NextWord(&rest);
    number = ReadField(word, shape->fields[i]);
    if (!number.has_value()) {
      return tl::unexpected(absl::StrCat(shape->name, " wants ",
                                         shape->fields[i],
                                         "=NUMBER here, not '", word, "'"));
    }
    *fields[i] = *number;
  }
  // Also finds spaces that are too many.
  if (Of(Line(event).text()) != line) {
    return tl::unexpected(
        absl::StrCat("'", Of(Line(event).text()), "' is all it may say"));
  }
  return event;
}

tl::expected<std::vector<Event>, BadStream> ReadText(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, Of(kStreamHead))) {
    return tl::unexpected(BadStream{
        1, absl::StrCat("it is not '", absl::StripSuffix(Of(kStreamHead), "\n"),
                        "'")});
  }
  std::vector<Event> events;
  for (size_t number = 2; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    if (end == absl::string_view::npos)
      return tl::unexpected(BadStream{number, "it is cut short"});
    tl::expected<Event, std::string> event = ReadEvent(text.substr(0, end));
    if (!event.has_value())
      return tl::unexpected(BadStream{number, std::move(event.error())});
    if (!events.empty() && event->seq != events.back().seq + 1) {
      return tl::unexpected(
          BadStream{number, absl::StrCat("event #", event->seq, " follows #",
                                         events.back().seq)});
    }
    events.push_back(*event);
    text.remove_prefix(end + 1);
  }
  return events;
}

}  // namespace holdfast::stream
