// SPDX-License-Identifier: Apache-2.0
//
// Pages between host and hypervisor, and between host and protected guest.
#include "tests/spec/call_steps.h"
#include "tests/spec/transitions.h"

namespace holdfast::spec {

// C: a frame (EINVAL); the host's memory (EINVAL, EPERM), which it owns alone,
// and hyp has no part in (EPERM).
Outcome ShareHyp(Run& run, const Arguments& x) {
  const uint64_t pfn = x[0];
  if (!run.layout().IsPfn(pfn)) return Failed(HF_EINVAL);
  Run::Section section(run);
  if (int e = HostError(run, {pfn, 1}, PageState::kOwned); e != 0)
    return Failed(e);
  if (int e = HypError(run, {pfn, 1}, PageState::kNone); e != 0)
    return Failed(e);
  SetPage(run, pfn, {PageState::kShared, PageState::kBorrowed, 0, {}});
  run.HypToChange();  // hyp's state is written under both locks
  return Ok();
}

// C: a frame; the host's, shared (EINVAL, EPERM), with hyp (EPERM), which has
// no use of it (EBUSY).
Outcome UnshareHyp(Run& run, const Arguments& x) {
  const uint64_t pfn = x[0];
  if (!run.layout().IsPfn(pfn)) return Failed(HF_EINVAL);
  Run::Section section(run);
  if (int e = HostError(run, {pfn, 1}, PageState::kShared); e != 0)
    return Failed(e);
  if (int e = HypError(run, {pfn, 1}, PageState::kBorrowed); e != 0)
    return Failed(e);
  if (PageOf(run, pfn).count != 0) return Failed(HF_EBUSY);
  SetPage(run, pfn, Page());
  run.HypToChange();
  return Ok();
}

// C: frames (EINVAL); the host's alone (EINVAL, EPERM).
int ShareFfa(Run& run, uint64_t pfn, uint64_t pages) {
  if (int e = FramesError(run.layout(), pfn, pages); e != 0) return e;
  Run::Section section(run);
  if (int e = HostError(run, {pfn, pages}, PageState::kOwned); e != 0) return e;
  for (uint64_t i = 0; i < pages; ++i)
    SetPage(run, pfn + i, {PageState::kShared, PageState::kNone, 0, {}});
  return 0;
}

// C: frames; the host's, shared (EINVAL, EPERM), with nobody that EL2 keeps
// states of (EPERM).
int UnshareFfa(Run& run, uint64_t pfn, uint64_t pages) {
  if (int e = FramesError(run.layout(), pfn, pages); e != 0) return e;
  Run::Section section(run);
  if (int e = HostError(run, {pfn, pages}, PageState::kShared); e != 0)
    return e;
  if (int e = HypError(run, {pfn, pages}, PageState::kNone); e != 0) return e;
  for (uint64_t i = 0; i < pages; ++i) {
    if (PageOf(run, pfn + i).count != 0) return HF_EPERM;
  }
  for (uint64_t i = 0; i < pages; ++i) SetPage(run, pfn + i, Page());
  return 0;
}

// C: a frame (EINVAL); the host's alone (EINVAL, EPERM); a gfn (ERANGE) with
// nothing there, poison neither (EPERM); stock (ENOMEM, and how much is
// missing).
Outcome DonateGuest(Run& run, const Arguments& x) {
  const auto [pfn, gfn, x3, x4, x5] = x;
  const uint64_t handle = run.cpu.loaded->handle;
  if (!run.layout().IsPfn(pfn)) return Failed(HF_EINVAL);
  Run::Section section(run);
  if (int e = HostError(run, {pfn, 1}, PageState::kOwned); e != 0)
    return Failed(e);
  if (int e = HypError(run, {pfn, 1}, PageState::kNone); e != 0)
    return Failed(e);
  if (!run.layout().IsGfn(gfn)) return Failed(HF_ERANGE);
  const Vm& vm = run.vm(handle);
  if (Find(vm, gfn).entry != nullptr) return Failed(HF_EPERM);
  const uint64_t missing = TablesMissing(run.layout(), vm, gfn, 3);
  if (missing > vm.stock.size())
    return Failed(HF_ENOMEM, missing - vm.stock.size());
  if (run.OutOfTables(1, 1)) return Failed(HF_ENOMEM);
  SetPage(run, pfn,
          {PageState::kNone, PageState::kNone, 0, Owner::Guest(handle, gfn)});
  AddEntry(run, handle, gfn,
           {.pfn = pfn,
            .state = PageState::kOwned,
            .rights = kAllRights,
            .young = true});
  return Ok();
}

namespace {

// The host gets the page that a guest had at a gfn; what stays there is poison
// or nothing.
void TakeFromGuest(Run& run, uint64_t handle, uint64_t gfn, uint64_t pfn,
                   bool poison) {
  if (poison) {
    Vm& vm = run.VmToChange(handle);
    vm.entries[gfn] = {.poisoned = true};
    --vm.pages;
  } else {
    RemoveEntry(run, handle, gfn);
  }
  SetPage(run, pfn, Page());
}

}  // namespace

// C: RAM that a host can have (EFAULT); that it may not touch now (EAGAIN); not
// hyp's (EPERM); of a VM that exists (EAGAIN); at its gfn a page (EHWPOISON,
// ENOENT, E2BIG), this one, which the guest owns alone (EPERM).
Outcome ForceReclaim(Run& run, const Arguments& x) {
  const uint64_t pfn = x[0];
  if (!run.layout().IsPfn(pfn) || !run.layout().IsHostRam(pfn))
    return Failed(HF_EFAULT);
  std::optional<Reference> reference;
  Run::Section section(run);
  const Page page = PageOf(run, pfn);
  if (page.host != PageState::kNone) return Failed(HF_EAGAIN);
  if (page.owner.kind != Owner::Kind::kGuest) return Failed(HF_EPERM);
  const uint64_t handle = page.owner.handle;
  const uint64_t gfn = page.owner.gfn;
  if (VmOf(run, handle) == nullptr) return Failed(HF_EAGAIN);
  reference.emplace(run, handle);
  const EntryAt at = Find(run.vm(handle), gfn);
  if (int e = PageError(at); e != 0) return Failed(e);
  if (at.entry->pfn != pfn || at.entry->state != PageState::kOwned)
    return Failed(HF_EPERM);
  TakeFromGuest(run, handle, gfn, pfn, /*poison=*/true);
  run.Zeroed(pfn);
  return Ok();
}

// C: a dying VM (EINVAL); a gfn (ERANGE); a page there (ENOENT, E2BIG), or
// poison, which is no error; not one that the guest borrows (EPERM). x2: no
// page lies between the gfn and it.
Outcome ReclaimDying(Run& run, const Arguments& x) {
  const auto [handle, gfn, x3, x4, x5] = x;
  if (!IsHandle(handle)) return Failed(HF_EINVAL);
  std::optional<Reference> reference;
  {
    Run::Section section(run);
    const Slot* slot = VmOf(run, handle);
    if (slot == nullptr || slot->state != SlotState::kDying)
      return Failed(HF_EINVAL);
    reference.emplace(run, handle);
  }
  if (int e = GfnError(run.layout(), gfn, 1); e != 0) return Failed(e);
  Run::Section section(run);
  const EntryAt at = Find(run.vm(handle), gfn);
  const int error = PageError(at);
  if (error == HF_E2BIG) return Failed(error);
  if (error == 0) {
    const uint64_t pfn = at.entry->pfn;
    if (at.entry->state == PageState::kBorrowed) return Failed(HF_EPERM);
    const bool owned = at.entry->state == PageState::kOwned;
    TakeFromGuest(run, handle, gfn, pfn, /*poison=*/false);
    if (owned) run.Zeroed(pfn);
  }
  // Where the caller goes on. EL2 may look for the next page for a while only.
  const Vm& vm = run.vm(handle);
  auto next = vm.entries.upper_bound(gfn);
  while (next != vm.entries.end() && next->second.poisoned) ++next;
  const uint64_t last = next == vm.entries.end() ? HF_NO_GFN : next->first;
  uint64_t x2 = run.found().x2;
  if (x2 <= gfn || x2 > last) x2 = last;
  return error == HF_ENOENT ? Failed(HF_ENOENT, x2) : Ok(0, x2);
}

}  // namespace holdfast::spec
