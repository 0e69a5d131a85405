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

Status MemProtect::GuestShareHost(Vm& vm, uint64_t ipa) {
  if (ipa % kPageSize != 0) return Error(Errno::kEinval);
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(Ipa(ipa)));
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped mapped,
                      GuestEntry::Of(at.pte(), at.level()).Page());
  if (mapped.state != PageState::kOwned) return Error(Errno::kEperm);

  // Commit. Only software bits of the guest's leaf change, so its translation
  // stays; the host's entry is an annotation, so it needs no table.
  const FrameRange page{Pfn::Of(mapped.page), 1};
  HOLDFAST_CHECK(Record(page.first).host() == PageState::kNoPage);
  vm.stage2.SetSoftwareAt(at, static_cast<unsigned>(PageState::kSharedOwned));
  MapForHost(page);
  SetHost(page.first, PageState::kSharedBorrowed);
  Note(EventKind::kGuestLeaf, Gfn::Of(at.ipa()).value(), at.pte().raw(),
       vm.handle().value(), 1);
  return {};
}

Status MemProtect::GuestUnshareHost(Vm& vm, uint64_t ipa) {
  if (ipa % kPageSize != 0) return Error(Errno::kEinval);
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(Ipa(ipa)));
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped mapped,
                      GuestEntry::Of(at.pte(), at.level()).Page());
  if (mapped.state != PageState::kSharedOwned) return Error(Errno::kEperm);

  // Commit. The host is gone before the guest is told that it is.
  const FrameRange page{Pfn::Of(mapped.page), 1};
  HOLDFAST_CHECK(Record(page.first).host() == PageState::kSharedBorrowed);
  Reservation none = *host_.stock.Reserve(0);  // a page leaf is there
  const Vacated vacated = TakeFromHost(
      page,
      pgtable::Annotation::HostDonationToGuest(vm.handle(), Gfn::Of(at.ipa())),
      none);
  HOLDFAST_CHECK(vacated.frames().start() == mapped.page);
  vm.stage2.SetSoftwareAt(at, static_cast<unsigned>(PageState::kOwned));
  Note(EventKind::kGuestLeaf, Gfn::Of(at.ipa()).value(), at.pte().raw(),
       vm.handle().value(), 1);
  return {};
}

Result<bool> MemProtect::IsPoisoned(Vm& vm, Ipa ipa) {
  SpinlockHolder hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(const Stage2::Cursor at, vm.stage2.Find(ipa));
  // Poison is a page's; without a table there can be none.
  if (at.level() != kPageLevel) return Error(Errno::kEinval);
  return GuestEntry::Of(at.pte(), at.level()).IsPoisoned();
}

}  // namespace holdfast::mem_protect
