// SPDX-License-Identifier: Apache-2.0
//
// The one walker, under both stages: from the root to the entry that translates
// an address, and the few moves on a path that every operation is made of.
// Internal to pgtable/: Stage2 and HypTable say what is allowed, lock, flush
// and decide.
//
// A walk is at most four loads and leaves behind what a commit needs, so that
// none walks again (but to unlink an empty table, which is one removal in
// hundreds). Range operations walk once for each table they touch and then run
// along its entries. It knows no TLB and no lock.
//
// Source: Arm ARM DDI 0487 D8.2 (walks), D8.3 (descriptors).
#ifndef HOLDFAST_PGTABLE_WALKER_H_
#define HOLDFAST_PGTABLE_WALKER_H_

#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "base/machine.h"
#include "pgtable/annotation.h"
#include "pgtable/geometry.h"
#include "pgtable/pool.h"
#include "pgtable/pte.h"

namespace holdfast::pgtable::internal {

// Levels are plain ints in here; Level is for those above.
template <class G>
class Tree {
 public:
  static constexpr int kPages = 3;
  static constexpr unsigned kEntries = G::kEntries;
  using Reservation = typename PagePool<G>::Reservation;

  static constexpr unsigned Shift(int level) {
    return G::Shift(Level(static_cast<int8_t>(level)));
  }
  static constexpr uint64_t Size(int level) {
    return uint64_t{1} << Shift(level);
  }
  static constexpr unsigned Index(uint64_t address, int level) {
    return static_cast<unsigned>(address >> Shift(level)) & (kEntries - 1);
  }
  static constexpr uint64_t AlignDown(uint64_t address, int level) {
    return address & ~(Size(level) - 1);
  }
  static constexpr bool BlockAllowed(int level) {
    return G::BlockAllowed(Level(static_cast<int8_t>(level)));
  }
  // Where the table that translates `address` at `level` stops translating.
  static constexpr uint64_t TableEnd(uint64_t address, int level) {
    return (address | (Size(level) * kEntries - 1)) + 1;
  }

  // Where a walk ended: at an entry of `level` that links no table.
  // (The level comes first: where a Result's error would be, it keeps compilers
  // from cutting a pointer in halves.)
  struct Spot {
    int level;
    uint64_t* entry;
    uint64_t* parent;  // the descriptor that links its table; null in the root
    uint64_t raw;      // the entry as it was read
  };

  // Table pages that were unlinked, chained through their first word (bit 0
  // clear: a stale walker reads an invalid entry). Bit 1 of a link: the page it
  // names is dirty, i.e. has more than zeroes and its link in it. A plain
  // value, handed in and out, so that a batch can live in registers.
  struct Chain {
    uint64_t head = 0;
    uint32_t pages = 0;
    // Of a chain returned by Shrink: the lowest level that is still linked.
    int32_t level = kPages;
  };
  static constexpr uint64_t kDirty = 2;

  static Chain Detach(Chain chain, PhysAddr page, bool dirty) {
    uint64_t* const first = static_cast<uint64_t*>(machine::PhysToVirt(page));
    machine::StorePte(first, chain.head);
    chain.head = page.value() | (dirty ? kDirty : uint64_t{0});
    ++chain.pages;
    return chain;
  }
  // Walkers are out of them: zeroes the pages and gives them to `stock`.
  [[gnu::noinline]] static void Return(Chain chain, PagePool<G>& stock) {
    while (chain.pages != 0) {
      const PhysAddr page(chain.head & ~kDirty);
      uint64_t* const words = static_cast<uint64_t*>(machine::PhysToVirt(page));
      const bool dirty = (chain.head & kDirty) != 0;
      chain.head = words[0];
      if (dirty) {
        Wipe(words);
      } else {
        words[0] = 0;
      }
      stock.Push(page);
      --chain.pages;
    }
  }
  // A loop and no call of memset, whose start-up costs more than a short page.
  [[clang::no_builtin("memset")]] static void Wipe(uint64_t* words) {
    for (unsigned i = 0; i < kEntries; ++i) words[i] = 0;
  }

  void Init(PhysAddr root, int start) {
    root_ = static_cast<uint64_t*>(machine::PhysToVirt(root));
    start_ = start;
    root_shift_ = Shift(start);
  }
  uint64_t* root() const { return root_; }
  int start() const { return start_; }

  // Below level 3, valid with bit 1 set.
  static bool IsTable(uint64_t raw, int level) {
    return level < kPages && HasTableBits(raw);
  }
  // (raw & 3) == 3, in one instruction less.
  static bool HasTableBits(uint64_t raw) { return ((raw + 1) & 3) == 0; }
  static uint64_t* TableOf(uint64_t raw) {
    return static_cast<uint64_t*>(machine::PhysToVirt(Pte<G>(raw).address()));
  }

