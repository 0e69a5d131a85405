// SPDX-License-Identifier: Apache-2.0
//
// Between host and hypervisor: share, donate, give back, pin.
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

constexpr HypVa HypVaOf(PhysAddr address) { return HypVa(address.value()); }

}  // namespace

// The host's lock guards the whole record, hyp's state and the count in it too.
void MemProtect::SetHyp(const Pages& pages, PageState state) {
  for (uint64_t i = 0; i < pages.frames.count; ++i)
    pages.records[i].set_hyp(state);
  NoteRecords(pages);
}

Status MemProtect::ShareHyp(uint64_t pfn) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  SpinlockHolder host_hold(host_.lock);
  HOLDFAST_TRY_ASSIGN(const Pages page, HostPages({frame, 1}, PageState::kOwned,
                                                  PageState::kNoPage));
  page.records->set_hyp(PageState::kSharedBorrowed);
  SetHost(page, PageState::kSharedOwned);
  return {};
}

Status MemProtect::UnshareHyp(uint64_t pfn) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  SpinlockHolder host_hold(host_.lock);
  HOLDFAST_TRY_ASSIGN(const Pages page,
                      HostPages({frame, 1}, PageState::kSharedOwned,
                                PageState::kSharedBorrowed));
  if (page.records->count() != 0) return Error(Errno::kEbusy);
  page.records->set_hyp(PageState::kNoPage);
  SetHost(page, PageState::kOwned);
  return {};
}

Status MemProtect::CheckDonateHyp(std::span<const FrameRange> ranges) {
  for (size_t i = 0; i < ranges.size(); ++i) {
    const FrameRange& range = ranges[i];
    HOLDFAST_TRY(HostFrames(range.first.value(), range.count));
    for (size_t j = 0; j < i; ++j) {
      if (range.Overlaps(ranges[j])) return Error(Errno::kEinval);
    }
    HOLDFAST_TRY(HostPages(range, PageState::kOwned, PageState::kNoPage));
  }
  return {};
}

void MemProtect::GiveToHyp(Vacated vacated) {
  SetHyp(PagesOf(vacated.frames()), PageState::kOwned);
  MapAtHyp(vacated.frames());
}

Status MemProtect::DonateHyp(std::span<const FrameRange> ranges) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckDonateHyp(ranges));
  uint64_t hyp_tables = 0;
  for (const FrameRange& range : ranges) hyp_tables += HypTablesFor(range);
  if (hyp_tables > hyp_.stock.free()) return Error(Errno::kEnomem);
  HOLDFAST_TRY_ASSIGN(Reservation tables, ReserveHostTables(ranges));
  for (const FrameRange& range : ranges) {
    GiveToHyp(TakeFromHost(PagesOf(range),
                           pgtable::Annotation::HostDonationToHyp(), tables));
  }
  return {};
}

Status MemProtect::DonateHypAndPin(const FrameRange& memory, Pfn run_page) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckDonateHyp({&memory, 1}));
  HOLDFAST_TRY_ASSIGN(const Pages pinned, CheckPin(run_page));
  if (pinned.records->count() != 0) return Error(Errno::kEbusy);
  if (HypTablesFor(memory) + HypTablesFor({run_page, 1}) > hyp_.stock.free()) {
    return Error(Errno::kEnomem);
  }
  HOLDFAST_TRY_ASSIGN(Reservation tables, ReserveHostTables({&memory, 1}));
  GiveToHyp(TakeFromHost(PagesOf(memory),
                         pgtable::Annotation::HostDonationToHyp(), tables));
  CommitPin(pinned);
  return {};
}

Status MemProtect::HypDonateHost(const FrameRange& range) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY_ASSIGN(const Pages pages,
                      HostPages(range, PageState::kNoPage, PageState::kOwned));
  for (uint64_t i = 0; i < range.count; ++i) {
    if (pages.records[i].count() != 0) return Error(Errno::kEbusy);
  }
  pgtable::HypTlbBatch<Granule> batch(hyp_);
  hyp_.Unmap(HypVaOf(range.start()), range.size(), batch);
  Vacated vacated = Vacated::ByHyp(range, batch.Complete());
  SetHyp(pages, PageState::kNoPage);
  GiveToHost(std::move(vacated));
  return {};
}

Result<MemProtect::Pages> MemProtect::CheckPin(Pfn pfn) {
  HOLDFAST_TRY_ASSIGN(
      const Pages page,
      HostPages({pfn, 1}, PageState::kSharedOwned, PageState::kSharedBorrowed));
  if (page.records->count() == PageRecord::kMaxCount)
    return Error(Errno::kEbusy);
  return page;
}

void MemProtect::CommitPin(const Pages& page) {
  if (page.records->count() == 0) MapAtHyp(page.frames);
  page.records->Increment();
  NoteRecords(page);
}

Status MemProtect::Pin(Pfn pfn) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY_ASSIGN(const Pages page, CheckPin(pfn));
  if (HypTablesFor(page.frames) > hyp_.stock.free())
    return Error(Errno::kEnomem);
  CommitPin(page);
  return {};
}

void MemProtect::Unpin(Pfn pfn) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  const Pages page = PagesOf({pfn, 1});
  page.records->Decrement();
  NoteRecords(page);
  if (page.records->count() != 0) return;
  pgtable::HypTlbBatch<Granule> batch(hyp_);
  hyp_.Unmap(HypVaOf(pfn.address()), kPageSize, batch);
  static_cast<void>(batch.Complete());
}

uint64_t MemProtect::HypTablesFor(const FrameRange& range) {
  return hyp_.TablesNeeded(HypVaOf(range.start()), range.size());
}

void MemProtect::MapAtHyp(const FrameRange& range) {
  const Status mapped = hyp_.Map(
      HypVaOf(range.start()), range.start(), range.size(),
      *pgtable::HypAttr::For(pgtable::kHypData), /*allow_blocks=*/false);
  HOLDFAST_CHECK(mapped.has_value());  // the plan has counted the tables
}

}  // namespace holdfast::mem_protect
