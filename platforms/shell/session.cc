// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/session.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/result.h"
#include "hyp/abi.h"
#include "vm_table/vm.h"

namespace holdfast::shell {

Parsed<std::monostate> Session::Boot() {
  if (booted()) return std::monostate();
  HOLDFAST_TRY_ASSIGN(tests::BoardConfig config, setup_.Config());
  config.machine.scheduling_point =
      [this](unsigned cpu, sim::SchedulingPoint point, uint64_t address) {
        scheduler_.OnPoint(cpu, point, address);
      };
  auto board = std::make_unique<tests::Board>(std::move(config));
  if (!board->booted().has_value()) {
    return Bad(0,
               absl::StrCat("EL2 does not start on this machine: ",
                            ErrnoName(board->booted().error())),
               "another ram; reset begins anew");
  }
  // Each command is a CPU for as long as it lasts.
  board->LeaveCpu();
  board_ = std::move(board);
  changes_ = std::make_unique<Changes>(*board_);
  MarkDiff();
  return std::monostate();
}

std::optional<VcpuName> Session::LoadedOn(unsigned cpu) {
  const vm_table::Vcpu* vcpu = board_->hv().loaded(cpu);
  if (vcpu == nullptr) return std::nullopt;
  return VcpuName{vcpu->vm().handle().value(), vcpu->index()};
}

Parsed<std::monostate> Session::CheckLoaded(unsigned cpu,
                                            const VcpuName& vcpu) {
  const std::string what =
      absl::StrFormat("vCPU %s of VM %s is not loaded on CPU %u",
                      Show(vcpu.index), Show(vcpu.handle), cpu);
  for (unsigned other = 0; other < setup_.cpus(); ++other) {
    const auto loaded = LoadedOn(other);
    if (!loaded.has_value() || loaded->handle != vcpu.handle ||
        loaded->index != vcpu.index) {
      continue;
    }
    if (other == cpu) return std::monostate();
    return Bad(0, what, absl::StrCat("on ", other, " guest ..."));
  }
  std::string right = absl::StrFormat("call vcpu_load handle=%s index=%s",
                                      Show(vcpu.handle), Show(vcpu.index));
  if (cpu != 0) right = absl::StrCat("on ", cpu, " ", right);
  if (LoadedOn(cpu).has_value()) {
    right = absl::StrCat(cpu != 0 ? absl::StrCat("on ", cpu, " ") : "",
                         "call vcpu_put, then ", right);
  }
  return Bad(0, what, right);
}

Parsed<std::monostate> Session::CheckFree(unsigned cpu) {
  if (!scheduler_.Busy(cpu)) return std::monostate();
  return Bad(0,
             absl::StrCat("CPU ", cpu, " is in the middle of ",
                          jobs_[cpu].outcome.what),
             absl::StrCat("step ", cpu, ", or join ", cpu));
}

// Checks what the parser could not know, and says what is to be done: of
// `resume`, what the guest was about.
Parsed<Command> Session::Prepare(unsigned cpu, const Command& command) {
  HOLDFAST_TRY(Boot());
  if (cpu >= setup_.cpus())
    return Bad(0, absl::StrCat("there is no CPU ", cpu), "a CPU there is");
  HOLDFAST_TRY(CheckFree(cpu));
  std::optional<VcpuName> vcpu;
  if (const auto* access = command.As<AccessCommand>()) vcpu = access->vcpu;
  if (const auto* call = command.As<GuestCallCommand>()) vcpu = call->vcpu;
  if (vcpu.has_value()) {
    HOLDFAST_TRY(CheckLoaded(cpu, *vcpu));
    // It does something else instead.
    pending_.erase({vcpu->handle, vcpu->index});
  }
  if (command.As<ResumeCommand>() == nullptr) return command;

  const auto loaded = LoadedOn(cpu);
  if (!loaded.has_value()) {
    return Bad(0, absl::StrCat("no vCPU is loaded on CPU ", cpu),
               absl::StrCat(cpu == 0 ? "" : absl::StrCat("on ", cpu, " "),
                            "call vcpu_load handle=N index=N"));
  }
  const auto pending = pending_.find({loaded->handle, loaded->index});
  if (pending == pending_.end()) {
    return Bad(0,
               absl::StrFormat("vCPU %s of VM %s has not left: there is "
                               "nothing to go on with",
                               Show(loaded->index), Show(loaded->handle)),
               absl::StrFormat("guest %s.%s read ADDRESS, or another thing a "
                               "guest does",
                               Show(loaded->handle), Show(loaded->index)));
  }
  Command again = std::move(pending->second.command);
  pending_.erase(pending);
  return again;
}

Parsed<std::monostate> Session::KeepTrace() {
  if (booted()) {
    return Bad(0, "the machine is running: what it did is not known any more",
               "record before the first call; reset begins anew");
  }
  keep_trace_ = true;
  return std::monostate();
}

std::vector<sim::Event> Session::Trace() const {
  std::vector<sim::Event> trace = trace_;
  if (!keep_trace_ || board_ == nullptr) return trace;
  const std::vector<sim::Event> more = board_->machine().events();
  trace.insert(trace.end(), more.begin(), more.end());
  return trace;
}

void Session::Begin(unsigned cpu, const Command& command) {
  if (!scheduler_.AnyBusy()) {
    if (keep_trace_) {
      const std::vector<sim::Event> more = board_->machine().events();
      trace_.insert(trace_.end(), more.begin(), more.end());
    }
    board_->machine().ClearEvents();
  }
  jobs_[cpu] = {command, {.what = Describe(command)}};
}

namespace {

// The handle and the memory of the VM that a command has made.
std::optional<std::pair<uint64_t, Pfn>> MadeVm(const Command& command,
                                               const Outcome& outcome) {
  if (!outcome.reply.ok()) return std::nullopt;
  if (const auto* call = command.As<CallCommand>();
      call != nullptr && call->call->id == HF_INIT_VM) {
    return std::pair{call->x[0], Pfn(call->x[1])};
  }
  if (const auto* hvc = command.As<HvcCommand>();
      hvc != nullptr && hvc->x[0] == HF_INIT_VM) {
    return std::pair{hvc->x[1], Pfn(hvc->x[2])};
  }
  return std::nullopt;
}

}  // namespace

Outcome Session::Finished(unsigned cpu) {
  Outcome outcome = std::move(jobs_[cpu].outcome);
  outcome.cpu = cpu;
  outcome.what = Describe(jobs_[cpu].command);
  if (const auto vm = MadeVm(jobs_[cpu].command, outcome))
    changes_->WatchStock(vm->first, vm->second);
  outcome.changes = changes_->Take();
  events_ = board_->machine().events();
  const auto* call = jobs_[cpu].command.As<CallCommand>();
  if (call != nullptr && !call->keep_as.empty() && outcome.reply.ok())
    names_[call->keep_as] = outcome.reply.x1;
  last_[cpu] = outcome;
  last_cpu_ = cpu;
  return outcome;
}

Outcome Session::StoppedAt(unsigned cpu) {
  const Scheduler::Stop& stop = scheduler_.stop(cpu);
  Outcome outcome{.kind = Outcome::Kind::kStopped, .cpu = cpu};
  outcome.what = jobs_[cpu].outcome.what;
  std::string where = PointText(stop.point);
  switch (stop.point) {
    case sim::SchedulingPoint::kLockRequested:
    case sim::SchedulingPoint::kLockAcquired:
    case sim::SchedulingPoint::kLockReleased:
      absl::StrAppend(&where, " ", LockName(*board_, stop.address));
      break;
    case sim::SchedulingPoint::kTableStore:
    case sim::SchedulingPoint::kAccess:
      absl::StrAppend(&where, " ", Show(stop.address));
      break;
    default:
      break;
  }
  outcome.reason = stop.stuck ? "stuck" : "stopped";
  outcome.detail =
      stop.stuck ? "waits for a lock that no CPU will release now" : where;
  outcome.changes = changes_->Take();
  events_ = board_->machine().events();
  return outcome;
}

Parsed<std::vector<Outcome>> Session::Do(unsigned cpu, const Command& command) {
  HOLDFAST_TRY_ASSIGN(const Command work, Prepare(cpu, command));
  if (!scheduler_.AnyBusy()) {
    Begin(cpu, work);
    sim::OnCpu on_cpu(board_->machine(), cpu);
    jobs_[cpu].outcome = Work(cpu, work);
    return std::vector<Outcome>{Finished(cpu)};
  }
  // Others are stopped somewhere, perhaps with a lock that this needs.
  Launch(cpu, work);
  return std::vector<Outcome>{scheduler_.Join(cpu) ? Finished(cpu)
                                                   : StoppedAt(cpu)};
}

void Session::Launch(unsigned cpu, const Command& work) {
  Begin(cpu, work);
  scheduler_.Start(board_->machine(), cpu, [this, cpu] {
    jobs_[cpu].outcome = Work(cpu, jobs_[cpu].command);
  });
}

Parsed<std::vector<Outcome>> Session::Do(const StartCommand& start) {
  const unsigned cpu = start.cpu;
  HOLDFAST_TRY_ASSIGN(const Command work, Prepare(cpu, *start.command));
  Launch(cpu, work);
  return std::vector<Outcome>{scheduler_.Busy(cpu) ? StoppedAt(cpu)
                                                   : Finished(cpu)};
}

namespace {

tl::unexpected<BadLine> NothingUnderWay(unsigned cpu) {
  return Bad(0, absl::StrCat("nothing is under way on CPU ", cpu),
             absl::StrCat("start ", cpu, " COMMAND, first"));
}

}  // namespace

Parsed<std::vector<Outcome>> Session::Do(const StepCommand& step) {
  const unsigned cpu = step.cpu;
  if (!scheduler_.Busy(cpu)) return NothingUnderWay(cpu);
  for (uint64_t i = 0; i < step.points && scheduler_.Busy(cpu); ++i) {
    scheduler_.Step(cpu);
    // It will not come further until another CPU does.
    if (scheduler_.Busy(cpu) && scheduler_.stop(cpu).stuck) break;
  }
  return std::vector<Outcome>{scheduler_.Busy(cpu) ? StoppedAt(cpu)
                                                   : Finished(cpu)};
}

Parsed<std::vector<Outcome>> Session::Do(const JoinCommand& join) {
  std::vector<Outcome> outcomes;
  if (join.cpu.has_value()) {
    if (!scheduler_.Busy(*join.cpu)) return NothingUnderWay(*join.cpu);
    outcomes.push_back(scheduler_.Join(*join.cpu) ? Finished(*join.cpu)
                                                  : StoppedAt(*join.cpu));
    return outcomes;
  }
  scheduler_.JoinAll([&](unsigned cpu) { outcomes.push_back(Finished(cpu)); });
  for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (scheduler_.Busy(cpu)) outcomes.push_back(StoppedAt(cpu));
  }
  return outcomes;
}

