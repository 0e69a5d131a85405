// SPDX-License-Identifier: Apache-2.0
//
// Between host and protected guest: donate, and reclaim once the VM is dying.
#include <array>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using GuestBatch = pgtable::TlbBatch<MemProtect::Granule>;

// Tables that NextLeaf may look through on behalf of one call: a table of holes
// costs as much as a few page steps.
constexpr uint32_t kHoleBudget = 8;

constexpr Level kBlockLevel{2};

}  // namespace

// The plan for a guest's tables. ENOMEM, and how many frames of stock are
// missing.
Status MemProtect::ReserveGuestTables(Vm& vm, uint32_t tables,
                                      Reservation* reservation,
                                      uint64_t* short_of) {
  Result<Reservation> reserved = vm.stage2.stock.Reserve(tables);
  if (!reserved.has_value()) {
    *short_of = tables - vm.stage2.stock.free();
    return Error(Errno::kEnomem);
  }
  *reservation = *std::move(reserved);
  return {};
}

// A block was just put into `table`, where its pages would have taken all of
// `tables`: what is left of them is its deposit. Or it took the place of a
// table of pages, which is in the stock now.
void MemProtect::Deposit(Stage2& table, Reservation& tables) {
  if (tables.remaining() == 0) tables = *table.stock.Reserve(1);
  table.stock.Deposit(tables);
}

// Part of the protected guest's block at the cursor is about to change hands:
// it becomes pages, on both sides, out of its deposit.
void MemProtect::SplitBlock(Vm& vm, Stage2::Cursor& at) {
  const PhysAddr block = at.pte().address();
  Reservation guest_table = vm.stage2.stock.Withdraw();
  GuestBatch guest_batch(vm.stage2);
  vm.stage2.SplitAt(at, guest_table, guest_batch);
  static_cast<void>(guest_batch.Complete());
  Reservation host_table = host_.stock.Withdraw();
  Stage2::Cursor host_at = *host_.Find(Ipa(block.value()));
  HostBatch host_batch(host_);
  host_.SplitAt(host_at, host_table, host_batch);
  static_cast<void>(host_batch.Complete());
}

// A protected guest's block went as a whole: nobody will have to split it.
void MemProtect::EndBlock(Vm& vm) {
  static_cast<void>(vm.stage2.stock.Withdraw());
  static_cast<void>(host_.stock.Withdraw());
}

// Commit: the guest's page or block at the cursor is nobody's.
Vacated MemProtect::TakeFromGuest(Vm& vm, Stage2::Cursor& at,
                                  const FrameRange& pages) {
  const Ipa ipa = at.ipa().AlignDown(pages.size());
  GuestBatch batch(vm.stage2);
  vm.stage2.UnmapAt(at, batch);
  vm.guest_pages -= pages.count;
  Note(EventKind::kGuestLeaf, Gfn::Of(ipa).value(), 0, vm.handle().value(),
       pages.count);
  return Vacated::ByGuest(pages, vm.stage2.context().vmid, ipa,
                          batch.Complete());
}

