// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/transitions.h"

#include <algorithm>

namespace holdfast::spec {

const Slot* VmOf(Run& run, uint64_t handle) {
  const auto& slots = run.table().slots;
  const auto at = slots.find(handle);
  return at != slots.end() && at->second.IsVm() ? &at->second : nullptr;
}

// ---- Pages of the host -----------------------------------------------------

int FramesError(const Layout& layout, uint64_t first, uint64_t count) {
  const uint64_t limit = uint64_t{1} << (layout.pa_bits - kPageShift);
  if (first >= limit || count == 0 || count > limit - first) return HF_EINVAL;
  return 0;
}

Page PageOf(Run& run, uint64_t pfn) { return run.layout().At(run.host(), pfn); }
void SetPage(Run& run, uint64_t pfn, const Page& page) {
  run.layout().Set(run.HostToChange(), pfn, page);
}

int HostError(Run& run, const Frames& frames, PageState want) {
  if (int e = run.layout().MemoryError(frames.first, frames.count); e != 0)
    return e;
  for (uint64_t pfn = frames.first; pfn < frames.end(); ++pfn) {
    if (PageOf(run, pfn).host != want) return HF_EPERM;
  }
  return 0;
}

int HypError(Run& run, const Frames& frames, PageState want) {
  for (uint64_t pfn = frames.first; pfn < frames.end(); ++pfn) {
    if (PageOf(run, pfn).hyp != want) return HF_EPERM;
  }
  return 0;
}

int DonateHypError(Run& run, absl::Span<const Frames> ranges) {
  for (size_t i = 0; i < ranges.size(); ++i) {
    const Frames& range = ranges[i];
    if (int e = FramesError(run.layout(), range.first, range.count); e != 0)
      return e;
    for (size_t j = 0; j < i; ++j) {
      if (range.first < ranges[j].end() && ranges[j].first < range.end())
        return HF_EINVAL;
    }
    if (int e = HostError(run, range, PageState::kOwned); e != 0) return e;
    if (int e = HypError(run, range, PageState::kNone); e != 0) return e;
  }
  return 0;
}

void DonateHyp(Run& run, const Frames& frames) {
  for (uint64_t pfn = frames.first; pfn < frames.end(); ++pfn) {
    SetPage(run, pfn, {PageState::kNone, PageState::kOwned, 0, Owner::Hyp()});
    run.HypToChange().pages[pfn] = {
        .mapped = true, .pfn = pfn, .rights = kRead | kWrite};
  }
}

void GiveBack(Run& run, uint64_t pfn) {
  SetPage(run, pfn, Page());
  run.HypToChange().pages.erase(pfn);
  run.Zeroed(pfn);
}

int PinError(Run& run, uint64_t pfn) {
  if (int e = HostError(run, {pfn, 1}, PageState::kShared); e != 0) return e;
  if (int e = HypError(run, {pfn, 1}, PageState::kBorrowed); e != 0) return e;
  return 0;
}

void Pin(Run& run, uint64_t pfn) {
  Page page = PageOf(run, pfn);
  if (++page.count == 1) {
    run.HypToChange().pages[pfn] = {
        .mapped = true, .pfn = pfn, .rights = kRead | kWrite};
  }
  SetPage(run, pfn, page);
}

void Unpin(Run& run, uint64_t pfn) {
  Page page = PageOf(run, pfn);
  if (--page.count == 0) run.HypToChange().pages.erase(pfn);
  SetPage(run, pfn, page);
}

// ---- Entries of guests -----------------------------------------------------

bool IsPageOrBlock(uint64_t pages, uint64_t first) {
  if (pages == 1) return true;
  return kBlockPages != 0 && pages == kBlockPages && first % kBlockPages == 0;
}

EntryAt Find(const Vm& vm, uint64_t gfn) {
  auto at = vm.entries.upper_bound(gfn);
  if (at == vm.entries.begin()) return {};
  --at;
  if (gfn - at->first >= PagesAt(at->second.level)) return {};
  return {&at->second, at->first};
}

int LeafError(const EntryAt& at) {
  if (at.entry == nullptr) return HF_ENOENT;
  return at.entry->poisoned ? HF_EHWPOISON : 0;
}

int PageError(const EntryAt& at) {
  if (int e = LeafError(at); e != 0) return e;
  return at.entry->level == 3 ? 0 : HF_E2BIG;
}

bool AnyEntry(const Vm& vm, uint64_t gfn, uint64_t pages) {
  if (Find(vm, gfn).entry != nullptr) return true;
  const auto next = vm.entries.lower_bound(gfn);
  return next != vm.entries.end() && next->first < gfn + pages;
}

int GfnError(const Layout& layout, uint64_t gfn, uint64_t pages) {
  const uint64_t limit = uint64_t{1} << (layout.ipa_bits - kPageShift);
  return gfn >= limit || pages > limit - gfn ? HF_ERANGE : 0;
}

namespace {

// The table of a level on the way to a gfn.
TableKey KeyOf(int level, uint64_t gfn) {
  return {static_cast<int8_t>(level), gfn & ~(PagesAt(level - 1) - 1)};
}

// Gives back a table that no entry is in.
void DropIfEmpty(Vm& vm, const TableKey& key) {
  const auto at = vm.tables.find(key);
  if (at == vm.tables.end()) return;
  const auto entry = vm.entries.lower_bound(key.second);
  if (entry != vm.entries.end() &&
      entry->first - key.second < PagesAt(key.first - 1)) {
    return;
  }
  vm.stock.insert(at->second);
  vm.tables.erase(at);
}

}  // namespace

uint64_t TablesMissing(const Layout& layout, const Vm& vm, uint64_t gfn,
                       int level) {
  uint64_t missing = 0;
  for (int l = layout.start_level + 1; l <= level; ++l)
    missing += vm.tables.contains(KeyOf(l, gfn)) ? 0 : 1;
  return missing;
}

void AddEntry(Run& run, uint64_t handle, uint64_t gfn,
              const GuestEntry& entry) {
  Vm& vm = run.VmToChange(handle);
  const Vm& found = run.found_vm(handle);
  for (int l = run.layout().start_level + 1; l <= entry.level; ++l) {
    const TableKey key = KeyOf(l, gfn);
    if (vm.tables.contains(key)) continue;
    const auto chosen = found.tables.find(key);
    const auto frame = chosen == found.tables.end()
                           ? vm.stock.begin()
                           : vm.stock.find(chosen->second);
    if (frame == vm.stock.end()) {
      run.Wrong("a table of a guest is in a frame that was not in its stock");
      continue;
    }
    vm.tables[key] = *frame;
    vm.stock.erase(frame);
  }
  vm.entries[gfn] = entry;
  vm.pages += PagesAt(entry.level);
}

uint64_t MostPages(uint64_t first, uint64_t pages) {
  const uint64_t most = std::min(Layout::Budget(), kEntries);
  return std::min(pages, most - first % most);
}

uint64_t StockFree(const Vm& vm) {
  uint64_t free = vm.stock.size();
  for (const auto& [gfn, entry] : vm.entries) {
    const bool mine =
        entry.state == PageState::kOwned || entry.state == PageState::kShared;
    if (!entry.poisoned && entry.level != 3 && mine) --free;
  }
  return free;
}

uint64_t StepInto(Run& run, uint64_t handle, uint64_t gfn, uint64_t pages) {
  const EntryAt at = Find(run.vm(handle), gfn);
  const uint64_t size = PagesAt(at.entry->level);
  if (size == 1 || (at.first == gfn && size <= pages)) return size;
  // It goes, and its pages come, in the table that it was promised.
  Vm& vm = run.VmToChange(handle);
  const uint64_t first = at.first;
  GuestEntry page = *at.entry;
  page.level = 3;
  vm.entries.erase(first);
  vm.pages -= size;
  for (uint64_t i = 0; i < size; ++i, ++page.pfn)
    AddEntry(run, handle, first + i, page);
  return 1;
}

void RemoveEntry(Run& run, uint64_t handle, uint64_t gfn) {
  Vm& vm = run.VmToChange(handle);
  const auto at = vm.entries.find(gfn);
  if (at == vm.entries.end()) return;
  if (!at->second.poisoned) vm.pages -= PagesAt(at->second.level);
  vm.entries.erase(at);
  for (int l = 3; l > run.layout().start_level; --l)
    DropIfEmpty(vm, KeyOf(l, gfn));
}

void DropEmptyTables(Vm& vm) {
  const auto tables = vm.tables;
  for (auto at = tables.rbegin(); at != tables.rend(); ++at)
    DropIfEmpty(vm, at->first);
}

}  // namespace holdfast::spec
