// SPDX-License-Identifier: Apache-2.0
//
// A translation table entry as a value. This is the one place that knows the
// bits:
//
// clang-format off
//   VMSAv8-64 descriptors (Arm ARM DDI 0487 D8.3.1, D8.3.2), no LPA2
//   bits      field
//   0         valid
//   1         levels < 3: 1 table, 0 block (where BlockAllowed, else reserved)
//             level 3:    1 page,  0 reserved
//   47:shift  output address / next table      (shift: 12; 16, 64 KiB: 14, 16)
//   15:12     PA 51:48, 64 KiB granule only
//
//   stage-2 leaf (D8.4.3, D8.6.5)
//   5:2       MemAttr
//   6, 7      S2AP: readable, writable
//   9:8       SH: 3 inner shareable
//   10        AF: always 1
//   54:53     XN: 0 PX+UX, 1 UX, 2 none, 3 PX
//   56:55     software: the guest's page state
//
//   EL2 stage-1 leaf, nVHE (D8.4.1, D8.6.2)
//   4:2       AttrIndx: 0 normal, 4 device nGnRE
//   7:6       AP: 1 RW, 3 RO
//   9:8       SH: 3 inner shareable
//   10        AF: always 1
//   54        XN
//
//   table
//   7:2       low six bits of the table's count
//   58:51     high eight bits of it
// clang-format on
//
//   invalid: 0 is "nothing"; anything else is an annotation (annotation.h).
//
// TABLE COUNTS. How many entries of a table are not zero is kept in the
// descriptor that points to it, in bits that hardware ignores: a table
// descriptor's 58:51 and (below the address, without LPA2 and with FEAT_HAFT's
// AF not enabled) 11:2 are IGNORED at both stages (D8.3.1). 8 + 6 bits hold the
// 8192 of a full 64 KiB table. So no record per table page is needed, and the
// count is in the cache line that a walk has just read. Changing only ignored
// bits of a live descriptor is none of the cases that need break-before-make
// (D8.17.1: type, size, attributes, output address): a stale copy of the old
// descriptor in a walk cache translates alike. The store is a plain one; only
// EL2 reads the count, under the table's lock. The root has no parent, and no
// count. Invariant: count = non-zero entries, and a table whose count falls to
// 0 is unlinked and detached at once.
//
// The test granule's 32-byte pages would put addresses on top of the
// attributes, so its address field is shifted up: the frame number starts at
// bit 12 for it, and the field is pa << max(0, 12 - shift) for all.
#ifndef HOLDFAST_PGTABLE_PTE_H_
#define HOLDFAST_PGTABLE_PTE_H_

#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "base/result.h"
#include "pgtable/annotation.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"

namespace holdfast::pgtable {

enum class PteKind : uint8_t {
  kEmpty,
  kAnnotation,
  kLeaf,
  kTable,
  // An encoding the architecture reserves at this level: never descended, never
  // a translation.
  kReserved,
};

template <class G>
class Pte {
 public:
  constexpr explicit Pte(uint64_t raw) : raw_(raw) {}

  static constexpr Pte Empty() { return Pte(0); }
  // Links `table` (one page, aligned: CHECKed) with its count of non-zero
  // entries.
  static constexpr Pte Table(PhysAddr table, unsigned count) {
    return Pte(AddressField(table) | kTableBit | kValidBit).WithCount(count);
  }
  // A stage-2 leaf at `level`, a block or a page. Address aligned and level
  // allowed: CHECKed.
  static constexpr Pte Leaf(PhysAddr address, Level level, Stage2Attr attr) {
    return AnyLeaf(address, level, attr.bits());
  }
  // A leaf of EL2's stage 1.
  static constexpr Pte HypLeaf(PhysAddr address, Level level, HypAttr attr) {
    return AnyLeaf(address, level, attr.bits());
  }
  static constexpr Pte Annotated(Annotation annotation) {
    return Pte(annotation.raw());
  }

  constexpr uint64_t raw() const { return raw_; }
  constexpr bool operator==(const Pte&) const = default;

  // What it is as an entry of a table at `level`.
  constexpr PteKind kind(Level level) const {
    if (!valid()) return raw_ == 0 ? PteKind::kEmpty : PteKind::kAnnotation;
    const bool bit1 = (raw_ & kTableBit) != 0;
    if (level == kPageLevel) return bit1 ? PteKind::kLeaf : PteKind::kReserved;
    if (bit1) return PteKind::kTable;
    return G::BlockAllowed(level) ? PteKind::kLeaf : PteKind::kReserved;
  }
  // Bit 0. An entry Holdfast wrote that is valid is a leaf or a table.
  constexpr bool valid() const { return (raw_ & kValidBit) != 0; }

