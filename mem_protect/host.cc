// SPDX-License-Identifier: Apache-2.0
//
// The host's side: its page states, and its stage 2, which is an identity map
// filled lazily by faults.
#include <initializer_list>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using pgtable::Stage2Attr;

constexpr Ipa IpaOf(PhysAddr address) { return Ipa(address.value()); }

constexpr Level kLargestBlock =
    MemProtect::kBlockPages != 0 ? Level(kPageLevel.value() - 1) : kPageLevel;

}  // namespace

Result<FrameRange> MemProtect::HostFrames(uint64_t pfn, uint64_t pages) const {
  HOLDFAST_TRY_ASSIGN(const Pfn first, HostFrame(pfn));
  const uint64_t limit = uint64_t{1} << (features_.pa_bits - kPageShift);
  if (pages == 0 || pages > limit - pfn) return Error(Errno::kEinval);
  return FrameRange{first, pages};
}

const PageRecord* MemProtect::RecordOf(Pfn pfn) const {
  const Region* region = map_.Find(pfn.address());
  // The region's first page may begin before the region does.
  if (region == nullptr) region = map_.Find(pfn.address() + (kPageSize - 1));
  if (region == nullptr || !region->IsRam()) return nullptr;
  const size_t index = static_cast<size_t>(region - map_.regions().data());
  return records_[index].first + (pfn - region->first_pfn());
}

MemProtect::Pages MemProtect::PagesOf(const FrameRange& frames) {
  const PageRecord* record = RecordOf(frames.first);
  HOLDFAST_CHECK(record != nullptr);
  return {frames, const_cast<PageRecord*>(record)};
}

Result<const Region*> MemProtect::HostMemory(const FrameRange& range) const {
  const Region* region = map_.FindWhole(range.start(), range.size());
  if (region == nullptr) {
    return Error(map_.IsGap(range.start(), range.size()) ? Errno::kEperm
                                                         : Errno::kEinval);
  }
  if (region->kind != RegionKind::kMemory) return Error(Errno::kEperm);
  return region;
}

// The host's memory (EINVAL, EPERM), each page in these states (EPERM).
Result<MemProtect::Pages> MemProtect::HostPages(const FrameRange& range,
                                                PageState host, PageState hyp) {
  host_.lock.AssertHeld();
  const Region* region = map_.FindWhole(range.start(), range.size());
  if (region == nullptr || region->kind != RegionKind::kMemory) [[unlikely]]
    return Error(HostMemory(range).error());
  const Pages pages = PagesIn(*region, range);
  for (uint64_t i = 0; i < range.count; ++i) {
    if (!pages.records[i].Is(host, hyp)) return Error(Errno::kEperm);
  }
  return pages;
}

// The pages from `first` on, `most` at most, that are so; the first one's error
// if it is not.
Result<MemProtect::Pages> MemProtect::HostRun(Pfn first, uint64_t most,
                                              PageState host, PageState hyp) {
  HOLDFAST_TRY_ASSIGN(Pages run, HostPages({first, 1}, host, hyp));
  if (most == 1) return run;
  // (The first page is whole in its region.)
  const Region& region = *map_.Find(first.address());
  const uint64_t whole = (region.end() - first.address()) >> kPageShift;
  if (most > whole) most = whole;
  uint64_t& count = run.frames.count;
  while (count < most && run.records[count].Is(host, hyp)) ++count;
  return run;
}

uint32_t MemProtect::HostTablesFor(std::span<const FrameRange> ranges,
                                   Level largest_leaf) const {
  uint32_t count = 0;
  for (const FrameRange& range : ranges) {
    count +=
        host_.TablesNeeded(IpaOf(range.start()), range.size(), largest_leaf);
  }
  return count;
}

// Tables so that each of the ranges can have entries of `largest_leaf` or
// smaller.
Result<MemProtect::Reservation> MemProtect::ReserveHostTables(
    std::span<const FrameRange> ranges, Level largest_leaf) {
  Result<Reservation> tables =
      host_.stock.Reserve(HostTablesFor(ranges, largest_leaf));
  if (tables.has_value()) return tables;
  RecycleMmio();
  // Counted again: what was recycled may have been tables above these ranges.
  return host_.stock.Reserve(HostTablesFor(ranges, largest_leaf));
}

// Mappings of MMIO carry no state and come back by faults, so their tables are
// the reserve of last resort. RAM is never unmapped: annotations would be lost.
void MemProtect::RecycleMmio() {
  HostBatch batch(host_);
  for (const Region& region : map_.regions()) {
    if (!region.IsRam()) host_.Unmap(IpaOf(region.base), region.size, batch);
  }
  static_cast<void>(batch.Complete());
}

