// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/show.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pgtable/decode.h"
#include "platforms/shell/table_reader.h"
#include "platforms/stream/text.h"
#include "vm_table/vm.h"

namespace holdfast::shell {
namespace {

using Lines = std::vector<std::string>;
using mem_protect::PageRecord;
using mem_protect::Region;

// The guest that owns a frame, and where it has it.
void FindGuest(tests::Board& board, OwnerRun* page) {
  const auto annotation = HostAnnotation(board, page->first);
  if (!annotation.has_value() || !annotation->OwnedByGuest()) return;
  page->handle = annotation->handle().value();
  page->gfn = annotation->gfn().value();
}

OwnerRun PageAt(tests::Board& board, uint64_t pfn) {
  OwnerRun page{pfn, 1, OwnerOf(board.mem().RecordOf(Pfn(pfn)))};
  if (page.owner == Owner::kGuest) FindGuest(board, &page);
  return page;
}

bool Continues(const OwnerRun& run, const OwnerRun& page) {
  return run.owner == page.owner && run.first + run.count == page.first &&
         run.handle == page.handle &&
         (page.handle == 0 || run.gfn + run.count == page.gfn);
}

std::string OwnerText(const OwnerRun& run) {
  std::string text = OwnerName(run.owner);
  if (run.handle != 0) {
    absl::StrAppendFormat(&text, " %#x at gfn %s", run.handle, Show(run.gfn));
  }
  return text;
}

// ---- Pages ------------------------------------------------------------------

Parsed<Lines> Page(tests::Board& board, const ShowCommand& show) {
  const unsigned bits = board.mem().features().pa_bits - kPageShift;
  if (show.count == 0 || show.number >> bits != 0 ||
      show.count > (uint64_t{1} << bits) - show.number) {
    return Bad(0, "no such frames",
               absl::StrFormat("frames below %#x", uint64_t{1} << bits));
  }
  Lines lines;
  for (uint64_t i = 0; i < show.count; ++i) {
    const uint64_t pfn = show.number + i;
    const PageRecord* record = board.mem().RecordOf(Pfn(pfn));
    std::string line =
        absl::StrFormat("page %#x: %s", pfn, OwnerText(PageAt(board, pfn)));
    if (record != nullptr) {
      absl::StrAppendFormat(&line, "  (host %s, EL2 %s, count %u)",
                            PageStateName(record->host()),
                            PageStateName(record->hyp()), record->count());
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

Lines Pages(tests::Board& board) {
  Lines lines = {absl::StrFormat("%-24s %8s  %s", "frames", "count", "owner")};
  for (const OwnerRun& run : OwnerRuns(board)) {
    lines.push_back(absl::StrFormat(
        "%-24s %8u  %s",
        absl::StrFormat("%#x-%#x", run.first, run.first + run.count - 1),
        run.count, OwnerText(run)));
  }
  return lines;
}

// ---- VMs --------------------------------------------------------------------

// For as long as it lives, this thread is a CPU that may take EL2's locks.
Parsed<unsigned> CpuToLook(Session& session) {
  const auto cpu = session.FreeCpu();
  if (cpu.has_value() && session.LocksAreFree()) return *cpu;
  return Bad(0, "a CPU is stopped with a lock that this must take",
             "step or join it first; show locks says which");
}

vm_table::Vm* FindVm(hyp::Hypervisor& hv, uint64_t handle) {
  if (handle > 0xffff) return nullptr;
  SpinlockHolder hold(hv.vms().lock);
  return hv.vms().Find(VmHandle(static_cast<uint16_t>(handle)));
}

Parsed<vm_table::Vm*> NeedVm(hyp::Hypervisor& hv, uint64_t handle) {
  if (vm_table::Vm* vm = FindVm(hv, handle)) return vm;
  return Bad(0, absl::StrCat("no VM has the handle ", Show(handle)),
             "show vms lists them");
}

// "VM 0x1000: protected, live, 2 vCPUs, 3 guest pages, stock 12 of 16 free".
std::string VmLine(hyp::Hypervisor& hv, vm_table::Vm& vm) {
  SpinlockHolder hold(hv.vms().lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  return absl::StrFormat(
      "VM %#x: %s, %s, %u of %u vCPUs, %u references; %u guest pages; stock: "
      "%u "
      "of %u frames free",
      vm.handle().value(), vm.is_protected() ? "protected" : "non-protected",
      hv.vms().IsDying(vm) ? "dying" : "live", hv.vms().VcpusAlive(vm),
      vm.vcpu_count(), hv.vms().References(vm), vm.guest_pages,
      vm.stage2.stock.free(), vm.stock_frames);
}

Lines Vms(hyp::Hypervisor& hv) {
  Lines lines;
  for (uint32_t i = 0; i < vm_table::kVmSlots; ++i) {
    if (vm_table::Vm* vm = FindVm(hv, vm_table::kFirstHandle + i))
      lines.push_back(VmLine(hv, *vm));
  }
  if (lines.empty()) lines.push_back("no VMs");
  return lines;
}

constexpr size_t kMostEntries = 64;

Parsed<Lines> VmInFull(tests::Board& board, uint64_t handle) {
  hyp::Hypervisor& hv = board.hv();
  HOLDFAST_TRY_ASSIGN(vm_table::Vm* const vm, NeedVm(hv, handle));
  Lines lines = {VmLine(hv, *vm)};
  lines.push_back(
      absl::StrFormat("    memory %#x+%s, stage 2 at %#x+%s, VMID %u",
                      vm->memory().first.value(), Show(vm->memory().count),
                      vm->root().first.value(), Show(vm->root().count),
                      vm->stage2.context().vmid.value()));
  for (unsigned cpu = 0; cpu < board.machine().cpus(); ++cpu) {
    const vm_table::Vcpu* vcpu = hv.loaded(cpu);
    if (vcpu == nullptr || &vcpu->vm() != vm) continue;
    lines.push_back(
        absl::StrFormat("    vCPU %u is loaded on CPU %u", vcpu->index(), cpu));
  }
  const std::vector<TableEntry> entries =
      EntriesOf(board, GuestRoot(board, vm->root().start()));
  for (size_t i = 0; i < entries.size() && i < kMostEntries; ++i) {
    const TableEntry& entry = entries[i];
    lines.push_back(absl::StrFormat(
        "    gfn %#x: %s", entry.address >> kPageShift,
        pgtable::Summary(entry.entry.raw(), {.stage = pgtable::Stage::kStage2,
                                             .level = entry.level.value(),
                                             .page_shift = kPageShift})));
  }
  if (entries.size() > kMostEntries) {
    lines.push_back(
        absl::StrCat("    and ", entries.size() - kMostEntries, " more"));
  }
  return lines;
}

Parsed<Lines> Stock(hyp::Hypervisor& hv, uint64_t handle) {
  HOLDFAST_TRY_ASSIGN(vm_table::Vm* const vm, NeedVm(hv, handle));
  SpinlockHolder hold(vm->stage2.lock);
  const uint64_t free = vm->stage2.stock.free();
  const uint64_t deposits = vm->stage2.stock.deposits();
  std::string line = absl::StrFormat(
      "stock of VM %#x: %u frames given, %u free, %u in tables", handle,
      vm->stock_frames, free, vm->stock_frames - free - deposits);
  if (deposits != 0)
    absl::StrAppendFormat(&line, ", %u put by to split blocks", deposits);
  return Lines{line};
}

// ---- Walks ------------------------------------------------------------------

struct NamedWalk {
  std::string name;
  pgtable::Stage stage = pgtable::Stage::kStage2;
  std::vector<WalkStep> steps;
};

Parsed<NamedWalk> WalkFor(Session& session, const ShowCommand& show) {
  tests::Board& board = session.board();
  const unsigned bits = board.mem().features().pa_bits;
  if (show.address >> bits != 0) {
    return Bad(0, absl::StrCat(Show(show.address), " is beyond the table"),
               absl::StrFormat("an address below %#x", uint64_t{1} << bits));
  }
  NamedWalk walk;
  TableRoot root;
  switch (show.table) {
    case ShowCommand::Table::kHost:
      walk.name = "host";
      walk.stage = pgtable::Stage::kHostStage2;
      root = HostRoot(board);
      break;
    case ShowCommand::Table::kHyp:
      walk.name = "EL2";
      walk.stage = pgtable::Stage::kHyp;
      root = HypRoot(board);
      break;
    case ShowCommand::Table::kGuest: {
      HOLDFAST_TRY_ASSIGN(const unsigned cpu, CpuToLook(session));
      sim::OnCpu on_cpu(board.machine(), cpu);
      HOLDFAST_TRY_ASSIGN(vm_table::Vm* const vm,
                          NeedVm(board.hv(), show.number));
      walk.name = absl::StrCat("guest ", Show(show.number));
      root = GuestRoot(board, vm->root().start());
      break;
    }
  }
  walk.steps = Walk(board, root, show.address);
  return walk;
}

std::string SummaryOf(const NamedWalk& walk, const WalkStep& step) {
  return pgtable::Summary(step.entry.raw(), {.stage = walk.stage,
                                             .level = step.level.value(),
                                             .page_shift = kPageShift});
}

std::string TitleOf(const NamedWalk& walk, const ShowCommand& show) {
  return absl::StrCat(walk.name, " at ", Show(show.address));
}

Parsed<Lines> WalkLines(Session& session, const ShowCommand& show) {
  HOLDFAST_TRY_ASSIGN(const NamedWalk walk, WalkFor(session, show));
  Lines lines = {TitleOf(walk, show)};
  for (const WalkStep& step : walk.steps) {
    lines.push_back(absl::StrFormat("    level %d  at %#x  %#018x  %s",
                                    step.level.value(), step.at.value(),
                                    step.entry.raw(), SummaryOf(walk, step)));
  }
  return lines;
}

// ---- The machine ------------------------------------------------------------

Lines Tlb(tests::Board& board) {
  Lines lines;
  for (const sim::StaleEntry& entry : board.machine().StaleEntries())
    lines.push_back(sim::ToString(entry));
  if (lines.empty()) lines.push_back("no translation is stale");
  return lines;
}

Lines Locks(Session& session) {
  Lines lines;
  for (const auto& [lock, cpu] : session.scheduler().holders()) {
    lines.push_back(
        absl::StrCat(LockName(session.board(), lock), ": held by CPU ", cpu));
  }
  for (unsigned cpu = 0; cpu < session.setup().cpus(); ++cpu) {
    if (session.scheduler().Busy(cpu) && session.scheduler().stop(cpu).point ==
                                             sim::SchedulingPoint::kLockWait) {
      lines.push_back(absl::StrCat("CPU ", cpu, " waits for a lock"));
    }
  }
  if (lines.empty()) lines.push_back("no lock is held");
  return lines;
}

Lines OneCpu(Session& session, unsigned cpu) {
  Lines lines;
  if (session.scheduler().Busy(cpu)) {
    const Outcome stop = session.StoppedAt(cpu);
    lines.push_back(
        absl::StrFormat("CPU %u: in %s, %s", cpu, stop.what, stop.detail));
  } else {
    lines.push_back(absl::StrFormat("CPU %u: free", cpu));
  }
  if (const vm_table::Vcpu* vcpu = session.board().hv().loaded(cpu)) {
    lines.push_back(absl::StrFormat("    vCPU %u of VM %#x is loaded",
                                    vcpu->index(),
                                    vcpu->vm().handle().value()));
  }
  if (const Outcome* last = session.last(cpu)) {
    lines.push_back(
        absl::StrFormat("    last: %s = %s", last->what, last->ResultText()));
  }
  return lines;
}

// Counted from 0 for each command, and with locks by name: the same for every
// run.
Lines Events(Session& session) {
  Lines lines;
  for (sim::Event event : session.events()) {
    event.seq = lines.size();
    const bool lock = event.type == sim::EventType::kLock ||
                      event.type == sim::EventType::kUnlock;
    if (!lock) {
      lines.push_back(stream::ToString(event));
      continue;
    }
    lines.push_back(absl::StrFormat("#%u cpu%u %s %s", event.seq, event.cpu,
                                    sim::EventTypeName(event.type),
                                    LockName(session.board(), event.a)));
  }
  if (lines.empty()) lines.push_back("the last command made no event");
  return lines;
}

Parsed<Lines> LinesFor(Session& session, const ShowCommand& show) {
  using What = ShowCommand::What;
  tests::Board& board = session.board();
  switch (show.what) {
    case What::kPage:
      return Page(board, show);
    case What::kPages:
      return Pages(board);
    case What::kWalk:
      return WalkLines(session, show);
    case What::kTlb:
      return Tlb(board);
    case What::kLocks:
      return Locks(session);
    case What::kCpu:
      return OneCpu(session, static_cast<unsigned>(show.number));
    case What::kEvents:
      return Events(session);
    case What::kDiff: {
      Lines lines = session.Diff();
      if (lines.empty()) lines.push_back("no page has changed hands");
      return lines;
    }
    case What::kVm:
    case What::kVms:
    case What::kStock:
      break;
  }
  HOLDFAST_TRY_ASSIGN(const unsigned cpu, CpuToLook(session));
  sim::OnCpu on_cpu(board.machine(), cpu);
  if (show.what == What::kVms) return Vms(board.hv());
  if (show.what == What::kVm) return VmInFull(board, show.number);
  return Stock(board.hv(), show.number);
}

}  // namespace

std::vector<OwnerRun> OwnerRuns(tests::Board& board) {
  std::vector<OwnerRun> runs;
  for (const Region& region : board.mem().map().regions()) {
    if (!region.IsRam()) continue;
    for (uint64_t pfn = region.first_pfn().value();
         pfn < region.end_pfn().value(); ++pfn) {
      const OwnerRun page = PageAt(board, pfn);
      if (!runs.empty() && Continues(runs.back(), page)) {
        ++runs.back().count;
      } else {
        runs.push_back(page);
      }
    }
  }
  return runs;
}

Parsed<std::string> ShowSvg(Session& session, const ShowCommand& show) {
  HOLDFAST_TRY(session.Boot());
  if (show.what == ShowCommand::What::kPages)
    return OwnershipMap(OwnerRuns(session.board()));
  HOLDFAST_TRY_ASSIGN(const NamedWalk walk, WalkFor(session, show));
  std::vector<WalkRow> rows;
  for (const WalkStep& step : walk.steps) {
    rows.push_back({step.level.value(), step.at.value(), step.entry.raw(),
                    SummaryOf(walk, step)});
  }
  return DrawDot(WalkDot(TitleOf(walk, show), rows));
}

Parsed<Lines> ShowLines(Session& session, const ShowCommand& show) {
  HOLDFAST_TRY(session.Boot());
  return LinesFor(session, show);
}

}  // namespace holdfast::shell