Result<uint64_t> MemProtect::DonateGuest(Vm& vm, uint64_t pfn, uint64_t gfn,
                                         uint64_t pages, uint64_t* short_of) {
  HOLDFAST_TRY_ASSIGN(const FrameRange frames, HostFrames(pfn, pages));
  const Result<Ipa> ipa = GuestRange(vm, gfn, pages);
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);

  // Validate.
  HOLDFAST_TRY_ASSIGN(
      Pages given, HostRun(frames.first, Chunk(gfn, pages), PageState::kOwned,
                           PageState::kNoPage));
  uint64_t& count = given.frames.count;
  HOLDFAST_TRY(ipa);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(*ipa));
  if (!GuestEntry::Of(at.pte(), at.level()).IsAbsent())
    return Error(Errno::kEperm);
  if (at.level() == kPageLevel) {
    uint64_t absent = 1;
    while (absent < count && vm.stage2.EntryAfter(at, absent).raw() == 0)
      ++absent;
    count = absent;
  }
  const bool block = at.level() != kPageLevel &&
                     IsBlock(given.frames.first.value(), count) &&
                     IsBlock(gfn, count);

  // Plan. A block takes what its pages would.
  Reservation guest_tables;
  HOLDFAST_TRY(
      ReserveGuestTables(vm, at.tables_missing(), &guest_tables, short_of));
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor host_at,
                      host_.Find(Ipa(given.frames.start().value())));
  const bool one_page = count == 1 && host_at.level() == kPageLevel;
  Reservation host_tables;
  if (!one_page) {
    HOLDFAST_TRY_ASSIGN(host_tables, ReserveHostTables({&given.frames, 1}));
  }

  // Commit.
  const auto owner =
      pgtable::Annotation::HostDonationToGuest(vm.handle(), Gfn(gfn));
  const Level level = block ? kBlockLevel : kPageLevel;
  const Vacated vacated = one_page
                              ? TakePageFromHost(host_at, given, owner)
                              : TakeFromHost(given, owner, host_tables, level);
  const FrameRange& gone = vacated.frames();
  // Always to PoC, FWB or not: a host alias of another cacheability could have
  // left memory and cache apart, and the guest would see either.
  machine::CleanInvalidateToPoc(gone.start(), gone.size());
  if (!features_.dic) machine::InvalidateICache(gone.start(), gone.size());
  // (A batch of one page is a few registers, if nothing else is done to it.)
  if (count == 1) {
    GuestBatch batch(vm.stage2);
    vm.stage2.MapAt(at, gone.start(), guest_memory_, guest_tables, batch);
    static_cast<void>(batch.Complete());
  } else {
    GuestBatch batch(vm.stage2);
    vm.stage2.Map(*ipa, gone.start(), gone.size(), guest_memory_, level,
                  guest_tables, batch);
    static_cast<void>(batch.Complete());
  }
  if (block) {
    Deposit(vm.stage2, guest_tables);
    Deposit(host_, host_tables);
  }
  vm.guest_pages += count;
  Note(EventKind::kGuestLeaf, gfn, gone.start().value(), vm.handle().value(),
       count);
  return count;
}

// What the host's records say of pages that a guest owned, or shared.
void MemProtect::CheckRecords(const FrameRange& frames, bool owned) {
  const Pages pages = PagesOf(frames);
  for (uint64_t i = 0; i < frames.count; ++i) {
    HOLDFAST_CHECK(pages.records[i].Is(
        owned ? PageState::kNoPage : PageState::kSharedBorrowed,
        PageState::kNoPage));
  }
}

// Commit: what a guest shared is the host's again, as it is. What it owned is
// nobody's until it is empty; which it becomes when the locks are dropped.
void MemProtect::GiveBack(Vacated vacated, PageState guest,
                          InTransit& transit) {
  const bool owned = guest == PageState::kOwned;
  const FrameRange frames = vacated.frames();
  CheckRecords(frames, owned);
  if (!owned) return GiveToHost(std::move(vacated));
  // It must not go on naming the guest, who may have another page there soon.
  // The entries are annotations of the same size, so no table is needed.
  Reservation none;
  HostBatch batch(host_);
  host_.Annotate(Ipa(frames.start().value()), frames.size(),
                 pgtable::Annotation::HostDonationToNobody(), none, batch,
                 kBlockPages != 0 ? kBlockLevel : kPageLevel);
  static_cast<void>(batch.Complete());
  transit.Add(std::move(vacated));
}

// Empties what is on its way, and gives it to the host. Nobody else can reach
// or ask for it meanwhile, so no lock is held for as long as that takes.
void MemProtect::Arrive(InTransit& transit) {
  if (transit.done()) return;
  for (size_t run = 0; run < transit.runs(); ++run) Scrub(transit.frames(run));
  SpinlockHolder hold(host_.lock);
  while (!transit.done()) GiveToHost(transit.Next());
}

