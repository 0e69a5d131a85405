// SPDX-License-Identifier: Apache-2.0
//
// Pages between host and hypervisor, and between host and protected guest.
#include <cstdint>
#include <vector>

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

// C: frames (EINVAL); gfns (ERANGE, after what is wrong with the first frame).
// Of each page, in this order: the host's alone (EINVAL, EPERM); nothing at its
// gfn, poison neither (EPERM). As many as are so, one after the other; for
// these stock (ENOMEM, and how much is missing). x2: how many.
Outcome DonateGuest(Run& run, const Arguments& x) {
  const auto [pfn, gfn, pages, x4, x5] = x;
  const uint64_t handle = run.cpu.loaded->handle;
  if (int e = FramesError(run.layout(), pfn, pages); e != 0) return Failed(e);
  Run::Section section(run);
  const auto frame_error = [&, pfn = pfn](uint64_t i) {
    if (int e = HostError(run, {pfn + i, 1}, PageState::kOwned); e != 0)
      return e;
    return HypError(run, {pfn + i, 1}, PageState::kNone);
  };
  if (int e = frame_error(0); e != 0) return Failed(e);
  if (int e = GfnError(run.layout(), gfn, pages); e != 0) return Failed(e);
  const uint64_t most = MostPages(gfn, pages);
  uint64_t done = 0;
  while (done < most && frame_error(done) == 0 &&
         run.layout().SameRegion(pfn, pfn + done) &&
         Find(run.vm(handle), gfn + done).entry == nullptr)
    ++done;
  if (done == 0) return Failed(HF_EPERM);
  const Vm& vm = run.vm(handle);
  const uint64_t missing = TablesMissing(run.layout(), vm, gfn, 3);
  if (missing > StockFree(vm))
    return Failed(HF_ENOMEM, missing - StockFree(vm));
  if (run.OutOfTables(1, done)) return Failed(HF_ENOMEM);
  // What can be a block is one.
  const bool block = done == kBlockPages && IsPageOrBlock(done, pfn) &&
                     IsPageOrBlock(done, gfn);
  const uint64_t step = block ? done : 1;
  for (uint64_t i = 0; i < done; ++i) {
    SetPage(
        run, pfn + i,
        {PageState::kNone, PageState::kNone, 0, Owner::Guest(handle, gfn + i)});
  }
  for (uint64_t i = 0; i < done; i += step) {
    AddEntry(run, handle, gfn + i,
             {.pfn = pfn + i,
              .state = PageState::kOwned,
              .rights = kAllRights,
              .young = true,
              .level = static_cast<int8_t>(block ? 2 : 3)});
  }
  return Ok(0, done);
}

namespace {

// Pages that a call took from a guest for the host: nobody's, until they are
// empty.
class OnTheirWay {
 public:
  explicit OnTheirWay(Run& run) : run_(run) {}
  // They arrive at once.
  void IsShort() { short_ = true; }
  // In a section.
  void Add(uint64_t pfn) {
    if (short_) {
      SetPage(run_, pfn, Page());
      run_.Zeroed(pfn);
      return;
    }
    SetPage(run_, pfn, {PageState::kNone, PageState::kNone, 0, {}});
    pfns_.push_back(pfn);
  }
  // They arrive, in a section of their own.
  ~OnTheirWay() {
    if (pfns_.empty()) return;
    Run::Section section(run_);
    for (const uint64_t pfn : pfns_) {
      SetPage(run_, pfn, Page());
      run_.Zeroed(pfn);
    }
  }
  OnTheirWay(const OnTheirWay&) = delete;

 private:
  Run& run_;
  bool short_ = false;
  std::vector<uint64_t> pfns_;
};

// The host gets a page, or a block, that a guest had at a gfn; what stays there
// is poison or nothing. Returns how many pages. What the guest shared, the host
// has at once.
uint64_t TakeFromGuest(Run& run, uint64_t handle, uint64_t gfn, uint64_t pages,
                       bool poison, OnTheirWay& way) {
  const uint64_t step = StepInto(run, handle, gfn, pages);
  const GuestEntry entry = run.vm(handle).entries.at(gfn);
  if (poison) {
    Vm& vm = run.VmToChange(handle);
    vm.entries[gfn] = {.poisoned = true, .level = entry.level};
    vm.pages -= step;
  } else {
    RemoveEntry(run, handle, gfn);
  }
  for (uint64_t i = 0; i < step; ++i) {
    if (entry.state == PageState::kOwned) {
      way.Add(entry.pfn + i);
    } else {
      SetPage(run, entry.pfn + i, Page());
    }
  }
  return step;
}

}  // namespace

