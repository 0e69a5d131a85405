// SPDX-License-Identifier: Apache-2.0
//
// How the board comes up: the first CPU builds everything and enters the host's
// payload; the others follow when the host asks for them.
#include "platforms/qemu_virt/board.h"

#include <algorithm>
#include <new>
#include <optional>
#include <span>

#include "platforms/aarch64/cache.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/boot_table.h"
#include "platforms/qemu_virt/cpu_survey.h"
#include "platforms/qemu_virt/el2_map.h"
#include "platforms/qemu_virt/memory_layout.h"
#include "platforms/qemu_virt/secrets.h"
#include "platforms/qemu_virt/semihosting.h"

namespace holdfast::qemu_virt {

using aarch64::CacheShape;
using aarch64::CleanInvalidateRangeToPoc;
using aarch64::CpuProfile;
using aarch64::MpidrEl1;
using aarch64::Spsr;
using aarch64::ZeroRange;

namespace {

// The one object; per-CPU blocks lead to it.
constinit BoardCpu g_cpus[kMaxCpus];
constinit std::atomic<uint32_t> g_panicking{0};
HOLDFAST_READ_ONLY_AFTER_INIT constinit Board g_board{.cpus = g_cpus,
                                                      .panicking = g_panicking};
alignas(hyp::Hypervisor) std::byte g_hypervisor[sizeof(hyp::Hypervisor)];
constinit BootTable g_boot_table;
GuardedStack g_stacks[kMaxCpus];

constexpr uint64_t kMiB = uint64_t{1} << 20;
// The device tree is at most this big (arm64 boot protocol).
constexpr uint64_t kMaxDtb = 2 * kMiB;

// Boot-time conditions that no host has a hand in: what kind of machine this
// is. Nothing is wrong with EL2 if they fail, so there is no report.
void Require(bool condition, const char* what) {
  if (condition) return;
  Print("holdfast: cannot start: ", what, "\n");
  ExitQemu(kExitRefused);
}

void FillStartArgs(BoardCpu& cpu, StartArgs& args, const El2Regime& regime) {
  args.ttbr0 = regime.ttbr0;
  args.tcr = regime.tcr;
  args.mair = kMairEl2;
  args.sctlr = regime.sctlr;
  args.vbar = reinterpret_cast<uint64_t>(el2_vectors);
  args.stack = cpu.stack->top();
  args.cpu = &cpu;
}

void InitCpu(unsigned index, uint64_t mpidr) {
  BoardCpu& cpu = g_board.cpus[index];
  cpu.local.index = index;
  cpu.board = &g_board;
  cpu.stack = &g_stacks[index];
  cpu.mpidr = mpidr;
  cpu.panic.stack =
      reinterpret_cast<uint64_t>(cpu.panic_stack) + sizeof(cpu.panic_stack);
}

std::span<std::byte> MapDtb(uint64_t address) {
  auto* const start = reinterpret_cast<std::byte*>(address);
  Require(address >= HF_RAM_BASE && address % 8 == 0, "no device tree in x0");
  Require(g_boot_table.MapRam(PhysAddr(address), kMaxDtb),
          "device tree out of reach");
  const auto size = DtbSize({start, 40});
  Require(size.has_value() && *size <= kMaxDtb, "no device tree at x0");
  return {start, *size};
}

// Those the device tree names, and what they can do together.
void FindCpus(Board& board, const DtbInfo& info) {
  board.cpu_count = 1;  // this one
  for (size_t i = 0; i < info.cpus && board.cpu_count < kMaxCpus; ++i) {
    if (info.cpu_ids[i] == board.cpus[0].mpidr) continue;
    BoardCpu& cpu = board.cpus[board.cpu_count];
    InitCpu(board.cpu_count++, info.cpu_ids[i]);
    FillStartArgs(cpu, cpu.on, g_boot_table.regime());
  }
  const char* const problem = SurveyCpus(board);
  Require(problem == nullptr, problem);
}

// The hypervisor, on memory that is taken from the device tree.
void StartHypervisor(Board& board, const DtbInfo& info,
                     std::span<std::byte> dtb) {
  hyp::Hypervisor::BootInfo boot;
  MemoryLayout layout;
  const char* const problem =
      LayOutMemory(info, board.profile.features,
                   reinterpret_cast<uint64_t>(dtb.data()), dtb.size(), layout);
  Require(problem == nullptr, problem);
  const uint64_t start = layout.carveout.start().value(),
                 size = layout.carveout.size();
  Require(g_boot_table.MapRam(PhysAddr(start), size), "memory out of reach");
  ZeroRange(start, size);
  WriteRange(dtb, info.memory[0], layout.host_base, layout.host_size);
  CleanInvalidateRangeToPoc(reinterpret_cast<uint64_t>(dtb.data()), dtb.size(),
                            board.profile.caches);

  board.hypervisor = new (g_hypervisor) hyp::Hypervisor;
  boot.features = board.profile.features;
  boot.regions = layout.regions;
  boot.carveout = layout.carveout;
  boot.image = {&layout.image, 1};
  Require(board.hypervisor->Init(boot).has_value(),
          "the hypervisor does not initialise");
  // One event a page of EL2's own says nothing about what goes wrong later.
  board.cpus[0].local.events.Clear();
  const CpuProfile& profile = board.profile;
  Print("holdfast: EL2 on ", board.cpu_count, " cpus, pages of ",
        kPageSize >> 10, " KiB, pa ", profile.features.pa_bits, " bits",
        profile.features.fwb ? ", fwb" : "",
        profile.range_tlbi ? ", range tlbi" : "",
        profile.errata.repeat_tlbi ? ", tlbi twice" : "", "; of ",
        info.memory[0].size / kMiB, " MiB EL2 keeps ", size / kMiB, " MiB at ",
        Hex(start), "\n");
}

// For this CPU, and the others when they start.
void PrepareFinalTables(Board& board) {
  const El2Regime regime = MapEl2(board);
  for (unsigned i = 0; i < board.cpu_count; ++i) {
    BoardCpu& cpu = board.cpus[i];
    FillStartArgs(cpu, cpu.on, regime);
    FillStartArgs(cpu, cpu.resume, regime);
  }
}

}  // namespace

// MMU off, on the boot stack: no atomics, no unaligned accesses.
extern "C" StartArgs* PrimaryStart() {
  g_boot_table.Fill();
  InitCpu(0, MpidrEl1::Read() & MpidrEl1::kAffinityMask);
  FillStartArgs(g_board.cpus[0], g_board.cpus[0].on, g_boot_table.regime());
  // These stores went to memory; stale lines over them must not win later.
  CleanInvalidateRangeToPoc(reinterpret_cast<uint64_t>(&g_board),
                            sizeof(g_board), CacheShape{});
  CleanInvalidateRangeToPoc(reinterpret_cast<uint64_t>(&g_cpus), sizeof(g_cpus),
                            CacheShape{});
  CleanInvalidateRangeToPoc(reinterpret_cast<uint64_t>(&g_boot_table),
                            sizeof(g_boot_table), CacheShape{});
  return &g_board.cpus[0].on;
}

extern "C" [[noreturn]] void PrimaryMain(uint64_t dtb_address) {
  Board& board = g_board;
  const std::span<std::byte> dtb = MapDtb(dtb_address);
  const std::optional<DtbInfo> info = ReadDtb(dtb);
  Require(info.has_value(), "malformed device tree");
  // In a frame that never returns, and so never compares the old canary.
  const Secrets secrets = MakeSecrets(dtb, info->rng_seed);
  if (!secrets.good)
    Print("holdfast: no seed from firmware: a host can guess EL2's keys\n");
  __stack_chk_guard = secrets.stack_canary;
  std::copy_n(secrets.return_key, 2, g_return_key);
  // Other CPUs load it before they turn their MMU on.
  CleanInvalidateRangeToPoc(reinterpret_cast<uint64_t>(g_return_key),
                            sizeof(g_return_key), CacheShape{});
  PretendAtBoot(info->bootargs);
  FindCpus(board, *info);
  StartHypervisor(board, *info, dtb);
  PrepareFinalTables(board);
  StartArgs& args = board.cpus[0].on;
  args.host_entry = HF_PAYLOAD_BASE;
  args.host_context = dtb_address;
  StartOnFinalTables(&args);
}

// The same CPU on the final tables, with a fresh stack: return addresses are
// signed from here on, and those of the frames before are not.
extern "C" [[noreturn]] void FinalMain(const StartArgs* args) {
  SetUpCpu(*args->cpu->board);
  BeforeHost(*args->cpu->board);
  EnterHost(args->host_entry, args->host_context, Spsr::kModeEl1h | Spsr::kDaif,
            args->cpu->stack->top());
}

// A CPU the host turned on, or one that woke up.
extern "C" [[noreturn]] void SecondaryMain(const StartArgs* args) {
  BoardCpu& cpu = *args->cpu;
  JoinMachine(cpu);
  SetUpCpu(*cpu.board);
  const uint64_t entry = args->host_entry, context = args->host_context;
  // From here the host may ask for this CPU again.
  if (args == &cpu.on) cpu.starting.store(false, std::memory_order_release);
  EnterHost(entry, context, Spsr::kModeEl1h | Spsr::kDaif, cpu.stack->top());
}

}  // namespace holdfast::qemu_virt
