// SPDX-License-Identifier: Apache-2.0
//
// What EL2 notes (base/event_ring.h) as events of the stream. Freestanding.
#ifndef HOLDFAST_PLATFORMS_STREAM_NOTES_H_
#define HOLDFAST_PLATFORMS_STREAM_NOTES_H_

#include <cstdint>

#include "base/event_ring.h"
#include "platforms/stream/event.h"

namespace holdfast::stream {

constexpr EventType TypeOf(EventKind kind) {
  switch (kind) {
    case EventKind::kNone:
      break;
    case EventKind::kCallEnter:
      return EventType::kCallEnter;
    case EventKind::kCallExit:
      return EventType::kCallExit;
    case EventKind::kHostAbort:
      return EventType::kHostAbort;
    case EventKind::kSmc:
      return EventType::kSmc;
    case EventKind::kPageState:
      return EventType::kPageState;
    case EventKind::kGuestLeaf:
      return EventType::kGuestLeaf;
    case EventKind::kVmState:
      return EventType::kVmState;
    case EventKind::kGuestCall:
      return EventType::kGuestCall;
    case EventKind::kGuestAbort:
      return EventType::kGuestAbort;
    case EventKind::kVcpu:
      return EventType::kVcpu;
    case EventKind::kVcpuMade:
      return EventType::kVcpuMade;
    case EventKind::kMachine:
      return EventType::kMachine;
    case EventKind::kRegion:
      return EventType::kRegion;
    case EventKind::kBootFrames:
      return EventType::kBootFrames;
    case EventKind::kHypTable:
      return EventType::kHypTable;
  }
  return EventType::kViolation;
}

// As note.h hands it to a recorder.
constexpr Event EventOf(unsigned cpu, EventKind kind, uint64_t a, uint64_t b,
                        uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
  return {.cpu = cpu,
          .type = TypeOf(kind),
          .a = a,
          .b = b,
          .c = c,
          .d = d,
          .e = e,
          .f = f};
}

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_NOTES_H_
