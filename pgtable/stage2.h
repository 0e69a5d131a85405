// SPDX-License-Identifier: Apache-2.0
//
// A stage-2 table: the host's or one guest's. It holds leaves (blocks and
// pages) and annotations, keeps the counts of its tables, and owes the TLBs
// through a TlbBatch. It must not know who owns a page, what a VM is, or what
// an annotation means beyond that the gfn of a donation counts up with the
// page.
//
// Validate, plan, commit: Find() and TablesNeeded() look; stock.Reserve()
// plans; the commits below cannot fail and return nothing. Everything is done
// under `lock`; a Cursor, and what was read from the table, is worth nothing
// after its release.
//
// clang-format off
//   SpinlockHolder hold(table.lock);
//   HOLDFAST_TRY_ASSIGN(auto cursor, table.Find(ipa));
//   HOLDFAST_TRY_ASSIGN(auto pages,
//                       table.stock.Reserve(cursor.tables_missing()));
//   TlbBatch<G> batch(table);
//   table.AnnotateAt(cursor, annotation, pages, batch);
//   FlushReceipt receipt = batch.Complete();
// clang-format on
//
// Walkers in hardware run beside all of this. So (Arm ARM DDI 0487 D8.17.1):
// clang-format off
//   invalid -> valid    one store-release; a table is linked after it is filled
//   valid -> invalid    one store; the batch invalidates before the lock is
//                       released
//   valid -> valid      break (0), invalidate, make - unless only software bits
//                       or counts differ, which hardware ignores: one plain
//                       store
//   invalid -> invalid  one store
// clang-format on
// No LOCKED mark is stored in between: all who look at a table hold its lock.
//
// Unless a line says otherwise: addresses and sizes are in bytes and must be
// page aligned and in range, tables must be reserved, and a cursor or batch
// must be this table's; all CHECKed, since callers validate first. Size 0 does
// nothing.
#ifndef HOLDFAST_PGTABLE_STAGE2_H_
#define HOLDFAST_PGTABLE_STAGE2_H_

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/check.h"
#include "base/cpu_features.h"
#include "base/machine.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "base/stage2_context.h"
#include "pgtable/annotation.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"
#include "pgtable/pool.h"
#include "pgtable/pte.h"
#include "pgtable/tlb.h"
#include "pgtable/walker.h"

namespace holdfast::pgtable {

template <class G>
class Stage2 {
  using Tree = internal::Tree<G>;
  using Spot = typename Tree::Spot;

 public:
  using Reservation = typename PagePool<G>::Reservation;

  // Where a look-up ended, with what a commit needs. Valid while the table's
  // lock is held and nothing but commits through this cursor changed the table.
  class Cursor {
   public:
    // The page asked for (aligned down to a page).
    Ipa ipa() const { return Ipa(ipa_); }
    // The entry that translates it, and its level. Not a table.
    Pte<G> pte() const { return Pte<G>(spot_.raw); }
    Level level() const { return Level(static_cast<int8_t>(spot_.level)); }
    PteKind kind() const { return pte().kind(level()); }
    // Tables to be added before this page can have an entry of its own: those
    // not there yet, and those that splitting a block takes.
    uint32_t tables_missing() const {
      return static_cast<uint32_t>(Tree::kPages - spot_.level);
    }

   private:
    friend class Stage2;
    Cursor(const Stage2* table, uint64_t ipa) : table_(table), ipa_(ipa) {}

    Spot spot_;
    const Stage2* table_;
    uint64_t ipa_;
  };

  struct LeafAt {
    Ipa ipa;  // where the leaf starts
    Pte<G> pte;
    Level level;
  };

  explicit Stage2(LockRank rank) : lock(rank) {}
  Stage2(const Stage2&) = delete;
  Stage2& operator=(const Stage2&) = delete;

  Spinlock lock;
  // Zeroed pages for this table's tables.
  PagePool<G> stock ABSL_GUARDED_BY(lock);

  // Makes an empty table of `shape` for `vmid`, with the shape.root_pages pages
  // at `root`: zero and aligned to their size, both CHECKed. Before anyone else
  // knows the object; no lock.
  void Init(Vmid vmid, const Stage2Shape& shape, const CpuFeatures& cpu,
            PhysAddr root) {
    const uint64_t bytes = shape.root_pages * G::kPageSize;
    HOLDFAST_CHECK(root.IsAligned(bytes));
    shape_ = shape;
    context_ = Stage2Context{vmid, root, Vtcr<G>(shape, cpu)};
    limit_ = uint64_t{1} << shape.ipa_bits;
    tree_.Init(root, shape.start.value());
    for (uint64_t i = 0; i < bytes / sizeof(uint64_t); ++i)
      HOLDFAST_CHECK(tree_.root()[i] == 0);
    for (uint64_t done = 0; done < bytes; done += G::kPageSize)
      machine::OnTablePage(root + done);
    machine::OnStage2Created(context_, &lock);
  }

