// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/oracle.h"

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/machine.h"
#include "hyp/calls.h"

namespace holdfast::spec {
namespace {

using sim::Holder;
using sim::SchedulingPoint;

const Abstraction::Stores kNoStores = [] {
  static const std::vector<uint64_t> none;
  return &none;
}();

unsigned ThisCpu() { return machine::ThisCpu().index; }

std::string CallText(uint64_t id, const Arguments& x) {
  const hyp::Call* call = hyp::FindCall(id);
  if (call == nullptr) return absl::StrFormat("hvc %#x", id);
  std::vector<std::string> fields;
  for (unsigned i = 0; i < call->arguments(); ++i)
    fields.push_back(absl::StrFormat("%s=%#x", call->fields[i], x[i]));
  return absl::StrCat("call ", call->name, " ", absl::StrJoin(fields, " "));
}

}  // namespace

void Oracle::Attach(tests::Board& board) {
  Holder hold(mutex_);
  board_ = &board;
  concrete_ = std::make_unique<BoardConcrete>(board);
  cpus_ = std::vector<PerCpu>(board.machine().cpus());
  abstraction_ = std::make_unique<Abstraction>(*concrete_,
                                               board.machine().cpus(), &state_);
  contents_ = std::make_unique<Contents>(concrete_->layout());
  state_.guests.clear();
  Follow(state_.guests, *state_.table);
  ReportWrong(0);
}

void Oracle::Resync() {
  Holder hold(mutex_);
  for (PerCpu& cpu : cpus_) cpu = PerCpu();
  abstraction_->ReadAll(&state_);
  abstraction_->wrong().clear();
  contents_->Forget();
  state_.guests.clear();
  Follow(state_.guests, *state_.table);
  reports_.clear();
  early_accesses_.clear();
  more_reports_ = 0;
  ++epoch_;
}

// ---- Locks -----------------------------------------------------------------

Part Oracle::PartOf(const void* lock) const {
  if (lock == concrete_->host_lock()) return {Part::Kind::kHost};
  if (lock == concrete_->hyp_lock()) return {Part::Kind::kHyp};
  if (lock == concrete_->table_lock()) return {Part::Kind::kTable};
  const uint64_t handle = concrete_->VmOf(lock);
  if (handle != 0) return {Part::Kind::kVm, handle};
  return {};
}

void Oracle::OnPoint(unsigned cpu, SchedulingPoint point, uint64_t address) {
  switch (point) {
    case SchedulingPoint::kLockAcquired:
    case SchedulingPoint::kLockReleased: {
      Holder hold(mutex_);
      if (abstraction_ == nullptr) return;
      const Part part = PartOf(reinterpret_cast<const void*>(address));
      if (part.kind == Part::Kind::kNone) return;
      if (point == SchedulingPoint::kLockAcquired) {
        Acquired(cpu, part);
      } else {
        Released(cpu, part);
      }
      return;
    }
    case SchedulingPoint::kTableStore: {
      Holder hold(mutex_);
      if (abstraction_ != nullptr) Stored(cpu, address);
      return;
    }
    case SchedulingPoint::kAccess: {
      Holder hold(mutex_);
      if (abstraction_ == nullptr) return;
      cpus_[cpu].access_epoch = epoch_;
      cpus_[cpu].access_races = OthersHold(cpu);
      cpus_[cpu].accessing = address;
      return;
    }
    case SchedulingPoint::kLockRequested:
    case SchedulingPoint::kLockWait:
    case SchedulingPoint::kTlbi:
    case SchedulingPoint::kBarrier:
    case SchedulingPoint::kGuest:
      return;
  }
}

bool Oracle::OthersHold(unsigned cpu) const {
  for (unsigned i = 0; i < cpus_.size(); ++i) {
    if (i != cpu && !cpus_[i].held.empty()) return true;
  }
  return false;
}

void Oracle::Read(const Part& part, Abstraction::Stores stores,
                  std::vector<uint64_t>* changed) {
  // What hardware stores, nobody tells.
  if (concrete_->layout().hafdbs) stores = nullptr;
  switch (part.kind) {
    case Part::Kind::kNone:
      return;
    case Part::Kind::kTable:
      abstraction_->ReadTable(&state_);
      Follow(state_.guests, *state_.table);
      return;
    case Part::Kind::kHost:
      abstraction_->ReadHost(stores, &state_, changed);
      host_tables_free_ = concrete_->HostTablesFree();
      return;
    case Part::Kind::kHyp:
      abstraction_->ReadHyp(stores, &state_);
      hyp_tables_free_ = concrete_->HypTablesFree();
      return;
    case Part::Kind::kVm:
      abstraction_->ReadVm(part.handle, stores, &state_);
      return;
  }
}

// Hardware may have set access flags, where it does.
std::string Oracle::DiffOfVm(uint64_t handle, const Vm& expected,
                             const Vm& found) const {
  if (!concrete_->layout().hafdbs) return Diff(handle, expected, found);
  Vm loose = expected;
  for (auto& [gfn, entry] : loose.entries) {
    const auto at = found.entries.find(gfn);
    if (at != found.entries.end() && at->second.young) entry.young = true;
  }
  return Diff(handle, loose, found);
}

void Oracle::Acquired(unsigned index, const Part& part) {
  PerCpu& cpu = cpus_[index];
  if (cpu.held.empty()) {
    cpu.section = RecordedSection();
    cpu.stores.clear();
  }
  cpu.held.push_back(part);
  unsigned& until_full = until_full_[static_cast<size_t>(part.kind)];
  const bool all = until_full == 0;
  until_full = all ? options_.full_reading_every - 1 : until_full - 1;
  const Abstraction::Stores stores = all ? nullptr : kNoStores;
  std::vector<uint64_t> changed;

  // The part must be what it was when its lock was last released.
  std::string diff;
  switch (part.kind) {
    case Part::Kind::kNone:
      return;
    case Part::Kind::kTable: {
      const Cow<VmTable> before = state_.table;
      Read(part, stores, &changed);
      cpu.section.table = {state_.table, state_.table};
      if (cpu.running.has_value() && cpu.running->trap.has_value()) {
        cpu.running->at_table = state_.guests;
        SgiAtTable(state_.guests, *state_.table, cpu.running->vcpu,
                   *cpu.running->trap);
      }
      if (!(before == state_.table)) diff = Diff(*before, *state_.table);
      break;
    }
    case Part::Kind::kHost: {
      const Cow<Host> before = state_.host;
      Read(part, stores, &changed);
      cpu.section.host = {state_.host, state_.host};
      if (!(before == state_.host)) diff = Diff(*before, *state_.host);
      break;
    }
    case Part::Kind::kHyp: {
      const Cow<Hyp> before = state_.hyp;
      Read(part, stores, &changed);
      cpu.section.hyp = {state_.hyp, state_.hyp};
      if (!(before == state_.hyp)) diff = Diff(*before, *state_.hyp);
      break;
    }
    case Part::Kind::kVm: {
      const Cow<Vm> before = state_.vms.at(part.handle);
      Read(part, stores, &changed);
      const Cow<Vm>& now = state_.vms.at(part.handle);
      cpu.section.vms.insert_or_assign(part.handle, Recorded<Vm>{now, now});
      if (!(before == now)) diff = DiffOfVm(part.handle, *before, *now);
      break;
    }
  }
  ReportWrong(index);
  if (!diff.empty()) {
    Report(index, absl::StrCat("changed without its lock: ", ToString(part),
                               "\n", diff));
  }
}

void Oracle::Released(unsigned index, const Part& part) {
  PerCpu& cpu = cpus_[index];
  const auto held = std::find(cpu.held.begin(), cpu.held.end(), part);
  if (held == cpu.held.end()) return;  // taken before Attach
  cpu.held.erase(held);

  std::vector<uint64_t> changed;
  Read(part, &cpu.stores, &changed);
  ++epoch_;
  switch (part.kind) {
    case Part::Kind::kNone:
      break;
    case Part::Kind::kTable: {
      const Cow<VmTable>& before = cpu.section.table->before;
      cpu.section.table->after = state_.table;
      // A VM that is new has a part that nobody locked.
      for (const auto& [handle, vm] : state_.vms) {
        const auto was = before->slots.find(handle);
        if (was == before->slots.end() || !was->second.IsVm())
          cpu.section.vms.insert_or_assign(handle, Recorded<Vm>{Cow<Vm>(), vm});
      }
      break;
    }
    case Part::Kind::kHost: {
      const Cow<Host>& before = cpu.section.host->before;
      cpu.section.host->after = state_.host;
      for (uint64_t pfn : changed) {
        if (concrete_->layout().At(*before, pfn).host != PageState::kNone ||
            concrete_->layout().At(*state_.host, pfn).host !=
                PageState::kOwned) {
          continue;
        }
        const uint64_t* const words = concrete_->PageWords(pfn << kPageShift);
        for (uint64_t i = 0; i < kPageSize / 8; ++i) {
          const uint64_t word = __atomic_load_n(words + i, __ATOMIC_RELAXED);
          if (word == 0 ||
              HostMayHaveWritten((pfn << kPageShift) + 8 * i, word))
            continue;
          cpu.section.not_zero.insert(pfn);
          break;
        }
      }
      contents_->PagesChanged(changed, *before, *state_.host);
      if (cpu.abort_pfn.has_value())
        cpu.abort_mapped = abstraction_->HostMaps(*cpu.abort_pfn);
      break;
    }
    case Part::Kind::kHyp:
      cpu.section.hyp->after = state_.hyp;
      break;
    case Part::Kind::kVm: {
      Recorded<Vm>& vm = cpu.section.vms[part.handle];
      vm.after = state_.vms[part.handle];
      if (!(vm.before == vm.after))
        contents_->LeavesChanged(part.handle, *vm.before, *vm.after);
      break;
    }
  }
  SettleEarlyAccesses(index);
  ReportWrong(index);
  if (!cpu.held.empty()) return;
  if (cpu.in_call) {
    cpu.sections.push_back(std::move(cpu.section));
  } else {
    cpu.unchecked = true;
  }
}

void Oracle::Stored(unsigned index, uint64_t address) {
  PerCpu& cpu = cpus_[index];
  cpu.stores.push_back(address);
  const Part part = abstraction_->TableAt(address);
  if (part.kind == Part::Kind::kNone) return;  // linked to nothing yet
  if (std::find(cpu.held.begin(), cpu.held.end(), part) != cpu.held.end())
    return;
  Report(index, absl::StrFormat("store without the lock: to %#x, a table of %s",
                                address, ToString(part)));
}

bool Oracle::IsInTable(uint64_t address) const {
  Holder hold(mutex_);
  return abstraction_->TableAt(address).kind != Part::Kind::kNone;
}

// ---- Reports ---------------------------------------------------------------

void Oracle::Report(unsigned index, const std::string& what) {
  if (reports_.size() == options_.max_reports) {
    ++more_reports_;
    return;
  }
  reports_.push_back(absl::StrFormat("CPU %u: %s", index, what));
}

void Oracle::ReportWrong(unsigned index) {
  for (const std::string& wrong : abstraction_->wrong()) Report(index, wrong);
  abstraction_->wrong().clear();
}

std::string Oracle::Trouble() const {
  Holder hold(mutex_);
  std::string text = absl::StrJoin(reports_, "\n");
  if (more_reports_ != 0)
    absl::StrAppend(&text, "\n... and ", more_reports_, " more");
  return text;
}

std::string Oracle::FullTrouble() {
  {
    Holder hold(mutex_);
    const State before = state_;
    abstraction_->ReadAll(&state_);
    ReportWrong(0);
    const State& found = state_;
    State expected = before;
    if (concrete_->layout().hafdbs) expected.vms = found.vms;
    if (!(expected == found)) {
      Report(0,
             absl::StrCat("changed without a lock\n", Diff(expected, found)));
    }
    if (const std::string shape = abstraction_->ShapeTrouble(); !shape.empty())
      Report(0, shape);
  }
  return Trouble();
}

std::string Oracle::EventsSince(unsigned index, uint64_t count) const {
  const EventRing& ring = board_->machine().cpu(index).local.events;
  std::string text;
  for (unsigned i = EventRing::kEvents; i-- > 0;) {
    const Event& event = ring.Back(i);
    if (event.kind == EventKind::kNone || event.sequence < count) continue;
    absl::StrAppendFormat(&text, "  EL2 noted: %s %#x %#x %#x\n",
                          EventKindName(event.kind), event.a, event.b, event.c);
  }
  return text;
}

// ---- Calls -----------------------------------------------------------------

Oracle::Begun Oracle::Begin(unsigned index, bool sets_style) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  Holder hold(mutex_);
  PerCpu& cpu = cpus_[index];
  const Cpu was = state_.cpus[index];
  abstraction_->ReadCpu(index, &state_);
  if (!cpu.unchecked && !(was == state_.cpus[index])) {
    Report(index, absl::StrCat("changed between calls\n",
                               Diff(index, was, state_.cpus[index])));
  }
  cpu.unchecked = false;
  cpu.in_call = true;
  cpu.sections.clear();
  Begun begun;
  begun.cpu = state_.cpus[index];
  if (begun.cpu.loaded.has_value()) {
    const auto& slots = state_.table->slots;
    const auto slot = slots.find(begun.cpu.loaded->handle);
    begun.loaded_is_protected =
        slot != slots.end() && slot->second.is_protected;
  }
  begun.style = state_.abort_style;
  begun.sets_style = sets_style;
  if (sets_style) {
    ++style_changes_;
    ++style_calls_;
  }
  begun.style_changes = style_changes_;
  const Event& last = board_->machine().cpu(index).local.events.Back(0);
  begun.events = last.kind == EventKind::kNone ? 0 : last.sequence + 1;
  return begun;
}