// Takes the page leaves that a dying VM has in `pages` pages from `ipa` on, in
// one table, with one invalidation. Returns how far it came: to one that the
// guest only borrows, to the end, or to as many runs of frames that follow each
// other as there is room for. `*any`: it took one, or saw poison.
uint64_t MemProtect::ReclaimPages(Vm& vm, Ipa ipa, uint64_t pages, bool* any,
                                  InTransit& transit) {
  // (Plain numbers: nothing is spent on those not used.)
  struct Run {
    uint64_t gfn;
    uint64_t pfn;
    uint64_t pages;
    PageState state;

    FrameRange frames() const { return {Pfn(pfn), pages}; }
    Ipa ipa() const { return Gfn(gfn).address(); }
  };
  std::array<Run, InTransit::kMostRuns> runs;
  size_t count = 0;
  const Stage2::Cursor at = *vm.stage2.Find(ipa);
  uint64_t done = 0;
  for (; done < pages; ++done) {
    const GuestEntry entry =
        GuestEntry::Of(vm.stage2.EntryAfter(at, done), kPageLevel);
    const Result<GuestEntry::Mapped> mapped = entry.Leaf();
    if (!mapped.has_value()) {
      *any |= entry.IsPoisoned();
      continue;
    }
    if (mapped->state == PageState::kSharedBorrowed) break;
    const uint64_t gfn = Gfn::Of(ipa).value() + done;
    const uint64_t pfn = Pfn::Of(mapped->page).value();
    if (count != 0) {
      Run& last = runs[count - 1];
      if (mapped->state == last.state && gfn == last.gfn + last.pages &&
          pfn == last.pfn + last.pages) {
        ++last.pages;
        continue;
      }
    }
    if (count == runs.size()) break;
    runs[count++] = {gfn, pfn, 1, mapped->state};
  }
  if (count == 0) return done;

  *any = true;
  GuestBatch batch(vm.stage2);
  for (size_t r = 0; r < count; ++r) {
    vm.stage2.Unmap(runs[r].ipa(), runs[r].frames().size(), batch);
    vm.guest_pages -= runs[r].pages;
    Note(EventKind::kGuestLeaf, runs[r].gfn, 0, vm.handle().value(),
         runs[r].pages);
  }
  pgtable::FlushReceipt receipt = batch.Complete();
  Ipa flushed = runs[0].ipa();
  for (size_t r = 0; r < count; ++r) {
    const Ipa end = runs[r].ipa() + runs[r].frames().size();
    GiveBack(Vacated::ByGuest(runs[r].frames(), vm.stage2.context().vmid,
                              runs[r].ipa(), receipt.TakeFront(end - flushed)),
             runs[r].state, transit);
    flushed = end;
  }
  return done;
}

// One call's part of a dying VM; where to go on.
Status MemProtect::ReclaimSome(Vm& vm, Ipa ipa, uint64_t most, uint64_t* next,
                               InTransit& transit) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));

  // Something was there: a page, or poison, which is no error, for the host has
  // had the page since then.
  bool any = false;
  uint64_t done = most;
  const bool page = at.level() == kPageLevel;
  const GuestEntry entry = GuestEntry::Of(at.pte(), at.level());
  const Result<GuestEntry::Mapped> leaf = entry.Leaf();
  if (page && most > 1) {
    done = ReclaimPages(vm, ipa, most, &any, transit);
    // The guest borrows it: it is the host's already.
    if (!any && done < most) return Error(Errno::kEperm);
  } else if (!leaf.has_value()) {
    any = entry.IsPoisoned();
  } else if (leaf->state == PageState::kSharedBorrowed) {
    return Error(page ? Errno::kEperm : Errno::kE2big);
  } else if (page) {
    // Emptied under the locks: to take the host's a second time would cost as
    // much.
    any = true;
    const bool owned = leaf->state == PageState::kOwned;
    Vacated vacated = TakeFromGuest(vm, at, {Pfn::Of(leaf->page), 1});
    CheckRecords(vacated.frames(), owned);
    if (owned) Scrub(vacated.frames());
    GiveToHost(std::move(vacated));
  } else if (IsBlock(Gfn::Of(ipa).value(), most)) {
    any = true;
    GiveBack(TakeFromGuest(vm, at, {Pfn::Of(leaf->page), most}), leaf->state,
             transit);
    EndBlock(vm);
  } else {
    SplitBlock(vm, at);
    done = ReclaimPages(vm, ipa, most, &any, transit);
  }

  // Where to go on: the next leaf, or as far as this call may look for one.
  *next = kNoGfn;
  const Ipa after = ipa + (done << kPageShift);
  if (vm.guest_pages != 0 && vm.stage2.InRange(after, kPageSize)) {
    Ipa reached = after;
    if (auto leaf_there = vm.stage2.NextLeaf(after, kHoleBudget, &reached);
        leaf_there.has_value()) {
      *next = Gfn::Of(leaf_there->ipa).value();
    } else if (vm.stage2.InRange(reached, kPageSize)) {
      *next = Gfn::Of(reached).value();
    }
  }
  if (!any) return Error(Errno::kEnoent);
  return {};
}

Status MemProtect::ReclaimDying(Vm& vm, uint64_t gfn, uint64_t pages,
                                uint64_t* next) {
  if (pages == 0) return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, 1));
  InTransit transit;
  // (The input range ends where a table does.)
  const Status status = ReclaimSome(vm, ipa, Chunk(gfn, pages), next, transit);
  Arrive(transit);
  return status;
}

}  // namespace holdfast::mem_protect
