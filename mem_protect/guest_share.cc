// SPDX-License-Identifier: Apache-2.0
//
// Between host and non-protected guest: the host lends pages and keeps them,
// and tunes what the guest may do with them.
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using pgtable::Stage2Attr;
using GuestBatch = pgtable::TlbBatch<MemProtect::Granule>;

constexpr Level kBlockLevel{2};

// One page, or a block at an address that a block can have.
bool IsPageOrBlock(uint64_t pages, uint64_t first) {
  if (pages == 1) return true;
  return MemProtect::kBlockPages != 0 && pages == MemProtect::kBlockPages &&
         first % pages == 0;
}

constexpr Level LevelOf(uint64_t pages) {
  return pages == 1 ? kPageLevel : kBlockLevel;
}

}  // namespace

// A leaf of a guest's, with the guest's state of the page.
Result<Stage2Attr> MemProtect::GuestAttr(const pgtable::Prot& prot,
                                         PageState state) const {
  HOLDFAST_TRY_ASSIGN(
      const Stage2Attr attr,
      Stage2Attr::For(prot, pgtable::MemStyle::kFromProt, features_));
  return attr.WithSoftware(static_cast<unsigned>(state));
}

// Where `pages` pages from `gfn` on are. ERANGE: not in the input range.
Result<Ipa> MemProtect::GuestRange(const Vm& vm, uint64_t gfn,
                                   uint64_t pages) const {
  const std::optional<Gfn> first =
      Gfn::FromUntrusted(gfn, vm.stage2.shape().ipa_bits);
  if (!first.has_value() || pages > ~uint64_t{0} >> kPageShift ||
      !vm.stage2.InRange(first->address(), pages << kPageShift)) {
    return Error(Errno::kErange);
  }
  return first->address();
}

// The host owns the pages, alone or shared with guests.
Status MemProtect::CheckShareable(const Pages& pages) {
  for (uint64_t i = 0; i < pages.frames.count; ++i) {
    const PageRecord& record = pages.records[i];
    if (record.host() == PageState::kOwned) continue;
    if (!record.Is(PageState::kSharedOwned, PageState::kNoPage) ||
        record.count() == 0) {
      return Error(Errno::kEperm);
    }
    if (record.count() == PageRecord::kMaxCount) return Error(Errno::kEbusy);
  }
  return {};
}

Status MemProtect::ShareGuest(Vm& vm, uint64_t pfn, uint64_t gfn,
                              uint64_t pages, const pgtable::Prot& prot,
                              uint64_t* short_of) {
  HOLDFAST_TRY_ASSIGN(const Stage2Attr attr,
                      GuestAttr(prot, PageState::kSharedBorrowed));
  HOLDFAST_TRY_ASSIGN(const FrameRange range, HostFrames(pfn, pages));
  if (!IsPageOrBlock(pages, pfn) || !IsPageOrBlock(pages, gfn))
    return Error(Errno::kEinval);
  HOLDFAST_TRY(HostMemory(range));
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);

  // Validate.
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, pages));
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));
  // A table is there only as long as it holds something: for a block, one at
  // its place will not do even if its first entry is empty.
  if (at.level() > LevelOf(pages) ||
      !GuestEntry::Of(at.pte(), at.level()).IsAbsent()) {
    return Error(Errno::kEperm);
  }
  const Pages lent = PagesOf(range);
  HOLDFAST_TRY(CheckShareable(lent));

  // Plan.
  Reservation tables;
  HOLDFAST_TRY(ReserveGuestTables(
      vm, vm.stage2.TablesNeeded(ipa, range.size(), LevelOf(pages)), &tables,
      short_of));

  // Commit. The host's own entries stay as they are.
  for (uint64_t i = 0; i < pages; ++i) lent.records[i].Increment();
  SetHost(lent, PageState::kSharedOwned);
  if (!features_.fwb)
    machine::CleanInvalidateToPoc(range.start(), range.size());
  if (attr.executable() && !features_.dic)
    machine::InvalidateICache(range.start(), range.size());
  GuestBatch batch(vm.stage2);
  vm.stage2.Map(ipa, range.start(), range.size(), attr, LevelOf(pages), tables,
                batch);
  static_cast<void>(batch.Complete());
  vm.guest_pages += range.count;
  Note(EventKind::kGuestLeaf, gfn, range.start().value(), vm.handle().value(),
       range.count);
  return {};
}

Status MemProtect::UnshareGuest(Vm& vm, uint64_t gfn, uint64_t pages) {
  if (!IsPageOrBlock(pages, gfn)) return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, pages));
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped mapped,
                      GuestEntry::Of(at.pte(), at.level()).Leaf());
  if (mapped.level != LevelOf(pages)) return Error(Errno::kE2big);
  if (mapped.state != PageState::kSharedBorrowed) return Error(Errno::kEperm);

  // Commit. What the host lent is still its own: nobody has to be shown out of
  // it but the guest.
  const FrameRange range{Pfn::Of(mapped.page), pages};
  static_cast<void>(TakeFromGuest(vm, at, range));
  const Pages lent = PagesOf(range);
  for (uint64_t i = 0; i < pages; ++i) {
    PageRecord& record = lent.records[i];
    HOLDFAST_CHECK(record.host() == PageState::kSharedOwned);
    record.Decrement();
    if (record.count() == 0) record.set_host(PageState::kOwned);
    NoteRecords({{range.first + i, 1}, &record});
  }
  return {};
}

Status MemProtect::RelaxPerms(Vm& vm, uint64_t gfn, const pgtable::Prot& prot) {
  HOLDFAST_TRY_ASSIGN(const Stage2Attr added,
                      GuestAttr(prot, PageState::kSharedBorrowed));
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, 1));
  SpinlockHolder hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));
  if (at.kind() != pgtable::PteKind::kLeaf) return Error(Errno::kEagain);
  // What the guest may now fetch, it must not find stale.
  if (added.executable() && !features_.dic) {
    machine::InvalidateICache(at.pte().address(), Granule::Size(at.level()));
  }
  vm.stage2.AddRightsAt(at, added);
  return {};
}

Status MemProtect::WriteProtect(Vm& vm, uint64_t gfn, uint64_t pages) {
  if (!IsPageOrBlock(pages, gfn)) return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, pages));
  SpinlockHolder hold(vm.stage2.lock);
  vm.stage2.WriteProtect(ipa, pages << kPageShift);
  return {};
}

Result<bool> MemProtect::TestClearYoung(Vm& vm, uint64_t gfn, uint64_t pages,
                                        bool clear) {
  if (!IsPageOrBlock(pages, gfn)) return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, pages));
  SpinlockHolder hold(vm.stage2.lock);
  const uint64_t size = pages << kPageShift;
  return clear ? vm.stage2.TestClearAccessed(ipa, size)
               : vm.stage2.TestAccessed(ipa, size);
}

Status MemProtect::MakeYoung(Vm& vm, uint64_t gfn) {
  HOLDFAST_TRY_ASSIGN(const Ipa ipa, GuestRange(vm, gfn, 1));
  SpinlockHolder hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));
  if (at.kind() == pgtable::PteKind::kLeaf) vm.stage2.SetAccessedAt(at);
  return {};
}

}  // namespace holdfast::mem_protect