// Whether another CPU changed the style, or may have, since a call began.
bool Oracle::StyleRaced(const Begun& begun) const {
  return style_changes_ != begun.style_changes ||
         style_calls_ != (begun.sets_style ? 1u : 0u);
}

Run Oracle::RunOf(unsigned index, const Begun& begun, const Outcome& found,
                  std::optional<uint64_t> style_seen) {
  PerCpu& cpu = cpus_[index];
  return Run({.layout = &concrete_->layout(),
              .cpu = index,
              .sections = std::move(cpu.sections),
              .cpu_before = begun.cpu,
              .loaded_is_protected = begun.loaded_is_protected,
              .style_before = StyleRaced(begun) && style_seen.has_value()
                                  ? *style_seen
                                  : begun.style,
              .found = found,
              .tables_free = std::min(host_tables_free_, hyp_tables_free_),
              .guests = &state_.guests,
              .guests_at_table =
                  cpu.running.has_value() && cpu.running->at_table.has_value()
                      ? &*cpu.running->at_table
                      : nullptr});
}

void Oracle::End(unsigned index, const Begun& begun, Run& run,
                 const Outcome& expected, const std::string& what) {
  PerCpu& cpu = cpus_[index];
  cpu.in_call = false;
  cpu.sections.clear();
  const bool style_raced = StyleRaced(begun);
  if (begun.sets_style) {
    ++style_changes_;
    --style_calls_;
  }
  abstraction_->ReadCpu(index, &state_);
  std::optional<uint64_t> style;
  if (!style_raced) {
    style = concrete_->ReadStyle();
    state_.abort_style = run.style;
  } else if (style_calls_ == 0) {
    state_.abort_style = concrete_->ReadStyle().value_or(run.style);
  }
  const std::string wrong = run.Finish(expected, state_.cpus[index], style);
  if (wrong.empty()) return;
  Report(index, absl::StrCat(what, "\n", wrong, "\n",
                             EventsSince(index, begun.events)));
}

