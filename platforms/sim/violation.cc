// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/violation.h"

namespace holdfast::sim {

const char* ViolationKindName(ViolationKind kind) {
  switch (kind) {
    case ViolationKind::kNotRam:
      return "not RAM";
    case ViolationKind::kUnaligned:
      return "unaligned";
    case ViolationKind::kLiveTableOverwritten:
      return "live table overwritten";
    case ViolationKind::kPageInUse:
      return "page in use";
    case ViolationKind::kBreakBeforeMake:
      return "no break-before-make";
    case ViolationKind::kMakeOverStale:
      return "make over a stale translation";
    case ViolationKind::kPlainTableLink:
      return "table linked by a plain store";
    case ViolationKind::kReservedBits:
      return "reserved bits";
    case ViolationKind::kTableMapped:
      return "table page mapped";
    case ViolationKind::kTableLinkedTwice:
      return "table linked twice";
    case ViolationKind::kWalkCacheReuse:
      return "page reused under a walk cache";
    case ViolationKind::kStoreWithoutLock:
      return "table store without its lock";
    case ViolationKind::kUnclean:
      return "lock released with stale translations";
    case ViolationKind::kUnfinishedStores:
      return "table stores without a DSB";
    case ViolationKind::kNoContext:
      return "TLBI outside a context";
    case ViolationKind::kNestedContext:
      return "nested context";
    case ViolationKind::kLeaveWithoutEnter:
      return "leave without enter";
    case ViolationKind::kUnknownContext:
      return "unknown context";
    case ViolationKind::kBadTlbiOperand:
      return "bad TLBI operand";
    case ViolationKind::kUnfinishedTlbi:
      return "TLBI without a DSB";
    case ViolationKind::kVmidReuse:
      return "VMID reused without a full invalidation";
    case ViolationKind::kBadRoot:
      return "bad stage-2 root";
  }
  return "?";
}

}  // namespace holdfast::sim
