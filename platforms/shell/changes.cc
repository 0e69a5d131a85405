// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/changes.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/event_ring.h"
#include "pgtable/annotation.h"
#include "platforms/shell/number.h"
#include "platforms/shell/owner.h"
#include "platforms/shell/table_reader.h"

namespace holdfast::shell {
namespace {

using mem_protect::PageRecord;
using mem_protect::Region;

// What a page was and is; equal for neighbours that changed alike.
struct Change {
  Owner before = Owner::kNotRam;
  Owner now = Owner::kNotRam;
  uint32_t count = 0;       // pins, mappings
  uint64_t handle = 0;      // of the guest that has it
  uint64_t gfn_to_pfn = 0;  // gfn - pfn

  bool operator==(const Change&) const = default;
};

Change ChangeOf(tests::Board& board, uint64_t pfn, const PageRecord& before,
                const PageRecord& now) {
  Change change{OwnerOf(&before), OwnerOf(&now), now.count()};
  if (change.now == Owner::kGuest) {
    const auto annotation = HostAnnotation(board, pfn);
    if (annotation.has_value() && annotation->OwnedByGuest()) {
      change.handle = annotation->handle().value();
      change.gfn_to_pfn = annotation->gfn().value() - pfn;
    }
  }
  return change;
}

std::string Text(uint64_t first, uint64_t count, const Change& change) {
  std::string text = absl::StrFormat("page %#x", first);
  if (count > 1) text = absl::StrFormat("pages %#x+%s", first, Show(count));
  absl::StrAppend(&text, ": ", OwnerName(change.before), " -> ",
                  OwnerName(change.now));
  if (change.now == Owner::kGuest && change.handle != 0) {
    absl::StrAppendFormat(&text, " %#x at gfn %s", change.handle,
                          Show(first + change.gfn_to_pfn));
  }
  if (change.now == Owner::kHostEl2 && change.count > 0)
    absl::StrAppend(&text, ", pinned");
  if (change.now == Owner::kHostGuest)
    absl::StrAppend(&text, ", mapped ", Show(change.count), "x");
  return text;
}

const char* VmStateName(uint64_t state) {
  constexpr const char* kNames[] = {"free", "reserved", "initialising", "live",
                                    "dying"};
  return state < std::size(kNames) ? kNames[state] : "?";
}

// Of a VM that may be in the middle of a change: a reading for people.
uint64_t FreeStock(const vm_table::Vm& vm) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return vm.stage2.stock.free();
}

// What EL2's event ring calls the states of a slot.
constexpr uint64_t kSlotFree = 0;

const PageRecord* RecordsOf(tests::Board& board, const Region& region) {
  return board.mem().RecordOf(region.first_pfn());
}

uint64_t PagesOf(const Region& region) {
  return region.IsRam() ? region.end_pfn() - region.first_pfn() : 0;
}

}  // namespace

Changes::Changes(tests::Board& board)
    : board_(board), seen_(board.machine().cpus()) {
  for (const Region& region : board.mem().map().regions()) {
    const PageRecord* records = RecordsOf(board, region);
    records_.emplace_back(records, records + PagesOf(region));
  }
  for (unsigned cpu = 0; cpu < seen_.size(); ++cpu) {
    const EventRing& ring = board.machine().cpu(cpu).local.events;
    if (ring.Back(0).kind != EventKind::kNone)
      seen_[cpu] = ring.Back(0).sequence + 1;
  }
}

std::vector<std::string> Changes::PagesSince(const Records& before) const {
  std::vector<std::string> lines;
  size_t runs = 0;
  uint64_t first = 0;
  uint64_t count = 0;
  Change run;
  const auto end_run = [&] {
    if (count > 0 && ++runs <= kMostLines)
      lines.push_back(Text(first, count, run));
    count = 0;
  };
  const auto regions = board_.mem().map().regions();
  for (size_t i = 0; i < regions.size(); ++i) {
    const uint64_t pages = PagesOf(regions[i]);
    const PageRecord* now = RecordsOf(board_, regions[i]);
    const PageRecord* old = before[i].data();
    if (pages == 0 || std::memcmp(old, now, pages * sizeof(*now)) == 0)
      continue;
    const uint64_t base = regions[i].first_pfn().value();
    for (uint64_t page = 0; page < pages; ++page) {
      if (std::memcmp(&old[page], &now[page], sizeof(*now)) == 0) continue;
      const Change change = ChangeOf(board_, base + page, old[page], now[page]);
      if (count == 0 || base + page != first + count || change != run) {
        end_run();
        first = base + page;
        run = change;
      }
      ++count;
    }
    end_run();
  }
  if (runs > kMostLines)
    lines.push_back(absl::StrCat("and ", runs - kMostLines, " more runs"));
  return lines;
}

std::vector<std::string> Changes::Take() {
  std::vector<std::string> lines = PagesSince(records_);
  const auto regions = board_.mem().map().regions();
  for (size_t i = 0; !lines.empty() && i < regions.size(); ++i) {
    const PageRecord* now = RecordsOf(board_, regions[i]);
    std::copy(now, now + PagesOf(regions[i]), records_[i].begin());
  }
  TakeVmEvents(&lines);
  TakeStocks(&lines);
  return lines;
}

void Changes::WatchStock(uint64_t handle, Pfn memory) {
  stocks_[handle] = {static_cast<const vm_table::Vm*>(
                         board_.machine().ram().At(memory.address())),
                     0};
}

void Changes::TakeStocks(std::vector<std::string>* lines) {
  for (auto& [handle, stock] : stocks_) {
    const uint64_t now = FreeStock(*stock.vm);
    if (now == stock.free) continue;
    lines->push_back(absl::StrFormat("stock of VM %#x: %s -> %s frames free",
                                     handle, Show(stock.free), Show(now)));
    stock.free = now;
  }
}

// A ring keeps 64 events, and one call may make more (of pages): the last state
// of a VM is always among them, since it is set when its pages have moved.
void Changes::TakeVmEvents(std::vector<std::string>* lines) {
  for (unsigned cpu = 0; cpu < seen_.size(); ++cpu) {
    const EventRing& ring = board_.machine().cpu(cpu).local.events;
    if (ring.Back(0).kind == EventKind::kNone) continue;
    const uint32_t end = ring.Back(0).sequence + 1;
    const uint32_t fresh =
        std::min<uint32_t>(end - seen_[cpu], EventRing::kEvents);
    seen_[cpu] = end;
    std::map<uint64_t, uint64_t> now;  // by handle
    for (uint32_t i = fresh; i-- > 0;) {
      const Event& event = ring.Back(i);
      if (event.kind == EventKind::kVmState) now[event.a] = event.b;
      if (event.kind == EventKind::kVcpu) {
        lines->push_back(absl::StrFormat(
            "vCPU %s of VM %#x: %s CPU %u", Show(event.b), event.a,
            event.c != 0 ? "loaded on" : "put by", cpu));
      }
    }
    for (const auto& [handle, state] : now) {
      if (state == kSlotFree) stocks_.erase(handle);
      const uint64_t before = std::exchange(vm_states_[handle], state);
      if (before == state) continue;
      lines->push_back(absl::StrFormat(
          "VM %#x: %s -> %s", handle, VmStateName(before), VmStateName(state)));
    }
  }
}

}  // namespace holdfast::shell
