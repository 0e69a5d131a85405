// SPDX-License-Identifier: Apache-2.0
//
// What the simulated machine saw, in one order for all CPUs: the stream that
// checkers replay and people read. (The ring of each CPU in base/event_ring.h
// is another thing: what EL2 says about itself.)
#ifndef HOLDFAST_PLATFORMS_SIM_EVENTS_H_
#define HOLDFAST_PLATFORMS_SIM_EVENTS_H_

#include <cstdint>
#include <string>

namespace holdfast::sim {

enum class EventType : uint8_t {
  kStorePte,        // a: PA of the entry  b: old value     c: new value
  kPublishPte,      // same, store-release
  kHardwareAf,      // same, access flag set by a walker
  kDsbIshst,        //
  kDsbIsh,          //
  kDsbNsh,          //
  kIsb,             //
  kTlbiIpas2e1is,   // a: VMID             b: IPA           c: level hint or ~0
  kTlbiIpas2e1,     // same, of this CPU only
  kTlbiRipas2e1is,  // a: VMID             b: IPA           c: size in bytes
  kTlbiVmalle1is,   // a: VMID
  kTlbiVmalle1,     // a: VMID
  kTlbiVmalls12e1is,  // a: VMID
  kTlbiAlle1is,       //
  kTlbiVale2is,       // b: EL2 address
  kTlbiVae2is,        // b: EL2 address
  kIcIallu,           //
  kEnterContext,      // a: VTTBR_EL2        b: VTCR_EL2
  kLeaveContext,      // same, what was left
  kHostStage2,        // same, now the host's on this CPU
  kStage2Created,     // a: VTTBR_EL2        b: VTCR_EL2      c: the lock
  kStage2Destroyed,   // a: VTTBR_EL2        b: VTCR_EL2
  kLock,              // a: address of the lock
  kUnlock,            // a: address of the lock
  kZeroPage,          // a: PA
  kCleanInvalidate,   // a: PA               b: size in bytes
  kInvalidateICache,  // a: PA               b: size in bytes
  kViolation,         // a: ViolationKind
};

const char* EventTypeName(EventType type);

struct Event {
  uint64_t seq = 0;  // counts the events of the machine from 0
  unsigned cpu = 0;
  EventType type = EventType::kIsb;
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
};

// One line without a newline: "#12 cpu1 store-pte 0x40001008: 0 -> 0x400007ff".
std::string ToString(const Event& event);

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_EVENTS_H_
