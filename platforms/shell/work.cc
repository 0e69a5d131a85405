// SPDX-License-Identifier: Apache-2.0
//
// What a CPU does in a command: Session's part that runs as that CPU, and may
// be stopped at every scheduling point.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "platforms/shell/range_call.h"
#include "platforms/shell/session.h"
#include "vm_table/vm.h"

namespace holdfast::shell {
namespace {

// Nobody retries an access for ever.
constexpr unsigned kMostTries = 1000;

// A guest's HVC instruction is here. It has no code: only its address matters.
constexpr uint64_t kHvcAt = 0x1000;

const char* VerbOf(AccessKind kind) {
  switch (kind) {
    case AccessKind::kRead:
      return "read";
    case AccessKind::kWrite:
      return "write";
    case AccessKind::kExec:
      return "exec";
  }
  return "?";
}

// The widest access that `address` is aligned to.
unsigned BytesAt(uint64_t address) {
  unsigned bytes = 8;
  while (address % bytes != 0) bytes /= 2;
  return bytes;
}

std::string DescribeVcpu(const VcpuName& vcpu) {
  return absl::StrCat("guest ", Show(vcpu.handle), ".", vcpu.index, " ");
}

// ESR_EL2's exception classes (Arm ARM D24.2.40).
enum class ExceptionClass : uint64_t {
  kHvc = 0x16,
  kInstructionAbort = 0x20,
  kDataAbort = 0x24,
};

// The registers EL2 would find: D24.2.40 (ESR_EL2), D24.2.58 (HPFAR_EL2).
vm_table::GuestExit ExitOf(const sim::Fault& fault) {
  const auto ec = fault.is_exec ? ExceptionClass::kInstructionAbort
                                : ExceptionClass::kDataAbort;
  vm_table::GuestExit exit;
  exit.esr = static_cast<uint64_t>(ec) << 26 | uint64_t{1} << 25 |
             uint64_t{fault.is_write} << 6 | fault.StatusCode();
  exit.far = fault.ipa.value();
  exit.hpfar = fault.ipa.value() >> 12 << 4;
  return exit;
}

const char* ReasonOf(uint64_t esr) {
  switch (static_cast<ExceptionClass>(esr >> 26 & 0x3f)) {
    case ExceptionClass::kInstructionAbort:
      return "instruction-abort";
    case ExceptionClass::kDataAbort:
      return "data-abort";
    case ExceptionClass::kHvc:
      break;
  }
  return "hvc";
}

// "translation fault, level 3, at ipa 0x80000".
std::string DetailOf(const vm_table::GuestExit& exit) {
  constexpr const char* kKinds[] = {"address size fault", "translation fault",
                                    "access flag fault", "permission fault"};
  const uint64_t status = exit.esr & 0x3f;
  const uint64_t ipa = (exit.hpfar & 0xfff'ffff'fff0) << 8;
  if (status >= 0x10) return absl::StrFormat("at ipa %#x", ipa);
  return absl::StrFormat("%s, level %d, at ipa %#x", kKinds[status >> 2],
                         static_cast<int>(status & 3), ipa);
}

// Stage 2 of whose accesses these are.
sim::Access<uint64_t> DoAccess(sim::Machine& machine, unsigned cpu,
                               const Stage2Context* guest,
                               const AccessCommand& access) {
  const Ipa ipa(access.address);
  const unsigned bytes = BytesAt(access.address);
  const auto as_word = [](uint32_t word) { return uint64_t{word}; };
  const auto as_zero = [] { return uint64_t{0}; };
  switch (access.kind) {
    case AccessKind::kRead:
      return guest == nullptr ? machine.HostRead(cpu, ipa, bytes)
                              : machine.GuestRead(cpu, *guest, ipa, bytes);
    case AccessKind::kWrite:
      return (guest == nullptr
                  ? machine.HostWrite(cpu, ipa, bytes, access.value)
                  : machine.GuestWrite(cpu, *guest, ipa, bytes, access.value))
          .map(as_zero);
    case AccessKind::kExec:
      break;
  }
  return (guest == nullptr ? machine.HostExec(cpu, ipa)
                           : machine.GuestExec(cpu, *guest, ipa))
      .map(as_word);
}

void SetAbort(hyp::HostAbortAction action, const sim::Fault& fault,
              Outcome* outcome) {
  outcome->kind = Outcome::Kind::kAbort;
  outcome->detail = sim::ToString(fault);
  outcome->reason = "external";
  if (action == hyp::HostAbortAction::kInjectTranslation)
    outcome->reason = sim::FaultKindName(fault.kind);
  if (action == hyp::HostAbortAction::kRetry) outcome->reason = "endless";
}

// An access by the host, retried for as long as EL2 says that it would work
// now. Nothing if it was refused: `outcome` says how.
template <class DoIt>
auto AsHost(tests::Board& board, DoIt do_it, Outcome* outcome)
    -> decltype(do_it()) {
  auto action = hyp::HostAbortAction::kRetry;
  auto result = sim::Retry(
      do_it,
      [&](const sim::Fault& fault) {
        action = board.hv().HandleHostAbort(tests::HostAbortOf(fault));
        return action == hyp::HostAbortAction::kRetry;
      },
      kMostTries);
  if (!result.has_value()) SetAbort(action, result.error(), outcome);
  return result;
}

}  // namespace

std::string Describe(const Command& command) {
  if (const auto* call = command.As<CallCommand>()) {
    return absl::StrCat(
        call->call->name, "(",
        absl::StrJoin(call->x.begin(),
                      call->x.begin() + call->call->arguments(), ", ",
                      [](std::string* out, uint64_t x) {
                        absl::StrAppend(out, Show(x));
                      }),
        ")");
  }
  if (const auto* hvc = command.As<HvcCommand>())
    return absl::StrCat("hvc ", Show(hvc->x[0]));
  if (const auto* call = command.As<GuestCallCommand>()) {
    return absl::StrCat(DescribeVcpu(call->vcpu), call->name, "(",
                        Show(call->x[1]), ")");
  }
  if (const auto* access = command.As<AccessCommand>()) {
    std::string text =
        access->vcpu.has_value() ? DescribeVcpu(*access->vcpu) : "host ";
    absl::StrAppend(&text, VerbOf(access->kind), " ", Show(access->address));
    if (access->kind == AccessKind::kWrite)
      absl::StrAppend(&text, " ", Show(access->value));
    return text;
  }
  if (const auto* fill = command.As<FillCommand>()) {
    return absl::StrCat(fill->compare ? "compare " : "fill ", Show(fill->pfn),
                        " ", Show(fill->byte));
  }
  return "resume";
}

Outcome Session::Work(unsigned cpu, const Command& command) {
  if (const auto* call = command.As<CallCommand>()) return Call(cpu, *call);
  if (const auto* hvc = command.As<HvcCommand>()) {
    const auto& x = hvc->x;
    return {.kind = Outcome::Kind::kRegisters,
            .reply = board_->Call(x[0], x[1], x[2], x[3], x[4], x[5])};
  }
  if (const auto* call = command.As<GuestCallCommand>())
    return GuestCall(cpu, *call);
  if (const auto* access = command.As<AccessCommand>())
    return access->vcpu.has_value() ? GuestAccess(cpu, *access)
                                    : Access(cpu, *access);
  if (const auto* fill = command.As<FillCommand>()) return Fill(cpu, *fill);
  // A guest that had nothing left to do again.
  return {.kind = Outcome::Kind::kDone};
}

Outcome Session::Call(unsigned, const CallCommand& call) {
  Outcome outcome{.kind = Outcome::Kind::kCall};
  hyp::Args x = call.x;
  while (true) {
    outcome.reply = board_->Call(call.call->id, x[0], x[1], x[2], x[3], x[4]);
    if (!call.finish || !NextPart(outcome.reply, call.call->id, &x)) break;
    ++outcome.tries;
  }
  // Of the holes in a dying VM, the last is no error.
  if (call.finish && call.call->id == HF_RECLAIM_DYING_GUEST_PAGE &&
      outcome.reply.result() == -HF_ENOENT) {
    outcome.reply.x1 = 0;
  }
  return outcome;
}

Outcome Session::Access(unsigned cpu, const AccessCommand& access) {
  Outcome outcome;
  const auto result = AsHost(
      *board_,
      [&] { return DoAccess(board_->machine(), cpu, nullptr, access); },
      &outcome);
  if (!result.has_value()) return outcome;
  outcome.kind = access.kind == AccessKind::kWrite ? Outcome::Kind::kDone
                                                   : Outcome::Kind::kValue;
  outcome.value = *result;
  return outcome;
}

Outcome Session::Fill(unsigned cpu, const FillCommand& fill) {
  Outcome outcome;
  const Ipa page(fill.pfn << kPageShift);
  const uint64_t word = uint64_t{fill.byte} * 0x0101'0101'0101'0101;
  if (fill.compare) {
    const auto same = AsHost(
        *board_, [&] { return board_->machine().HostPageIs(cpu, page, word); },
        &outcome);
    if (same.has_value())
      outcome.kind = *same ? Outcome::Kind::kSame : Outcome::Kind::kDiffers;
    return outcome;
  }
  const auto filled = AsHost(
      *board_, [&] { return board_->machine().HostFillPage(cpu, page, word); },
      &outcome);
  if (filled.has_value()) outcome.kind = Outcome::Kind::kDone;
  return outcome;
}

Outcome Session::GuestLeft(unsigned cpu, const VcpuName& vcpu,
                           const Command& again) {
  const vm_table::GuestExit& exit = board_->hv().loaded(cpu)->exit;
  pending_[{vcpu.handle, vcpu.index}] = Pending{again};
  Outcome outcome{.kind = Outcome::Kind::kExit};
  outcome.reason = ReasonOf(exit.esr);
  if (outcome.reason != "hvc") outcome.detail = DetailOf(exit);
  return outcome;
}

Outcome Session::GuestAccess(unsigned cpu, const AccessCommand& access) {
  hyp::Hypervisor& hv = board_->hv();
  const Stage2Context context = hv.loaded(cpu)->vm().stage2.context();
  bool left = false;
  const auto result = sim::Retry(
      [&] { return DoAccess(board_->machine(), cpu, &context, access); },
      [&](const sim::Fault& fault) {
        left = hv.HandleGuestAbort(ExitOf(fault)) == hyp::GuestAction::kExit;
        return !left;
      },
      kMostTries);
  if (!result.has_value()) return GuestLeft(cpu, *access.vcpu, Command{access});
  Outcome outcome;
  outcome.kind = access.kind == AccessKind::kWrite ? Outcome::Kind::kDone
                                                   : Outcome::Kind::kValue;
  outcome.value = *result;
  return outcome;
}

Outcome Session::GuestCall(unsigned cpu, const GuestCallCommand& call) {
  hyp::GuestRegs regs = hyp::GuestCallRegs(call.x, kHvcAt + 4);
  if (board_->hv().HandleGuestCall(regs) == hyp::GuestAction::kExit) {
    // Stepped back, it does the HVC again; else that is behind it.
    const bool again = regs.pc == kHvcAt;
    return GuestLeft(cpu, call.vcpu,
                     again ? Command{call} : Command{NothingCommand{}});
  }
  return {.kind = Outcome::Kind::kGuestCall,
          .reply = {regs.x[0], regs.x[1], regs.x[2], regs.x[3]}};
}

}  // namespace holdfast::shell
