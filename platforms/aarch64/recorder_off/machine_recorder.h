// SPDX-License-Identifier: Apache-2.0
//
// No event stream: nothing is left of it in the image. (recorder_on/ is what
// --//platforms/stream:el2 puts in its place.)
#ifndef HOLDFAST_PLATFORMS_AARCH64_RECORDER_OFF_MACHINE_RECORDER_H_
#define HOLDFAST_PLATFORMS_AARCH64_RECORDER_OFF_MACHINE_RECORDER_H_

#include <cstdint>

#include "platforms/stream/event.h"

namespace holdfast::aarch64 {

// Arguments that cost something stand behind `if constexpr (kRecords)`.
inline constexpr bool kRecords = false;
inline void Record(stream::EventType, uint64_t = 0, uint64_t = 0,
                   uint64_t = 0) {}
inline void Record(const stream::Event&) {}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_RECORDER_OFF_MACHINE_RECORDER_H_
