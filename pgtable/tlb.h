// SPDX-License-Identifier: Apache-2.0
//
// TLB maintenance: the one place above the machine that says TLBI and DSB. The
// sequences (namespace tlb), the batches that collect what a change of a table
// owes, and the receipt that completing a batch gives.
//
// The rule they keep: a page may go to a new owner only when no CPU can use the
// old translation any more. A change of a table is made under its lock, through
// an open batch; the lock cannot be released before the batch is complete;
// completing gives a FlushReceipt, and whoever hands a page over takes one.
// Table pages that a change unlinked belong to the batch until then, since a
// stale walker may still read them.
//
// Sources: Arm ARM DDI 0487 D8.17 (TLB maintenance; break-before-make D8.17.1),
// B2.7 (DSB). Must not know: who owns pages, or why.
#ifndef HOLDFAST_PGTABLE_TLB_H_
#define HOLDFAST_PGTABLE_TLB_H_

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/check.h"
#include "base/machine.h"
#include "base/spinlock.h"
#include "base/stage2_context.h"
#include "pgtable/geometry.h"
#include "pgtable/pool.h"
#include "pgtable/walker.h"

namespace holdfast::pgtable {

template <class G>
class Stage2;
template <class G>
class HypTable;
template <class G>
class TlbBatch;
template <class G>
class HypTlbBatch;

namespace tlb {

// Above this many pages a range is flushed as the whole VMID: range operations
// cost a machine in proportion, and one that large leaves little of the VMID's
// entries.
inline constexpr uint64_t kWholeVmidPages = 2 * machine::kMaxRangeTlbiPages;

inline constexpr Level kAnyLevel{-1};

// Every broadcast TLBI is completed by a DSB. CPUs with an erratum need both
// twice (machine::TlbiNeedsRepeat()): those take the slow forms.
template <class Operation>
inline void BroadcastTwice(Operation operation) {
  operation();
  machine::DsbIsh();
  operation();
  machine::DsbIsh();
}
template <class Operation>
[[gnu::always_inline]] inline void Broadcast(Operation operation) {
  if (machine::TlbiNeedsRepeat()) [[unlikely]] {
    BroadcastTwice(operation);
    return;
  }
  operation();
  machine::DsbIsh();
}

// All below: any CPU, any lock; on return no CPU uses what was invalidated, and
// all stores made before have been observed by table walkers.

// Stage 1 after stage 2 is complete, or a combined entry could be made again
// from the old stage 2 (D8.17.5). Context entered.
inline void FinishStage2() {
  Broadcast([] { machine::TlbiVmalle1is(); });
  machine::Isb();
  machine::LeaveStage2Context();
}

[[gnu::noinline]] inline void InvalidateIpaTwice(const Stage2Context& context,
                                                 Ipa ipa, Level level) {
  machine::DsbIshst();
  machine::EnterStage2Context(context);
  Broadcast([&] { machine::TlbiIpas2e1is(ipa, level); });
  FinishStage2();
}

// The leaf of `context`'s VMID that translates `ipa`: a leaf of `level`, or of
// any level (and tables on the way too) for kAnyLevel.
[[gnu::always_inline]] inline void InvalidateIpa(const Stage2Context& context,
                                                 Ipa ipa, Level level) {
  if (machine::TlbiNeedsRepeat()) [[unlikely]] {
    InvalidateIpaTwice(context, ipa, level);
    return;
  }
  machine::DsbIshst();
  machine::EnterStage2Context(context);
  machine::TlbiIpas2e1is(ipa, level);
  machine::DsbIsh();
  machine::TlbiVmalle1is();
  machine::DsbIsh();
  machine::Isb();
  machine::LeaveStage2Context();
}

// The leaf of `level` that translates `ipa`, on this CPU only: for a leaf that
// now allows more. Other CPUs that hold the old one fault, and get here too.
inline void InvalidateIpaLocal(const Stage2Context& context, Ipa ipa,
                               Level level) {
  machine::DsbIshst();
  machine::EnterStage2Context(context);
  machine::TlbiIpas2e1(ipa, level);
  machine::DsbNsh();
  machine::TlbiVmalle1();
  machine::DsbNsh();
  machine::Isb();
  machine::LeaveStage2Context();
}

// Everything of `context`'s VMID, both stages, walk caches too.
inline void InvalidateVmid(const Stage2Context& context) {
  machine::DsbIshst();
  machine::EnterStage2Context(context);
  Broadcast([] { machine::TlbiVmalls12e1is(); });
  machine::Isb();
  machine::LeaveStage2Context();
}

// Leaves of any level, and tables, of [start, start + size); whole pages.
template <class G>
inline void InvalidateRange(const Stage2Context& context, Ipa start,
                            uint64_t size) {
  if (!machine::HasRangeTlbi() || size >> G::kPageShift > kWholeVmidPages) {
    InvalidateVmid(context);
    return;
  }
  constexpr uint64_t kChunk = machine::kMaxRangeTlbiPages << G::kPageShift;
  machine::DsbIshst();
  machine::EnterStage2Context(context);
  Broadcast([&] {
    for (uint64_t done = 0; done < size; done += kChunk) {
      machine::TlbiRipas2e1is(start + done,
                              size - done < kChunk ? size - done : kChunk);
    }
  });
  FinishStage2();
}

// Everything of every VMID.
inline void InvalidateAllVmids() {
  machine::DsbIsh();
  Broadcast([] { machine::TlbiAlle1is(); });
}

// What this CPU alone may hold of `context`'s VMID, instructions too: for a
// vCPU that comes to a CPU where another of its VM ran last.
inline void InvalidateCpuContext(const Stage2Context& context) {
  machine::DsbNsh();
  machine::EnterStage2Context(context);
  machine::TlbiVmalle1();
  machine::IcIallu();
  machine::DsbNsh();
  machine::Isb();
  machine::LeaveStage2Context();
}

// EL2's own leaf for the page of `va`, or, with `tables`, the walk caches too.
// Completed by CompleteHyp(); stores before it by the caller's DsbIshst().
inline void InvalidateHypVa(HypVa va, bool tables) {
  const auto operation = [&] {
    if (tables) {
      machine::TlbiVae2is(va);
    } else {
      machine::TlbiVale2is(va);
    }
  };
  operation();
  if (machine::TlbiNeedsRepeat()) [[unlikely]] {
    machine::DsbIsh();
    operation();
  }
}
inline void CompleteHyp() {
  machine::DsbIsh();
  machine::Isb();
}
// After new EL2 leaves: walkers see them, and so does this CPU's next access.
inline void PublishHyp() {
  machine::DsbIshst();
  machine::Isb();
}

}  // namespace tlb

// Proof that a batch was completed: no CPU can still use a translation of the
// range from before the batch. Made only by Complete(), moved but never copied,
// and consumed (by rvalue) by those who hand a page over. A moved-from one
// covers nothing.
class [[nodiscard]] FlushReceipt {
 public:
  FlushReceipt(FlushReceipt&& other) noexcept
      : start_(other.start_),
        end_(other.end_),
        vmid_(other.vmid_),
        hyp_(other.hyp_) {
    other.Clear();
  }
  FlushReceipt& operator=(FlushReceipt&& other) noexcept {
    if (this != &other) {
      start_ = other.start_;
      end_ = other.end_;
      vmid_ = other.vmid_;
      hyp_ = other.hyp_;
      other.Clear();
    }
    return *this;
  }
  FlushReceipt(const FlushReceipt&) = delete;
  FlushReceipt& operator=(const FlushReceipt&) = delete;

