// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/script_run.h"

#include <cstddef>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "platforms/shell/parser.h"
#include "platforms/shell/range_call.h"
#include "platforms/sim/machine.h"

namespace holdfast::fuzz {
namespace {

using shell::AccessCommand;
using shell::AccessKind;
using shell::CallCommand;
using shell::Command;

// The guest's HVC instruction, wherever it is.
constexpr uint64_t kBehindHvc = 0x1004;

// What only the simulator itself does.
bool IsForPeople(const Command& command) {
  return command.As<shell::NothingCommand>() != nullptr ||
         command.As<shell::EchoCommand>() != nullptr ||
         command.As<shell::ShowCommand>() != nullptr ||
         command.As<shell::HelpCommand>() != nullptr ||
         command.As<shell::RecordCommand>() != nullptr ||
         command.As<shell::StopCommand>() != nullptr ||
         command.As<shell::SnapshotCommand>() != nullptr;
}

}  // namespace

ScriptRun::~ScriptRun() {
  if (scheduler_.AnyBusy()) scheduler_.JoinAll([](unsigned) {});
}

std::string ScriptRun::Boot() {
  auto config = setup_.Config();
  if (!config.has_value()) return config.error().what;
  oracle_ = std::make_unique<spec::Oracle>(spec::Oracle::Options{
      .in_turns = true, .at_guest = [this](unsigned cpu, uint64_t pc) {
        scheduler_.OnPoint(cpu, sim::SchedulingPoint::kGuest, pc);
      }});
  config->machine.guest = oracle_->Guest();
  config->machine.record_events = false;
  config->machine.scheduling_point =
      [this](unsigned cpu, sim::SchedulingPoint point, uint64_t address) {
        scheduler_.OnPoint(cpu, point, address);
        oracle_->OnPoint(cpu, point, address);
      };
  board_ = std::make_unique<tests::Board>(*std::move(config));
  if (!board_->booted().has_value()) return "EL2 did not boot";
  oracle_->Attach(*board_);
  return "";
}

std::string ScriptRun::Do(const std::string& line) {
  if (booted()) {
    if (const auto wrong = DoRun(line)) return *wrong;
  }
  const auto parsed = shell::Parse(line, {names_, setup_.cpus()});
  if (!parsed.has_value()) return parsed.error().what;
  const auto apply = [&](const auto& command) -> std::string {
    const auto applied = setup_.Apply(command);
    return applied.has_value() ? "" : applied.error().what;
  };
  if (!booted()) {
    if (const auto* machine = parsed->As<shell::MachineCommand>())
      return apply(*machine);
    if (const auto* ram = parsed->As<shell::RamCommand>()) return apply(*ram);
    if (const auto* cpus = parsed->As<shell::CpusCommand>())
      return apply(*cpus);
    if (parsed->As<shell::NothingCommand>() != nullptr) return "";
    if (std::string wrong = Boot(); !wrong.empty()) return wrong;
  }
  if (IsForPeople(*parsed)) return "";
  if (const auto* start = parsed->As<shell::StartCommand>())
    return Start(start->cpu, {*start->command});
  if (const auto* step = parsed->As<shell::StepCommand>()) return Step(*step);
  if (const auto* join = parsed->As<shell::JoinCommand>()) return Join(*join);
  if (const auto* expect = parsed->As<shell::ExpectCommand>())
    return Expect(*expect, jobs_[last_cpu_]);
  if (const auto* on = parsed->As<shell::OnCommand>()) {
    if (const auto* expect = on->command->As<shell::ExpectCommand>())
      return Expect(*expect, jobs_[on->cpu]);
    return DoOn(on->cpu, {*on->command});
  }
  return DoOn(0, {*parsed});
}

// ---- Which CPU, and when ----------------------------------------------------

std::string ScriptRun::DoOn(unsigned cpu, Job job) {
  to_expect_ = "";
  if (scheduler_.Busy(cpu)) return absl::StrCat("CPU ", cpu, " is busy");
  if (scheduler_.AnyBusy()) {
    // Another may have a lock that it needs.
    Launch(cpu, std::move(job));
    scheduler_.Join(cpu);
    return EndOn(cpu);
  }
  const sim::OnCpu on_cpu(board_->machine(), cpu);
  jobs_[cpu] = std::move(job);
  Work(cpu, jobs_[cpu]);
  return EndOn(cpu);
}

void ScriptRun::Launch(unsigned cpu, Job job) {
  jobs_[cpu] = std::move(job);
  scheduler_.Start(board_->machine(), cpu,
                   [this, cpu] { Work(cpu, jobs_[cpu]); });
}

std::string ScriptRun::EndOn(unsigned cpu) {
  to_expect_ = "";
  if (scheduler_.Busy(cpu)) return "";
  last_cpu_ = cpu;
  to_expect_ = jobs_[cpu].to_expect;
  return jobs_[cpu].wrong;
}

std::string ScriptRun::Start(unsigned cpu, Job job) {
  to_expect_ = "";
  if (scheduler_.Busy(cpu)) return absl::StrCat("CPU ", cpu, " is busy");
  Launch(cpu, std::move(job));
  return EndOn(cpu);
}

std::string ScriptRun::Step(const shell::StepCommand& step) {
  to_expect_ = "";
  if (!scheduler_.Busy(step.cpu)) return "nothing is under way there";
  for (uint64_t i = 0; i < step.points && scheduler_.Busy(step.cpu); ++i)
    scheduler_.Step(step.cpu);
  return EndOn(step.cpu);
}

std::string ScriptRun::Join(const shell::JoinCommand& join) {
  to_expect_ = "";
  if (join.cpu.has_value()) {
    if (!scheduler_.Busy(*join.cpu)) return "nothing is under way there";
    scheduler_.Join(*join.cpu);
    return EndOn(*join.cpu);
  }
  std::string wrong;
  scheduler_.JoinAll([&](unsigned cpu) {
    if (wrong.empty()) wrong = EndOn(cpu);
  });
  return wrong;
}

// ---- As the CPU -------------------------------------------------------------

void ScriptRun::Work(unsigned cpu, Job& job) {
  if (job.run.has_value()) {
    Run(cpu, *job.run, job);
  } else if (const auto* call = job.command.As<CallCommand>()) {
    Call(*call, job);
  } else if (const auto* hvc = job.command.As<shell::HvcCommand>()) {
    const auto& x = hvc->x;
    oracle_->Call(x[0], x[1], x[2], x[3], x[4], x[5]);
  } else if (const auto* access = job.command.As<AccessCommand>()) {
    if (access->vcpu.has_value()) {
      Guest(cpu, *access->vcpu, job.command, job);
    } else {
      HostAccess(*access, job);
    }
  } else if (const auto* guest = job.command.As<shell::GuestCallCommand>()) {
    Guest(cpu, guest->vcpu, job.command, job);
  } else if (job.command.As<shell::ResumeCommand>() != nullptr) {
    Resume(cpu, job);
  }
}

void ScriptRun::Call(const CallCommand& call, Job& job) {
  hyp::Args x = call.x;
  tests::Reply reply;
  do {
    reply = oracle_->Call(call.call->id, x[0], x[1], x[2], x[3], x[4]);
  } while (call.finish && shell::NextPart(reply, call.call->id, &x));
  if (call.finish && call.call->id == HF_RECLAIM_DYING_GUEST_PAGE &&
      reply.result() == -HF_ENOENT) {
    reply.x1 = 0;
  }
  if (!call.keep_as.empty()) names_[call.keep_as] = reply.x1;
  job.reply = reply;
  if (!reply.ok())
    job.to_expect = absl::StrCat("expect ", tests::ToString(reply));
}

std::optional<std::string> ScriptRun::DoRun(const std::string& line) {
  const size_t colon = line.find(" :");
  std::vector<std::string> words =
      absl::StrSplit(line.substr(0, colon), ' ', absl::SkipEmpty());
  const bool starts = !words.empty() && words[0] == "start";
  uint64_t cpu = 0;
  if (words.size() > 2 && (starts || words[0] == "on")) {
    if (!absl::SimpleAtoi(words[1], &cpu) || cpu >= cpus()) return std::nullopt;
    words.erase(words.begin(), words.begin() + 2);
  } else if (starts) {
    return std::nullopt;
  }
  if (words.empty() || words[0] != "run") return std::nullopt;
  RunLine run;
  spec::RunAnswer& answer = run.answer;
  uint64_t result = 0, intid = 0;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::vector<std::string> field = absl::StrSplit(words[i], '=');
    uint64_t* const to = field[0] == "answered"     ? &answer.answered
                         : field[0] == "value"      ? &answer.mmio_value
                         : field[0] == "result"     ? &result
                         : field[0] == "interrupts" ? &answer.interrupts
                         : field[0] == "intid"      ? &intid
                                                    : nullptr;
    if (to == nullptr || field.size() != 2 ||
        (!absl::SimpleAtoi(field[1], to) &&
         !absl::SimpleHexAtoi(field[1], to))) {
      return absl::StrCat("run: '", words[i], "' says nothing");
    }
  }
  if (result != 0)
    std::iota(answer.result.begin(), answer.result.end(), result);
  answer.intid[0] = static_cast<uint32_t>(intid);
  run.text = colon == std::string::npos ? "" : line.substr(colon + 2);
  const auto program = spec::ParseGuestProgram(run.text);
  if (!program.has_value())
    return absl::StrCat("'", run.text, "' is no program of a guest");
  run.program = *program;
  Job job;
  job.run = std::move(run);
  return starts ? Start(static_cast<unsigned>(cpu), std::move(job))
                : DoOn(static_cast<unsigned>(cpu), std::move(job));
}

