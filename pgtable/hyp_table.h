// SPDX-License-Identifier: Apache-2.0
//
// EL2's own translation table: stage 1 of the EL2 regime (TTBR0_EL2, nVHE: one
// privilege level, no ASID), one root page. It shares the walker and the counts
// with stage 2. It must not know what its mappings are for.
//
// What is mapped at EL2 is EL2's choice alone, so a wrong request is a bug and
// CHECKed; only running out of tables is an error. Source: Arm ARM DDI 0487
// D8.2, TCR_EL2 and TTBR0_EL2 (D19.2).
#ifndef HOLDFAST_PGTABLE_HYP_TABLE_H_
#define HOLDFAST_PGTABLE_HYP_TABLE_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/check.h"
#include "base/machine.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"
#include "pgtable/pool.h"
#include "pgtable/pte.h"
#include "pgtable/tlb.h"
#include "pgtable/walker.h"

namespace holdfast::pgtable {

// Levels that a `va_bits` stage-1 input takes from one root page (D8.2).
template <class G>
constexpr unsigned HypLevels(unsigned va_bits) {
  return (va_bits - G::kPageShift + G::kIndexBits - 1) / G::kIndexBits;
}
// 48 bits are what TTBR0_EL2 can translate without FEAT_LVA and FEAT_LPA2.
template <class G>
constexpr bool HypBitsAllowed(unsigned va_bits) {
  return va_bits > G::kPageShift && va_bits <= 48 && HypLevels<G>(va_bits) <= 4;
}
// The level at which walks start. The bits must be allowed (CHECKed).
template <class G>
constexpr Level HypStartLevel(unsigned va_bits) {
  HOLDFAST_CHECK(HypBitsAllowed<G>(va_bits));
  const unsigned levels = HypLevels<G>(va_bits);
  return Level(static_cast<int8_t>(4 - levels));
}

template <class G>
class HypTable {
  using Tree = internal::Tree<G>;
  using Spot = typename Tree::Spot;

 public:
  // The entry that translates an address (not a table), and its level.
  struct Entry {
    Pte<G> pte;
    Level level;
  };

  explicit HypTable(LockRank rank = LockRank::kHypOrVm) : lock(rank) {}
  HypTable(const HypTable&) = delete;
  HypTable& operator=(const HypTable&) = delete;

  Spinlock lock;
  PagePool<G> stock ABSL_GUARDED_BY(lock);

  // An empty table for `va_bits` of input with the zeroed page `root`
  // (CHECKed). It is no CPU's table yet; no lock.
  void Init(PhysAddr root, unsigned va_bits) {
    HOLDFAST_CHECK(root.IsAligned(G::kPageSize));
    root_ = root;
    limit_ = uint64_t{1} << va_bits;
    tree_.Init(root, HypStartLevel<G>(va_bits).value());
    for (unsigned i = 0; i < G::kEntries; ++i)
      HOLDFAST_CHECK(tree_.root()[i] == 0);
    machine::OnTablePage(root);
  }

  // What TTBR0_EL2 takes. Constant after Init; no lock.
  PhysAddr root() const { return root_; }
  // Whether all of [va, va + size) can be translated. For any numbers; no lock.
  bool InRange(HypVa va, uint64_t size) const {
    return size <= limit_ && va.value() <= limit_ - size;
  }

  // Maps [va, va + size) to `phys` and up: pages, or the largest blocks that
  // fit if `allow_blocks`. On return walkers see it. Whole pages, in range, and
  // free or mapped alike (but for software bits): all CHECKed. ENOMEM: the
  // stock lacks tables (TablesNeeded says how many); nothing changed then.
  Result<void> Map(HypVa va, PhysAddr phys, uint64_t size, HypAttr attr,
                   bool allow_blocks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(va, size);
    HOLDFAST_CHECK(phys.IsAligned(G::kPageSize));
    // Blocks need both addresses aligned alike; if they are not, none fits.
    const int largest = allow_blocks
                            ? LargestCongruent(va.value() ^ phys.value())
                            : Tree::kPages;
    const uint64_t tables =
        tree_.TablesNeeded(va.value(), va.value() + size, largest);
    if (tables > stock.free()) return Error(Errno::kEnomem);
    HOLDFAST_TRY_ASSIGN(auto reservation,
                        stock.Reserve(static_cast<uint32_t>(tables)));
    uint64_t at = va.value();
    const uint64_t end = at + size;
    uint64_t pa = phys.value();
    while (at < end) {
      int level = largest;
      while (level < Tree::kPages &&
             (!Tree::BlockAllowed(level) || end - at < Tree::Size(level) ||
              ((at | pa) & (Tree::Size(level) - 1)) != 0)) {
        ++level;
      }
      Spot spot;
      tree_.Walk(at, spot);
      if (spot.level > level) level = spot.level;
      const uint64_t left = (end - at) >> Tree::Shift(level);
      const unsigned in_table = Tree::kEntries - Tree::Index(at, level);
      unsigned run = left < in_table ? static_cast<unsigned>(left) : in_table;
      const uint64_t value =
          Pte<G>::HypLeaf(PhysAddr(pa), Level(static_cast<int8_t>(level)), attr)
              .raw();
      const uint64_t step = Pte<G>::AddressStep(Tree::Size(level));
      if (spot.level < level) {
        HOLDFAST_CHECK(spot.raw == 0);  // a block is in the way
        machine::PublishPte(
            spot.entry,
            Tree::Build(spot, at, level, value, step, run, reservation).link);
        Tree::AddCount(spot, 1);
      } else {
        run = MapRun(spot, value, step, run);
      }
      at += uint64_t{run} << Tree::Shift(level);
      pa += uint64_t{run} << Tree::Shift(level);
    }
    tlb::PublishHyp();
    return {};
  }