bool Session::Settle() {
  return scheduler_.JoinAll([&](unsigned cpu) { Finished(cpu); });
}

std::optional<unsigned> Session::FreeCpu() {
  for (unsigned cpu = 0; cpu < setup_.cpus(); ++cpu) {
    if (!scheduler_.Busy(cpu)) return cpu;
  }
  return std::nullopt;
}

bool Session::LocksAreFree() {
  for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (!scheduler_.Busy(cpu)) continue;
    if (board_->machine().cpu(cpu).local.held_ranks != 0) return false;
    if (scheduler_.stop(cpu).point == sim::SchedulingPoint::kLockWait)
      return false;
  }
  return true;
}

std::string Session::Trouble() {
  if (!booted() || scheduler_.AnyBusy()) return "";
  sim::OnCpu on_cpu(board_->machine(), 0);
  return board_->Trouble();
}

std::vector<std::string> Session::Diff() const {
  return changes_->PagesSince(diff_base_);
}

void Session::MarkDiff() {
  if (booted()) diff_base_ = changes_->records();
}

std::string LockName(tests::Board& board, uint64_t address) {
  const auto is = [&](const Spinlock& lock) {
    return reinterpret_cast<uintptr_t>(&lock) == address;
  };
  if (is(board.hv().vms().lock)) return "the VM table's lock";
  if (is(board.mem().host_table().lock)) return "the host table's lock";
  if (is(board.mem().hyp_table().lock)) return "the lock of EL2's table";
  const PhysAddr pa(address - board.machine().ram().bias());
  if (board.machine().ram().Contains(pa, 1)) {
    return absl::StrFormat("the lock of the VM at frame %#x",
                           Pfn::Of(pa).value());
  }
  return absl::StrFormat("%#x", address);
}

}  // namespace holdfast::shell
