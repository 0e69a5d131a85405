// SPDX-License-Identifier: Apache-2.0
//
// A stream as Chrome trace JSON, for people to look at (chrome://tracing,
// ui.perfetto.dev): a lane per CPU, calls and lock sections as spans, the rest
// as marks. The stream has no clock: an event is a microsecond.
#ifndef HOLDFAST_PLATFORMS_STREAM_CHROME_H_
#define HOLDFAST_PLATFORMS_STREAM_CHROME_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/types/span.h"
#include "platforms/stream/event.h"

namespace holdfast::stream {

struct ChromeNames {
  // Of a call by its id, of a lock by its address. Without: numbers.
  std::function<std::string(uint64_t id)> call = {};
  std::function<std::string(uint64_t address)> lock = {};
};

std::string ToChrome(absl::Span<const Event> events,
                     const ChromeNames& names = {});

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_CHROME_H_