  // The end of the table: invalidates everything of its VMID, so that the VMID
  // and the root's pages may be used again. No CPU may have the context loaded,
  // nor run any other method. What the table still links is lost: Unmap and
  // Prune first.
  void Retire() {
    tlb::InvalidateVmid(context_);
    machine::OnStage2Destroyed(context_);
  }

  // Constant between Init and Retire; no lock.
  const Stage2Context& context() const { return context_; }
  const Stage2Shape& shape() const { return shape_; }
  // Whether all of [ipa, ipa + size) can be translated. For any numbers; no
  // lock.
  bool InRange(Ipa ipa, uint64_t size) const {
    return size <= limit_ && ipa.value() <= limit_ - size;
  }

  // ---- Look ----------------------------------------------------------------

  // The entry that translates the page of `ipa` (any byte of it). ERANGE:
  // beyond the input size.
  [[gnu::always_inline]] Result<Cursor> Find(Ipa ipa) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    if (ipa.value() >= limit_) [[unlikely]] {
      return Error(Errno::kErange);
    }
    Cursor cursor(this, ipa.value() & ~(G::kPageSize - 1));
    tree_.Walk(cursor.ipa_, cursor.spot_);
    return cursor;
  }

  // Tables to be added so that all of the range can hold leaves of
  // `largest_leaf` (or of a page where that does not fit), whatever is there
  // now. For a largest leaf above a page, output addresses must be aligned as
  // input addresses are. Work: per table, not per page.
  uint32_t TablesNeeded(Ipa ipa, uint64_t size,
                        Level largest_leaf = kPageLevel) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    return static_cast<uint32_t>(tree_.TablesNeeded(
        ipa.value(), ipa.value() + size, largest_leaf.value()));
  }

  // The first valid leaf that ends after `from`, skipping holes a table at a
  // time. Looks into at most `budget_tables` tables (at least one). `*reached`
  // is where to go on: after the leaf; if there is none, the end of the input
  // range; if the budget ran out, what was not looked at yet. `from` may be any
  // number.
  std::optional<LeafAt> NextLeaf(Ipa from, uint32_t budget_tables,
                                 Ipa* reached) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    uint64_t at = from.value() & ~(G::kPageSize - 1);
    while (at < limit_) {
      Spot spot;
      tree_.Walk(at, spot);
      const int level = spot.level;
      const uint64_t* entry = spot.entry;
      const uint64_t end = RunEnd(at, level);
      at = Tree::AlignDown(at, level);
      for (uint64_t raw = spot.raw;;) {
        if ((raw & 1) != 0) {
          *reached = Ipa(at + Tree::Size(level));
          return LeafAt{Ipa(at), Pte<G>(raw),
                        Level(static_cast<int8_t>(level))};
        }
        at += Tree::Size(level);
        if (at >= end) break;
        raw = machine::LoadPte(++entry);
        if (Tree::IsTable(raw, level)) break;
      }
      if (budget_tables <= 1) break;
      --budget_tables;
    }
    *reached = Ipa(at < limit_ ? at : limit_);
    return std::nullopt;
  }

  // The entry of the i-th page after the cursor's. Both in one last-level table
  // (CHECKed).
  [[gnu::always_inline]] Pte<G> EntryAfter(const Cursor& cursor,
                                           uint64_t i) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    const Spot& spot = cursor.spot_;
    HOLDFAST_CHECK(spot.level == Tree::kPages &&
                   i < Tree::kEntries - Tree::Index(cursor.ipa_, spot.level));
    return Pte<G>(machine::LoadPte(spot.entry + i));
  }

  // ---- Commit: one page, at a cursor ---------------------------------------
  // A block (or a block's annotation) in the way of Map and Annotate is split:
  // the page gets its new entry, the rest says what it said.

  // Maps the cursor's page to `phys` (page aligned).
  [[gnu::always_inline]] void MapAt(Cursor& cursor, PhysAddr phys,
                                    Stage2Attr attr, Reservation& reservation,
                                    TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckOwn(cursor, batch);
    Spot& spot = cursor.spot_;
    const uint64_t ipa = cursor.ipa_;
    const uint64_t value = Pte<G>::Leaf(phys, kPageLevel, attr).raw();
    batch.Touch(ipa, ipa + G::kPageSize);
    if (spot.level != Tree::kPages) [[unlikely]] {
      BeforeGrow(spot, ipa, batch);
      spot = Grow(spot, ipa, Tree::kPages, value, 0, 1, reservation);
      return;
    }
    const uint64_t old = spot.raw;
    if ((old & 1) != 0) [[unlikely]] {
      Remake(spot.entry, old, value, ipa);
    } else {
      batch.BeforeMake(ipa, ipa + G::kPageSize);
      machine::PublishPte(spot.entry, value);
      if (old == 0) Tree::IncrementCount(spot);
    }
    spot.raw = value;
  }

  [[gnu::always_inline]] void AnnotateAt(Cursor& cursor, Annotation annotation,
                                         Reservation& reservation,
                                         TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckOwn(cursor, batch);
    Spot& spot = cursor.spot_;
    const uint64_t ipa = cursor.ipa_;
    const uint64_t value = annotation.raw();
    batch.Touch(ipa, ipa + G::kPageSize);
    if (spot.level != Tree::kPages) [[unlikely]] {
      BeforeGrow(spot, ipa, batch);
      spot = Grow(spot, ipa, Tree::kPages, value, 0, 1, reservation);
      return;
    }
    const uint64_t old = spot.raw;
    machine::StorePte(spot.entry, value);
    if (old == 0) {
      Tree::IncrementCount(spot);
    } else if ((old & 1) != 0) {
      batch.OwePage(ipa);
    }
    spot.raw = value;
  }

  // The block (or a block's annotation: CHECKed) at the cursor becomes pages
  // that say what it said; the cursor is at its page's entry then.
  void SplitAt(Cursor& cursor, Reservation& reservation, TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckOwn(cursor, batch);
    Spot& spot = cursor.spot_;
    HOLDFAST_CHECK(spot.level != Tree::kPages && spot.raw != 0);
    batch.Touch(cursor.ipa_, cursor.ipa_ + G::kPageSize);
    BeforeGrow(spot, cursor.ipa_, batch);
    spot = Grow(spot, cursor.ipa_, Tree::kPages, 0, 0, 0, reservation);
    spot.raw = machine::LoadPte(spot.entry);
  }

  // Removes the entry at the cursor, leaf or annotation: a block goes as a
  // whole. Tables that this leaves empty go too.
  [[gnu::always_inline]] void UnmapAt(Cursor& cursor, TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckOwn(cursor, batch);
    Spot& spot = cursor.spot_;
    const uint64_t old = spot.raw;
    const uint64_t ipa = cursor.ipa_;
    const int level = spot.level;
    if (level == Tree::kPages) [[likely]] {
      batch.Touch(ipa, ipa + G::kPageSize);
      if (old == 0) [[unlikely]] {
        return;
      }
      machine::StorePte(spot.entry, 0);
      if ((old & 1) != 0) [[likely]] {
        batch.OwePage(ipa);
      }
      spot.raw = 0;
      if (Tree::DecrementCount(spot)) [[likely]] {
        return;
      }
    } else {
      const uint64_t start = Tree::AlignDown(ipa, level);
      const uint64_t end = start + Tree::Size(level);
      batch.Touch(start, end);
      if (old == 0) return;
      machine::StorePte(spot.entry, 0);
      if ((old & 1) != 0) batch.Owe(start, end, level);
    }
    Emptied(level, 1, ipa, batch);
    tree_.Walk(ipa, spot);
  }

  // Sets the software bits of the valid leaf at the cursor (CHECKed). Hardware
  // ignores them: one plain store, no invalidation, no batch.
  void SetSoftwareAt(Cursor& cursor, unsigned two_bits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    HOLDFAST_CHECK(cursor.table_ == this && (cursor.spot_.raw & 1) != 0 &&
                   two_bits <= 3);
    cursor.spot_.raw = Pte<G>(cursor.spot_.raw).WithSoftware(two_bits).raw();
    machine::StorePte(cursor.spot_.entry, cursor.spot_.raw);
  }

  // ---- Commit: ranges ------------------------------------------------------

  // Maps the range to `phys` (page aligned) and up, with leaves no larger than
  // those of `largest_leaf` wherever alignment, what is left, and the granule
  // allow. Equal entries are left alone. A last-level table where a block fits
  // is replaced by it, whatever is in it; larger tables are filled. Blocks in
  // the way are split.
  void Map(Ipa ipa, PhysAddr phys, uint64_t size, Stage2Attr attr,
           Level largest_leaf, Reservation& reservation, TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    HOLDFAST_CHECK(phys.IsAligned(G::kPageSize));
    HOLDFAST_CHECK(&batch.table_ == this);
    if (size == 0) return;
    uint64_t at = ipa.value();
    const uint64_t end = at + size;
    uint64_t pa = phys.value();
    batch.Touch(at, end);
    while (at < end) {
      int level = LargestLeaf(at, pa, end - at, largest_leaf.value());
      Spot spot;
      tree_.Walk(at, spot);
      if (spot.level > level) [[unlikely]] {
        if (spot.level == Tree::kPages) {
          level = Tree::kPages - 1;
          ReplaceTable(spot, at, Leaf(pa, level, attr), batch);
          at += Tree::Size(level);
          pa += Tree::Size(level);
          continue;
        }
        level = spot.level;
      }
      unsigned run = Run(at, end - at, level);
      if constexpr (G::kPageShift == 16)
        run = BeforeHighAddress(pa, run, level);
      const uint64_t value = Leaf(pa, level, attr);
      const uint64_t step = Pte<G>::AddressStep(Tree::Size(level));
      if (spot.level < level) {
        BeforeGrow(spot, at, batch);
        Grow(spot, at, level, value, step, run, reservation);
      } else {
        run = MapRun(spot, at, value, step, run, batch);
      }
      at += uint64_t{run} << Tree::Shift(level);
      pa += uint64_t{run} << Tree::Shift(level);
    }
  }

  // Annotates the range: the i-th page gets annotation.At(i). With pages, or,
  // for a `largest` above a page, with one entry for a whole block where
  // alignment and the granule allow; that one says what its first page would
  // (and is expanded again by a change of a part). A last-level table where
  // such an entry fits goes away.
  void Annotate(Ipa ipa, uint64_t size, Annotation annotation,
                Reservation& reservation, TlbBatch<G>& batch,
                Level largest = kPageLevel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    HOLDFAST_CHECK(&batch.table_ == this);
    if (size == 0) return;
    // All of it must be sayable (the gfn's width), not only what is stored.
    static_cast<void>(annotation.At((size >> G::kPageShift) - 1));
    uint64_t at = ipa.value();
    const uint64_t end = at + size;
    uint64_t value = annotation.raw();
    const uint64_t page_step = Tree::StepOf(value, Tree::kPages);
    batch.Touch(at, end);
    while (at < end) {
      int level = LargestLeaf(at, 0, end - at, largest.value());
      Spot spot;
      tree_.Walk(at, spot);
      if (spot.level > level) [[unlikely]] {
        if (spot.level == Tree::kPages) {
          level = Tree::kPages - 1;
          ReplaceTable(spot, at, value, batch);
          at += Tree::Size(level);
          value += page_step << (Tree::Shift(level) - G::kPageShift);
          continue;
        }
        level = spot.level;
      }
      unsigned run = Run(at, end - at, level);
      const uint64_t step = page_step << (Tree::Shift(level) - G::kPageShift);
      if (spot.level < level) {
        BeforeGrow(spot, at, batch);
        Grow(spot, at, level, value, step, run, reservation);
      } else {
        run = AnnotateRun(spot, at, value, step, run, batch);
      }
      at += uint64_t{run} << Tree::Shift(level);
      value += step * run;
    }
  }

  // Removes every entry of the range, leaves and annotations, and the tables
  // that leaves empty. A block of which the range covers a part is removed
  // whole (whoever minds splits it first); so is a block's annotation.
  void Unmap(Ipa ipa, uint64_t size, TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    HOLDFAST_CHECK(&batch.table_ == this);
    if (size == 0) return;
    uint64_t at = ipa.value();
    const uint64_t end = at + size;
    batch.Touch(at, end);
    while (at < end) {
      Spot spot;
      tree_.Walk(at, spot);
      const int level = spot.level;
      const uint64_t first = Tree::AlignDown(at, level);
      if (level == Tree::kPages && Tree::Index(at, level) == 0 &&
          Tree::TableEnd(at, level) <= end) {
        // All of a last-level table: it goes as it is, and is zeroed when
        // walkers are out of it.
        DropTable(spot, at, batch);
        at = Tree::TableEnd(at, level);
        continue;
      }
      uint64_t* const entry = spot.entry;
      // An entry covered in part counts.
      const unsigned run =
          Run(first, end - first + Tree::Size(level) - 1, level);
      unsigned removed = 0;
      uint64_t seen = 0;
      unsigned i = 0;
      for (; i < run; ++i) {
        const uint64_t old = machine::LoadPte(entry + i);
        if (old == 0) continue;
        if (Tree::IsTable(old, level)) break;
        machine::StorePte(entry + i, 0);
        seen |= old;
        ++removed;
      }
      const uint64_t last = first + (uint64_t{i} << Tree::Shift(level));
      if ((seen & 1) != 0) {
        batch.Touch(first, last);  // more than the range, if a block was cut
        batch.Owe(first, last, level);
      }
      if (removed != 0) Emptied(level, removed, at, batch);
      at = last;
    }
  }

  // Sets the software bits of every leaf of the range. All of it must be
  // mapped, with no block partly covered (CHECKed). Plain stores, no
  // invalidation, no batch.
  void SetSoftware(Ipa ipa, uint64_t size, unsigned two_bits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    HOLDFAST_CHECK(two_bits <= 3);
    uint64_t at = ipa.value();
    const uint64_t end = at + size;
    while (at < end) {
      Spot spot;
      tree_.Walk(at, spot);
      const int level = spot.level;
      HOLDFAST_CHECK((at & (Tree::Size(level) - 1)) == 0);
      const unsigned run = Run(at, end - at, level);
      unsigned i = 0;
      for (; i < run; ++i) {
        const uint64_t raw = machine::LoadPte(spot.entry + i);
        if (Tree::IsTable(raw, level)) break;
        HOLDFAST_CHECK((raw & 1) != 0);
        machine::StorePte(spot.entry + i,
                          Pte<G>(raw).WithSoftware(two_bits).raw());
      }
      HOLDFAST_CHECK(i != 0);  // a block that the range covers in part
      at += uint64_t{i} << Tree::Shift(level);
    }
  }

  // ---- Rights and the access flag ------------------------------------------
  // These leave a leaf's memory as it is, so none needs break-before-make
  // (D8.17.1) or a batch: no page changes hands.

  // The valid leaf at the cursor (CHECKed) allows what `added` does, too. This
  // CPU sees it at once; another may fault once more.
  void AddRightsAt(Cursor& cursor, Stage2Attr added)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    HOLDFAST_CHECK(cursor.table_ == this && (cursor.spot_.raw & 1) != 0);
    const uint64_t raw = Pte<G>(cursor.spot_.raw).WithRights(added).raw();
    if (raw == cursor.spot_.raw) return;
    cursor.spot_.raw = raw;
    machine::StorePte(cursor.spot_.entry, raw);
    tlb::InvalidateIpaLocal(context_, cursor.ipa(), cursor.level());
  }

  // No leaf of the range can be written through any more, once the caller has
  // invalidated the VMID (tlb::InvalidateVmid): it may do so for many ranges at
  // once.
  void WriteProtect(Ipa ipa, uint64_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    VisitLeaves<Pte<G>::kValidBit | Pte<G>::kWritableBit>(
        ipa, size, [](uint64_t* entry, uint64_t raw) {
          machine::StorePte(entry, Pte<G>(raw).WithoutWrite().raw());
        });
    machine::DsbIshst();
  }

  // Whether a leaf of the range was accessed since its flag was cleared, as far
  // as the tables know: a translation that some TLB still holds sets no flag.
  bool TestAccessed(Ipa ipa, uint64_t size) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    bool accessed = false;
    VisitLeaves<Pte<G>::kValidBit | Pte<G>::kAccessBit>(
        ipa, size, [&](uint64_t*, uint64_t) { accessed = true; });
    return accessed;
  }
  // The same, and clears the flags.
  bool TestClearAccessed(Ipa ipa, uint64_t size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    bool accessed = false;
    VisitLeaves<Pte<G>::kValidBit | Pte<G>::kAccessBit>(
        ipa, size, [&](uint64_t* entry, uint64_t raw) {
          machine::StorePte(entry, Pte<G>(raw).WithAccessed(false).raw());
          accessed = true;
        });
    machine::DsbIshst();
    return accessed;
  }

  // Marks the valid leaf at the cursor (CHECKed) as accessed.
  void SetAccessedAt(Cursor& cursor) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    HOLDFAST_CHECK(cursor.table_ == this && (cursor.spot_.raw & 1) != 0);
    const uint64_t raw = Pte<G>(cursor.spot_.raw).WithAccessed(true).raw();
    if (raw == cursor.spot_.raw) return;
    cursor.spot_.raw = raw;
    machine::StorePte(cursor.spot_.entry, raw);
    machine::DsbIshst();
  }

  // ---- Teardown ------------------------------------------------------------

  // Drops annotations, and tables that hold no valid leaf, from `from` (any
  // number) on; a table with a valid leaf stays, with its valid leaves. Takes
  // one step of `*budget` for each table that it looks into and one for each
  // that goes, and stops when there are none left (it looks into one at least);
  // `*next` is where to go on, the end of the input range when all is done. The
  // tables go to the stock as the batch completes; how many is returned.
  uint32_t Prune(Ipa from, uint32_t* budget, Ipa* next, TlbBatch<G>& batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    HOLDFAST_CHECK(&batch.table_ == this);
    uint32_t freed = 0;
    uint32_t looked = 0;
    uint64_t at = from.value() & ~(G::kPageSize - 1);
    while (at < limit_) {
      Spot spot;
      tree_.Walk(at, spot);
      at = spot.level == Tree::kPages ? PruneLastLevel(spot, at, &freed, batch)
                                      : PruneUpper(spot, at, &freed, batch);
      ++looked;
      if (looked + freed >= *budget) break;
    }
    *budget -= looked + freed < *budget ? looked + freed : *budget;
    *next = Ipa(at < limit_ ? at : limit_);
    return freed;
  }

 private:
  friend class TlbBatch<G>;
  friend struct Stage2TestPeer;

  void CheckRange(Ipa ipa, uint64_t size) const {
    HOLDFAST_CHECK(InRange(ipa, size));
    HOLDFAST_CHECK(((ipa.value() | size) & (G::kPageSize - 1)) == 0);
  }
  void CheckOwn(const Cursor& cursor, const TlbBatch<G>& batch) const {
    HOLDFAST_CHECK(cursor.table_ == this && &batch.table_ == this);
  }

  static uint64_t Leaf(uint64_t pa, int level, Stage2Attr attr) {
    return Pte<G>::Leaf(PhysAddr(pa), Level(static_cast<int8_t>(level)), attr)
        .raw();
  }
  // The level of the largest leaf, no larger than `largest`, that fits at `at`.
  static int LargestLeaf(uint64_t at, uint64_t pa, uint64_t left, int largest) {
    for (int level = largest < 1 ? 1 : largest; level < Tree::kPages; ++level) {
      if (!Tree::BlockAllowed(level) || left < Tree::Size(level)) continue;
      if (((at | pa) & (Tree::Size(level) - 1)) == 0) return level;
    }
    return Tree::kPages;
  }
  // The entries that `bytes` from the start of the one of `at` cover whole, as
  // far as the page of the table goes.
  static unsigned Run(uint64_t at, uint64_t bytes, int level) {
    const uint64_t left = bytes >> Tree::Shift(level);
    const unsigned in_table = Tree::kEntries - Tree::Index(at, level);
    return left < in_table ? static_cast<unsigned>(left) : in_table;
  }
  // The end of what the table of `at` at `level` translates, in this input
  // range.
  uint64_t RunEnd(uint64_t at, int level) const {
    const uint64_t end = Tree::TableEnd(at, level);
    return end < limit_ ? end : limit_;
  }
  // Entries of a run whose addresses do not cross a multiple of 2^48, from
  // where the 64 KiB granule's descriptors go on elsewhere.
  static unsigned BeforeHighAddress(uint64_t pa, unsigned run, int level) {
    const uint64_t left =
        ((uint64_t{1} << 48) - (pa & ((uint64_t{1} << 48) - 1))) >>
        Tree::Shift(level);
    return left < run ? static_cast<unsigned>(left) : run;
  }

  // Calls visit(entry, raw) for each entry of the range that has all bits of
  // `mask`, the valid bit among them, and is no table: for the leaves that a
  // change of rights or age is about. A block that the range covers in part
  // counts.
  template <uint64_t mask, class Visit>
  [[gnu::always_inline]] void VisitLeaves(Ipa ipa, uint64_t size,
                                          Visit visit) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock) {
    CheckRange(ipa, size);
    uint64_t at = ipa.value();
    const uint64_t end = at + size;
    while (at < end) {
      Spot spot;
      tree_.Walk(at, spot);
      const int level = spot.level;
      const uint64_t first = Tree::AlignDown(at, level);
      const unsigned run =
          Run(first, end - first + Tree::Size(level) - 1, level);
      unsigned done = run;
      if (level == Tree::kPages) [[likely]] {
        uint64_t* const last = spot.entry + run;
#pragma clang loop unroll_count(4)
        for (uint64_t* entry = spot.entry; entry != last; ++entry) {
          const uint64_t raw = machine::LoadPte(entry);
          if ((raw & mask) == mask) visit(entry, raw);
        }
      } else {
        for (unsigned i = 0; i < run; ++i) {
          const uint64_t raw = machine::LoadPte(spot.entry + i);
          if (Tree::IsTable(raw, level)) {
            done = i;
            break;
          }
          if ((raw & mask) == mask) visit(spot.entry + i, raw);
        }
      }
      at = first + (uint64_t{done} << Tree::Shift(level));
    }
  }

  // To be called before Grow: a table is going to be linked at `spot`.
  [[gnu::always_inline]] static void BeforeGrow(const Spot& spot, uint64_t at,
                                                TlbBatch<G>& batch) {
    const uint64_t start = Tree::AlignDown(at, spot.level);
    batch.BeforeMake(start, start + Tree::Size(spot.level));
  }
  // Puts tables between the entry at `spot` and one for `at` at level `target`,
  // with `run` new entries there. Returns where the first of them is.
  [[gnu::noinline]] Spot Grow(const Spot spot, uint64_t at, int target,
                              uint64_t value, uint64_t step, unsigned run,
                              Reservation& reservation) {
    const auto built =
        Tree::Build(spot, at, target, value, step, run, reservation);
    if ((spot.raw & 1) != 0) {
      machine::StorePte(spot.entry, 0);
      TlbBatch<G>::FlushMany(context_, Tree::AlignDown(at, spot.level),
                             Tree::Size(spot.level), spot.level);
    }
    machine::PublishPte(spot.entry, built.link);
    if (spot.raw == 0) Tree::AddCount(spot, 1);
    return built.spot;
  }

  // `old`, a valid page, becomes `value`, one too.
  [[gnu::noinline]] void Remake(uint64_t* entry, uint64_t old, uint64_t value,
                                uint64_t at) const {
    if (old == value) return;
    if (((old ^ value) & ~Pte<G>::kSoftwareMask) == 0) {
      machine::StorePte(entry, value);
      return;
    }
    machine::StorePte(entry, 0);
    TlbBatch<G>::FlushMany(context_, at, G::kPageSize, Tree::kPages);
    machine::PublishPte(entry, value);
  }

  // Maps `run` entries from `spot` on; stops before one that links a table, and
  // says how many were done.
  unsigned MapRun(const Spot& spot, uint64_t at, uint64_t value, uint64_t step,
                  unsigned run, TlbBatch<G>& batch) {
    const int level = spot.level;
    uint64_t* const entry = spot.entry;
    batch.BeforeMake(at, at + (uint64_t{run} << Tree::Shift(level)));
    int added = 0;
    unsigned i = 0;
    for (; i < run; ++i, value += step) {
      const uint64_t old = machine::LoadPte(entry + i);
      if (old == 0) {
        machine::PublishPte(entry + i, value);
        ++added;
        continue;
      }
      if ((old & 1) == 0) {
        machine::PublishPte(entry + i, value);
        continue;
      }
      if (old == value) continue;
      if (Tree::IsTable(old, level)) break;
      if (((old ^ value) & ~Pte<G>::kSoftwareMask) == 0) {
        machine::StorePte(entry + i, value);
        continue;
      }
      // Breaks all that is in the way from here on, with one invalidation. They
      // are counted as added when they are made.
      added -= BreakRun(entry + i, at + (uint64_t{i} << Tree::Shift(level)),
                        level, value, step, run - i);
      machine::PublishPte(entry + i, value);
      ++added;
    }
    if (added != 0) Tree::AddCount(spot, added);
    return i;
  }

  [[gnu::noinline]] int BreakRun(uint64_t* entry, uint64_t at, int level,
                                 uint64_t value, uint64_t step,
                                 unsigned run) const {
    int broken = 0;
    unsigned i = 0;
    for (; i < run; ++i, value += step) {
      const uint64_t old = machine::LoadPte(entry + i);
      if (Tree::IsTable(old, level)) break;
      if ((old & 1) == 0 || ((old ^ value) & ~Pte<G>::kSoftwareMask) == 0)
        continue;
      machine::StorePte(entry + i, 0);
      ++broken;
    }
    TlbBatch<G>::FlushMany(context_, at, uint64_t{i} << Tree::Shift(level),
                           level);
    return broken;
  }

  unsigned AnnotateRun(const Spot& spot, uint64_t at, uint64_t value,
                       uint64_t step, unsigned run, TlbBatch<G>& batch) {
    const int level = spot.level;
    uint64_t* const entry = spot.entry;
    int added = 0;
    uint64_t seen = 0;
    unsigned i = 0;
    for (; i < run; ++i, value += step) {
      const uint64_t old = machine::LoadPte(entry + i);
      if (Tree::IsTable(old, level)) break;
      machine::StorePte(entry + i, value);
      seen |= old;
      added += old == 0;
    }
    if ((seen & 1) != 0) {
      batch.Owe(at, at + (uint64_t{i} << Tree::Shift(level)), level);
    }
    if (added != 0) Tree::AddCount(spot, added);
    return i;
  }

  // `value`, a leaf or an annotation, takes the place of the last-level table
  // that `spot` is in; `at` is that table's first page.
  void ReplaceTable(const Spot& spot, uint64_t at, uint64_t value,
                    TlbBatch<G>& batch) {
    constexpr int kLevel = Tree::kPages - 1;
    uint64_t* const entry = spot.parent;
    const PhysAddr table = Pte<G>(machine::LoadPte(entry)).address();
    if ((value & 1) != 0) {
      machine::StorePte(entry, 0);
      TlbBatch<G>::FlushMany(context_, at, Tree::Size(kLevel),
                             TlbBatch<G>::kMixedLevels);
      machine::PublishPte(entry, value);
    } else {
      machine::StorePte(entry, value);
      batch.Owe(at, at + Tree::Size(kLevel), TlbBatch<G>::kMixedLevels);
    }
    batch.Detach(table, /*dirty=*/true);
  }

  // Unlinks the last-level table that `spot` is in as it is. Returns how many
  // tables went, those above that it left empty included.
  uint32_t DropTable(const Spot& spot, uint64_t at, TlbBatch<G>& batch) {
    constexpr int kLevel = Tree::kPages - 1;
    const uint64_t start = Tree::AlignDown(at, kLevel);
    const PhysAddr table = Pte<G>(machine::LoadPte(spot.parent)).address();
    machine::StorePte(spot.parent, 0);
    batch.Owe(start, start + Tree::Size(kLevel), TlbBatch<G>::kMixedLevels);
    batch.Detach(table, /*dirty=*/true);
    return 1 + Emptied(kLevel, 1, at, batch);
  }

  // `removed` entries of the table of `at` at `level` became zero: counts, and
  // unlinks what is empty; returns how many tables. What a table spanned is
  // invalidated whole, for the walk caches.
  [[gnu::always_inline]] uint32_t Emptied(int level, unsigned removed,
                                          uint64_t at, TlbBatch<G>& batch) {
    batch.detached_ = tree_.Shrink(at, level, removed, batch.detached_);
    const int above = batch.detached_.level;
    if (above == level) return 0;
    const uint64_t start = Tree::AlignDown(at, above);
    batch.Owe(start, start + Tree::Size(above), TlbBatch<G>::kMixedLevels);
    return static_cast<uint32_t>(level - above);
  }

  // Prunes the last-level table of `at`; returns where it ends.
  uint64_t PruneLastLevel(const Spot& spot, uint64_t at, uint32_t* freed,
                          TlbBatch<G>& batch) {
    const uint64_t end = Tree::TableEnd(at, Tree::kPages);
    const uint64_t start = end - Tree::Size(Tree::kPages - 1);
    uint64_t* const table = spot.entry - Tree::Index(at, Tree::kPages);
    uint64_t seen = 0;
    for (unsigned i = 0; i < Tree::kEntries; i += 4) {
      seen |= machine::LoadPte(table + i) | machine::LoadPte(table + i + 1) |
              machine::LoadPte(table + i + 2) | machine::LoadPte(table + i + 3);
    }
    if ((seen & 1) == 0) {
      batch.Touch(start, end);
      *freed += DropTable(spot, at, batch);
      return end;
    }
    unsigned valid = 0;
    for (unsigned i = 0; i < Tree::kEntries; ++i) {
      valid += static_cast<unsigned>(machine::LoadPte(table + i) & 1);
    }
    const unsigned count = Pte<G>(machine::LoadPte(spot.parent)).count();
    if (valid == count) return end;
    for (unsigned i = 0; i < Tree::kEntries; ++i) {
      const uint64_t raw = machine::LoadPte(table + i);
      if (raw != 0 && (raw & 1) == 0) machine::StorePte(table + i, 0);
    }
    batch.Touch(start, end);
    Emptied(Tree::kPages, count - valid, at, batch);
    return end;
  }

  // Drops annotations among the entries above the last level from `spot` to the
  // next table; returns the address of that, or of where the entries end.
  uint64_t PruneUpper(const Spot& spot, uint64_t at, uint32_t* freed,
                      TlbBatch<G>& batch) {
    const int level = spot.level;
    const uint64_t end = RunEnd(at, level);
    const uint64_t start = Tree::AlignDown(at, level);
    uint64_t* entry = spot.entry;
    uint64_t next = start;
    unsigned removed = 0;
    for (uint64_t raw = spot.raw;;) {
      if (raw != 0 && (raw & 1) == 0) {
        machine::StorePte(entry, 0);
        ++removed;
      }
      next += Tree::Size(level);
      if (next >= end) break;
      raw = machine::LoadPte(++entry);
      if (Tree::IsTable(raw, level)) break;
    }
    if (removed != 0) {
      batch.Touch(start, next);
      *freed += Emptied(level, removed, at, batch);
    }
    return next;
  }

  Tree tree_;
  uint64_t limit_ = 0;  // 2^ipa_bits: the first address beyond the input range
  Stage2Context context_;
  Stage2Shape shape_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_STAGE2_H_