tests::Reply Oracle::Call(uint64_t id, uint64_t x1, uint64_t x2, uint64_t x3,
                          uint64_t x4, uint64_t x5) {
  if (id == HF_VCPU_RUN) return DoRunVcpu({}, "nothing to do");
  const unsigned cpu = ThisCpu();
  const Arguments x = {x1, x2, x3, x4, x5};
  const Begun begun = Begin(cpu, id == HF_SET_ABORT_STYLE);
  const tests::Reply reply = board_->Call(id, x1, x2, x3, x4, x5);
  Holder hold(mutex_);
  Run run =
      RunOf(cpu, begun, {reply.x0, reply.x1, reply.x2, reply.x3},
            reply.x1 <= HF_ABORT_TRANSLATION ? std::optional<uint64_t>(reply.x1)
                                             : std::nullopt);
  const Outcome expected = HostCall(run, id, x);
  End(cpu, begun, run, expected, CallText(id, x));
  return reply;
}

hyp::HostAbortAction Oracle::HostAbort(const hyp::HostAbort& abort) {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  HostAbortCase input;
  input.is_translation = abort.kind == mem_protect::FaultKind::kTranslation;
  if (abort.ipa.has_value()) {
    input.ipa = abort.ipa->value();
    Holder hold(mutex_);
    cpus_[cpu].abort_pfn = *input.ipa >> kPageShift;
    cpus_[cpu].abort_mapped = false;
  }
  const hyp::HostAbortAction action = board_->hv().HandleHostAbort(abort);
  HostAbortAnswer found = HostAbortAnswer::kRetry;
  if (action == hyp::HostAbortAction::kInjectExternal)
    found = HostAbortAnswer::kInjectExternal;
  if (action == hyp::HostAbortAction::kInjectTranslation)
    found = HostAbortAnswer::kInjectTranslation;
  Holder hold(mutex_);
  std::optional<uint64_t> style;
  if (found != HostAbortAnswer::kRetry) {
    style = found == HostAbortAnswer::kInjectTranslation ? HF_ABORT_TRANSLATION
                                                         : HF_ABORT_EXTERNAL;
  }
  Run run = RunOf(cpu, begun, {}, style);
  const HostAbortAnswer expected = spec::HostAbort(run, input, found);
  if (expected != found) {
    run.Wrong(
        absl::StrFormat("  answer (0: try again, 1, 2: take an abort)\n"
                        "    expected %d\n    found    %d\n",
                        expected, found));
  } else if (found == HostAbortAnswer::kRetry && !cpus_[cpu].abort_mapped) {
    run.Wrong("the host is to try again, but the page is not mapped");
  }
  cpus_[cpu].abort_pfn.reset();
  End(cpu, begun, run, {},
      absl::StrFormat("host abort at %#x", input.ipa.value_or(~uint64_t{0})));
  return action;
}

