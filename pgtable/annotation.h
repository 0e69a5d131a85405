// SPDX-License-Identifier: Apache-2.0
//
// Annotations: what an invalid, non-zero stage-2 entry says. Hardware ignores
// all of an entry whose bit 0 is clear (Arm ARM D8.3), so its other bits are
// ours.
//
// clang-format off
//   63:60  type     1 locked (never stored by Holdfast), 2 host donation,
//                   3 poisoned
//   59:1   payload
//   0      0
//
// A host donation (host table: the host gave the page away):
//   59:20  gfn      owner guest: where that guest has it; else 0
//   19:4   handle   owner guest: which VM; else 0
//   3:1    owner    component id: 1 hyp, 2 guest, 3 nobody
// clang-format on
//
// The type is a field, not bits: compare for equality. Knows no tables.
#ifndef HOLDFAST_PGTABLE_ANNOTATION_H_
#define HOLDFAST_PGTABLE_ANNOTATION_H_

#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "base/result.h"

namespace holdfast::pgtable {

enum class AnnotationType : uint8_t {
  kNone = 0,
  // Transient mark of break-before-make under shared walkers. Holdfast walks
  // only under the table's lock and never stores it; the number stays taken.
  kLocked = 1,
  kHostDonation = 2,
  kPoison = 3,
};

// Who owns a page. The numbers are stored in annotations. Nobody has it while a
// call that took it from a guest empties it for the host.
enum class ComponentId : uint8_t {
  kHost = 0,
  kHyp = 1,
  kGuest = 2,
  kNobody = 3,
};

class Annotation {
 public:
  static constexpr unsigned kGfnBits = 40;

  // Guest table: the page that was here was taken back by force.
  static constexpr Annotation Poison() {
    return Annotation(Typed(AnnotationType::kPoison));
  }
  // Host table: the host gave the page to EL2.
  static constexpr Annotation HostDonationToHyp() {
    return Annotation(Typed(AnnotationType::kHostDonation) |
                      uint64_t{static_cast<uint8_t>(ComponentId::kHyp)}
                          << kOwnerShift);
  }
  // Host table: the page is on its way back to the host.
  static constexpr Annotation HostDonationToNobody() {
    return Annotation(Typed(AnnotationType::kHostDonation) |
                      uint64_t{static_cast<uint8_t>(ComponentId::kNobody)}
                          << kOwnerShift);
  }
  // Host table: the host gave the page to a VM, which has it at `gfn` (40 bits,
  // CHECKed: a 52-bit IPA with 4 KiB pages fits).
  static constexpr Annotation HostDonationToGuest(VmHandle handle, Gfn gfn) {
    HOLDFAST_CHECK(gfn.value() >> kGfnBits == 0);
    return Annotation(
        Typed(AnnotationType::kHostDonation) | gfn.value() << kGfnShift |
        uint64_t{handle.value()} << kHandleShift |
        uint64_t{static_cast<uint8_t>(ComponentId::kGuest)} << kOwnerShift);
  }
  // From a type number and a payload already at its place (bits 59:1). EINVAL:
  // type 0, LOCKED or beyond the field; payload touching bit 0 or 63:60.
  static constexpr Result<Annotation> FromParts(unsigned type,
                                                uint64_t payload) {
    if (type == static_cast<unsigned>(AnnotationType::kNone) ||
        type == static_cast<unsigned>(AnnotationType::kLocked) || type > 15) {
      return Error(Errno::kEinval);
    }
    if ((payload & ~kPayloadMask) != 0) return Error(Errno::kEinval);
    return Annotation(uint64_t{type} << kTypeShift | payload);
  }
  // Reads an entry of a table; `raw` must be invalid and non-zero (CHECKed).
  static constexpr Annotation FromRaw(uint64_t raw) {
    HOLDFAST_CHECK((raw & 1) == 0 && raw != 0);
    return Annotation(raw);
  }

  constexpr AnnotationType type() const {
    return static_cast<AnnotationType>(raw_ >> kTypeShift);
  }
  constexpr bool IsPoison() const { return type() == AnnotationType::kPoison; }
  // Of a host donation only; meaningless for other types.
  constexpr ComponentId owner() const {
    return static_cast<ComponentId>((raw_ >> kOwnerShift) & 7);
  }
  // Of a host donation to a guest only.
  constexpr VmHandle handle() const {
    return VmHandle(static_cast<uint16_t>(raw_ >> kHandleShift));
  }
  constexpr Gfn gfn() const {
    return Gfn((raw_ >> kGfnShift) & ((uint64_t{1} << kGfnBits) - 1));
  }
  constexpr bool OwnedByGuest() const {
    return type() == AnnotationType::kHostDonation &&
           owner() == ComponentId::kGuest;
  }

  // What the `pages`-th page after the one this annotation names has: the gfn
  // of a donation to a guest counts up with the page (CHECKed to fit), all else
  // is equal.
  constexpr Annotation At(uint64_t pages) const {
    if (pages == 0 || !OwnedByGuest()) return *this;
    return HostDonationToGuest(handle(), gfn() + pages);
  }

  constexpr uint64_t raw() const { return raw_; }
  constexpr bool operator==(const Annotation&) const = default;

 private:
  static constexpr unsigned kTypeShift = 60;
  static constexpr unsigned kGfnShift = 20;
  static constexpr unsigned kHandleShift = 4;
  static constexpr unsigned kOwnerShift = 1;
  static constexpr uint64_t kPayloadMask =
      ((uint64_t{1} << kTypeShift) - 1) & ~uint64_t{1};

  static constexpr uint64_t Typed(AnnotationType type) {
    return uint64_t{static_cast<uint8_t>(type)} << kTypeShift;
  }
  constexpr explicit Annotation(uint64_t raw) : raw_(raw) {}

  uint64_t raw_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_ANNOTATION_H_