// C: pages (EINVAL). Of each, in this order: RAM that a host can have (EFAULT);
// that it may not touch now (EAGAIN); not hyp's (EPERM); of a VM that exists
// (EAGAIN); at its gfn a page (EHWPOISON, ENOENT), this one, which the guest
// owns alone (EPERM). As many as are so, of one VM, with gfns one after the
// other. x2: how many.
Outcome ForceReclaim(Run& run, const Arguments& x) {
  const auto [pfn, pages, x3, x4, x5] = x;
  if (pages == 0) return Failed(HF_EINVAL);
  const Layout& layout = run.layout();
  if (!layout.IsPfn(pfn) || !layout.IsHostRam(pfn)) return Failed(HF_EFAULT);
  std::optional<Reference> reference;
  OnTheirWay way(run);
  Run::Section section(run);
  const Page page = PageOf(run, pfn);
  if (page.host != PageState::kNone) return Failed(HF_EAGAIN);
  // On its way to the host.
  if (page.hyp == PageState::kNone && page.owner.kind == Owner::Kind::kNobody)
    return Failed(HF_EAGAIN);
  if (page.owner.kind != Owner::Kind::kGuest) return Failed(HF_EPERM);
  const uint64_t handle = page.owner.handle;
  const uint64_t gfn = page.owner.gfn;
  if (VmOf(run, handle) == nullptr) return Failed(HF_EAGAIN);
  reference.emplace(run, handle);
  const int8_t level = [&] {
    const EntryAt at = Find(run.vm(handle), gfn);
    return at.entry == nullptr ? int8_t{3} : at.entry->level;
  }();
  const auto page_error = [&, pfn = pfn](uint64_t i) -> int {
    const EntryAt at = Find(run.vm(handle), gfn + i);
    if (int e = LeafError(at); e != 0) return e;
    return at.entry->pfn + (gfn + i - at.first) == pfn + i &&
                   at.entry->state == PageState::kOwned
               ? 0
               : HF_EPERM;
  };
  if (int e = page_error(0); e != 0) return Failed(e);
  const uint64_t most = MostPages(gfn, MostPages(pfn, pages));
  uint64_t done = 1;
  while (done < most && layout.SameRegion(pfn, pfn + done) &&
         PageOf(run, pfn + done).host == PageState::kNone &&
         PageOf(run, pfn + done).owner == Owner::Guest(handle, gfn + done) &&
         page_error(done) == 0)
    ++done;
  // A single page is emptied on the spot.
  if (done == 1 && level == 3) way.IsShort();
  for (uint64_t i = 0; i < done;)
    i += TakeFromGuest(run, handle, gfn + i, done - i, /*poison=*/true, way);
  return Ok(0, done);
}

// C: a dying VM (EINVAL); pages (EINVAL), the first one's gfn (ERANGE). Holes
// are skipped; a block that the guest borrows (E2BIG) or a page (EPERM) ends
// it, and is an error if nothing came before; so are holes alone (ENOENT).
// Poison is no error. x2: no page lies between what was done and it.
Outcome ReclaimDying(Run& run, const Arguments& x) {
  const auto [handle, gfn, pages, x4, x5] = x;
  if (!IsHandle(handle)) return Failed(HF_EINVAL);
  std::optional<Reference> reference;
  {
    Run::Section section(run);
    const Slot* slot = VmOf(run, handle);
    if (slot == nullptr || slot->state != SlotState::kDying)
      return Failed(HF_EINVAL);
    reference.emplace(run, handle);
  }
  if (pages == 0) return Failed(HF_EINVAL);
  if (int e = GfnError(run.layout(), gfn, 1); e != 0) return Failed(e);
  OnTheirWay way(run);
  Run::Section section(run);
  const uint64_t most = MostPages(gfn, pages);
  const EntryAt first = Find(run.vm(handle), gfn);
  // As in ForceReclaim.
  if (most == 1 && first.entry != nullptr && first.entry->level == 3)
    way.IsShort();
  bool any = false;
  uint64_t done = 0;
  uint64_t taken = 0;
  while (done < most) {
    // Of scattered frames EL2 may have enough before the end.
    if (taken >= 32 && gfn + done == run.found().x2) break;
    const EntryAt at = Find(run.vm(handle), gfn + done);
    if (LeafError(at) != 0) {
      any = any || at.entry != nullptr;
      ++done;
      continue;
    }
    if (at.entry->state == PageState::kBorrowed) {
      if (any) break;
      return Failed(at.entry->level == 3 ? HF_EPERM : HF_E2BIG);
    }
    const uint64_t step = TakeFromGuest(run, handle, gfn + done, most - done,
                                        /*poison=*/false, way);
    done += step;
    taken += step;
    any = true;
  }
  // Where the caller goes on. EL2 may look for the next page for a while only.
  const Vm& vm = run.vm(handle);
  const uint64_t from = gfn + done;
  auto next = vm.entries.lower_bound(from);
  while (next != vm.entries.end() && next->second.poisoned) ++next;
  const uint64_t last = next == vm.entries.end() ? HF_NO_GFN : next->first;
  uint64_t x2 = run.found().x2;
  if (x2 < from || x2 > last) x2 = last;
  return any ? Ok(0, x2) : Failed(HF_ENOENT, x2);
}

}  // namespace holdfast::spec
