// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/events.h"

#include "absl/strings/str_format.h"

namespace holdfast::sim {

const char* EventTypeName(EventType type) {
  switch (type) {
    case EventType::kStorePte:
      return "store-pte";
    case EventType::kPublishPte:
      return "publish-pte";
    case EventType::kHardwareAf:
      return "hardware-af";
    case EventType::kDsbIshst:
      return "dsb-ishst";
    case EventType::kDsbIsh:
      return "dsb-ish";
    case EventType::kDsbNsh:
      return "dsb-nsh";
    case EventType::kIsb:
      return "isb";
    case EventType::kTlbiIpas2e1is:
      return "tlbi-ipas2e1is";
    case EventType::kTlbiIpas2e1:
      return "tlbi ipas2e1";
    case EventType::kTlbiRipas2e1is:
      return "tlbi-ripas2e1is";
    case EventType::kTlbiVmalle1is:
      return "tlbi-vmalle1is";
    case EventType::kTlbiVmalle1:
      return "tlbi-vmalle1";
    case EventType::kTlbiVmalls12e1is:
      return "tlbi-vmalls12e1is";
    case EventType::kTlbiAlle1is:
      return "tlbi-alle1is";
    case EventType::kTlbiVale2is:
      return "tlbi-vale2is";
    case EventType::kTlbiVae2is:
      return "tlbi-vae2is";
    case EventType::kIcIallu:
      return "ic-iallu";
    case EventType::kEnterContext:
      return "enter-context";
    case EventType::kLeaveContext:
      return "leave-context";
    case EventType::kHostStage2:
      return "host-stage2";
    case EventType::kStage2Created:
      return "stage2-created";
    case EventType::kStage2Destroyed:
      return "stage2-destroyed";
    case EventType::kLock:
      return "lock";
    case EventType::kUnlock:
      return "unlock";
    case EventType::kZeroPage:
      return "zero-page";
    case EventType::kCleanInvalidate:
      return "clean-invalidate";
    case EventType::kInvalidateICache:
      return "invalidate-icache";
    case EventType::kViolation:
      return "violation";
  }
  return "?";
}

std::string ToString(const Event& event) {
  const std::string head = absl::StrFormat("#%d cpu%d %s", event.seq, event.cpu,
                                           EventTypeName(event.type));
  switch (event.type) {
    case EventType::kStorePte:
    case EventType::kPublishPte:
    case EventType::kHardwareAf:
      return absl::StrFormat("%s %#x: %#x -> %#x", head, event.a, event.b,
                             event.c);
    case EventType::kDsbIshst:
    case EventType::kDsbIsh:
    case EventType::kDsbNsh:
    case EventType::kIsb:
    case EventType::kTlbiAlle1is:
    case EventType::kIcIallu:
      return head;
    case EventType::kTlbiIpas2e1:
    case EventType::kTlbiIpas2e1is:
      if (event.c == ~uint64_t{0}) {
        return absl::StrFormat("%s vmid %d ipa %#x", head, event.a, event.b);
      }
      return absl::StrFormat("%s vmid %d ipa %#x level %d", head, event.a,
                             event.b, event.c);
    case EventType::kTlbiRipas2e1is:
      return absl::StrFormat("%s vmid %d ipa %#x size %#x", head, event.a,
                             event.b, event.c);
    case EventType::kTlbiVmalle1is:
    case EventType::kTlbiVmalle1:
    case EventType::kTlbiVmalls12e1is:
      return absl::StrFormat("%s vmid %d", head, event.a);
    case EventType::kTlbiVale2is:
    case EventType::kTlbiVae2is:
      return absl::StrFormat("%s va %#x", head, event.b);
    case EventType::kEnterContext:
    case EventType::kLeaveContext:
    case EventType::kHostStage2:
    case EventType::kStage2Destroyed:
      return absl::StrFormat("%s vttbr %#x vtcr %#x", head, event.a, event.b);
    case EventType::kStage2Created:
      return absl::StrFormat("%s vttbr %#x vtcr %#x lock %#x", head, event.a,
                             event.b, event.c);
    case EventType::kLock:
    case EventType::kUnlock:
    case EventType::kZeroPage:
    case EventType::kViolation:
      return absl::StrFormat("%s %#x", head, event.a);
    case EventType::kCleanInvalidate:
    case EventType::kInvalidateICache:
      return absl::StrFormat("%s %#x size %#x", head, event.a, event.b);
  }
  return head;
}

}  // namespace holdfast::sim
