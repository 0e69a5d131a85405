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

// Reads from the host's table whose page it is.
Result<MemProtect::Owner> MemProtect::FindOwner(VmTable& vms, Pfn pfn) {
  if (Record(pfn).host() != PageState::kNoPage) return Error(Errno::kEagain);
  HOLDFAST_TRY_ASSIGN(const Stage2::Cursor at,
                      host_.Find(Ipa(pfn.address().value())));
  // Valid though not the host's: nothing a guest could own.
  if (at.pte().kind(at.level()) != pgtable::PteKind::kAnnotation)
    return Error(Errno::kEinval);
  HOLDFAST_TRY_ASSIGN(const pgtable::Annotation owner, at.pte().annotation());
  if (owner.type() != pgtable::AnnotationType::kHostDonation)
    return Error(Errno::kEinval);
  if (owner.owner() != pgtable::ComponentId::kGuest)
    return Error(Errno::kEperm);
  Vm* vm = vms.Find(owner.handle());
  if (vm == nullptr) return Error(Errno::kEagain);
  return Owner{vm, owner.gfn()};
}

Status MemProtect::ForceReclaimFrom(const Owner& owner, Pfn pfn) {
  Vm& vm = *owner.vm;
  const Ipa ipa = owner.gfn.address();
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));
  HOLDFAST_TRY_ASSIGN(const GuestEntry::Mapped mapped,
                      GuestEntry::Of(at.pte(), at.level()).Page());
  if (mapped.page != pfn.address() || mapped.state != PageState::kOwned)
    return Error(Errno::kEperm);

  // Commit.
  const FrameRange page{pfn, 1};
  Vacated vacated = TakeFromGuest(vm, at, page, /*poison=*/true);
  Scrub(page);
  GiveToHost(std::move(vacated));
  return {};
}

Status MemProtect::ForceReclaim(VmTable& vms, uint64_t pfn) {
  const std::optional<Pfn> frame = Pfn::FromUntrusted(pfn, features_.pa_bits);
  if (!frame.has_value()) return Error(Errno::kEfault);
  // NOMAP is no host's and no guest's: EAGAIN would have the host retry for
  // ever.
  const Region* region = map_.FindRam(frame->address(), kPageSize);
  if (region == nullptr || region->kind == RegionKind::kNoMap)
    return Error(Errno::kEfault);

  // The table lock is dropped once the VM is referenced, so that a long section
  // on one page does not hold up every VM's life cycle. The reference itself is
  // given up last, when no lock is held.
  vms.lock.Lock();
  host_.lock.Lock();
  const Result<Owner> owner = FindOwner(vms, *frame);
  if (!owner.has_value()) {
    host_.lock.Unlock();
    vms.lock.Unlock();
    return Error(owner.error());
  }
  const vm_table::VmRef reference = vms.Reference(*owner->vm);
  vms.lock.Unlock();
  const Status status = ForceReclaimFrom(*owner, *frame);
  host_.lock.Unlock();
  return status;
}

}  // namespace holdfast::mem_protect