  // Output address of a leaf, or the table it links. Meaningless if not valid.
  constexpr PhysAddr address() const {
    uint64_t address = (raw_ & kAddressMask) >> kFieldShift;
    if constexpr (kHasHighAddress) address |= (raw_ >> 12 & 0xF) << 48;
    return PhysAddr(address);
  }
  // The software bits, 0..3. Meaningless if not valid.
  constexpr unsigned software() const {
    return static_cast<unsigned>(raw_ >> kSoftwareShift) & 3;
  }
  constexpr Pte WithSoftware(unsigned two_bits) const {
    return Pte((raw_ & ~kSoftwareMask) | uint64_t{two_bits & 3}
                                             << kSoftwareShift);
  }
  // A leaf that allows what `added` does, too.
  constexpr Pte WithRights(Stage2Attr added) const {
    return Pte(added.RightsAddedTo(raw_));
  }
  // A stage-2 leaf that cannot be written through.
  constexpr Pte WithoutWrite() const { return Pte(raw_ & ~kWritableBit); }
  // The access flag of a leaf (D8.5.2).
  constexpr bool accessed() const { return (raw_ & kAccessBit) != 0; }
  constexpr Pte WithAccessed(bool accessed) const {
    return Pte(accessed ? raw_ | kAccessBit : raw_ & ~kAccessBit);
  }
  // The annotation the entry is. EINVAL: it is valid, or empty.
  constexpr Result<Annotation> annotation() const {
    if (valid() || raw_ == 0) return Error(Errno::kEinval);
    return Annotation::FromRaw(raw_);
  }

  // Of a table descriptor: the table's non-zero entries.
  constexpr unsigned count() const {
    return static_cast<unsigned>((raw_ >> 2 & 0x3F) |
                                 (raw_ >> (51 - 6) & (0xFFu << 6)));
  }
  constexpr Pte WithCount(unsigned count) const {
    // Also catches a count that fell below zero.
    HOLDFAST_CHECK(count <= G::kEntries);
    return Pte((raw_ & ~kCountMask) | uint64_t{count & 0x3F} << 2 |
               uint64_t{count >> 6} << 51);
  }

  // ---- for the walker ------------------------------------------------------

  static constexpr uint64_t kValidBit = 1;
  static constexpr uint64_t kTableBit = 2;  // also "page" at level 3
  static constexpr uint64_t kWritableBit = uint64_t{1} << 7;
  static constexpr uint64_t kAccessBit = uint64_t{1} << 10;
  static constexpr unsigned kSoftwareShift = 55;
  static constexpr uint64_t kSoftwareMask = uint64_t{3} << kSoftwareShift;
  static constexpr uint64_t kCountMask = uint64_t{0x3F} << 2 | uint64_t{0xFF}
                                                                   << 51;

  // What to add to a leaf for the address `bytes` higher. Exact as long as the
  // sum stays below bit 48 (the 64 KiB granule keeps 51:48 elsewhere).
  static constexpr uint64_t AddressStep(uint64_t bytes) {
    return bytes << kFieldShift;
  }

 private:
  static constexpr unsigned kFieldShift =
      G::kPageShift < 12 ? 12 - G::kPageShift : 0;
  static constexpr bool kHasHighAddress = G::kPageShift == 16;
  static constexpr uint64_t kAddressMask =
      ((uint64_t{1} << 48) - 1) &
      ~((uint64_t{1} << (G::kPageShift + kFieldShift)) - 1);

  static constexpr uint64_t AddressField(PhysAddr address) {
    const uint64_t low = kHasHighAddress
                             ? address.value() & ((uint64_t{1} << 48) - 1)
                             : address.value();
    const uint64_t field = low << kFieldShift;
    HOLDFAST_CHECK((field & ~kAddressMask) == 0);
    if constexpr (kHasHighAddress) {
      HOLDFAST_CHECK(address.value() >> 52 == 0);
      return field | (address.value() >> 48) << 12;
    }
    return field;
  }
  static constexpr Pte AnyLeaf(PhysAddr address, Level level, uint64_t attr) {
    HOLDFAST_CHECK(level == kPageLevel || G::BlockAllowed(level));
    HOLDFAST_CHECK(address.IsAligned(G::Size(level)));
    return Pte(AddressField(address) | attr | kValidBit |
               (level == kPageLevel ? kTableBit : uint64_t{0}));
  }

  uint64_t raw_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_PTE_H_