// Commit: the pages are no longer the host's, in state and in every TLB.
Vacated MemProtect::TakeFromHost(const Pages& pages, pgtable::Annotation owner,
                                 Reservation& tables, Level largest) {
  const FrameRange& range = pages.frames;
  SetHost(pages, PageState::kNoPage);
  HostBatch batch(host_);
  host_.Annotate(IpaOf(range.start()), range.size(), owner, tables, batch,
                 largest);
  return Vacated::ByHost(range, batch.Complete());
}

// The same for one page, whose entry is of a page's size.
Vacated MemProtect::TakePageFromHost(Stage2::Cursor& at, const Pages& page,
                                     pgtable::Annotation owner) {
  SetHost(page, PageState::kNoPage);
  Reservation none;
  HostBatch batch(host_);
  host_.AnnotateAt(at, owner, none, batch);
  return Vacated::ByHost(page.frames, batch.Complete());
}

// RAM whose entries are as large as annotations of it are, so no table is
// missing. With a `largest` above a page, a block that the range covers becomes
// one again.
void MemProtect::MapForHost(const FrameRange& range, Level largest) {
  Reservation none;
  HostBatch batch(host_);
  host_.Map(IpaOf(range.start()), range.start(), range.size(), host_memory_,
            largest, none, batch);
  static_cast<void>(batch.Complete());
}

void MemProtect::MapPageForHost(Stage2::Cursor& at) {
  Reservation none;
  HostBatch batch(host_);
  host_.MapAt(at, PhysAddr(at.ipa().value()), host_memory_, none, batch);
  static_cast<void>(batch.Complete());
}

// Commit: the pages are the host's and mapped.
void MemProtect::GiveToHost(Vacated vacated) {
  const FrameRange& range = vacated.frames();
  MapForHost(range, kLargestBlock);
  SetHost(PagesOf(range), PageState::kOwned);
}

// RAM and MMIO alike take their memory type from the host's stage 1.
Stage2Attr MemProtect::HostAttr(const pgtable::Prot& prot) const {
  return *Stage2Attr::For(prot, pgtable::MemStyle::kAsStage1, features_);
}

// The level of the largest leaf for `ipa` that lies inside its region, no
// higher than where its walk stopped. Level 3 will do even if it sticks out: a
// region's ends need not be aligned.
Level MemProtect::LargestLeafFor(const Region& region, Ipa ipa,
                                 Level deepest) const {
  for (int8_t level = deepest.value(); level < kPageLevel.value(); ++level) {
    if (!Granule::BlockAllowed(Level(level))) continue;
    const uint64_t size = Granule::Size(Level(level));
    const PhysAddr start(ipa.AlignDown(size).value());
    if (start >= region.base && size <= region.end() - start)
      return Level(level);
  }
  return kPageLevel;
}

FaultAction MemProtect::HandleHostFault(Ipa ipa, FaultKind kind) {
  // The host's permissions never change once mapped, so a permission fault is
  // not cured by trying again (an instruction fetch from MMIO, say).
  if (kind != FaultKind::kTranslation) return FaultAction::kInject;
  // A fault in a page that a region only partly fills belongs to the region.
  const Ipa page = ipa.AlignDown(kPageSize);
  const Region* first = map_.Find(PhysAddr(page.value()));
  const Region* last = map_.Find(PhysAddr(page.value()) + (kPageSize - 1));
  const Region* region = map_.Find(PhysAddr(ipa.value()));
  if (region == nullptr) region = last != nullptr ? last : first;
  if (region == nullptr) return FaultAction::kInject;
  // NOMAP bytes make the whole page NOMAP.
  for (const Region* part : {region, first, last}) {
    if (part != nullptr && part->kind == RegionKind::kNoMap) {
      return FaultAction::kInject;
    }
  }

  SpinlockHolder hold(host_.lock);
  Result<Stage2::Cursor> at = host_.Find(page);
  if (!at.has_value()) return FaultAction::kInject;
  switch (at->pte().kind(at->level())) {
    case pgtable::PteKind::kLeaf:
      return FaultAction::kRetry;  // another CPU was here
    case pgtable::PteKind::kEmpty:
      break;
    case pgtable::PteKind::kAnnotation:
    case pgtable::PteKind::kTable:
    case pgtable::PteKind::kReserved:
      return FaultAction::kInject;
  }

  const Level level = LargestLeafFor(*region, page, at->level());
  const uint64_t size = Granule::Size(level);
  const Ipa start = page.AlignDown(size);
  const FrameRange frames{Pfn::Of(PhysAddr(start.value())), size >> kPageShift};
  Result<Reservation> tables = ReserveHostTables({&frames, 1}, level);
  if (!tables.has_value()) return FaultAction::kInject;
  const Stage2Attr attr =
      region->IsRam() ? host_memory_ : HostAttr(pgtable::kHostMmio);
  HostBatch batch(host_);
  host_.Map(start, frames.start(), size, attr, level, *tables, batch);
  static_cast<void>(batch.Complete());
  return FaultAction::kRetry;
}

}  // namespace holdfast::mem_protect
