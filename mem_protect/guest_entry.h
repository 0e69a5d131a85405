// SPDX-License-Identifier: Apache-2.0
//
// What a guest has at a gfn: nothing, poison (the page was taken back by
// force), or a page. A closed sum: who asks must say what to do in each case,
// and poison cannot be stored as, or taken for, the state of a page.
#ifndef HOLDFAST_MEM_PROTECT_GUEST_ENTRY_H_
#define HOLDFAST_MEM_PROTECT_GUEST_ENTRY_H_

#include <cstdint>

#include "base/addr.h"
#include "base/result.h"
#include "mem_protect/page_record.h"
#include "pgtable/geometry.h"
#include "pgtable/pte.h"

namespace holdfast::mem_protect {

class GuestEntry {
 public:
  struct Absent {};
  struct Poisoned {};
  struct Mapped {
    PhysAddr page;  // the leaf's output address
    PageState state;
    Level level;
  };

  // Reads an entry of a guest's stage 2. Poison is tested before validity: the
  // software bits of an invalid entry mean nothing.
  static GuestEntry Of(pgtable::Pte<pgtable::BuildGranule> pte, Level level) {
    GuestEntry entry;
    switch (pte.kind(level)) {
      case pgtable::PteKind::kAnnotation:
        entry.kind_ = Kind::kPoisoned;
        break;
      case pgtable::PteKind::kLeaf:
        entry.kind_ = Kind::kMapped;
        entry.mapped_ = {pte.address(), static_cast<PageState>(pte.software()),
                         level};
        break;
      case pgtable::PteKind::kEmpty:
      case pgtable::PteKind::kTable:
      case pgtable::PteKind::kReserved:
        entry.kind_ = Kind::kAbsent;
        break;
    }
    return entry;
  }

  // The guest's page or block at this gfn. EHWPOISON: poison; ENOENT: nothing.
  Result<Mapped> Leaf() const {
    switch (kind_) {
      case Kind::kAbsent:
        return Error(Errno::kEnoent);
      case Kind::kPoisoned:
        return Error(Errno::kEhwpoison);
      case Kind::kMapped:
        break;
    }
    return mapped_;
  }
  // The guest's page. E2BIG: a block; else as above.
  Result<Mapped> Page() const {
    Result<Mapped> leaf = Leaf();
    if (leaf.has_value() && leaf->level != kPageLevel)
      return Error(Errno::kE2big);
    return leaf;
  }
  bool IsAbsent() const { return kind_ == Kind::kAbsent; }
  bool IsPoisoned() const { return kind_ == Kind::kPoisoned; }

  // Calls the one of the three that fits; all return the same type.
  template <class OnAbsent, class OnPoisoned, class OnMapped>
  auto Match(OnAbsent absent, OnPoisoned poisoned, OnMapped mapped) const {
    switch (kind_) {
      case Kind::kAbsent:
        return absent(Absent{});
      case Kind::kPoisoned:
        return poisoned(Poisoned{});
      case Kind::kMapped:
        break;
    }
    return mapped(mapped_);
  }

 private:
  enum class Kind : uint8_t { kAbsent, kPoisoned, kMapped };
  Kind kind_ = Kind::kAbsent;
  Mapped mapped_{};
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_GUEST_ENTRY_H_
