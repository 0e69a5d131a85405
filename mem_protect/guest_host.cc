// SPDX-License-Identifier: Apache-2.0
//
// Between protected guest and host: the guest lets the host use a page of its
// own, and ends that. It is the guest that decides; the host is not asked.
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {

// The run of frames that follow each other from the i-th page after the cursor
// on, `most` at most: of a block, or of page leaves.
FrameRange MemProtect::RunAt(const Vm& vm, const Stage2::Cursor& at, uint64_t i,
                             uint64_t most) {
  if (at.level() != kPageLevel) return {Pfn::Of(at.pte().address()), most};
  const PhysAddr start = vm.stage2.EntryAfter(at, i).address();
  FrameRange run{Pfn::Of(start), 1};
  while (run.count < most &&
         vm.stage2.EntryAfter(at, i + run.count).address() ==
             start + run.size())
    ++run.count;
  return run;
}

// How many of `pages` pages from the cursor on the guest has in the state that
// is wanted; the first one's error if it is not. A block that they are a part
// of is split.
Result<uint64_t> MemProtect::CheckGuestRun(Vm& vm, Stage2::Cursor& at,
                                           uint64_t pages, PageState want) {
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped leaf,
                      GuestEntry::Of(at.pte(), at.level()).Leaf());
  if (leaf.state != want) return Error(Errno::kEperm);
  if (leaf.level != kPageLevel) {
    if (!IsBlock(Gfn::Of(at.ipa()).value(), pages)) SplitBlock(vm, at);
    return pages;
  }
  uint64_t count = 1;
  for (; count < pages; ++count) {
    const Result<GuestEntry::Mapped> next =
        GuestEntry::Of(vm.stage2.EntryAfter(at, count), kPageLevel).Leaf();
    if (!next.has_value() || next->state != want) break;
  }
  return count;
}

// Only software bits of the guest's leaves: its translations stay.
void MemProtect::SetGuestState(Vm& vm, Stage2::Cursor& at, uint64_t pages,
                               PageState state) {
  if (pages == 1 || at.level() != kPageLevel) {
    vm.stage2.SetSoftwareAt(at, static_cast<unsigned>(state));
  } else {
    vm.stage2.SetSoftware(at.ipa(), pages << kPageShift,
                          static_cast<unsigned>(state));
  }
  Note(EventKind::kGuestLeaf, Gfn::Of(at.ipa()).value(), at.pte().raw(),
       vm.handle().value(), pages);
}

Result<uint64_t> MemProtect::GuestShareHost(Vm& vm, uint64_t ipa,
                                            uint64_t pages) {
  if (ipa % kPageSize != 0 || pages == 0) return Error(Errno::kEinval);
  const uint64_t gfn = ipa >> kPageShift;
  HOLDFAST_TRY_ASSIGN(const Ipa start, GuestRange(vm, gfn, pages));
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(start));
  HOLDFAST_TRY_ASSIGN(
      const uint64_t count,
      CheckGuestRun(vm, at, Chunk(gfn, pages), PageState::kOwned));

  // Commit. The host's entries are annotations, so they need no table.
  SetGuestState(vm, at, count, PageState::kSharedOwned);
  for (uint64_t i = 0; i < count;) {
    const FrameRange run = RunAt(vm, at, i, count - i);
    // By pages if the guest has pages: it may take back any of them.
    MapForHost(run, at.level());
    SetHost(PagesOf(run), PageState::kSharedBorrowed);
    i += run.count;
  }
  return count;
}

Result<uint64_t> MemProtect::GuestUnshareHost(Vm& vm, uint64_t ipa,
                                              uint64_t pages) {
  if (ipa % kPageSize != 0 || pages == 0) return Error(Errno::kEinval);
  const uint64_t gfn = ipa >> kPageShift;
  HOLDFAST_TRY_ASSIGN(const Ipa start, GuestRange(vm, gfn, pages));
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(start));
  HOLDFAST_TRY_ASSIGN(
      const uint64_t count,
      CheckGuestRun(vm, at, Chunk(gfn, pages), PageState::kSharedOwned));

  // Commit. The host is gone before the guest is told that it is. Its leaves
  // are of the size that annotations have, so they need no table.
  Reservation none;
  HostBatch batch(host_);
  for (uint64_t i = 0; i < count;) {
    const FrameRange run = RunAt(vm, at, i, count - i);
    SetHost(PagesOf(run), PageState::kNoPage);
    host_.Annotate(
        Ipa(run.start().value()), run.size(),
        pgtable::Annotation::HostDonationToGuest(vm.handle(), Gfn(gfn + i)),
        none, batch, at.level());
    i += run.count;
  }
  const pgtable::FlushReceipt receipt = batch.Complete();
  for (uint64_t i = 0; i < count;) {
    const FrameRange run = RunAt(vm, at, i, count - i);
    HOLDFAST_CHECK(
        receipt.Covers(kHostVmid, Ipa(run.start().value()), run.size()));
    i += run.count;
  }
  SetGuestState(vm, at, count, PageState::kOwned);
  return count;
}

Result<bool> MemProtect::IsPoisoned(Vm& vm, Ipa ipa) {
  SpinlockHolder hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(const Stage2::Cursor at, vm.stage2.Find(ipa));
  const GuestEntry entry = GuestEntry::Of(at.pte(), at.level());
  // Poison is a page's, or a block's; without an entry and a table for one
  // there can be none.
  if (at.level() != kPageLevel && !entry.IsPoisoned())
    return Error(Errno::kEinval);
  return entry.IsPoisoned();
}

bool MemProtect::IsMapped(Vm& vm, Ipa ipa) {
  SpinlockHolder hold(vm.stage2.lock);
  const Result<Stage2::Cursor> at = vm.stage2.Find(ipa);
  return at.has_value() && at->kind() == pgtable::PteKind::kLeaf;
}

}  // namespace holdfast::mem_protect
