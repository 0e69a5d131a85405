// SPDX-License-Identifier: Apache-2.0
//
// Forced reclaim: the host gets a page back from a protected guest that did not
// offer it. The guest loses the page, never its contents: the gfn is poisoned
// and the page reads zero.
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using GuestBatch = pgtable::TlbBatch<MemProtect::Granule>;

}  // namespace

// Whose the first page is, and how many of the pages that VM has one after the
// other: read from the host's table.
[[gnu::always_inline]] inline Result<MemProtect::Owner> MemProtect::FindOwner(
    VmTable& vms, const Pages& pages) {
  if (pages.records->host() != PageState::kNoPage) return Error(Errno::kEagain);
  const Ipa ipa(pages.frames.start().value());
  HOLDFAST_TRY_ASSIGN(const Stage2::Cursor at, host_.Find(ipa));
  // Valid though not the host's: nothing a guest could own.
  if (at.pte().kind(at.level()) != pgtable::PteKind::kAnnotation)
    return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(pgtable::Annotation owner, at.pte().annotation());
  if (owner.type() != pgtable::AnnotationType::kHostDonation)
    return Error(Errno::kEinval);
  // Another CPU is emptying it for the host.
  if (owner.owner() == pgtable::ComponentId::kNobody)
    return Error(Errno::kEagain);
  if (owner.owner() != pgtable::ComponentId::kGuest)
    return Error(Errno::kEperm);
  Vm* vm = vms.Find(owner.handle());
  if (vm == nullptr) return Error(Errno::kEagain);

  uint64_t run = pages.frames.count;
  if (at.level() == kPageLevel) {
    uint64_t same = 1;
    while (same < run &&
           host_.EntryAfter(at, same).raw() == owner.At(same).raw())
      ++same;
    run = same;
  } else {
    // A block's annotation says what its first page has.
    const Ipa block = ipa.AlignDown(Granule::Size(at.level()));
    owner = owner.At((ipa - block) >> kPageShift);
  }
  return Owner{vm, owner.gfn(), run, at};
}

// Commit: one page, which is what hosts ask for most. The host's entry is where
// it was found. (Emptied under the locks: to take the host's a second time
// would cost as much.)
[[gnu::always_inline]] inline void MemProtect::TakePageByForce(
    Vm& vm, Stage2::Cursor at, Stage2::Cursor& host_at, const Pages& page) {
  constexpr pgtable::Annotation kPoison = pgtable::Annotation::Poison();
  Reservation none;  // a page's entry is there
  GuestBatch batch(vm.stage2);
  vm.stage2.AnnotateAt(at, kPoison, none, batch);
  --vm.guest_pages;
  Note(EventKind::kGuestLeaf, Gfn::Of(at.ipa()).value(), kPoison.raw(),
       vm.handle().value(), 1);
  const Vacated vacated = Vacated::ByGuest(
      page.frames, vm.stage2.context().vmid, at.ipa(), batch.Complete());
  Scrub(vacated.frames());
  MapPageForHost(host_at);
  SetHost({vacated.frames(), page.records}, PageState::kOwned);
}

// Commit: pages of a run, or of the block at the cursor, are on their way.
[[gnu::noinline]] void MemProtect::TakeRunByForce(Vm& vm, Stage2::Cursor at,
                                                  const FrameRange& frames,
                                                  InTransit& transit) {
  const uint64_t gfn = Gfn::Of(at.ipa()).value();
  const bool block = at.level() != kPageLevel;
  const bool whole = block && IsBlock(gfn, frames.count);
  if (block && !whole) SplitBlock(vm, at);
  constexpr pgtable::Annotation kPoison = pgtable::Annotation::Poison();
  Reservation none;  // poison is of the size of what it takes the place of
  GuestBatch batch(vm.stage2);
  vm.stage2.Annotate(at.ipa(), frames.size(), kPoison, none, batch, at.level());
  vm.guest_pages -= frames.count;
  Note(EventKind::kGuestLeaf, gfn, kPoison.raw(), vm.handle().value(),
       frames.count);
  GiveBack(Vacated::ByGuest(frames, vm.stage2.context().vmid, at.ipa(),
                            batch.Complete()),
           PageState::kOwned, transit);
  if (whole) EndBlock(vm);
}

[[gnu::always_inline]] inline Result<uint64_t> MemProtect::ForceReclaimFrom(
    Owner& owner, const Pages& pages, InTransit& transit) {
  Vm& vm = *owner.vm;
  const PhysAddr first = pages.frames.start();
  uint64_t count = Chunk(owner.gfn.value(), owner.pages);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(owner.gfn.address()));
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped leaf,
                      GuestEntry::Of(at.pte(), at.level()).Leaf());
  const uint64_t into = owner.gfn.address() - owner.gfn.address().AlignDown(
                                                  Granule::Size(leaf.level));
  if (leaf.page + into != first || leaf.state != PageState::kOwned)
    return Error(Errno::kEperm);
  const bool block = leaf.level != kPageLevel;
  if (!block) {
    uint64_t same = 1;
    for (; same < count; ++same) {
      const Result<GuestEntry::Mapped> next =
          GuestEntry::Of(vm.stage2.EntryAfter(at, same), kPageLevel).Leaf();
      if (!next.has_value() || next->state != PageState::kOwned ||
          next->page != first + (same << kPageShift))
        break;
    }
    count = same;
  }

  const FrameRange taken{pages.frames.first, count};
  if (count == 1 && !block) {
    TakePageByForce(vm, at, owner.at, {taken, pages.records});
  } else {
    TakeRunByForce(vm, at, taken, transit);
  }
  return count;
}

Result<uint64_t> MemProtect::ForceReclaim(VmTable& vms, uint64_t pfn,
                                          uint64_t pages) {
  if (pages == 0) return Error(Errno::kEinval);
  const std::optional<Pfn> frame = Pfn::FromUntrusted(pfn, features_.pa_bits);
  if (!frame.has_value()) return Error(Errno::kEfault);
  // NOMAP is no host's and no guest's: EAGAIN would have the host retry for
  // ever.
  const Region* region = map_.FindRam(frame->address(), kPageSize);
  if (region == nullptr || region->kind == RegionKind::kNoMap)
    return Error(Errno::kEfault);
  const uint64_t in_region = (region->end() - frame->address()) >> kPageShift;
  const uint64_t chunk = Chunk(pfn, pages);
  const FrameRange range{*frame, chunk < in_region ? chunk : in_region};

  // The table lock is dropped once the VM is referenced, so that a long section
  // on one page does not hold up every VM's life cycle. The reference itself is
  // given up last, when no lock is held.
  vms.lock.Lock();
  host_.lock.Lock();
  const Pages wanted = PagesIn(*region, range);
  Result<Owner> owner = FindOwner(vms, wanted);
  if (!owner.has_value()) {
    host_.lock.Unlock();
    vms.lock.Unlock();
    return Error(owner.error());
  }
  const vm_table::VmRef reference = vms.Reference(*owner->vm);
  vms.lock.Unlock();
  InTransit transit;
  const Result<uint64_t> taken = ForceReclaimFrom(*owner, wanted, transit);
  host_.lock.Unlock();
  Arrive(transit);
  return taken;
}

}  // namespace holdfast::mem_protect