hyp::GuestAction Oracle::GuestCall(hyp::GuestRegs& regs) {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  const hyp::GuestRegs before = regs;
  const hyp::GuestAction action = board_->hv().HandleGuestCall(regs);
  Holder hold(mutex_);
  Run run = RunOf(cpu, begun, {});
  const auto call = [](const hyp::GuestRegs& all) {
    return std::array<uint64_t, 4>{all.x[0], all.x[1], all.x[2], all.x[3]};
  };
  const GuestOutcome expected = spec::GuestCall(run, call(before), before.pc);
  const GuestOutcome found{action == hyp::GuestAction::kResume, call(regs),
                           regs.pc};
  if (!(expected == found)) {
    const auto text = [](const GuestOutcome& outcome) {
      return absl::StrFormat("%s, x0..x3 %#x %#x %#x %#x, pc %#x",
                             outcome.resumes ? "resumes" : "exits",
                             outcome.x[0], outcome.x[1], outcome.x[2],
                             outcome.x[3], outcome.pc);
    };
    run.Wrong(absl::StrCat("  guest\n    expected ", text(expected),
                           "\n    found    ", text(found), "\n"));
  }
  End(cpu, begun, run, {},
      absl::StrFormat("guest call %#x %#x %#x %#x", before.x[0], before.x[1],
                      before.x[2], before.x[3]));
  return action;
}

