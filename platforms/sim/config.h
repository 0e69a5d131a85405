// SPDX-License-Identifier: Apache-2.0
//
// What a machine is made of. Also of the machine that tests have at EL2
// (platforms/testing), which heeds less of it.
#ifndef HOLDFAST_PLATFORMS_SIM_CONFIG_H_
#define HOLDFAST_PLATFORMS_SIM_CONFIG_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "base/addr.h"
#include "base/cpu_features.h"
#include "base/granule.h"
#include "base/guest.h"
#include "base/stage2_context.h"

namespace holdfast::machine {
struct GuestState;
}

namespace holdfast::sim {

struct RamRange {
  PhysAddr base;
  uint64_t size = 0;  // bytes
};

// Where a scheduler may switch CPUs: just before the thing happens, except for
// kLockAcquired: the lock has just been taken. A CPU at kLockRequested is not
// in the lock's queue yet; one at kLockWait is.
enum class SchedulingPoint : uint8_t {
  kLockRequested,
  kLockWait,
  kLockAcquired,
  kLockReleased,
  kTableStore,
  kTlbi,
  kBarrier,
  kAccess,
  // A host runs a vCPU, or EL2 has let a guest in: whoever plays them says so.
  kGuest,
};

struct MachineConfig {
  // At least one range. Where one ends in the middle of a page, so does the
  // memory.
  std::vector<RamRange> ram = {};
  // 1..kMaxCpus.
  unsigned cpus = 1;
  // log2 of the page size of ZeroPage and of the tables: 12, 14, 16 or 5 (the
  // test granule; tables then are read as the walker's header says).
  unsigned page_shift = kPageShift;
  // What the walkers can do. `pa_bits` also bounds descriptors' addresses.
  CpuFeatures features = {.pa_bits = 48,
                          .fwb = true,
                          .xnx = true,
                          .vmid16 = false,
                          .hafdbs = false,
                          .dic = false};
  // Stale translations are used whenever they grant an access. If false, the
  // model is kept (and violations are found) but accesses see the live tables
  // only.
  bool adversarial_tlb = true;
  // Violation if a page that holds a table is, or becomes, mapped by a stage 2.
  bool check_table_isolation = true;
  // Keep events().
  bool record_events = false;
  bool range_tlbi = true;
  // Broadcast TLBI + DSB take effect the second time only.
  bool tlbi_needs_repeat = false;
  // False: no model, no events, no violations, no adversarial TLB; the facade
  // costs next to nothing. For benchmarks.
  bool hooks = true;
  // ConsoleWrite goes to console() instead of stderr.
  bool capture_console = false;
  // Violations are also written to stderr when they happen.
  bool print_violations = true;
  // Picks among several stale translations.
  uint64_t seed = 1;
  // The program of every guest: runs until something EL2 must look at, which it
  // returns. Called on the CPU's thread, with no lock held; it may access the
  // machine as the guest (GuestRead and so on). Without one, each entry ends
  // with an interrupt at once.
  std::function<GuestTrap(unsigned cpu, const Stage2Context& stage2,
                          machine::GuestState& guest)>
      guest = {};
  // Called on the CPU's thread, with no lock of the machine held, at each point
  // (not with `hooks` false). `address` is that of the lock, table entry, IPA;
  // or 0.
  std::function<void(unsigned cpu, SchedulingPoint point, uint64_t address)>
      scheduling_point = {};
};

// A device's registers: [base, base + size), outside RAM. Without callbacks
// they are memory that starts as zeroes. One access at a time in the whole
// machine; a callback must not access the machine.
struct MmioWindow {
  PhysAddr base;
  uint64_t size = 0;
  std::function<uint64_t(uint64_t offset, unsigned bytes)> read = {};
  std::function<void(uint64_t offset, unsigned bytes, uint64_t value)> write =
      {};
};

// What reached a device.
struct MmioAccess {
  unsigned cpu = 0;
  PhysAddr pa;
  unsigned bytes = 0;
  bool is_write = false;
  uint64_t value = 0;  // read or written
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_CONFIG_H_
