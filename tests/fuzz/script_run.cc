// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/script_run.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "platforms/shell/parser.h"
#include "platforms/sim/machine.h"

namespace holdfast::fuzz {
namespace {

using shell::AccessCommand;
using shell::AccessKind;
using shell::CallCommand;
using shell::Command;

// The guest's HVC instruction, wherever it is.
constexpr uint64_t kBehindHvc = 0x1004;

// What a range call goes on with; false: it is done.
bool NextPart(const tests::Reply& reply, uint32_t id, hyp::Args* x) {
  switch (id) {
    case HF_TOPUP_VM:
      (*x)[1] += reply.x2;
      (*x)[2] -= reply.x2;
      return reply.ok() && reply.x2 != 0 && (*x)[2] != 0;
    case HF_DRAIN_VM:
      return reply.ok() && reply.x2 != 0;
    case HF_RECLAIM_DYING_GUEST_PAGE:
      (*x)[1] = reply.x2;
      return (reply.ok() || reply.result() == -HF_ENOENT) &&
             reply.x2 != HF_NO_GFN;
    default:
      return false;
  }
}

}  // namespace

ScriptRun::~ScriptRun() = default;

std::string ScriptRun::Boot() {
  auto config = setup_.Config();
  if (!config.has_value()) return config.error().what;
  oracle_ = std::make_unique<spec::Oracle>();
  config->machine.record_events = false;
  config->machine.scheduling_point = oracle_->Hook();
  board_ = std::make_unique<tests::Board>(*std::move(config));
  if (!board_->booted().has_value()) return "EL2 did not boot";
  oracle_->Attach(*board_);
  return "";
}

std::string ScriptRun::Do(const std::string& line) {
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
  if (const auto* on = parsed->As<shell::OnCommand>())
    return DoOn(on->cpu, *on->command);
  return DoOn(0, *parsed);
}

std::string ScriptRun::DoOn(unsigned cpu, const Command& command) {
  const sim::OnCpu on_cpu(board_->machine(), cpu);
  if (command.As<shell::ExpectCommand>() == nullptr) to_expect_ = "";
  if (const auto* expect = command.As<shell::ExpectCommand>())
    return Expect(*expect);
  if (const auto* call = command.As<CallCommand>()) {
    Call(*call);
  } else if (const auto* hvc = command.As<shell::HvcCommand>()) {
    const auto& x = hvc->x;
    oracle_->Call(x[0], x[1], x[2], x[3], x[4], x[5]);
    reply_.reset();
    to_expect_ = "";
  } else if (const auto* access = command.As<AccessCommand>()) {
    if (access->vcpu.has_value()) {
      return Guest(cpu, *access->vcpu, command);
    } else {
      HostAccess(*access);
    }
  } else if (const auto* guest = command.As<shell::GuestCallCommand>()) {
    return Guest(cpu, guest->vcpu, command);
  } else if (command.As<shell::ResumeCommand>() != nullptr) {
    return Resume(cpu);
  }
  return "";
}

void ScriptRun::Call(const CallCommand& call) {
  hyp::Args x = call.x;
  tests::Reply reply;
  do {
    reply = oracle_->Call(call.call->id, x[0], x[1], x[2], x[3], x[4]);
  } while (call.finish && NextPart(reply, call.call->id, &x));
  if (call.finish && call.call->id == HF_RECLAIM_DYING_GUEST_PAGE &&
      reply.result() == -HF_ENOENT) {
    reply.x1 = 0;
  }
  if (!call.keep_as.empty()) names_[call.keep_as] = reply.x1;
  reply_ = reply;
  to_expect_ =
      reply.ok() ? "" : absl::StrCat("expect ", tests::ToString(reply));
}

void ScriptRun::HostAccess(const AccessCommand& access) {
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
  reply_.reset();
  const bool as_translation =
      oracle_->state().abort_style == HF_ABORT_TRANSLATION;
  to_expect_ = done             ? ""
               : as_translation ? "expect abort translation"
                                : "expect abort external";
}

std::string ScriptRun::Resume(unsigned cpu) {
  const vm_table::Vcpu* loaded = board_->hv().loaded(cpu);
  if (loaded == nullptr) return "no vCPU is loaded there";
  const shell::VcpuName vcpu{loaded->vm().handle().value(), loaded->index()};
  const auto at = again_.find({vcpu.handle, vcpu.index});
  if (at == again_.end()) return "that vCPU has not left";
  const Command command = at->second;
  if (command.As<shell::NothingCommand>() == nullptr)
    return Guest(cpu, vcpu, command);
  again_.erase(at);
  return "";
}

std::string ScriptRun::Guest(unsigned cpu, const shell::VcpuName& vcpu,
                             const Command& command) {
  reply_.reset();
  to_expect_ = "";
  const vm_table::Vcpu* loaded = board_->hv().loaded(cpu);
  if (loaded == nullptr || loaded->vm().handle().value() != vcpu.handle ||
      loaded->index() != vcpu.index) {
    return "no such guest runs there";
  }
  const std::pair<uint64_t, uint64_t> name(vcpu.handle, vcpu.index);
  again_.erase(name);
  if (const auto* call = command.As<shell::GuestCallCommand>()) {
    hyp::GuestRegs regs{.x = call->x, .pc = kBehindHvc};
    if (oracle_->GuestCall(regs) == hyp::GuestAction::kResume) {
      if (static_cast<int64_t>(regs.x[0]) == HF_GUEST_INVALID_PARAMETER)
        to_expect_ = "expect -INVALID_PARAMETER";
    } else if (regs.pc != kBehindHvc) {
      again_[name] = command;
      to_expect_ = "expect exit data-abort";
    } else {
      again_[name] = Command{shell::NothingCommand{}};
      to_expect_ = "expect exit hvc";
    }
    return "";
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
  if (done) return "";
  again_[name] = command;
  to_expect_ = access.kind == AccessKind::kExec
                   ? "expect exit instruction-abort"
                   : "expect exit data-abort";
  return "";
}

std::string ScriptRun::Expect(const shell::ExpectCommand& expect) const {
  if (expect.kind != shell::ExpectCommand::Kind::kResult ||
      !reply_.has_value()) {
    return "";
  }
  const std::string is = tests::ToString(*reply_);
  const std::string want =
      expect.text.empty() ? absl::StrCat(expect.value) : expect.text;
  if (want != is) return absl::StrCat("expected ", want, ", but it is ", is);
  if (expect.x2.has_value() && *expect.x2 != reply_->x2)
    return absl::StrCat("expected x2 = ", *expect.x2, ", but it is ",
                        reply_->x2);
  return "";
}

std::string ScriptRun::Trouble() const {
  return booted() ? oracle_->Trouble() : "";
}

std::string ScriptRun::FullTrouble() {
  if (!booted()) return "";
  return oracle_->FullTrouble() + board_->Trouble();
}

}  // namespace holdfast::fuzz
