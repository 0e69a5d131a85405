// SPDX-License-Identifier: Apache-2.0
//
// What the simulated machine saw, in one order for all CPUs: the stream of
// platforms/stream, by the names that the machine's users have for it.
#ifndef HOLDFAST_PLATFORMS_SIM_EVENTS_H_
#define HOLDFAST_PLATFORMS_SIM_EVENTS_H_

#include "platforms/stream/event.h"

namespace holdfast::sim {

using stream::Event;
using stream::EventType;
using stream::EventTypeName;

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_EVENTS_H_