hyp::GuestAction Oracle::GuestAbort(const vm_table::GuestExit& exit) {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  const hyp::GuestAction action = board_->hv().HandleGuestAbort(exit);
  Holder hold(mutex_);
  Run run = RunOf(cpu, begun, {});
  const bool resumes =
      spec::GuestAbort(run, {exit.esr, exit.far, exit.hpfar}).resumes;
  if (resumes != (action == hyp::GuestAction::kResume)) {
    run.Wrong(resumes ? "a guest's abort exits, though it has the page"
                      : "a guest's abort does not exit to the host");
  }
  End(cpu, begun, run, {}, absl::StrFormat("guest abort %#x", exit.esr));
  return action;
}

void Oracle::CpuOff() {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  board_->hv().OnCpuOff();
  Holder hold(mutex_);
  Run run = RunOf(cpu, begun, {});
  spec::CpuOff(run);
  End(cpu, begun, run, {}, "CPU off");
}

Status Oracle::ShareFfa(uint64_t pfn, uint64_t pages) {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  const Status status = board_->mem().ShareFfa(pfn, pages);
  EndFfa(cpu, begun, status, &spec::ShareFfa, pfn, pages, "FF-A share");
  return status;
}

Status Oracle::UnshareFfa(uint64_t pfn, uint64_t pages) {
  const unsigned cpu = ThisCpu();
  const Begun begun = Begin(cpu);
  const Status status = board_->mem().UnshareFfa(pfn, pages);
  EndFfa(cpu, begun, status, &spec::UnshareFfa, pfn, pages, "FF-A unshare");
  return status;
}

