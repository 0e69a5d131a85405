// SPDX-License-Identifier: Apache-2.0
//
// Between host and protected guest: donate, and reclaim once the VM is dying.
#include <optional>
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

// Commit: the guest's pages at the cursor are nobody's. What stays there is
// nothing, or poison.
Vacated MemProtect::TakeFromGuest(Vm& vm, Stage2::Cursor& at,
                                  const FrameRange& pages, bool poison) {
  const Ipa ipa = at.ipa().AlignDown(pages.size());
  GuestBatch batch(vm.stage2);
  if (poison) {
    // A page leaf is there, so its annotation needs no table.
    Reservation none = *vm.stage2.stock.Reserve(0);
    vm.stage2.AnnotateAt(at, pgtable::Annotation::Poison(), none, batch);
  } else {
    vm.stage2.UnmapAt(at, batch);
  }
  vm.guest_pages -= pages.count;
  Note(EventKind::kGuestLeaf, Gfn::Of(ipa).value(), at.pte().raw(),
       vm.handle().value(), pages.count);
  return Vacated::ByGuest(pages, vm.stage2.context().vmid, ipa,
                          batch.Complete());
}

// Nothing of what a guest had in its pages is left, in memory or in a cache.
// Done while nobody can reach them.
void MemProtect::Scrub(const FrameRange& pages) const {
  for (uint64_t i = 0; i < pages.count; ++i)
    machine::ZeroPage((pages.first + i).address());
  if (!features_.dic) machine::InvalidateICache(pages.start(), pages.size());
}

Status MemProtect::DonateGuest(Vm& vm, uint64_t pfn, uint64_t gfn,
                               uint64_t* short_of) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  const std::optional<Gfn> guest_frame =
      Gfn::FromUntrusted(gfn, vm.stage2.shape().ipa_bits);
  const FrameRange page{frame, 1};
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);

  // Validate.
  HOLDFAST_TRY(CheckHost(page, PageState::kOwned));
  HOLDFAST_TRY(CheckHyp(page, PageState::kNoPage));
  if (!guest_frame.has_value()) return Error(Errno::kErange);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at,
                      vm.stage2.Find(guest_frame->address()));
  if (!GuestEntry::Of(at.pte(), at.level()).IsAbsent())
    return Error(Errno::kEperm);

  // Plan.
  Reservation guest_tables;
  HOLDFAST_TRY(
      ReserveGuestTables(vm, at.tables_missing(), &guest_tables, short_of));
  HOLDFAST_TRY_ASSIGN(Reservation host_tables, ReserveHostTables({&page, 1}));

  // Commit.
  const Vacated vacated = TakeFromHost(
      page, pgtable::Annotation::HostDonationToGuest(vm.handle(), *guest_frame),
      host_tables);
  // Always to PoC, FWB or not: a host alias of another cacheability could have
  // left memory and cache apart, and the guest would see either.
  machine::CleanInvalidateToPoc(page.start(), page.size());
  if (!features_.dic) machine::InvalidateICache(page.start(), page.size());
  GuestBatch batch(vm.stage2);
  vm.stage2.MapAt(at, vacated.frames().start(),
                  *GuestAttr(pgtable::kGuestMemory, PageState::kOwned),
                  guest_tables, batch);
  static_cast<void>(batch.Complete());
  ++vm.guest_pages;
  Note(EventKind::kGuestLeaf, gfn, at.pte().raw(), vm.handle().value(), 1);
  return {};
}

Status MemProtect::ReclaimDying(Vm& vm, uint64_t gfn, uint64_t* next) {
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, 1));
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));

  const Result<GuestEntry::Mapped> mapped =
      GuestEntry::Of(at.pte(), at.level()).Page();
  Status status;
  if (mapped.has_value()) {
    const FrameRange page{Pfn::Of(mapped->page), 1};
    const PageState host = Record(page.first).host();
    if (mapped->state == PageState::kSharedBorrowed)
      return Error(Errno::kEperm);  // the host's already
    const bool owned = mapped->state == PageState::kOwned;
    HOLDFAST_CHECK(host ==
                   (owned ? PageState::kNoPage : PageState::kSharedBorrowed));
    Vacated vacated = TakeFromGuest(vm, at, page, /*poison=*/false);
    if (owned) Scrub(page);
    GiveToHost(std::move(vacated));
  } else if (mapped.error() != Errno::kEhwpoison) {
    // Poison is no error: the host has had the page since then.
    if (mapped.error() != Errno::kEnoent) return Error(mapped.error());
    status = Error(Errno::kEnoent);
  }

  // Where to go on: the next leaf, or as far as this call may look for one.
  *next = kNoGfn;
  const Ipa after = ipa + kPageSize;
  if (vm.guest_pages != 0 && vm.stage2.InRange(after, kPageSize)) {
    Ipa reached = after;
    if (auto leaf = vm.stage2.NextLeaf(after, kHoleBudget, &reached);
        leaf.has_value()) {
      *next = Gfn::Of(leaf->ipa).value();
    } else if (vm.stage2.InRange(reached, kPageSize)) {
      *next = Gfn::Of(reached).value();
    }
  }
  return status;
}

}  // namespace holdfast::mem_protect
