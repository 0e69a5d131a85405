// SPDX-License-Identifier: Apache-2.0
//
// The oracle while guests run: it is their program, so it sees them come in and
// go out. Each stretch of EL2's between the two is held against the contract
// (guest_steps.cc).
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/guest.h"
#include "base/machine.h"
#include "hyp/abi.h"
#include "platforms/sim/guest.h"
#include "tests/spec/oracle.h"

namespace holdfast::spec {
namespace {

using sim::Holder;
using Kind = GuestStep::Kind;

constexpr unsigned kDataRegister = 5;
constexpr uint64_t kNever = ~uint64_t{0};
// What a guest has in registers that are nobody's business.
constexpr uint64_t kSecret = 0x5ec7'e75e'c7e7'0000;

// ESR_EL2, with IL (Arm ARM D19.2.37).
constexpr uint64_t Esr(uint64_t exception_class, uint64_t iss) {
  return exception_class << 26 | uint64_t{1} << 25 | iss;
}

uint64_t NumberOr(const GuestStep& step, size_t i, uint64_t otherwise) {
  return i < step.numbers.size() ? step.numbers[i] : otherwise;
}

// Of an access that faulted: a VA that has the last 12 bits only in common with
// the IPA, and the syndrome of the instruction.
GuestTrap AbortOf(const GuestStep& step, const sim::Fault& fault) {
  const bool fetch = step.kind == Kind::kExec;
  const bool write = step.kind == Kind::kWrite;
  uint64_t iss = fault.StatusCode() | (step.is_walk ? uint64_t{1} << 7 : 0) |
                 (write ? uint64_t{1} << 6 : 0);
  if (!fetch && !step.is_walk) {
    const uint64_t bytes = NumberOr(step, 1, 8);
    const uint64_t log2_bytes = bytes == 1   ? 0
                                : bytes == 2 ? 1
                                : bytes == 4 ? 2
                                             : 3;
    iss |= uint64_t{1} << 24 | log2_bytes << 22 |
           uint64_t{step.is_signed} << 21 | uint64_t{kDataRegister} << 16 |
           uint64_t{step.is_wide} << 15;
  }
  const uint64_t ipa = step.numbers[0];
  return {.stop = GuestStop::kSync,
          .esr = Esr(fetch ? 0x20 : 0x24, iss),
          .far = 0xffff'0000'5555'0000 + (ipa & 0xfff),
          .hpfar = ipa >> 12 << 4};
}

}  // namespace

// ---- The guest -------------------------------------------------------------

std::optional<sim::Fault> Oracle::StepAccess(unsigned cpu, uint64_t handle,
                                             const Stage2Context& context,
                                             const GuestStep& step,
                                             GuestRegs& regs) {
  const uint64_t ipa = step.numbers[0] & ~uint64_t{7};
  AccessDone done{.who = handle,
                  .address = ipa,
                  .is_write = step.kind == Kind::kWrite,
                  .is_exec = step.kind == Kind::kExec};
  sim::Machine& machine = board_->machine();
  std::optional<sim::Fault> fault;
  const auto note = [&](const auto& result) {
    done.done = result.has_value();
    if (!result.has_value()) fault = result.error();
  };
  if (done.is_exec) {
    note(machine.GuestExec(cpu, context, Ipa(ipa), /*privileged=*/true));
  } else if (done.is_write) {
    done.value = regs.x[kDataRegister];
    note(machine.GuestWrite64(cpu, context, Ipa(ipa), done.value));
  } else {
    const auto value = machine.GuestRead64(cpu, context, Ipa(ipa));
    note(value);
    if (value.has_value()) {
      done.value = *value;
      regs.x[kDataRegister] = *value;
    }
  }
  if (fault.has_value()) done.fault = fault->kind;
  Accessed(cpu, done);
  return fault;
}

// Until something is EL2's business.
GuestTrap Oracle::Play(unsigned cpu, uint64_t handle,
                       const Stage2Context& context,
                       machine::GuestState& guest) {
  GuestRegs& regs = guest.regs;
  std::optional<Running>& running = cpus_[cpu].running;
  const auto call = [&](const GuestStep& step, uint64_t exception_class,
                        uint64_t immediate) {
    for (size_t i = 0; i < regs.x.size(); ++i)
      regs.x[i] = NumberOr(step, i, i < 4 ? 0 : kSecret + i);
    return GuestTrap{.stop = GuestStop::kSync,
                     .esr = Esr(exception_class, immediate)};
  };
  while (running->next < running->program.size()) {
    const GuestStep& step = running->program[running->next++];
    switch (step.kind) {
      case Kind::kRead:
      case Kind::kWrite:
      case Kind::kExec: {
        if (step.kind != Kind::kRead)
          for (size_t i = 0; i < regs.x.size(); ++i) regs.x[i] = kSecret + i;
        const auto fault = StepAccess(cpu, handle, context, step, regs);
        if (fault.has_value()) return AbortOf(step, *fault);
        regs.pc += 4;
        break;
      }
      case Kind::kHvc:
      case Kind::kHvc1:
        regs.pc += 4;  // it returns behind itself
        return call(step, 0x16, step.kind == Kind::kHvc1 ? 1 : 0);
      case Kind::kSmc:
        return call(step, 0x17, 0);
      case Kind::kWfi:
      case Kind::kWfe:
        guest.deadline = NumberOr(step, 0, kNever);
        return {.stop = GuestStop::kSync,
                .esr = Esr(0x01, step.kind == Kind::kWfe ? 1 : 0)};
      case Kind::kSgi:
        regs.x[kDataRegister] = step.numbers[0];
        return {.stop = GuestStop::kSync,
                .esr = Esr(0x18, uint64_t{3} << 20 | 5 << 17 | 12 << 10 |
                                     kDataRegister << 5 | 11 << 1)};
      case Kind::kMsr:
        return {.stop = GuestStop::kSync, .esr = Esr(0x18, step.numbers[0])};
      case Kind::kInterrupt:
        return {};
      case Kind::kSError:
        return {.stop = GuestStop::kSError};
      case Kind::kAck: {
        for (auto& word : guest.pending)
          word.store(0, std::memory_order_relaxed);
        Holder hold(mutex_);
        state_.guests[handle].cpus[running->vcpu.index].interrupts.clear();
        regs.pc += 4;
        break;
      }
    }
  }
  return {};
}

// A guest goes in. It must be the one that is loaded here, in its own stage 2,
// and have what the contract says.
std::string Oracle::EntryTrouble(unsigned cpu, const Stage2Context& context,
                                 const machine::GuestState& guest) {
  const Running& running = *cpus_[cpu].running;
  const auto& [handle, index] = running.vcpu;
  const auto own = concrete_->ContextOf(handle);
  if (!own.has_value() || own->vttbr() != context.vttbr())
    return "it runs behind another's tables";
  if (guest.mpidr != (uint64_t{1} << 31 | index))
    return absl::StrFormat("its MPIDR is %#x", guest.mpidr);
  GuestCpu found = state_.guests[handle].cpus[index];
  const GuestCpu expected = found;
  found.x = guest.regs.x;
  found.pc = guest.regs.pc;
  found.takes_abort = guest.abort_injected;
  found.takes_undefined = guest.undefined_injected;
  found.interrupts.clear();
  for (uint32_t id = 0; id < guest.pending.size() * 64; ++id) {
    if ((guest.pending[id / 64].load(std::memory_order_relaxed) >> id % 64 &
         1) != 0)
      found.interrupts.insert(id);
  }
  if (expected == found) return "";
  std::string text = absl::StrCat("  the guest goes on\n    expected ",
                                  spec::ToString(expected), "\n    found    ",
                                  spec::ToString(found), "\n");
  for (size_t i = 0; i < found.x.size(); ++i) {
    if (found.x[i] != expected.x[i]) {
      absl::StrAppendFormat(&text, "    x%u: expected %#x, found %#x\n", i,
                            expected.x[i], found.x[i]);
    }
  }
  return text;
}

GuestTrap Oracle::RunGuest(unsigned cpu, const Stage2Context& context,
                           machine::GuestState& guest) {
  std::optional<Running>& running = cpus_[cpu].running;
  if (!running.has_value()) return {};  // round the oracle
  const uint64_t handle = running->vcpu.handle;
  const auto core = [&]() -> GuestCpu& {
    return state_.guests[handle].cpus[running->vcpu.index];
  };
  {
    Holder hold(mutex_);
    Run run = RunOf(cpu, running->begun, {});
    const GuestTurn turn = TurnOf(*running, run);
    if (turn.kind != GuestTurn::Kind::kGoesOn) {
      run.Wrong(absl::StrCat("the guest goes on; expected ",
                             turn.kind == GuestTurn::Kind::kRefused
                                 ? "-EINVAL"
                                 : ToString(turn.exit)));
    } else if (std::string wrong = EntryTrouble(cpu, context, guest);
               !wrong.empty()) {
      run.Wrong(std::move(wrong));
    }
    const Cpu expected = run.cpu;  // is seen when it stops
    running->begun.cpu = expected;
    const std::string wrong = run.Finish({}, expected, std::nullopt);
    if (!wrong.empty())
      Report(cpu, absl::StrCat("in vcpu_run (", running->text, ")\n", wrong));
    guest.abort_injected = guest.undefined_injected = false;
    core().takes_abort = core().takes_undefined = false;
  }
  if (options_.at_guest) options_.at_guest(cpu, guest.regs.pc);
  const GuestTrap trap = Play(cpu, handle, context, guest);
  Holder hold(mutex_);
  core().x = guest.regs.x;
  core().pc = guest.regs.pc;
  running->trap = GuestTrapped{
      .kind = trap.stop == GuestStop::kSync ? GuestTrapped::Kind::kSync
              : trap.stop == GuestStop::kSError
                  ? GuestTrapped::Kind::kSError
                  : GuestTrapped::Kind::kInterrupt,
      .esr = trap.esr,
      .far = trap.far,
      .hpfar = trap.hpfar,
      .deadline = guest.deadline,
      .poison_aborts = state_.guests[handle].poison_aborts};
  running->at_table.reset();
  return trap;
}

GuestTurn Oracle::TurnOf(const Running& running, Run& run) {
  return running.trap.has_value() ? GuestTraps(run, *running.trap)
                                  : RunBegins(run, running.answer);
}

// ---- vcpu_run --------------------------------------------------------------

static_assert(offsetof(hf_run_page, answered) == 64 * sizeof(uint64_t));

std::array<uint64_t, Oracle::kRunPageWords> Oracle::FirstHalf(
    uint64_t run_page) const {
  const uint64_t* const words = concrete_->PageWords(run_page << kPageShift);
  std::array<uint64_t, kRunPageWords> half{};
  for (size_t i = 0; i < half.size(); ++i)
    half[i] = __atomic_load_n(words + i, __ATOMIC_RELAXED);
  return half;
}

void Oracle::FillRunPage(uint64_t run_page, const RunAnswer& answer) {
  hf_run_page words{};
  words.answered = answer.answered;
  words.mmio_value = answer.mmio_value;
  std::copy(answer.result.begin(), answer.result.end(), words.result);
  words.interrupts = answer.interrupts;
  std::copy(answer.intid.begin(), answer.intid.end(), words.intid);
  const auto* const from = reinterpret_cast<const uint64_t*>(&words);
  const PhysAddr page(run_page << kPageShift);
  const sim::Ram& ram = board_->machine().ram();
  for (size_t i = kRunPageWords; i < sizeof(words) / 8; ++i) {
    const PhysAddr at = page + 8 * i;
    if (ram.Load(at, 8) == from[i]) continue;
    ram.Store(at, 8, from[i]);
    contents_->Wrote(kHostWrote, at.value(), from[i], state_);
  }
}

tests::Reply Oracle::RunVcpu(const RunAnswer& answer,
                             const GuestProgram& program,
                             const std::string& text) {
  const vm_table::Vcpu* const loaded =
      board_->hv().loaded(machine::ThisCpu().index);
  if (loaded != nullptr) {
    Holder hold(mutex_);
    FillRunPage(loaded->run_page().value(), answer);
  }
  return DoRunVcpu(program, text);
}

tests::Reply Oracle::DoRunVcpu(const GuestProgram& program,
                               const std::string& text) {
  const unsigned cpu = machine::ThisCpu().index;
  const Begun begun = Begin(cpu);
  const vm_table::Vcpu* const loaded = board_->hv().loaded(cpu);
  const uint64_t page = loaded == nullptr ? 0 : loaded->run_page().value();
  std::array<uint64_t, kRunPageWords> before{};
  if (loaded != nullptr) {
    Holder hold(mutex_);
    before = FirstHalf(page);
    Running running;
    running.begun = begun;
    running.vcpu = *begun.cpu.loaded;
    running.program = program;
    running.text = text;
    hf_run_page words;
    std::memcpy(&words, concrete_->PageWords(page << kPageShift),
                sizeof(words));
    RunAnswer& answer = running.answer;
    answer.answered = words.answered;
    answer.mmio_value = words.mmio_value;
    answer.interrupts = words.interrupts;
    std::copy_n(words.result, answer.result.size(), answer.result.begin());
    std::copy_n(words.intid, answer.intid.size(), answer.intid.begin());
    cpus_[cpu].running = std::move(running);
  }
  const tests::Reply reply = board_->Call(HF_VCPU_RUN);
  Holder hold(mutex_);
  const Outcome found = {reply.x0, reply.x1, reply.x2, reply.x3};
  const auto failed = [](int error) {
    return Outcome{0, static_cast<uint64_t>(-int64_t{error}), 0, 0};
  };
  std::optional<Running>& running = cpus_[cpu].running;
  Begun last = begun;
  if (running.has_value()) last.cpu = running->begun.cpu;
  Run run = RunOf(cpu, last, found);
  Outcome expected = failed(HF_EINVAL);
  if (running.has_value()) {
    GuestTurn turn = TurnOf(*running, run);
    const bool no_program = !board_->machine().config().guest;
    if (no_program && turn.kind == GuestTurn::Kind::kGoesOn)
      turn = GuestTraps(run, {});
    std::array<uint64_t, kRunPageWords> want = before;
    switch (turn.kind) {
      case GuestTurn::Kind::kRefused:
        break;
      case GuestTurn::Kind::kGoesOn:
        run.Wrong("vcpu_run ends, and the guest could go on");
        expected = found;
        want = FirstHalf(page);
        break;
      case GuestTurn::Kind::kStops:
        expected = {0, turn.exit.exit, 0, 0};
        want = {};
        want[0] = turn.exit.exit;
        want[1] = turn.exit.syndrome;
        want[2] = turn.exit.ipa;
        want[3] = turn.exit.value;
        std::copy(turn.exit.x.begin(), turn.exit.x.end(), want.begin() + 4);
        break;
    }
    const std::array<uint64_t, kRunPageWords> is = FirstHalf(page);
    for (size_t i = 0; i < is.size(); ++i) {
      if (is[i] == want[i]) continue;
      run.Wrong(absl::StrFormat(
          "  run page, word %u\n    expected %#x\n    found    %#x\n", i,
          want[i], is[i]));
    }
    if (is != before) {
      for (size_t i = 0; i < is.size(); ++i)
        contents_->Wrote(kHypWrote, (page << kPageShift) + 8 * i, is[i],
                         state_);
    }
    running.reset();
  }
  End(cpu, last, run, expected, absl::StrCat("call vcpu_run: ", text));
  return reply;
}

}  // namespace holdfast::spec