void Oracle::EndFfa(unsigned cpu, const Begun& begun, const Status& status,
                    int (*step)(Run&, uint64_t, uint64_t), uint64_t pfn,
                    uint64_t pages, const char* name) {
  Holder hold(mutex_);
  const auto result = [](int error) {
    return Outcome{0, static_cast<uint64_t>(-int64_t{error}), 0, 0};
  };
  const int found = status.has_value() ? 0 : static_cast<int>(status.error());
  Run run = RunOf(cpu, begun, result(found));
  const Outcome expected = result(step(run, pfn, pages));
  End(cpu, begun, run, expected,
      absl::StrFormat("%s %#x+%u", name, pfn, pages));
}

// ---- Accesses --------------------------------------------------------------

std::string Oracle::AccessTrouble(const AccessDone& access, bool earlier) {
  const Layout& layout = concrete_->layout();
  const uint64_t page = access.address >> kPageShift;
  const std::string who = WriterName(access.who);
  uint64_t pa = access.address;
  if (access.who == kHostWrote) {
    if (!access.done) return "";  // its abort was checked
    const Region* region = layout.Find(access.address);
    if (region != nullptr && !region->IsRam()) return "";
    if (region == nullptr) {
      // Beyond the end of RAM in a page that is partly RAM.
      region = layout.Find((access.address & ~(kPageSize - 1)));
    }
    if (region == nullptr || region->kind != Region::Kind::kMemory ||
        layout.At(*state_.host, page).host == PageState::kNone) {
      return absl::StrFormat("%s reached %#x, which it may not", who,
                             access.address);
    }
  } else {
    const auto vm = state_.vms.find(access.who);
    if (vm == state_.vms.end()) return "";
    const Vm& tables = *vm->second;
    auto at = tables.entries.upper_bound(page);
    const GuestEntry* entry = nullptr;
    if (at != tables.entries.begin()) {
      --at;
      if (page - at->first < PagesAt(at->second.level)) entry = &at->second;
    }
    const bool mapped = entry != nullptr && !entry->poisoned;
    if (access.done && !mapped) {
      return absl::StrFormat("%s reached %#x, where it has nothing", who,
                             access.address);
    }
    if (!access.done && mapped) {
      const uint8_t need = access.is_exec    ? access.privileged ? kPx : kUx
                           : access.is_write ? kWrite
                                             : kRead;
      if ((entry->rights & need) != 0 && (entry->young || layout.hafdbs)) {
        return absl::StrFormat("%s did not reach %#x: %s (%s)", who,
                               access.address, spec::ToString(*entry),
                               sim::FaultKindName(*access.fault));
      }
    }
    if (!access.done) return "";
    pa = ((entry->pfn + (page - at->first)) << kPageShift) |
         (access.address & (kPageSize - 1));
  }
  if (access.is_exec) return "";
  if (access.is_write) {
    contents_->Wrote(access.who, pa, access.value, state_);
    return "";
  }
  return contents_->Read(access.who, pa, access.value, state_, earlier);
}

