// SPDX-License-Identifier: Apache-2.0
//
// What happens at EL2, in one order for all CPUs: the vocabulary of the event
// stream. The simulated machine keeps such a stream, an EL2 image can write one
// (--//platforms/stream:el2); checkers replay it, people read it. (The
// ring of each CPU in base/event_ring.h is the last few of what EL2 says, for a
// panic report; the same notes come here.)
//
// Three sorts of events: what EL2 asked of the machine (stores to tables, TLB
// maintenance, barriers, locks, pages zeroed or cleaned), what EL2 says of
// itself (calls, states), and what a recorder found by looking (kTablePage).
// Freestanding: it goes to EL2.
#ifndef HOLDFAST_PLATFORMS_STREAM_EVENT_H_
#define HOLDFAST_PLATFORMS_STREAM_EVENT_H_

#include <cstddef>
#include <cstdint>

namespace holdfast::stream {

// The fields of each stand in kEventShapes below.
enum class EventType : uint8_t {
  // Tables.
  kStorePte,
  kPublishPte,  // store-release
  kHardwareAf,  // access flag set by a walker
  // What a page of 8-byte words holds as it leaves a stock of table pages, or
  // as it becomes a root: a recorder has looked.
  kTablePage,
  // Barriers.
  kDsbIshst,
  kDsbIsh,
  kDsbNsh,
  kIsb,
  // TLB and instruction cache maintenance. Those of one VMID act on the context
  // that is entered; `vmid` is what the recorder takes it to be.
  kTlbiIpas2e1is,
  kTlbiIpas2e1,  // of this CPU only
  kTlbiRipas2e1is,
  kTlbiVmalle1is,
  kTlbiVmalle1,  // of this CPU only
  kTlbiVmalls12e1is,
  kTlbiAlle1is,
  kTlbiVale2is,
  kTlbiVae2is,
  kIcIallu,
  // Contexts: VTTBR_EL2 and VTCR_EL2.
  kEnterContext,
  kLeaveContext,  // what was left
  kHostStage2,    // now the host's on this CPU
  kStage2Created,
  kStage2Destroyed,
  // Locks: just taken / about to be released.
  kLock,
  kUnlock,
  // Pages.
  kZeroPage,  // zeroed, cleaned and invalidated to PoC
  kCleanInvalidate,
  kInvalidateICache,
  // The simulated machine's own verdict: a ViolationKind.
  kViolation,
  // What EL2 says of itself. States are mem_protect::PageState.
  kMachine,     // once, at boot
  kRegion,      // of the memory map; `kind` is mem_protect::RegionKind
  kBootFrames,  // EL2's own from boot on: its image, its carve-out
  kHypTable,    // EL2's stage 1
  kCallEnter,
  kCallExit,
  kHostAbort,  // answered; `action` is hyp::HostAbortAction
  kSmc,
  kPageState,  // a page's record as it is now
  kGuestLeaf,  // a guest's entry as it is now; `raw` of a loan is its address
  kVmState,    // 0 free, 1 reserved, 2 initialising, 3 live, 4 dying
  kVcpuMade,
  kVcpu,  // loaded (1) or put (0) on this CPU
  kGuestCall,
  kGuestAbort,
};
inline constexpr size_t kEventTypes =
    static_cast<size_t>(EventType::kGuestAbort) + 1;

inline constexpr size_t kMaxFields = 6;

struct Event {
  uint64_t seq = 0;  // counts the events of the machine from 0
  unsigned cpu = 0;
  EventType type = EventType::kIsb;
  // In the order of the event's shape; those beyond it are 0.
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
  uint64_t d = 0;
  uint64_t e = 0;
  uint64_t f = 0;

