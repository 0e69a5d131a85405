// SPDX-License-Identifier: Apache-2.0
#include "hyp/guest_psci.h"

#include "base/spinlock.h"

namespace holdfast::hyp {
namespace {

using vm_table::Vcpu;
using vm_table::Vm;
using Power = Vcpu::Power;

// Function ids (DEN0022 5.1, DEN0028 7); those with two calling conventions
// differ in bit 30.
constexpr uint64_t kSmcccVersion = 0x8000'0000;
constexpr uint64_t kVersion = 0x8400'0000, kCpuSuspend = 0x8400'0001,
                   kCpuOff = 0x8400'0002, kCpuOn = 0x8400'0003,
                   kAffinityInfo = 0x8400'0004, kSystemOff = 0x8400'0008,
                   kSystemReset = 0x8400'0009, kFeatures = 0x8400'000a;
constexpr uint64_t kSmc64 = uint64_t{1} << 30;

constexpr int64_t kNotSupported = -1, kInvalidParameters = -2, kAlreadyOn = -4,
                  kOnPending = -5;
constexpr int64_t kOn = 0, kOff = 1, kPendingOn = 2;

// An id without its calling convention; a function that has no 64-bit form
// keeps the bit, and is nobody's then.
uint64_t FunctionOf(uint64_t id) {
  const uint64_t id32 = id & ~kSmc64;
  return id32 == kCpuSuspend || id32 == kCpuOn || id32 == kAffinityInfo ? id32
                                                                        : id;
}

bool IsServed(uint64_t function) {
  switch (function) {
    case kSmcccVersion:
    case kVersion:
    case kCpuSuspend:
    case kCpuOff:
    case kCpuOn:
    case kAffinityInfo:
    case kSystemOff:
    case kSystemReset:
    case kFeatures:
      return true;
    default:
      return false;
  }
}

// `target`: the MPIDR of a vCPU is its index.
int64_t CpuOn(vm_table::VmTable& vms, Vm& vm, uint64_t target, uint64_t entry,
              uint64_t context) {
  Vcpu* vcpu;
  {
    SpinlockHolder hold(vms.lock);
    vcpu = vms.VcpuAt(vm, target);
  }
  if (vcpu == nullptr) return kInvalidParameters;
  Power was = Power::kOff;
  if (!vcpu->power.compare_exchange_strong(was, Power::kStarting,
                                           std::memory_order_acquire)) {
    return was == Power::kOn ? kAlreadyOn : kOnPending;
  }
  vcpu->boot_entry = entry;
  vcpu->boot_context = context;
  vcpu->power.store(Power::kPending, std::memory_order_release);
  return 0;
}

int64_t AffinityInfo(vm_table::VmTable& vms, Vm& vm, uint64_t target,
                     uint64_t level) {
  SpinlockHolder hold(vms.lock);
  const Vcpu* vcpu = vms.VcpuAt(vm, target);
  if (vcpu == nullptr || level != 0) return kInvalidParameters;
  switch (vcpu->power.load(std::memory_order_acquire)) {
    case Power::kOn:
      return kOn;
    case Power::kOff:
      return kOff;
    case Power::kStarting:
    case Power::kPending:
      break;
  }
  return kPendingOn;
}

}  // namespace

// The id is in W0 (SMCCC 1.2, 3.1).
bool IsPsci(uint64_t x0) {
  return IsServed(FunctionOf(static_cast<uint32_t>(x0)));
}

std::optional<RunExit> HandlePsci(vm_table::VmTable& vms, Vcpu& vcpu,
                                  GuestRegs& regs) {
  Vm& vm = vcpu.vm();
  // So are the arguments of a 32-bit call in W1 to W3.
  const uint64_t id = static_cast<uint32_t>(regs.x[0]);
  const uint64_t mask = (id & kSmc64) != 0 ? ~uint64_t{0} : 0xffff'ffff;
  const uint64_t a = regs.x[1] & mask, b = regs.x[2] & mask,
                 c = regs.x[3] & mask;
  const auto answer = [&](int64_t x0) {
    regs.x[0] = static_cast<uint64_t>(x0);
  };
  switch (FunctionOf(id)) {
    case kSmcccVersion:
      answer(0x1'0002);
      return std::nullopt;
    case kVersion:
      answer(0x1'0001);
      return std::nullopt;
    case kFeatures:
      answer(IsPsci(a) ? 0 : kNotSupported);
      return std::nullopt;
    case kAffinityInfo:
      answer(AffinityInfo(vms, vm, a, b));
      return std::nullopt;
    case kCpuOn: {
      const int64_t result = CpuOn(vms, vm, a, b, c);
      answer(result);
      if (result != 0) return std::nullopt;
      return RunExit{.exit = HF_EXIT_CPU_ON, .value = a};
    }
    case kCpuOff:
      vcpu.power.store(Power::kOff, std::memory_order_release);
      return RunExit{.exit = HF_EXIT_OFF};
    case kCpuSuspend: {
      // A standby state, whatever it asked for: it wakes up where it is.
      answer(0);
      const uint64_t deadline = machine::GuestDeadline(vcpu.guest);
      if (deadline == 0) return std::nullopt;
      return RunExit{.exit = HF_EXIT_WAIT, .value = deadline};
    }
    case kSystemOff:
      vm.ended.store(Vm::Ended::kOff, std::memory_order_relaxed);
      return RunExit{.exit = HF_EXIT_SYSTEM_OFF};
    case kSystemReset:
      vm.ended.store(Vm::Ended::kReset, std::memory_order_relaxed);
      return RunExit{.exit = HF_EXIT_SYSTEM_RESET};
    default:
      answer(kNotSupported);
      return std::nullopt;
  }
}

}  // namespace holdfast::hyp