  // Tables that Map would take for the range. CHECKs as Map.
  uint32_t TablesNeeded(HypVa va, uint64_t size) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(va, size);
    return static_cast<uint32_t>(
        tree_.TablesNeeded(va.value(), va.value() + size, Tree::kPages));
  }

  // The entry for the page of `va`. ERANGE: beyond the input size.
  Result<Entry> Find(HypVa va) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    if (va.value() >= limit_) return Error(Errno::kErange);
    Spot spot;
    tree_.Walk(va.value(), spot);
    return Entry{Pte<G>(spot.raw), Level(static_cast<int8_t>(spot.level))};
  }

  // Removes the leaves of [va, va + size), all of which must be mapped, with no
  // block partly covered (CHECKed), and the tables that leaves empty.
  void Unmap(HypVa va, uint64_t size, HypTlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(va, size);
    HOLDFAST_CHECK(&batch.table_ == this);
    if (size == 0) return;
    uint64_t at = va.value();
    const uint64_t end = at + size;
    batch.Touch(at, end);
    while (at < end) {
      Spot spot;
      tree_.Walk(at, spot);
      const int level = spot.level;
      const uint64_t bytes = Tree::Size(level);
      HOLDFAST_CHECK((spot.raw & 1) != 0 && (at & (bytes - 1)) == 0 &&
                     end - at >= bytes);
      const uint64_t left = (end - at) >> Tree::Shift(level);
      const unsigned in_table = Tree::kEntries - Tree::Index(at, level);
      const unsigned limit =
          left < in_table ? static_cast<unsigned>(left) : in_table;
      uint64_t* const entry = spot.entry;
      unsigned run = 0;
      for (; run < limit; ++run) {
        const uint64_t old = machine::LoadPte(entry + run);
        if ((old & 1) == 0 || Tree::IsTable(old, level)) break;
        machine::StorePte(entry + run, 0);
      }
      batch.detached_ = tree_.Shrink(at, level, run, batch.detached_);
      const bool table_gone = batch.detached_.level != level;
      machine::DsbIshst();
      for (unsigned i = 0; i < run; ++i) {
        tlb::InvalidateHypVa(HypVa(at + (uint64_t{i} << Tree::Shift(level))),
                             false);
      }
      // One address under the unlinked tables finds every walk-cache entry for
      // them.
      if (table_gone) tlb::InvalidateHypVa(HypVa(at), true);
      at += uint64_t{run} << Tree::Shift(level);
    }
  }

  // Where the last-level entry for `va` is, for a slot that is rewritten in
  // place (the fixmap): null if there is no last-level table. What it points to
  // stays valid as long as the entry, or another of its table, is not zero.
  uint64_t* LeafEntry(HypVa va) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    HOLDFAST_CHECK(va.value() < limit_);
    Spot spot;
    tree_.Walk(va.value(), spot);
    return spot.level == Tree::kPages ? spot.entry : nullptr;
  }

 private:
  friend class HypTlbBatch<G>;
  friend struct HypTableTestPeer;

  void CheckRange(HypVa va, uint64_t size) const {
    HOLDFAST_CHECK(InRange(va, size));
    HOLDFAST_CHECK(((va.value() | size) & (G::kPageSize - 1)) == 0);
  }
  // The first level whose blocks two addresses that differ by these bits can
  // share.
  static int LargestCongruent(uint64_t difference) {
    int level = 1;
    while (level < Tree::kPages &&
           (!Tree::BlockAllowed(level) ||
            (difference & (Tree::Size(level) - 1)) != 0)) {
      ++level;
    }
    return level;
  }

  // Maps entries from `spot` on, at most `run`; stops before one that links a
  // table.
  unsigned MapRun(const Spot& spot, uint64_t value, uint64_t step,
                  unsigned run) {
    uint64_t* const entry = spot.entry;
    int added = 0;
    unsigned i = 0;
    for (; i < run; ++i, value += step) {
      const uint64_t old = machine::LoadPte(entry + i);
      if (old == 0) {
        machine::PublishPte(entry + i, value);
        ++added;
        continue;
      }
      if (Tree::IsTable(old, spot.level)) break;
      HOLDFAST_CHECK(((old ^ value) & ~Pte<G>::kSoftwareMask) == 0);
      machine::StorePte(entry + i, value);
    }
    if (added != 0) Tree::AddCount(spot, added);
    return i;
  }

  Tree tree_;
  uint64_t limit_ = 0;
  PhysAddr root_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_HYP_TABLE_H_
