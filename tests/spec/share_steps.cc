// SPDX-License-Identifier: Apache-2.0
//
// Pages between host and non-protected guest, and what the guest may do with
// them.
#include "tests/spec/call_steps.h"
#include "tests/spec/transitions.h"

namespace holdfast::spec {
namespace {

// C of calls with a handle: a VM that is not protected, dying or not.
std::optional<Reference>& Refer(Run& run, uint64_t handle,
                                std::optional<Reference>& reference) {
  if (!IsHandle(handle)) return reference;
  Run::Section section(run);
  const Slot* slot = VmOf(run, handle);
  if (slot != nullptr && !slot->is_protected) reference.emplace(run, handle);
  return reference;
}

// Rights that a call names: only those there are; and execution at one level
// only if the CPU can say so.
int RightsError(const Layout& layout, uint64_t rights) {
  if ((rights & ~uint64_t{kAllRights}) != 0) return HF_EINVAL;
  const bool px = (rights & kPx) != 0;
  const bool ux = (rights & kUx) != 0;
  return px != ux && !layout.xnx ? HF_EINVAL : 0;
}

// Every leaf that a range of gfns touches.
template <class Visit>
void ForEachLeaf(Vm& vm, uint64_t gfn, uint64_t pages, Visit visit) {
  const EntryAt first = Find(vm, gfn);
  auto at = first.entry != nullptr ? vm.entries.find(first.first)
                                   : vm.entries.lower_bound(gfn);
  for (; at != vm.entries.end() && at->first < gfn + pages; ++at) {
    if (!at->second.poisoned) visit(at->second);
  }
}

}  // namespace

// C: rights (EINVAL); frames, as many as a leaf has, where such a leaf can be
// (EINVAL); the host's memory (EINVAL, EPERM); gfns (ERANGE) with nothing there
// (EPERM); each page the host's alone, or lent to guests (EPERM; as often as
// can be counted: EBUSY); stock (ENOMEM).
Outcome ShareGuest(Run& run, const Arguments& x) {
  const auto [pfn, gfn, pages, rights, x5] = x;
  const uint64_t handle = run.cpu.loaded->handle;
  const Layout& layout = run.layout();
  if (int e = RightsError(layout, rights); e != 0) return Failed(e);
  if (int e = FramesError(layout, pfn, pages); e != 0) return Failed(e);
  if (!IsPageOrBlock(pages, pfn) || !IsPageOrBlock(pages, gfn))
    return Failed(HF_EINVAL);
  if (int e = layout.MemoryError(pfn, pages); e != 0) return Failed(e);
  Run::Section section(run);
  if (int e = GfnError(layout, gfn, pages); e != 0) return Failed(e);
  if (AnyEntry(run.vm(handle), gfn, pages)) return Failed(HF_EPERM);
  constexpr uint32_t kMostShares = (uint32_t{1} << 28) - 1;
  for (uint64_t i = 0; i < pages; ++i) {
    const Page page = PageOf(run, pfn + i);
    if (page.host == PageState::kOwned) continue;
    if (page.host != PageState::kShared || page.hyp != PageState::kNone ||
        page.count == 0) {
      return Failed(HF_EPERM);
    }
    if (page.count == kMostShares) return Failed(HF_EBUSY);
  }
  const int level = pages == 1 ? 3 : 2;
  const uint64_t missing = TablesMissing(layout, run.vm(handle), gfn, level);
  const uint64_t stock = StockFree(run.vm(handle));
  if (missing > stock) return Failed(HF_ENOMEM, missing - stock);
  for (uint64_t i = 0; i < pages; ++i) {
    Page page = PageOf(run, pfn + i);
    page.host = PageState::kShared;
    ++page.count;
    SetPage(run, pfn + i, page);
  }
  AddEntry(run, handle, gfn,
           {.pfn = pfn,
            .state = PageState::kBorrowed,
            .rights = static_cast<uint8_t>(rights),
            .young = true,
            .level = static_cast<int8_t>(level)});
  return Ok();
}

// C: a non-protected VM (EINVAL); as many pages as a leaf has (EINVAL); gfns
// (ERANGE); a leaf there (ENOENT) of that size (E2BIG), borrowed (EPERM).
Outcome UnshareGuest(Run& run, const Arguments& x) {
  const auto [handle, gfn, pages, x4, x5] = x;
  std::optional<Reference> reference;
  if (!Refer(run, handle, reference).has_value()) return Failed(HF_EINVAL);
  if (!IsPageOrBlock(pages, gfn)) return Failed(HF_EINVAL);
  if (int e = GfnError(run.layout(), gfn, pages); e != 0) return Failed(e);
  Run::Section section(run);
  const EntryAt at = Find(run.vm(handle), gfn);
  if (int e = LeafError(at); e != 0) return Failed(e);
  if (PagesAt(at.entry->level) != pages) return Failed(HF_E2BIG);
  if (at.entry->state != PageState::kBorrowed) return Failed(HF_EPERM);
  const uint64_t pfn = at.entry->pfn;
  RemoveEntry(run, handle, gfn);
  for (uint64_t i = 0; i < pages; ++i) {
    Page page = PageOf(run, pfn + i);
    if (--page.count == 0) page.host = PageState::kOwned;
    SetPage(run, pfn + i, page);
  }
  return Ok();
}

// C: rights (EINVAL); a gfn (ERANGE); a leaf there (EAGAIN).
Outcome RelaxPerms(Run& run, const Arguments& x) {
  const auto [gfn, rights, x3, x4, x5] = x;
  const uint64_t handle = run.cpu.loaded->handle;
  if (int e = RightsError(run.layout(), rights); e != 0) return Failed(e);
  if (int e = GfnError(run.layout(), gfn, 1); e != 0) return Failed(e);
  Run::Section section(run);
  const EntryAt at = Find(run.vm(handle), gfn);
  if (LeafError(at) != 0) return Failed(HF_EAGAIN);
  run.VmToChange(handle).entries[at.first].rights |=
      static_cast<uint8_t>(rights);
  return Ok();
}

// C: a non-protected VM, as many pages as a leaf has (EINVAL); gfns (ERANGE).
Outcome WriteProtect(Run& run, const Arguments& x) {
  const auto [handle, gfn, pages, x4, x5] = x;
  std::optional<Reference> reference;
  if (!Refer(run, handle, reference).has_value()) return Failed(HF_EINVAL);
  if (!IsPageOrBlock(pages, gfn)) return Failed(HF_EINVAL);
  if (int e = GfnError(run.layout(), gfn, pages); e != 0) return Failed(e);
  Run::Section section(run);
  ForEachLeaf(run.VmToChange(handle), gfn, pages, [](GuestEntry& entry) {
    entry.rights &= static_cast<uint8_t>(~kWrite);
  });
  return Ok();
}

Outcome TestClearYoung(Run& run, const Arguments& x) {
  const auto [handle, gfn, pages, make_old, x5] = x;
  std::optional<Reference> reference;
  if (!Refer(run, handle, reference).has_value()) return Failed(HF_EINVAL);
  if (!IsPageOrBlock(pages, gfn)) return Failed(HF_EINVAL);
  if (int e = GfnError(run.layout(), gfn, pages); e != 0) return Failed(e);
  Run::Section section(run);
  bool young = false;
  ForEachLeaf(run.VmToChange(handle), gfn, pages, [&](GuestEntry& entry) {
    young = young || entry.young;
    if (make_old != 0) entry.young = false;
  });
  // Hardware may make it young at any time.
  if (run.layout().hafdbs && run.found().x1 == 1) young = true;
  return Ok(young ? 1 : 0);
}

// C: a gfn (ERANGE). Nothing there is no error.
Outcome MakeYoung(Run& run, const Arguments& x) {
  const uint64_t gfn = x[0];
  const uint64_t handle = run.cpu.loaded->handle;
  if (int e = GfnError(run.layout(), gfn, 1); e != 0) return Failed(e);
  Run::Section section(run);
  ForEachLeaf(run.VmToChange(handle), gfn, 1,
              [](GuestEntry& entry) { entry.young = true; });
  return Ok();
}

// C: a non-protected VM (EINVAL).
Outcome FlushVmid(Run& run, const Arguments& x) {
  std::optional<Reference> reference;
  return OkOr(Refer(run, x[0], reference).has_value() ? 0 : HF_EINVAL);
}

}  // namespace holdfast::spec
