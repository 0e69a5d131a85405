// SPDX-License-Identifier: Apache-2.0
//
// EL2 says what it does: into this CPU's ring (event_ring.h), and to the
// machine, whose recorder, where it has one, puts it into the event stream.
#ifndef HOLDFAST_BASE_NOTE_H_
#define HOLDFAST_BASE_NOTE_H_

#include <cstdint>

#include "base/event_ring.h"
#include "base/machine.h"

namespace holdfast {

// The ring keeps the first three. Under the lock that guards what it is about.
inline void Note(EventKind kind, uint64_t a, uint64_t b = 0, uint64_t c = 0,
                 uint64_t d = 0, uint64_t e = 0, uint64_t f = 0) {
  machine::ThisCpu().events.Record(kind, a, b, c);
  machine::OnNote(kind, a, b, c, d, e, f);
}

}  // namespace holdfast

#endif  // HOLDFAST_BASE_NOTE_H_