void Oracle::Accessed(unsigned index, const AccessDone& access) {
  Holder hold(mutex_);
  PerCpu& cpu = cpus_[index];
  const bool races =
      cpu.access_races || cpu.access_epoch != epoch_ || OthersHold(index);
  cpu.accessing.reset();
  const std::string trouble = AccessTrouble(access);
  if (access.is_write && access.done) ++epoch_;
  if (trouble.empty()) return;
  if (!races) {
    Report(index, trouble);
    return;
  }
  // Who was where first, nobody can say then.
  if (access.done && OthersHold(index) &&
      (access.is_write || options_.in_turns)) {
    early_accesses_.push_back(access);
  }
}

bool Oracle::HostMayHaveWritten(uint64_t address, uint64_t value) const {
  for (const AccessDone& early : early_accesses_) {
    if (early.is_write && early.who == kHostWrote && early.address == address &&
        early.value == value) {
      return true;
    }
  }
  for (const PerCpu& cpu : cpus_) {
    if (cpu.accessing == address) return true;
  }
  return false;
}

void Oracle::SettleEarlyAccesses(unsigned index) {
  std::erase_if(early_accesses_, [&](const AccessDone& early) {
    return AccessTrouble(early, /*earlier=*/true).empty();
  });
  if (!options_.in_turns || OthersHold(index) || !cpus_[index].held.empty())
    return;
  for (const AccessDone& early : early_accesses_) {
    Report(index, absl::StrCat("in the middle of this CPU's call: ",
                               AccessTrouble(early, /*earlier=*/true)));
  }
  early_accesses_.clear();
}

template <class DoAccess>
auto Oracle::HostAccess(uint64_t address, bool is_write, uint64_t value,
                        DoAccess access) -> decltype(access(0u)) {
  const unsigned cpu = ThisCpu();
  constexpr int kTries = 1000;
  for (int i = 0;; ++i) {
    auto result = access(cpu);
    AccessDone done{.address = address,
                    .done = result.has_value(),
                    .is_write = is_write,
                    .is_exec = false,
                    .value = value};
    using Value = typename decltype(result)::value_type;
    if constexpr (std::is_same_v<Value, uint32_t>) done.is_exec = true;
    if constexpr (std::is_same_v<Value, uint64_t>) {
      if (result.has_value()) done.value = *result;
    }
    if (!result.has_value()) done.fault = result.error().kind;
    Accessed(cpu, done);
    if (result.has_value()) return result;
    if (HostAbort(tests::HostAbortOf(result.error())) !=
        hyp::HostAbortAction::kRetry) {
      return result;
    }
    if (i == kTries) {
      Holder hold(mutex_);
      Report(cpu, absl::StrFormat("the host tries for ever at %#x", address));
      return result;
    }
  }
}

