// SPDX-License-Identifier: Apache-2.0
//
// The host's SMCs that smc_filter.h lets through. CPUs come up and wake up at
// EL2 first: entry points of the host's are replaced by EL2's.
#include "base/note.h"
#include "platforms/aarch64/cache.h"
#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/firmware.h"
#include "platforms/qemu_virt/smc_filter.h"

namespace holdfast::qemu_virt {

namespace {

uint64_t EntryAddress() { return reinterpret_cast<uint64_t>(secondary_entry); }

uint64_t CpuOn(Board& board, uint64_t target, uint64_t entry,
               uint64_t context) {
  for (unsigned i = 0; i < board.cpu_count; ++i) {
    BoardCpu& cpu = board.cpus[i];
    if (cpu.mpidr != target) continue;
    if (cpu.unfit.load(std::memory_order_relaxed)) return kPsciInternalFailure;
    // The arguments are the CPU's until it has read them.
    if (cpu.starting.exchange(true, std::memory_order_acquire))
      return kPsciOnPending;
    const uint64_t result = StartCpu(cpu, entry, context);
    if (result != 0) cpu.starting.store(false, std::memory_order_release);
    return result;
  }
  return kPsciInvalidParameters;
}

uint64_t HandlePsci(BoardCpu& cpu, uint32_t id, uint64_t a, uint64_t b,
                    uint64_t c) {
  Board& board = *cpu.board;
  switch (id & ~kSmc64) {
    case smc::kCpuOn:
      return CpuOn(board, a, b, c);
    case smc::kCpuOff:
      // Nobody could put a vCPU of a CPU that is off.
      board.hypervisor->OnCpuOff();
      return CallFirmware(id);
    case smc::kCpuSuspend:
      board.hypervisor->OnCpuOff();
      return CallFirmware(id, a, EntryAddress(),
                          PrepareStart(cpu.resume, b, c));
    case smc::kSystemSuspend:
      board.hypervisor->OnCpuOff();
      return CallFirmware(id, EntryAddress(), PrepareStart(cpu.resume, a, b));
    case smc::kFeatures:
    case smc::kSmcccArchFeatures:
      // Of what is denied, nothing exists.
      if (FindSmc(static_cast<uint32_t>(a)) == nullptr) return kSmcNotSupported;
      return CallFirmware(id, a);
    default:
      return CallFirmware(id, a, b, c);
  }
}

}  // namespace

uint64_t CallFirmware(uint64_t id, uint64_t a, uint64_t b, uint64_t c) {
  register uint64_t x0 asm("x0") = id;
  register uint64_t x1 asm("x1") = a;
  register uint64_t x2 asm("x2") = b;
  register uint64_t x3 asm("x3") = c;
  asm volatile("smc #0"
               : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
               :
               : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
                 "x14", "x15", "x16", "x17", "memory");
  return x0;
}

uint64_t PrepareStart(StartArgs& args, uint64_t entry, uint64_t context) {
  args.host_entry = entry;
  args.host_context = context;
  const auto address = reinterpret_cast<uint64_t>(&args);
  aarch64::CleanInvalidateRangeToPoc(address, sizeof(args),
                                     ThisBoardCpu().machine.caches);
  return address;
}

uint64_t StartCpu(BoardCpu& cpu, uint64_t entry, uint64_t context) {
  return CallFirmware(smc::kCpuOn | kSmc64, cpu.mpidr, EntryAddress(),
                      PrepareStart(cpu.on, entry, context));
}

void PowerOff() {
  CallFirmware(smc::kCpuOff);
  // Firmware refused: DENIED is all it can say (PSCI 5.5.2).
  for (;;) asm volatile("wfi");
}

void HandleHostSmc(TrapFrame& frame, uint64_t immediate) {
  BoardCpu& cpu = ThisBoardCpu();
  const uint64_t x0 = frame.x[0];
  const std::optional<uint32_t> id = AllowedSmc(x0, immediate);
  if (!id.has_value()) {
    Note(EventKind::kSmc, x0, kSmcNotSupported);
    frame.x[0] = kSmcNotSupported;
    return;
  }
  const uint64_t a = SmcArgument(*id, frame.x[1]),
                 b = SmcArgument(*id, frame.x[2]),
                 c = SmcArgument(*id, frame.x[3]);
  // Recorded first: CPU_OFF and SYSTEM_OFF don't come back.
  Note(EventKind::kSmc, *id, 0, a);
  frame.x[0] = HandlePsci(cpu, *id, a, b, c);
}

}  // namespace holdfast::qemu_virt
