// SPDX-License-Identifier: Apache-2.0
//
// The facade's operations as an event stream (--//platforms/stream:el2), which
// the board writes somewhere. An operation is recorded where its effect is in
// order: before a store, a TLBI or a release, after a DSB or an acquire.
#ifndef HOLDFAST_PLATFORMS_AARCH64_RECORDER_ON_MACHINE_RECORDER_H_
#define HOLDFAST_PLATFORMS_AARCH64_RECORDER_ON_MACHINE_RECORDER_H_

#include <cstdint>

#include "platforms/aarch64/cpu.h"
#include "platforms/stream/event.h"

namespace holdfast::aarch64 {

// Given by the board. Numbers the event; any CPU.
void BoardRecord(stream::Event event);

inline constexpr bool kRecords = true;
inline void Record(const stream::Event& event) { BoardRecord(event); }
inline void Record(stream::EventType type, uint64_t a = 0, uint64_t b = 0,
                   uint64_t c = 0) {
  BoardRecord(
      {.cpu = This().local.index, .type = type, .a = a, .b = b, .c = c});
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_RECORDER_ON_MACHINE_RECORDER_H_
