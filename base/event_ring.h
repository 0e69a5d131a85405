// SPDX-License-Identifier: Apache-2.0
//
// The last things one CPU did, in every build: what a panic report and a
// debugger show. Written only by its own CPU, so it needs no lock.
#ifndef HOLDFAST_BASE_EVENT_RING_H_
#define HOLDFAST_BASE_EVENT_RING_H_

#include <cstdint>

namespace holdfast {

enum class EventKind : uint32_t {
  kNone = 0,
  kCallEnter,  // a: call id        b, c: its first arguments
  kCallExit,   // a: call id        b: x1 as it left    c: x2
  kHostAbort,  // a: IPA            b: syndrome         c: what was done
  kSmc,        // a: function id    b: what was done
  // a: first pfn   b: new host state | hyp state << 8   c: pages
  kPageState,
  kGuestLeaf,   // a: gfn            b: new descriptor   c: handle
  kVmState,     // a: handle         b: new state
  kGuestCall,   // a: function id    b: x1               c: handle
  kGuestAbort,  // a: IPA           b: syndrome         c: handle
  kVcpu,        // a: handle         b: vCPU index       c: 1 loaded, 0 put
  // In no ring: for the event stream, whose reader was not there at boot. The
  // fields of each are in platforms/stream/event.h.
  kVcpuMade,
  kMachine,
  kRegion,
  kBootFrames,
  kHypTable,
};

constexpr const char* EventKindName(EventKind kind) {
  switch (kind) {
    case EventKind::kNone:
      return "none";
    case EventKind::kCallEnter:
      return "call";
    case EventKind::kCallExit:
      return "return";
    case EventKind::kHostAbort:
      return "host abort";
    case EventKind::kSmc:
      return "smc";
    case EventKind::kPageState:
      return "page state";
    case EventKind::kGuestLeaf:
      return "guest leaf";
    case EventKind::kVmState:
      return "vm state";
    case EventKind::kGuestCall:
      return "guest call";
    case EventKind::kGuestAbort:
      return "guest abort";
    case EventKind::kVcpu:
      return "vcpu";
    case EventKind::kVcpuMade:
      return "vcpu made";
    case EventKind::kMachine:
      return "machine";
    case EventKind::kRegion:
      return "region";
    case EventKind::kBootFrames:
      return "boot frames";
    case EventKind::kHypTable:
      return "hyp table";
  }
  return "?";
}

struct Event {
  EventKind kind = EventKind::kNone;
  uint32_t sequence = 0;  // counts this CPU's events, wraps
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
};

class EventRing {
 public:
  static constexpr unsigned kEvents = 64;  // a power of two

  void Record(EventKind kind, uint64_t a, uint64_t b = 0, uint64_t c = 0) {
    events_[next_ % kEvents] = Event{kind, next_, a, b, c};
    ++next_;
  }

  // Forgets all events, and counts from 0 again.
  void Clear() {
    for (Event& event : events_) event = Event{};
    next_ = 0;
  }

  // The i-th event before the last one (0 = the last). Kind kNone: no such
  // event.
  const Event& Back(unsigned i) const {
    static constexpr Event kNothing;
    return i < kEvents ? events_[(next_ - 1 - i) % kEvents] : kNothing;
  }

 private:
  uint32_t next_ = 0;
  Event events_[kEvents];
};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_EVENT_RING_H_