  // `address` must be in the table's input range. Unrolled: every shift below
  // the root is a constant.
  [[gnu::always_inline]] void Walk(uint64_t address, Spot& spot) const {
    // The root's index has more bits than others' when root tables are
    // concatenated.
    uint64_t* entry = root_ + (address >> root_shift_);
    uint64_t* parent = nullptr;
    uint64_t raw;
    int level;
    // Most tables have four levels, and most look-ups end at the last.
    if (start_ != 0) goto level1;
    raw = machine::LoadPte(entry);
    if (!HasTableBits(raw)) [[unlikely]] {
      level = 0;
      goto done;
    }
    parent = entry;
    entry = TableOf(raw) + Index(address, 1);
    goto at_level1;
  level1:
    if (start_ != 1) goto level2;
  at_level1:
    raw = machine::LoadPte(entry);
    if (!HasTableBits(raw)) [[unlikely]] {
      level = 1;
      goto done;
    }
    parent = entry;
    entry = TableOf(raw) + Index(address, 2);
  level2:
    raw = machine::LoadPte(entry);
    if (!HasTableBits(raw)) [[unlikely]] {
      level = 2;
      goto done;
    }
    parent = entry;
    entry = TableOf(raw) + Index(address, 3);
    raw = machine::LoadPte(entry);
    level = 3;
  done:
    spot.entry = entry;
    spot.parent = parent;
    spot.raw = raw;
    spot.level = level;
  }

  // What to add to `raw`, a leaf or an annotation at `level`, for the next
  // entry.
  static uint64_t StepOf(uint64_t raw, int level) {
    if ((raw & 1) != 0) return Pte<G>::AddressStep(Size(level));
    if (raw == 0) return 0;
    const Annotation one = Annotation::FromRaw(raw);
    if (!one.OwnedByGuest()) return 0;
    // The gfn counts pages.
    return one.At(Size(level) >> G::kPageShift).raw() - raw;
  }

  // Makes the zeroed, unlinked table of `level` say what `above`, an entry of
  // the level above that it takes the place of, said: the pieces of a block, of
  // a block's annotation, or nothing. Returns how many entries are not zero.
  static unsigned Prefill(uint64_t* table, int level, uint64_t above) {
    if (above == 0) return 0;
    uint64_t value = above;
    if ((above & 1) != 0 && level == kPages) value |= Pte<G>::kTableBit;
    const uint64_t step = StepOf(value, level);
    for (unsigned i = 0; i < kEntries; ++i, value += step)
      machine::StorePte(table + i, value);
    return kEntries;
  }

  // Builds, unlinked, the tables that are missing between `spot` and an entry
  // for `address` at level `target` (below spot.level), and stores `value`,
  // `value` + `step`, ... in `run` entries from there; all else says what the
  // entry at `spot` said. Returns the descriptor that links it, not stored yet,
  // and where the new entry is. Takes target - spot.level pages of the
  // reservation.
  struct Built {
    uint64_t link;
    Spot spot;
  };
  static Built Build(const Spot& spot, uint64_t address, int target,
                     uint64_t value, uint64_t step, unsigned run,
                     Reservation& reservation) {
    uint64_t above = spot.raw;
    uint64_t link = 0;
    uint64_t* parent = nullptr;
    for (int level = spot.level + 1;; ++level) {
      const PhysAddr page = reservation.Take();
      uint64_t* const table = static_cast<uint64_t*>(machine::PhysToVirt(page));
      unsigned count = Prefill(table, level, above);
      uint64_t* const entry = table + Index(address, level);
      if (level < target) {
        above = machine::LoadPte(entry);
        if (count == 0) count = 1;  // the table that comes next
      } else {
        if (count == 0) count = run;
        uint64_t v = value;
        for (unsigned i = 0; i < run; ++i, v += step)
          machine::StorePte(entry + i, v);
      }
      const uint64_t descriptor = Pte<G>::Table(page, count).raw();
      if (parent == nullptr) {
        link = descriptor;
        parent = spot.entry;
      } else {
        machine::StorePte(parent, descriptor);
      }
      if (level == target) return {link, Spot{level, entry, parent, value}};
      parent = entry;
    }
  }