  // Whether all of [ipa, ipa + size) of that VMID is proved. Never for size 0.
  bool Covers(Vmid vmid, Ipa ipa, uint64_t size) const {
    return !hyp_ && vmid == vmid_ && CoversBytes(ipa.value(), size);
  }
  // The same for EL2's own addresses.
  bool CoversHyp(HypVa va, uint64_t size) const {
    return hyp_ && CoversBytes(va.value(), size);
  }
  // Splits off what is proved of the first `size` bytes (no more than there
  // are: CHECKed); the rest stays here.
  FlushReceipt TakeFront(uint64_t size) {
    HOLDFAST_CHECK(size <= end_ - start_);
    FlushReceipt front(start_, start_ + size, vmid_, hyp_);
    start_ += size;
    return front;
  }

 private:
  template <class G>
  friend class TlbBatch;
  template <class G>
  friend class HypTlbBatch;

  FlushReceipt(uint64_t start, uint64_t end, Vmid vmid, bool hyp)
      : start_(start), end_(end), vmid_(vmid), hyp_(hyp) {}
  void Clear() { start_ = end_ = 0; }
  bool CoversBytes(uint64_t at, uint64_t size) const {
    return size != 0 && at >= start_ && at < end_ && size <= end_ - at;
  }

  uint64_t start_;
  uint64_t end_;
  Vmid vmid_;
  bool hyp_;
};

// What changes of one stage-2 table owe the TLBs. Lives on the stack, under the
// table's lock, from the first change to Complete().
//
// It keeps one range. If it touches ranges that do not adjoin, the range spans
// the gap between them and all of it is invalidated.
//
// Its methods are inline and its address goes to no function, so that for one
// page a batch is a few registers.
template <class G>
class TlbBatch {
 public:
  // Holds `table`'s lock until completed.
  [[gnu::always_inline]] explicit TlbBatch(Stage2<G>& table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock)
      : table_(table) {
    table.lock.BatchOpened();
  }
  TlbBatch(const TlbBatch&) = delete;
  TlbBatch& operator=(const TlbBatch&) = delete;
  // Completed, or the machine ends: what it owes must not be forgotten.
  [[gnu::always_inline]] ~TlbBatch() { HOLDFAST_CHECK(!open_); }