std::optional<uint64_t> Oracle::Load(uint64_t address) {
  const auto value =
      HostAccess(address, /*is_write=*/false, 0, [&](unsigned cpu) {
        return board_->machine().HostRead64(cpu, Ipa(address));
      });
  if (!value.has_value()) return std::nullopt;
  return *value;
}

bool Oracle::Store(uint64_t address, uint64_t value) {
  return HostAccess(address, /*is_write=*/true, value,
                    [&](unsigned cpu) {
                      return board_->machine().HostWrite64(cpu, Ipa(address),
                                                           value);
                    })
      .has_value();
}

bool Oracle::Exec(uint64_t address) {
  return HostAccess(address, /*is_write=*/false, 0,
                    [&](unsigned cpu) {
                      return board_->machine().HostExec(cpu, Ipa(address));
                    })
      .has_value();
}

std::optional<Stage2Context> Oracle::ContextOf(uint64_t handle) {
  Holder hold(mutex_);
  return concrete_->ContextOf(handle);
}

template <class DoAccess>
auto Oracle::GuestAccess(uint64_t handle, uint64_t ipa, bool is_write,
                         uint64_t value, DoAccess access)
    -> std::optional<typename decltype(access(0u,
                                              Stage2Context()))::value_type> {
  const unsigned cpu = ThisCpu();
  const std::optional<Stage2Context> context = ContextOf(handle);
  if (!context.has_value()) return std::nullopt;
  constexpr int kTries = 1000;
  for (int i = 0;; ++i) {
    const auto result = access(cpu, *context);
    using Value = typename std::decay_t<decltype(result)>::value_type;
    AccessDone done{.who = handle,
                    .address = ipa,
                    .done = result.has_value(),
                    .is_write = is_write,
                    .is_exec = std::is_same_v<Value, uint32_t>,
                    .value = value};
    if constexpr (std::is_same_v<Value, uint64_t>) {
      if (result.has_value()) done.value = *result;
    }
    if (!result.has_value()) done.fault = result.error().kind;
    Accessed(cpu, done);
    if (result.has_value()) return *result;
    const vm_table::Vcpu* vcpu = board_->hv().loaded(cpu);
    if (vcpu == nullptr || vcpu->vm().handle().value() != handle ||
        GuestAbort(tests::GuestExitOf(result.error())) !=
            hyp::GuestAction::kResume) {
      return std::nullopt;
    }
    if (i == kTries) {
      Holder hold(mutex_);
      Report(cpu, absl::StrFormat("the guest tries for ever at %#x", ipa));
      return std::nullopt;
    }
  }
}

std::optional<uint64_t> Oracle::GuestLoad(uint64_t handle, uint64_t ipa) {
  return GuestAccess(handle, ipa, /*is_write=*/false, 0,
                     [&](unsigned cpu, const Stage2Context& context) {
                       return board_->machine().GuestRead64(cpu, context,
                                                            Ipa(ipa));
                     });
}

bool Oracle::GuestStore(uint64_t handle, uint64_t ipa, uint64_t value) {
  return GuestAccess(handle, ipa, /*is_write=*/true, value,
                     [&](unsigned cpu, const Stage2Context& context) {
                       return board_->machine()
                           .GuestWrite64(cpu, context, Ipa(ipa), value)
                           .map([&] { return true; });
                     })
      .has_value();
}

bool Oracle::GuestExec(uint64_t handle, uint64_t ipa, bool privileged) {
  return GuestAccess(handle, ipa, /*is_write=*/false, 0,
                     [&](unsigned cpu, const Stage2Context& context) {
                       return board_->machine().GuestExec(cpu, context,
                                                          Ipa(ipa), privileged);
                     })
      .has_value();
}

}  // namespace holdfast::spec
