// SPDX-License-Identifier: Apache-2.0
//
// Tables by hand for the tests of this folder: 4 KiB granule, 39-bit input,
// three levels (1-3), every address and descriptor a literal.
#ifndef HOLDFAST_PLATFORMS_SIM_TEST_TABLES_H_
#define HOLDFAST_PLATFORMS_SIM_TEST_TABLES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "platforms/sim/machine.h"

namespace holdfast::sim::testing_tables {

// T0SZ 25, SL0 1 (start at level 1), TG0 0 (4 KiB), PS 5 (48 bits), RES1.
inline constexpr uint64_t kVtcr = 0x80050059;

// Leaf attributes with FWB: page, MemAttr 6, S2AP read and write, SH 3, AF.
inline constexpr uint64_t kRw = 0x7db;
inline constexpr uint64_t kReadOnly = 0x75b;
inline constexpr uint64_t kNoAf = 0x3db;
inline constexpr uint64_t kBlockRw = 0x7d9;

inline MachineConfig Config(unsigned cpus = 2) {
  return {.ram = {{PhysAddr(0x40000000), 0x4000000}},
          .cpus = cpus,
          .page_shift = 12,
          .record_events = true,
          .print_violations = false};
}

// A guest (VMID 1, root 0x40000000) with IPA 0x1000 * i -> PA 0x40100000 +
// 0x1000 * i for i = 0..7, and a block IPA 0x200000 -> PA 0x40800000. EL2 is
// CPU 0.
struct Guest {
  explicit Guest(MachineConfig config)
      : machine(std::move(config)), on_cpu(machine, 0) {
    Raw(0x40000000, 0x40001003);  // level 1 -> 2
    Raw(0x40001000, 0x40002003);  // level 2 -> 3
    Raw(0x40001008, 0x40800000 | kBlockRw);
    for (uint64_t i = 0; i < 8; ++i) {
      Raw(0x40002000 + 8 * i, (0x40100000 + 0x1000 * i) | kRw);
      Raw(0x40100000 + 0x1000 * i, 0x1000 + i);  // contents: which page it is
    }
    Raw(0x40800000, 0xb10c);
    machine::OnStage2Created(context, nullptr);
  }

  // Memory behind the model's back.
  void Raw(uint64_t pa, uint64_t value) {
    machine.ram().Store(PhysAddr(pa), 8, value);
  }
  static uint64_t* At(uint64_t pa) {
    return static_cast<uint64_t*>(machine::PhysToVirt(PhysAddr(pa)));
  }
  // Table store by this thread's CPU.
  static void Store(uint64_t pa, uint64_t value) {
    machine::StorePte(At(pa), value);
  }
  static void Publish(uint64_t pa, uint64_t value) {
    machine::PublishPte(At(pa), value);
  }
  // The whole of a by-IPA invalidation, as it should be.
  void Invalidate(uint64_t ipa, int level = -1) const {
    machine::DsbIsh();
    machine::EnterStage2Context(context);
    machine::TlbiIpas2e1is(Ipa(ipa), Level(static_cast<int8_t>(level)));
    machine::DsbIsh();
    machine::TlbiVmalle1is();
    machine::DsbIsh();
    machine::Isb();
    machine::LeaveStage2Context();
  }
  bool CanRead(unsigned cpu, uint64_t ipa) {
    return machine.GuestRead64(cpu, context, Ipa(ipa)).has_value();
  }
  bool CanWrite(unsigned cpu, uint64_t ipa) {
    return machine.GuestWrite64(cpu, context, Ipa(ipa), 1).has_value();
  }

  Machine machine;
  OnCpu on_cpu;
  Stage2Context context{
      .vmid = Vmid(1), .root = PhysAddr(0x40000000), .vtcr = kVtcr};
};

inline std::vector<ViolationKind> Kinds(const Machine& machine) {
  std::vector<ViolationKind> kinds;
  for (const Violation& violation : machine.violations())
    kinds.push_back(violation.kind);
  return kinds;
}
inline std::string Messages(const Machine& machine) {
  std::string all;
  for (const Violation& violation : machine.violations())
    all += violation.message + "\n";
  return all;
}

}  // namespace holdfast::sim::testing_tables

#endif  // HOLDFAST_PLATFORMS_SIM_TEST_TABLES_H_
