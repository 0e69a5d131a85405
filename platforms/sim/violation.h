// SPDX-License-Identifier: Apache-2.0
//
// Things no correct EL2 does. The machine records and prints them and goes on;
// a test ends with EXPECT_THAT(machine.violations(), IsEmpty()).
#ifndef HOLDFAST_PLATFORMS_SIM_VIOLATION_H_
#define HOLDFAST_PLATFORMS_SIM_VIOLATION_H_

#include <cstdint>
#include <string>

namespace holdfast::sim {

enum class ViolationKind : uint8_t {
  // Memory.
  kNotRam,                // PhysToVirt, StorePte, cache op ... outside RAM
  kUnaligned,             // page operation or PTE store at an odd address
  kLiveTableOverwritten,  // a table that walkers use was zeroed
  // A page was zeroed while the host maps it, or zeroed or cleaned while a
  // stale
  // translation of a guest's reaches it.
  kPageInUse,
  // Tables.
  kBreakBeforeMake,   // valid -> valid with another address, size or type
  kMakeOverStale,     // valid entry over a translation still in some TLB
  kPlainTableLink,    // a table linked by StorePte, not PublishPte
  kReservedBits,      // a valid entry the architecture gives no meaning
  kTableMapped,       // a table page that a stage 2 maps, or the reverse
  kTableLinkedTwice,  // a table page reachable at two places
  kWalkCacheReuse,    // a page reused while a walk cache still points at it
  kStoreWithoutLock,  // a table written without the lock that guards it
  kUnclean,           // lock released with stale translations in its table
  kUnfinishedStores,  // lock released, or context entered, before a DSB
  // TLB maintenance and contexts.
  kNoContext,          // TLBI of "the current VMID" with none entered
  kNestedContext,      // EnterStage2Context twice
  kLeaveWithoutEnter,  //
  kUnknownContext,     // a context that was never announced, or not like this
  kBadTlbiOperand,     // unaligned, out of the input range, range too long
  kUnfinishedTlbi,     // context left between a TLBI and its DSB
  kVmidReuse,          // VMID given to a new table before a full invalidation
  kBadRoot,            // announced twice, misaligned, not RAM, bad VTCR
};

const char* ViolationKindName(ViolationKind kind);

struct Violation {
  ViolationKind kind = ViolationKind::kNotRam;
  unsigned cpu = 0;
  std::string message;  // readable: kind, CPU, addresses
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_VIOLATION_H_
