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

Status MemProtect::CheckHyp(const FrameRange& range, PageState want) {
  for (uint64_t i = 0; i < range.count; ++i) {
    if (Record(range.first + i).hyp() != want) return Error(Errno::kEperm);
  }
  return {};
}

// A record's two states share a word, so writing the hyp one takes both locks.
void MemProtect::SetHyp(Pfn pfn, PageState state) {
  PageRecord& record = Record(pfn);
  record.set_hyp(state);
  NoteRecord(pfn, record);
}

Status MemProtect::ShareHyp(uint64_t pfn) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  const FrameRange page{frame, 1};
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckHost(page, PageState::kOwned));
  HOLDFAST_TRY(CheckHyp(page, PageState::kNoPage));
  SetHyp(frame, PageState::kSharedBorrowed);
  SetHost(frame, PageState::kSharedOwned);
  return {};
}

Status MemProtect::UnshareHyp(uint64_t pfn) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  const FrameRange page{frame, 1};
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckHost(page, PageState::kSharedOwned));
  HOLDFAST_TRY(CheckHyp(page, PageState::kSharedBorrowed));
  if (Record(frame).count() != 0) return Error(Errno::kEbusy);
  SetHyp(frame, PageState::kNoPage);
  SetHost(frame, PageState::kOwned);
  return {};
}

Status MemProtect::CheckDonateHyp(std::span<const FrameRange> ranges) {
  for (size_t i = 0; i < ranges.size(); ++i) {
    const FrameRange& range = ranges[i];
    HOLDFAST_TRY(HostFrames(range.first.value(), range.count));
    for (size_t j = 0; j < i; ++j) {
      if (range.Overlaps(ranges[j])) return Error(Errno::kEinval);
    }
    HOLDFAST_TRY(CheckHost(range, PageState::kOwned));
    HOLDFAST_TRY(CheckHyp(range, PageState::kNoPage));
  }
  return {};
}

void MemProtect::GiveToHyp(Vacated pages) {
  const FrameRange& range = pages.frames();
  for (uint64_t i = 0; i < range.count; ++i)
    SetHyp(range.first + i, PageState::kOwned);
  MapAtHyp(range);
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
    GiveToHyp(
        TakeFromHost(range, pgtable::Annotation::HostDonationToHyp(), tables));
  }
  return {};
}

Status MemProtect::DonateHypAndPin(const FrameRange& memory, Pfn run_page) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckDonateHyp({&memory, 1}));
  HOLDFAST_TRY(CheckPin(run_page));
  if (Record(run_page).count() != 0) return Error(Errno::kEbusy);
  if (HypTablesFor(memory) + HypTablesFor({run_page, 1}) > hyp_.stock.free()) {
    return Error(Errno::kEnomem);
  }
  HOLDFAST_TRY_ASSIGN(Reservation tables, ReserveHostTables({&memory, 1}));
  GiveToHyp(
      TakeFromHost(memory, pgtable::Annotation::HostDonationToHyp(), tables));
  CommitPin(run_page);
  return {};
}

Status MemProtect::HypDonateHost(const FrameRange& range) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckHyp(range, PageState::kOwned));
  HOLDFAST_TRY(CheckHost(range, PageState::kNoPage));
  for (uint64_t i = 0; i < range.count; ++i) {
    if (Record(range.first + i).count() != 0) return Error(Errno::kEbusy);
  }
  pgtable::HypTlbBatch<Granule> batch(hyp_);
  hyp_.Unmap(HypVaOf(range.start()), range.size(), batch);
  Vacated pages = Vacated::ByHyp(range, batch.Complete());
  for (uint64_t i = 0; i < range.count; ++i)
    SetHyp(range.first + i, PageState::kNoPage);
  GiveToHost(std::move(pages));
  return {};
}

Status MemProtect::CheckPin(Pfn pfn) {
  const FrameRange page{pfn, 1};
  HOLDFAST_TRY(CheckHost(page, PageState::kSharedOwned));
  HOLDFAST_TRY(CheckHyp(page, PageState::kSharedBorrowed));
  if (Record(pfn).count() == PageRecord::kMaxCount) return Error(Errno::kEbusy);
  return {};
}

void MemProtect::CommitPin(Pfn pfn) {
  PageRecord& record = Record(pfn);
  if (record.count() == 0) MapAtHyp({pfn, 1});
  record.Increment();
  NoteRecord(pfn, record);
}

Status MemProtect::Pin(Pfn pfn) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  HOLDFAST_TRY(CheckPin(pfn));
  if (HypTablesFor({pfn, 1}) > hyp_.stock.free()) return Error(Errno::kEnomem);
  CommitPin(pfn);
  return {};
}

void MemProtect::Unpin(Pfn pfn) {
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  PageRecord& record = Record(pfn);
  record.Decrement();
  NoteRecord(pfn, record);
  if (record.count() != 0) return;
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
