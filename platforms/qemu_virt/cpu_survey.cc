// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/cpu_survey.h"

#include "platforms/aarch64/cpu_id.h"
#include "platforms/qemu_virt/firmware.h"
#include "platforms/qemu_virt/smc_filter.h"

namespace holdfast::qemu_virt {

using aarch64::CntfrqEl0;
using aarch64::CntpctEl0;
using aarch64::CpuId;
using aarch64::CpuProfile;
using aarch64::ProfileOf;
using aarch64::ReadCpuId;
using aarch64::Together;
using aarch64::WhatCpuLacks;

namespace {

constexpr uint64_t kAffinityOff = 1;
constexpr uint64_t kSeconds = 10;

CpuProfile OwnProfile(const BoardCpu& cpu) {
  CpuId id = ReadCpuId();
  PretendCpuId(cpu, id);
  // EL2 maps memory at identity, with 48-bit addresses, and this board has
  // nothing beyond.
  return ProfileOf(id, kPageShift, 48);
}

// Waits until `done()`; false if that takes too long.
template <class Done>
bool WaitFor(Done done) {
  const uint64_t start = CntpctEl0::Read();
  const uint64_t limit = kSeconds * CntfrqEl0::Read();
  while (!done()) {
    if (CntpctEl0::Read() - start > limit) return false;
    asm volatile("yield");
  }
  return true;
}

bool IsOff(const BoardCpu& cpu) {
  return CallFirmware(smc::kAffinityInfo | kSmc64, cpu.mpidr, 0) ==
         kAffinityOff;
}

void Exclude(BoardCpu& cpu, const char* why, const char* what) {
  Print("holdfast: cpu ", cpu.local.index, " stays off: it ", why, what, "\n");
  cpu.unfit.store(true, std::memory_order_relaxed);
}

}  // namespace

const char* SurveyCpus(Board& board) {
  board.profile = OwnProfile(board.cpus[0]);
  if (!board.profile.granule) {
    return kPageShift == 12   ? "this CPU has no 4 KiB pages"
           : kPageShift == 14 ? "this CPU has no 16 KiB pages"
                              : "this CPU has no 64 KiB pages";
  }
  board.surveying.store(true, std::memory_order_release);
  for (unsigned i = 1; i < board.cpu_count; ++i) {
    if (StartCpu(board.cpus[i], 0, 0) != 0)
      Exclude(board.cpus[i], "does not start", "");
  }
  for (unsigned i = 1; i < board.cpu_count; ++i) {
    BoardCpu& cpu = board.cpus[i];
    if (cpu.unfit.load(std::memory_order_relaxed)) continue;
    const bool done = WaitFor([&] {
      return cpu.surveyed.load(std::memory_order_acquire) && IsOff(cpu);
    });
    if (!done) return "a CPU does not answer";
    // All else that CPUs differ in, those that have more do without.
    if (!cpu.profile.granule) {
      Exclude(cpu, "lacks ", "pages of this size");
      continue;
    }
    board.profile = Together(board.profile, cpu.profile);
  }
  board.surveying.store(false, std::memory_order_release);
  for (unsigned i = 0; i < board.cpu_count; ++i)
    board.cpus[i].machine = board.profile;
  return nullptr;
}

void JoinMachine(BoardCpu& cpu) {
  Board& board = *cpu.board;
  const CpuProfile profile = OwnProfile(cpu);
  if (board.surveying.load(std::memory_order_acquire)) {
    cpu.profile = profile;
    cpu.surveyed.store(true, std::memory_order_release);
    PowerOff();
  }
  const char* const lack = WhatCpuLacks(profile, board.profile);
  if (lack == nullptr) return;
  Exclude(cpu, "lacks ", lack);
  cpu.starting.store(false, std::memory_order_release);
  PowerOff();
}

}  // namespace holdfast::qemu_virt
