// SPDX-License-Identifier: Apache-2.0
//
// QEMU's virt board: what EL2 keeps, in one object, and how its CPUs start.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_BOARD_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_BOARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu_local.h"
#include "base/granule.h"
#include "base/machine.h"
#include "hyp/hypervisor.h"
#include "platforms/aarch64/cpu_id.h"
#include "platforms/aarch64/layout.h"
#include "platforms/qemu_virt/dtb.h"
#include "platforms/qemu_virt/layout.h"
#include "platforms/qemu_virt/pl011.h"
#include "platforms/qemu_virt/print.h"

namespace holdfast::qemu_virt {

struct BoardCpu;
struct Board;

// With what a CPU starts at EL2, MMU off: PSCI hands its address over. Always
// cleaned to the point of coherency before the CPU can read it.
struct StartArgs {
  uint64_t ttbr0, tcr, mair, sctlr, vbar, stack;
  BoardCpu* cpu;
  // Where the host wants that CPU, and what it gets in x0.
  uint64_t host_entry, host_context;
};
static_assert(offsetof(StartArgs, ttbr0) == HF_START_TTBR0);
static_assert(offsetof(StartArgs, tcr) == HF_START_TCR);
static_assert(offsetof(StartArgs, mair) == HF_START_MAIR);
static_assert(offsetof(StartArgs, sctlr) == HF_START_SCTLR);
static_assert(offsetof(StartArgs, vbar) == HF_START_VBAR);
static_assert(offsetof(StartArgs, stack) == HF_START_STACK);
static_assert(offsetof(StartArgs, cpu) == HF_START_CPU);

// General registers as a trap from EL1 or EL0 found them. A call's has no x19
// to x28 (vectors.S).
struct TrapFrame {
  union {
    uint64_t x[31];
    hyp::HostRegs call;  // the first of them
  };
  uint64_t return_key[2];  // EL1's APIAKey_EL1, if EL2 uses its own
  uint64_t unused;
};
static_assert(sizeof(TrapFrame) == HF_TRAP_FRAME_SIZE);
static_assert(offsetof(TrapFrame, return_key) == HF_TRAP_FRAME_KEY);

// What EL2 saves of itself when it takes an exception.
struct PanicFrame {
  uint64_t x[31];
  uint64_t sp, kind;
  uint64_t stack;  // top of the panic stack
};
static_assert(offsetof(PanicFrame, sp) == HF_PANIC_FRAME_SP);
static_assert(offsetof(PanicFrame, kind) == HF_PANIC_FRAME_KIND);
static_assert(offsetof(PanicFrame, stack) == HF_PANIC_FRAME_STACK);

// A CPU's stack grows down into a page that is not mapped.
struct alignas(kPageSize) GuardedStack {
  static constexpr size_t kBytes = kPageSize > 16384 ? kPageSize : 16384;
  std::byte guard[kPageSize];
  std::byte bytes[kBytes];

  uint64_t bottom() const { return reinterpret_cast<uint64_t>(bytes); }
  uint64_t top() const { return bottom() + kBytes; }
  bool Contains(uint64_t address) const {
    return address >= bottom() && address < top();
  }
};

struct alignas(4096) BoardCpu : aarch64::Cpu {
  Board* board = nullptr;
  GuardedStack* stack = nullptr;
  uint64_t mpidr = 0;

  // CPU_ON: set by the CPU that turns this one on, until this one has left
  // EL2. CPU_SUSPEND has arguments of its own: a CPU may be asked to sleep
  // while another one's CPU_ON for it is being refused.
  std::atomic<bool> starting{false};
  // What the CPU is (cpu_survey.h), once it has said so; and whether it must
  // not run host code.
  std::atomic<bool> surveyed{false};
  std::atomic<bool> unfit{false};
  aarch64::CpuProfile profile{};
  StartArgs on{};
  StartArgs resume{};

  // Where the vectors look for it: HF_CPU_PANIC_FRAME.
  alignas(4096) PanicFrame panic{};
  // For the report of an exception at EL2, when `stack` may be the problem.
  alignas(16) std::byte panic_stack[8192]{};
};
// Not a standard-layout class, but one whose layout the ABI defines all the
// same.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Winvalid-offsetof"
static_assert(offsetof(BoardCpu, panic) == HF_CPU_PANIC_FRAME);
#pragma clang diagnostic pop

// Everything there is. One object, found through the per-CPU block. What it
// holds itself is read-only once the host runs.
struct Board {
  std::span<BoardCpu, kMaxCpus> cpus;
  unsigned cpu_count = 0;
  // What all CPUs can do, and whether they are being asked for it.
  aarch64::CpuProfile profile{};
  std::atomic<bool> surveying{false};
  hyp::Hypervisor* hypervisor = nullptr;
  // Index + 1 of the CPU that reports a panic.
  std::atomic<uint32_t>& panicking;
};

inline BoardCpu& ThisBoardCpu() {
  return static_cast<BoardCpu&>(aarch64::This());
}

// One line of EL2's to the console.
template <class... Parts>
void Print(const Parts&... parts) {
  PrintTo(UartWrite, parts...);
}

// start.S.
extern "C" [[noreturn]] void StartOnFinalTables(const StartArgs* args);
extern "C" [[noreturn]] void EnterHost(uint64_t pc, uint64_t x0, uint64_t spsr,
                                       uint64_t stack);
extern "C" const std::byte secondary_entry[];
extern "C" const std::byte el2_vectors[];

// cpu_setup.cc: the CPU's EL2 and reset EL1 state, with the host's stage 2 on.
void SetUpCpu(const Board& board);

// no_faults.cc says no and does nothing; faults.cc, in an image for tests,
// breaks EL2 on request, and makes CPUs look different from what they are.
bool HandleFaultCall(TrapFrame& frame, uint64_t immediate);
void PretendAtBoot(std::string_view bootargs);
void PretendCpuId(const BoardCpu& cpu, aarch64::CpuId& id);
// The first CPU is ready to enter the host. An image of tests has none, and
// stays here (el2_tests.cc).
void BeforeHost(Board& board);

// psci.cc.
void HandleHostSmc(TrapFrame& frame, uint64_t immediate);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_BOARD_H_