  // Once (CHECKed), with the table's lock held (it cannot have been released:
  // Unlock refuses that while the batch is open). On return every store of the
  // batch has been observed by walkers, no CPU uses what was removed, and table
  // pages that were unlinked are zeroed and in the table's stock. The receipt
  // covers all that was touched.
  [[gnu::always_inline]] FlushReceipt Complete()
      ABSL_NO_THREAD_SAFETY_ANALYSIS {
    HOLDFAST_CHECK(open_);
    if (gap_) [[unlikely]] {
      Owe(touched_start_, touched_end_, kMixedLevels);
    }
    if (owed_ != Owed::kNothing) {
      FlushOwed();
    } else if (touched_end_ != 0) {
      machine::DsbIshst();
    }
    if (detached_.pages != 0) [[unlikely]] {
      Tree::Return(detached_, table_.stock);
    }
    table_.lock.BatchClosed();
    open_ = false;
    return FlushReceipt(touched_start_, touched_end_, table_.context().vmid,
                        false);
  }

 private:
  friend class Stage2<G>;
  using Tree = internal::Tree<G>;
  static constexpr int kMixedLevels = -1;
  enum class Owed : uint8_t { kNothing, kPage, kRange };

  // [start, end) was changed (or seen to be as wanted).
  [[gnu::always_inline]] void Touch(uint64_t start, uint64_t end) {
    if (touched_end_ == 0) {
      touched_start_ = start;
      touched_end_ = end;
      return;
    }
    if (start > touched_end_ || end < touched_start_) gap_ = true;
    if (start < touched_start_) touched_start_ = start;
    if (end > touched_end_) touched_end_ = end;
  }
  // The valid page at `at` was removed.
  [[gnu::always_inline]] void OwePage(uint64_t at) {
    if (owed_ == Owed::kNothing) [[likely]] {
      owed_ = Owed::kPage;
      owed_start_ = at;
      return;
    }
    Owe(at, at + G::kPageSize, Tree::kPages);
  }
  // Valid leaves of `level` (or tables: kMixedLevels) in [start, end) were
  // removed.
  [[gnu::always_inline]] void Owe(uint64_t start, uint64_t end, int level) {
    if (owed_ == Owed::kNothing) {
      owed_start_ = start;
      owed_end_ = end;
      owed_level_ = level;
    } else {
      if (owed_ == Owed::kPage) {
        owed_end_ = owed_start_ + G::kPageSize;
        owed_level_ = Tree::kPages;
      }
      if (start < owed_start_) owed_start_ = start;
      if (end > owed_end_) owed_end_ = end;
      if (level != owed_level_) owed_level_ = kMixedLevels;
    }
    owed_ = Owed::kRange;
  }
  // An entry in [start, end) is about to become valid. If one that was valid
  // there has just been removed by this batch, that removal must be complete
  // first, or two translations of one address could live at once
  // (break-before-make, D8.17.1).
  [[gnu::always_inline]] void BeforeMake(uint64_t start, uint64_t end) {
    if (owed_ == Owed::kNothing) [[likely]] {
      return;
    }
    const uint64_t owed_end =
        owed_ == Owed::kPage ? owed_start_ + G::kPageSize : owed_end_;
    if (start < owed_end && end > owed_start_) {
      FlushOwed();
      owed_ = Owed::kNothing;
    }
  }
  [[gnu::always_inline]] void FlushOwed() const {
    if (owed_ == Owed::kPage) [[likely]] {
      tlb::InvalidateIpa(table_.context(), Ipa(owed_start_), kPageLevel);
    } else {
      FlushMany(table_.context(), owed_start_, owed_end_ - owed_start_,
                owed_level_);
    }
  }
  // Leaves of `level`, or tables too: kMixedLevels.
  [[gnu::noinline]] static void FlushMany(const Stage2Context& context,
                                          uint64_t start, uint64_t size,
                                          int level) {
    if (level != kMixedLevels && size == Tree::Size(level)) {
      tlb::InvalidateIpa(context, Ipa(start),
                         Level(static_cast<int8_t>(level)));
    } else {
      tlb::InvalidateRange<G>(context, Ipa(start), size);
    }
  }
  void Detach(PhysAddr page, bool dirty) {
    detached_ = Tree::Detach(detached_, page, dirty);
  }

