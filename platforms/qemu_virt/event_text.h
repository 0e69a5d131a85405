// SPDX-License-Identifier: Apache-2.0
//
// An entry of an event ring in words: calls, errors and states by name.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_EVENT_TEXT_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_EVENT_TEXT_H_

#include <cstdint>

#include "base/event_ring.h"
#include "platforms/qemu_virt/print.h"

namespace holdfast::qemu_virt {

// "EBUSY", or null.
const char* ErrnoName(uint64_t number);

// Syndromes' fault status codes: "translation fault".
const char* FaultStatusName(uint64_t status);

void AddEvent(LineBuffer& line, const Event& event);

// The call that the CPU of `events` is serving, if it is serving one. Says
// whether.
bool AddUnfinished(LineBuffer& line, const EventRing& events);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_EVENT_TEXT_H_