  // Adds `delta` to the count of the table that `spot` is in.
  static void AddCount(const Spot& spot, int delta) {
    if (spot.parent == nullptr) return;  // the root has none
    const Pte<G> old(machine::LoadPte(spot.parent));
    machine::StorePte(
        spot.parent,
        old.WithCount(old.count() + static_cast<unsigned>(delta)).raw());
  }
  // The same for +1 and -1, where most of the time the low field neither
  // overflows nor borrows. DecrementCount says no if the count would become 0,
  // and does nothing.
  [[gnu::always_inline]] static void IncrementCount(const Spot& spot) {
    constexpr uint64_t kLow = uint64_t{0x3F} << 2;
    if (spot.parent == nullptr) [[unlikely]]
      return;
    const uint64_t old = machine::LoadPte(spot.parent);
    if ((old & kLow) == kLow) [[unlikely]] {
      AddCount(spot, 1);
      return;
    }
    machine::StorePte(spot.parent, old + 4);
  }
  [[gnu::always_inline]] static bool DecrementCount(const Spot& spot) {
    constexpr uint64_t kLow = uint64_t{0x3F} << 2;
    if (spot.parent == nullptr) [[unlikely]]
      return true;
    const uint64_t old = machine::LoadPte(spot.parent);
    // 2..63 in the low field: what is left is neither 0 nor needs a borrow.
    if ((old & kLow) > 4) [[likely]] {
      machine::StorePte(spot.parent, old - 4);
      return true;
    }
    return DecrementSlow(spot.parent);
  }

  // `removed` entries of the table of `address` at `level` became zero. Counts,
  // and if the table is empty now unlinks it, and then those above that it
  // leaves empty. They are added to the chain, which says at which level the
  // unlinking ended. Seldom needed, so it walks again rather than have every
  // walk keep its whole path.
  [[gnu::noinline]] Chain Shrink(uint64_t address, int level, unsigned removed,
                                 Chain chain) const {
    uint64_t* path[5] = {};
    uint64_t* entry = root_ + (address >> root_shift_);
    for (int l = start_; l < level; ++l) {
      path[l + 1] = entry;
      entry = TableOf(machine::LoadPte(entry)) + Index(address, l + 1);
    }
    while (level != start_) {
      uint64_t* const descriptor = path[level];
      const Pte<G> old(machine::LoadPte(descriptor));
      const unsigned left = old.count() - removed;
      if (left != 0) {
        machine::StorePte(descriptor, old.WithCount(left).raw());
        break;
      }
      machine::StorePte(descriptor, 0);
      --level;
      chain = Detach(chain, old.address(), /*dirty=*/false);
      removed = 1;
    }
    chain.level = level;
    return chain;
  }

  // Tables to add so that [start, end) can hold leaves, none of them larger
  // than a level `largest` entry: where a leaf fits whole, no table is needed
  // below it.
  uint64_t TablesNeeded(uint64_t start, uint64_t end, int largest) const {
    uint64_t needed = 0;
    uint64_t at = start;
    while (at < end) {
      Spot spot;
      Walk(at, spot);
      if (spot.level == kPages) {
        at = TableEnd(at, kPages);
        continue;
      }
      const uint64_t* entry = spot.entry;
      do {
        uint64_t next = AlignDown(at, spot.level) + Size(spot.level);
        if (next > end) next = end;
        needed += TablesUnder(at, next, spot.level, largest);
        at = next;
        ++entry;
      } while (at < end && Index(at, spot.level) != 0 &&
               !IsTable(machine::LoadPte(entry), spot.level));
    }
    return needed;
  }

 private:
  [[gnu::noinline]] static bool DecrementSlow(uint64_t* descriptor) {
    const Pte<G> old(machine::LoadPte(descriptor));
    if (old.count() == 1) return false;
    machine::StorePte(descriptor, old.WithCount(old.count() - 1).raw());
    return true;
  }

  // The same for a part [lo, hi) of one entry at `level` that links no table.
  static uint64_t TablesUnder(uint64_t lo, uint64_t hi, int level,
                              int largest) {
    uint64_t needed = 0;
    for (int above = level; above < kPages; ++above) {
      const uint64_t first = lo >> Shift(above);
      const uint64_t last = (hi - 1) >> Shift(above);
      if (above >= largest && BlockAllowed(above)) {
        // Only what is covered in part: the first and the last.
        const bool head = (lo & (Size(above) - 1)) != 0;
        const bool tail = (hi & (Size(above) - 1)) != 0;
        needed +=
            first == last ? (head || tail) : unsigned{head} + unsigned{tail};
      } else {
        needed += last - first + 1;
      }
    }
    return needed;
  }

  uint64_t* root_ = nullptr;
  int start_ = 0;
  unsigned root_shift_ = 0;
};

}  // namespace holdfast::pgtable::internal

#endif  // HOLDFAST_PGTABLE_WALKER_H_