void ScriptRun::Run(unsigned cpu, const RunLine& run, Job& job) {
  scheduler_.OnPoint(cpu, sim::SchedulingPoint::kGuest, 0);
  job.reply = oracle_->RunVcpu(run.answer, run.program, run.text);
}

void ScriptRun::HostAccess(const AccessCommand& access, Job& job) {
  const uint64_t address = access.address & ~uint64_t{7};
  bool done = false;
  switch (access.kind) {
    case AccessKind::kRead:
      done = oracle_->Load(address).has_value();
      break;
    case AccessKind::kWrite:
      done = oracle_->Store(address, access.value);
      break;
    case AccessKind::kExec:
      done = oracle_->Exec(address);
      break;
  }
  if (done) return;
  job.to_expect = oracle_->state().abort_style == HF_ABORT_TRANSLATION
                      ? "expect abort translation"
                      : "expect abort external";
}

void ScriptRun::Resume(unsigned cpu, Job& job) {
  const vm_table::Vcpu* loaded = board_->hv().loaded(cpu);
  if (loaded == nullptr) {
    job.wrong = "no vCPU is loaded there";
    return;
  }
  const shell::VcpuName vcpu{loaded->vm().handle().value(), loaded->index()};
  const auto at = again_.find({vcpu.handle, vcpu.index});
  if (at == again_.end()) {
    job.wrong = "that vCPU has not left";
    return;
  }
  const Command command = at->second;
  again_.erase(at);
  if (command.As<shell::NothingCommand>() == nullptr)
    Guest(cpu, vcpu, command, job);
}