  Stage2<G>& table_;
  // An end of 0: nothing. (No range ends at 0.)
  uint64_t touched_start_ = 0;
  uint64_t touched_end_ = 0;
  // What must be invalidated: nothing, the page at owed_start_, or the range.
  Owed owed_ = Owed::kNothing;
  uint64_t owed_start_ = 0;
  uint64_t owed_end_ = 0;
  int owed_level_ = kMixedLevels;
  bool gap_ = false;
  bool open_ = true;
  typename Tree::Chain detached_;
};

// The same for EL2's own table. TLBIs are issued as entries go (they are by
// page, so nothing is gained by waiting); Complete() waits for them. One
// contiguous range a batch: the receipt does not cover what did not adjoin the
// first.
template <class G>
class HypTlbBatch {
 public:
  explicit HypTlbBatch(HypTable<G>& table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock)
      : table_(table) {
    table.lock.BatchOpened();
  }
  HypTlbBatch(const HypTlbBatch&) = delete;
  HypTlbBatch& operator=(const HypTlbBatch&) = delete;
  ~HypTlbBatch() { HOLDFAST_CHECK(!open_); }

  // As TlbBatch::Complete.
  FlushReceipt Complete() {
    HOLDFAST_CHECK(open_);
    table_.lock.AssertHeld();
    if (end_ != 0) tlb::CompleteHyp();
    if (detached_.pages != 0) Tree::Return(detached_, table_.stock);
    table_.lock.BatchClosed();
    open_ = false;
    return FlushReceipt(start_, end_, Vmid(0), true);
  }

 private:
  friend class HypTable<G>;
  using Tree = internal::Tree<G>;

  void Touch(uint64_t start, uint64_t end) {
    if (end_ == 0) {
      start_ = start;
      end_ = end;
    } else if (start <= end_ && end >= start_) {
      if (start < start_) start_ = start;
      if (end > end_) end_ = end;
    }
  }
  HypTable<G>& table_;
  uint64_t start_ = 0;
  uint64_t end_ = 0;
  bool open_ = true;
  typename Tree::Chain detached_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_TLB_H_
