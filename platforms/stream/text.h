// SPDX-License-Identifier: Apache-2.0
//
// A stream as text: a head, then a line an event (line.h). The reader is
// strict: what it takes, it would write in the same way, byte for byte.
#ifndef HOLDFAST_PLATFORMS_STREAM_TEXT_H_
#define HOLDFAST_PLATFORMS_STREAM_TEXT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "platforms/stream/event.h"
#include "tl/expected.hpp"

namespace holdfast::stream {

// One line without a newline.
std::string ToString(const Event& event);

// Head and all.
std::string ToText(absl::Span<const Event> events);

struct BadStream {
  size_t line = 0;  // from 1
  std::string what;
};
std::string ToString(const BadStream& bad);

tl::expected<Event, std::string> ReadEvent(absl::string_view line);

// A whole stream. Events are counted on by one from the first; a line that is
// cut short is an error, so a lost tail shows.
tl::expected<std::vector<Event>, BadStream> ReadText(absl::string_view text);

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_TEXT_H_