void ScriptRun::Guest(unsigned cpu, const shell::VcpuName& vcpu,
                      const Command& command, Job& job) {
  const vm_table::Vcpu* loaded = board_->hv().loaded(cpu);
  if (loaded == nullptr || loaded->vm().handle().value() != vcpu.handle ||
      loaded->index() != vcpu.index) {
    job.wrong = "no such guest runs there";
    return;
  }
  const std::pair<uint64_t, uint64_t> name(vcpu.handle, vcpu.index);
  again_.erase(name);
  if (const auto* call = command.As<shell::GuestCallCommand>()) {
    hyp::GuestRegs regs = hyp::GuestCallRegs(call->x, kBehindHvc);
    if (oracle_->GuestCall(regs) == hyp::GuestAction::kResume) {
      if (static_cast<int64_t>(regs.x[0]) == HF_GUEST_INVALID_PARAMETER)
        job.to_expect = "expect -INVALID_PARAMETER";
    } else if (regs.pc != kBehindHvc) {
      again_[name] = command;
      job.to_expect = "expect exit data-abort";
    } else {
      again_[name] = Command{shell::NothingCommand{}};
      job.to_expect = "expect exit hvc";
    }
    return;
  }
  const auto& access = *command.As<AccessCommand>();
  const uint64_t ipa = access.address & ~uint64_t{7};
  bool done = false;
  switch (access.kind) {
    case AccessKind::kRead:
      done = oracle_->GuestLoad(vcpu.handle, ipa).has_value();
      break;
    case AccessKind::kWrite:
      done = oracle_->GuestStore(vcpu.handle, ipa, access.value);
      break;
    case AccessKind::kExec:
      done = oracle_->GuestExec(vcpu.handle, ipa);
      break;
  }
  if (done) return;
  again_[name] = command;
  job.to_expect = access.kind == AccessKind::kExec
                      ? "expect exit instruction-abort"
                      : "expect exit data-abort";
}

// ---- What came of it --------------------------------------------------------

std::string ScriptRun::Expect(const shell::ExpectCommand& expect,
                              const Job& job) const {
  if (expect.kind != shell::ExpectCommand::Kind::kResult ||
      !job.reply.has_value()) {
    return "";
  }
  const std::string is = tests::ToString(*job.reply);
  const std::string want =
      expect.text.empty() ? absl::StrCat(expect.value) : expect.text;
  if (want != is) return absl::StrCat("expected ", want, ", but it is ", is);
  if (expect.x2.has_value() && *expect.x2 != job.reply->x2)
    return absl::StrCat("expected x2 = ", *expect.x2, ", but it is ",
                        job.reply->x2);
  return "";
}

std::string ScriptRun::Trouble() const {
  return booted() ? oracle_->Trouble() : "";
}

std::string ScriptRun::FullTrouble() {
  if (!booted()) return "";
  if (!scheduler_.JoinAll([](unsigned) {})) return "CPUs wait for each other";
  return oracle_->FullTrouble() + board_->Trouble();
}

}  // namespace holdfast::fuzz