  bool operator==(const Event&) const = default;
};

// How an event is written: its name, and its fields in order.
struct EventShape {
  EventType type;
  const char* name;
  const char* fields[kMaxFields];  // null after the last
};

// Numbers are hexadecimal; those of kDecimalFields decimal; `level` is decimal,
// or "any" for ~0.
inline constexpr EventShape kEventShapes[kEventTypes] = {
    {EventType::kStorePte, "store-pte", {"pa", "old", "new"}},
    {EventType::kPublishPte, "publish-pte", {"pa", "old", "new"}},
    {EventType::kHardwareAf, "hardware-af", {"pa", "old", "new"}},
    {EventType::kTablePage, "table-page", {"pa", "nonzero"}},
    {EventType::kDsbIshst, "dsb-ishst", {}},
    {EventType::kDsbIsh, "dsb-ish", {}},
    {EventType::kDsbNsh, "dsb-nsh", {}},
    {EventType::kIsb, "isb", {}},
    {EventType::kTlbiIpas2e1is, "tlbi-ipas2e1is", {"vmid", "ipa", "level"}},
    {EventType::kTlbiIpas2e1, "tlbi-ipas2e1", {"vmid", "ipa", "level"}},
    {EventType::kTlbiRipas2e1is, "tlbi-ripas2e1is", {"vmid", "ipa", "size"}},
    {EventType::kTlbiVmalle1is, "tlbi-vmalle1is", {"vmid"}},
    {EventType::kTlbiVmalle1, "tlbi-vmalle1", {"vmid"}},
    {EventType::kTlbiVmalls12e1is, "tlbi-vmalls12e1is", {"vmid"}},
    {EventType::kTlbiAlle1is, "tlbi-alle1is", {}},
    {EventType::kTlbiVale2is, "tlbi-vale2is", {"va"}},
    {EventType::kTlbiVae2is, "tlbi-vae2is", {"va"}},
    {EventType::kIcIallu, "ic-iallu", {}},
    {EventType::kEnterContext, "enter-context", {"vttbr", "vtcr"}},
    {EventType::kLeaveContext, "leave-context", {"vttbr", "vtcr"}},
    {EventType::kHostStage2, "host-stage2", {"vttbr", "vtcr"}},
    {EventType::kStage2Created, "stage2-created", {"vttbr", "vtcr", "lock"}},
    {EventType::kStage2Destroyed, "stage2-destroyed", {"vttbr", "vtcr"}},
    {EventType::kLock, "lock", {"lock"}},
    {EventType::kUnlock, "unlock", {"lock"}},
    {EventType::kZeroPage, "zero-page", {"pa"}},
    {EventType::kCleanInvalidate, "clean-invalidate", {"pa", "size"}},
    {EventType::kInvalidateICache, "invalidate-icache", {"pa", "size"}},
    {EventType::kViolation, "violation", {"kind"}},
    {EventType::kMachine,
     "machine",
     {"page_shift", "pa_bits", "features", "vm_bytes", "vm_vcpu_bytes",
      "vcpu_bytes"}},
    {EventType::kRegion, "region", {"base", "size", "kind"}},
    {EventType::kBootFrames, "boot-frames", {"pfn", "pages"}},
    {EventType::kHypTable, "hyp-table", {"root", "va_bits", "lock"}},
    {EventType::kCallEnter, "call-enter", {"id", "x1", "x2", "x3", "x4", "x5"}},
    {EventType::kCallExit, "call-exit", {"id", "x1", "x2", "x3", "x0"}},
    {EventType::kHostAbort, "host-abort", {"ipa", "esr", "action", "known"}},
    {EventType::kSmc, "smc", {"id", "answer", "x1"}},
    {EventType::kPageState, "page-state", {"pfn", "host", "hyp", "count"}},
    {EventType::kGuestLeaf, "guest-leaf", {"gfn", "raw", "handle", "pages"}},
    {EventType::kVmState,
     "vm-state",
     {"handle", "state", "vcpus", "protected", "memory", "root"}},
    {EventType::kVcpuMade, "vcpu-made", {"handle", "index", "memory", "run"}},
    {EventType::kVcpu, "vcpu", {"handle", "index", "loaded"}},
    {EventType::kGuestCall, "guest-call", {"id", "x1", "handle"}},
    {EventType::kGuestAbort, "guest-abort", {"ipa", "esr", "handle"}},
};

inline constexpr const char* kDecimalFields[] = {
    "action",    "count",  "host",    "hyp",     "index", "kind",
    "known",     "loaded", "nonzero", "pa_bits", "pages", "page_shift",
    "protected", "state",  "va_bits", "vcpus",   "vmid"};

constexpr const EventShape& ShapeOf(EventType type) {
  return kEventShapes[static_cast<size_t>(type)];
}
constexpr const char* EventTypeName(EventType type) {
  return ShapeOf(type).name;
}

namespace internal {

consteval bool ShapesInOrder() {
  for (size_t i = 0; i < kEventTypes; ++i) {
    if (static_cast<size_t>(kEventShapes[i].type) != i) return false;
  }
  return true;
}
static_assert(ShapesInOrder());

}  // namespace internal

// The i-th field, as the shape counts them.
constexpr uint64_t FieldOf(const Event& event, size_t i) {
  const uint64_t fields[kMaxFields] = {event.a, event.b, event.c,
                                       event.d, event.e, event.f};
  return fields[i];
}

}  // namespace holdfast::stream

#endif  // HOLDFAST_PLATFORMS_STREAM_EVENT_H_
