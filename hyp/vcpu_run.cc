// SPDX-License-Identifier: Apache-2.0
//
// Running a vCPU: what the host answers goes in, the guest runs, and what it
// stopped for comes out. Of a guest's registers the host sees what the exit is
// about and no more.
#include <optional>

#include "base/machine.h"
#include "base/note.h"
#include "hyp/calls.h"
#include "hyp/guest_psci.h"
#include "hyp/guest_sgi.h"
#include "hyp/run_page.h"
#include "hyp/syndrome.h"

namespace holdfast::hyp {
namespace {

using vm_table::Owed;
using vm_table::Vcpu;
using vm_table::Vm;
using Power = Vcpu::Power;

constexpr uint64_t kInstruction = 4;
constexpr uint64_t kNotSupported = ~uint64_t{0};

// A load of a device's register ends (Arm ARM C6.2, LDR and its kin): extended
// as the instruction wants, from the bytes that it asked for.
uint64_t LoadedValue(const Owed& load, uint64_t value) {
  const unsigned bits = load.bytes * 8u;
  if (bits < 64) {
    value &= (uint64_t{1} << bits) - 1;
    if (load.sign_extend && (value >> (bits - 1) & 1) != 0)
      value |= ~uint64_t{0} << bits;
  }
  return load.wide ? value : value & 0xffff'ffff;
}

// What the guest waits for, as the host answers it.
void Answer(Vcpu& vcpu, const RunInput& input) {
  GuestRegs& regs = vcpu.guest.regs;
  const Owed owed = vcpu.owed;
  vcpu.owed = {};
  switch (owed.kind) {
    case Owed::Kind::kNothing:
      return;
    case Owed::Kind::kAccess:
      if (!input.answered) return;  // it is made again
      if (!owed.store && owed.rt < 31)
        regs.x[owed.rt] = LoadedValue(owed, input.mmio_value);
      regs.pc += kInstruction;
      return;
    case Owed::Kind::kCall:
      if (input.answered) {
        for (size_t i = 0; i < input.result.size(); ++i)
          regs.x[i] = input.result[i];
      } else {
        regs.x[0] = kNotSupported;
      }
      return;
  }
}

// Whether an access there is one to a device. A protected guest says so itself,
// or a host could invent devices inside its memory; another's host knows.
bool IsDevice(Vm& vm, Ipa ipa) {
  if (!vm.is_protected()) return true;
  SpinlockHolder hold(vm.stage2.lock);
  for (size_t i = 0; i < vm.device_count; ++i) {
    if (vm.devices[i].Contains(ipa)) return true;
  }
  return false;
}

uint64_t SyndromeOf(uint64_t esr) {
  const bool fetch = ExceptionClassOf(esr) == kEcInstructionAbortLower;
  return (!fetch && (esr & kEsrWnr) != 0 ? HF_ACCESS_WRITE : 0) |
         (fetch ? HF_ACCESS_FETCH : 0) |
         ((esr & kEsrS1ptw) != 0 ? HF_ACCESS_WALK : 0) |
         (IsTranslationAbort(esr) ? 0 : HF_ACCESS_PERMISSION);
}

// An abort that the host is to see to.
RunExit AbortExit(Vcpu& vcpu) {
  const uint64_t esr = vcpu.exit.esr;
  const Ipa page = FaultPage(vcpu.exit);
  RunExit exit = {
      .exit = HF_EXIT_FAULT, .syndrome = SyndromeOf(esr), .ipa = page.value()};
  const bool decoded = ExceptionClassOf(esr) == kEcDataAbortLower &&
                       (esr & kEsrIsv) != 0 && (esr & kEsrS1ptw) == 0;
  if (!decoded || !IsTranslationAbort(esr) || !IsDevice(vcpu.vm(), page))
    return exit;
  const Owed access = AccessOf(esr);
  vcpu.owed = access;
  exit.exit = HF_EXIT_MMIO;
  exit.ipa = FaultAddress(vcpu.exit).value();
  exit.syndrome |= uint64_t{access.bytes} << 8;
  if (access.store && access.rt < 31) {
    exit.value = vcpu.guest.regs.x[access.rt];
    if (access.bytes < 8)
      exit.value &= (uint64_t{1} << (access.bytes * 8u)) - 1;
  }
  return exit;
}

}  // namespace

// What becomes of the guest after a trap; nothing: it runs on.
static std::optional<RunExit> HandleTrap(Hypervisor& hv, Vcpu& vcpu,
                                         const GuestTrap& trap) {
  Vm& vm = vcpu.vm();
  GuestRegs& regs = vcpu.guest.regs;
  // An old fault is none any more, whatever this is.
  vcpu.exit = {trap.esr, trap.far, trap.hpfar};
  if (trap.stop == GuestStop::kInterrupt)
    return RunExit{.exit = HF_EXIT_INTERRUPT};
  if (trap.stop == GuestStop::kSError) return RunExit{.exit = HF_EXIT_SERROR};
  switch (ExceptionClassOf(trap.esr)) {
    case kEcWfx: {
      regs.pc += kInstruction;
      // WFE: it waits for another core, which the host may have to run first.
      if ((trap.esr & kWfxIsWfe) != 0)
        return RunExit{.exit = HF_EXIT_WAIT, .value = 0};
      const uint64_t deadline = machine::GuestDeadline(vcpu.guest);
      if (deadline == 0) return std::nullopt;
      return RunExit{.exit = HF_EXIT_WAIT, .value = deadline};
    }
    case kEcSmc64:
      // Nobody serves it. (It returns to itself, unlike HVC.)
      regs.x[0] = kNotSupported;
      regs.pc += kInstruction;
      return std::nullopt;
    case kEcHvc64: {
      if ((trap.esr & 0xffff) != 0) {
        regs.x[0] = kNotSupported;
        return std::nullopt;
      }
      if (IsPsci(regs.x[0])) return HandlePsci(hv.vms(), vcpu, regs);
      if (hv.HandleGuestCall(regs) == GuestAction::kResume) return std::nullopt;
      // A page that it wants to share is not there: as if it had stored to it.
      if (IsAbort(vcpu.exit.esr)) return AbortExit(vcpu);
      vcpu.owed.kind = Owed::Kind::kCall;
      return RunExit{.exit = HF_EXIT_CALL,
                     .x = {regs.x[0], regs.x[1], regs.x[2], regs.x[3]}};
    }
    case kEcInstructionAbortLower:
    case kEcDataAbortLower: {
      // As it was when the guest stopped, whatever another core of it asks for.
      const bool poison_aborts =
          vm.poison_aborts.load(std::memory_order_relaxed);
      if (hv.HandleGuestAbort({trap.esr, trap.far, trap.hpfar}) ==
          GuestAction::kResume)
        return std::nullopt;
      if (poison_aborts && IsTranslationAbort(trap.esr) &&
          hv.mem().IsPoisoned(vm, FaultPage(vcpu.exit)).value_or(false)) {
        machine::InjectGuestAbort(vcpu.guest, trap);
        return std::nullopt;
      }
      return AbortExit(vcpu);
    }
    case kEcSysreg:
      if (IsSgiWrite(trap.esr)) {
        const unsigned rt = SysregRt(trap.esr);
        regs.pc += kInstruction;
        return SendSgi(hv.vms(), vcpu, rt < 31 ? regs.x[rt] : 0);
      }
      [[fallthrough]];
    default:
      machine::InjectGuestUndefined(vcpu.guest);
      return std::nullopt;
  }
}

// The guest, or another of its cores, has ended it.
static std::optional<RunExit> EndedExit(const Vm& vm) {
  switch (vm.ended.load(std::memory_order_relaxed)) {
    case Vm::Ended::kOff:
      return RunExit{.exit = HF_EXIT_SYSTEM_OFF};
    case Vm::Ended::kReset:
      return RunExit{.exit = HF_EXIT_SYSTEM_RESET};
    case Vm::Ended::kNo:
      break;
  }
  return std::nullopt;
}

// C: ReadRunPage.
CallResult Calls::VcpuRun(Hypervisor& hv, const Args&) {
  Vcpu& vcpu = *hv.ThisCpu().loaded;
  Vm& vm = vcpu.vm();
  const Result<RunInput> input = ReadRunPage(vcpu.run_page());
  if (!input.has_value()) return Failed(input.error());

  std::optional<RunExit> exit = EndedExit(vm);
  if (!exit.has_value()) {
    Power power = vcpu.power.load(std::memory_order_acquire);
    if (power == Power::kPending) {
      machine::ResetGuest(vcpu.guest, uint64_t{1} << 31 | vcpu.index(),
                          vcpu.boot_entry, vcpu.boot_context);
      vcpu.owed = {};
      power = Power::kOn;
      vcpu.power.store(power, std::memory_order_release);
    }
    if (power != Power::kOn) exit = RunExit{.exit = HF_EXIT_OFF};
  }
  if (!exit.has_value()) {
    Answer(vcpu, *input);
    for (uint64_t i = 0; i < input->interrupts; ++i)
      machine::PendGuestInterrupt(vcpu.guest, input->intid[i]);
  }
  while (!exit.has_value()) {
    exit = HandleTrap(hv, vcpu,
                      machine::RunGuest(vcpu.guest, vm.stage2.context()));
    if (!exit.has_value()) exit = EndedExit(vm);
  }
  WriteRunPage(vcpu.run_page(), *exit);
  return {static_cast<int64_t>(exit->exit)};
}

}  // namespace holdfast::hyp
