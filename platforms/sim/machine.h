// SPDX-License-Identifier: Apache-2.0
//
// A simulated machine: RAM, CPUs (host threads), devices, a stage-2 MMU and a
// TLB that does its worst. EL2's libraries run on it through base/machine.h;
// tests read and write memory through it *as* the host or as a guest, and then
// ask it what went wrong (violations(), StaleEntries(), events()).
//
// clang-format off
//   sim::Machine machine({.ram = {{PhysAddr(0x4000'0000), 64 << 20}},
//                         .cpus = 2});
//   sim::OnCpu on_cpu(machine, 0);  // this thread is CPU 0 from here on
//   ... run EL2 code ...
//   machine.EnableHostStage2(0, host_context);
//   auto value = machine.HostRead64(0, Ipa(0x4000'1000));  // value, or a Fault
//   EXPECT_THAT(machine.violations(), testing::IsEmpty());
// clang-format on
//
// Rooms: ram (memory), walker (the MMU), tables (which memory holds tables),
// tlb (what may still be cached), model (puts these together and finds
// violations), events (the stream), cpu (hot paths of the facade), machine
// (this one: threads, devices, accesses as host and guest). It knows base/ and
// no room above; the MMU shares no code with pgtable/ and was written from the
// Arm ARM.
//
// Modelled: stage-2 translation with faults, stale TLB entries and walk caches
// by CPU until TLBI and barriers have completed, accesses in flight, hardware
// access flag. Not modelled: EL2's own stage 1 (its TLBIs are events), stores
// that other walkers do not see yet, caches and their maintenance (events),
// MTE, GPT.
//
// Any number of machines may live in one process. Unless said otherwise,
// methods may be called by any thread.
#ifndef HOLDFAST_PLATFORMS_SIM_MACHINE_H_
#define HOLDFAST_PLATFORMS_SIM_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "base/addr.h"
#include "base/cpu_features.h"
#include "base/granule.h"
#include "base/result.h"
#include "base/stage2_context.h"
#include "platforms/sim/cpu.h"
#include "platforms/sim/events.h"
#include "platforms/sim/guest.h"
#include "platforms/sim/host_mutex.h"
#include "platforms/sim/model.h"
#include "platforms/sim/ram.h"
#include "platforms/sim/tlb.h"
#include "platforms/sim/violation.h"
#include "platforms/sim/walker.h"

namespace holdfast::sim {

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

// What an access gives: a value, or the fault EL2 would be entered with.
template <class T>
using Access = tl::expected<T, Fault>;

class Machine {
 public:
  explicit Machine(MachineConfig config);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const MachineConfig& config() const { return config_; }
  unsigned cpus() const { return config_.cpus; }
  uint64_t page_size() const { return uint64_t{1} << config_.page_shift; }
  const Ram& ram() const { return ram_; }
  Cpu& cpu(unsigned index);

  // Runs `functions[i]` as CPU i, each on a thread of its own, and waits for
  // all. The caller's own binding is put aside meanwhile, so CPU 0 may be among
  // them.
  void RunParallel(std::vector<std::function<void()>> functions);
  // The same function on every CPU; its argument is the CPU's index.
  void RunOnAllCpus(const std::function<void(unsigned cpu)>& function);

  // ---- Accesses as the host -------------------------------------------------
  // As CPU `cpu`, whatever thread calls; the CPU is one thread's at a time.
  // `bytes` is 1, 2, 4 or 8, and the address a multiple of it. Through stage 2
  // once the CPU has it; before, IPA = PA.

  // The host runs behind `context` on this CPU from now on (VTTBR_EL2,
  // HCR_EL2.VM).
  void EnableHostStage2(unsigned cpu, const Stage2Context& context);
  bool HostStage2Enabled(unsigned cpu);

  Access<uint64_t> HostRead(unsigned cpu, Ipa ipa, unsigned bytes);
  Access<void> HostWrite(unsigned cpu, Ipa ipa, unsigned bytes, uint64_t value);
  Access<uint64_t> HostRead64(unsigned cpu, Ipa ipa) {
    return HostRead(cpu, ipa, 8);
  }
  Access<void> HostWrite64(unsigned cpu, Ipa ipa, uint64_t value) {
    return HostWrite(cpu, ipa, 8, value);
  }
  // Fetches the instruction at `ipa` (4 bytes), at EL1 or EL0.
  Access<uint32_t> HostExec(unsigned cpu, Ipa ipa, bool privileged = true);
  // One whole page of RAM, translated once: fills it with copies of `word`;
  // whether each of its words is `word`.
  Access<void> HostFillPage(unsigned cpu, Ipa page, uint64_t word);
  Access<bool> HostPageIs(unsigned cpu, Ipa page, uint64_t word);

  // ---- Accesses as a guest --------------------------------------------------
  // The same, by the guest whose VTTBR_EL2 and VTCR_EL2 are `context`.

  Access<uint64_t> GuestRead(unsigned cpu, const Stage2Context& context,
                             Ipa ipa, unsigned bytes);
  Access<void> GuestWrite(unsigned cpu, const Stage2Context& context, Ipa ipa,
                          unsigned bytes, uint64_t value);
  Access<uint64_t> GuestRead64(unsigned cpu, const Stage2Context& context,
                               Ipa ipa) {
    return GuestRead(cpu, context, ipa, 8);
  }
  Access<void> GuestWrite64(unsigned cpu, const Stage2Context& context, Ipa ipa,
                            uint64_t value) {
    return GuestWrite(cpu, context, ipa, 8, value);
  }
  Access<uint32_t> GuestExec(unsigned cpu, const Stage2Context& context,
                             Ipa ipa, bool privileged = true);
  Access<void> GuestFillPage(unsigned cpu, const Stage2Context& context,
                             Ipa page, uint64_t word);
  Access<bool> GuestPageIs(unsigned cpu, const Stage2Context& context, Ipa page,
                           uint64_t word);

  // What the tables in memory say of `ipa` now: no TLB, no access flag or
  // rights, no effect. A fault of level 0 if `context` has no walk.
  WalkResult WalkTables(const Stage2Context& context, Ipa ipa) const;

  // ---- Devices --------------------------------------------------------------

  // Before the machine is used by more than one thread. Windows must not
  // overlap.
  void AddMmio(MmioWindow window);
  std::vector<MmioAccess> mmio_accesses() const;

  // ---- What happened -------------------------------------------------------

  std::vector<Violation> violations() const;
  void ClearViolations();
  std::vector<Event> events() const;
  void ClearEvents();
  // Translations that are no longer in the tables but may still be used, of all
  // VMIDs / of one.
  std::vector<StaleEntry> StaleEntries() const;
  std::vector<StaleEntry> StaleEntries(Vmid vmid) const;
  // What EL2 wrote to its console, with MachineConfig::capture_console.
  std::string console() const;

 private:
  friend class Facade;

  // The model's part of a CPU.
  struct CpuPart {
    // Held from translation to data access, so that a DSB can wait for accesses
    // in flight. Taken before mutex_.
    HostMutex in_access;
    std::optional<Stage2Context> host ABSL_GUARDED_BY(in_access);
  };
  struct Device {
    MmioWindow window;
    std::vector<uint8_t> registers;  // if it has no callbacks
  };

  // As the host if `guest` is null. `use` gets the physical address, or the
  // access fails; it is called with the access in flight.
  template <class T>
  Access<T> Perform(unsigned cpu, const Stage2Context* guest, Ipa ipa,
                    AccessType type,
                    absl::FunctionRef<Access<T>(PhysAddr pa)> use);
  Access<uint64_t> Read(unsigned cpu, const Stage2Context* guest, Ipa ipa,
                        unsigned bytes, AccessType type);
  Access<void> Write(unsigned cpu, const Stage2Context* guest, Ipa ipa,
                     unsigned bytes, uint64_t value);
  Access<void> FillPage(unsigned cpu, const Stage2Context* guest, Ipa page,
                        uint64_t word);
  Access<bool> PageIs(unsigned cpu, const Stage2Context* guest, Ipa page,
                      uint64_t word);
  // Nothing if no device is at [pa, pa + bytes).
  std::optional<uint64_t> AccessDevice(unsigned cpu, PhysAddr pa,
                                       unsigned bytes, bool is_write,
                                       uint64_t value);
  // Returns when every access of another CPU that had begun has ended.
  void WaitForAccesses(unsigned cpu);

  const MachineConfig config_;
  Ram ram_;
  std::unique_ptr<Cpu[]> cpus_;
  std::unique_ptr<CpuPart[]> parts_;

  mutable ModelMutex mutex_;
  Model model_ ABSL_GUARDED_BY(mutex_);
  std::string console_ ABSL_GUARDED_BY(mutex_);

  mutable HostMutex device_mutex_;
  std::vector<Device> devices_ ABSL_GUARDED_BY(device_mutex_);
  std::vector<MmioAccess> mmio_accesses_ ABSL_GUARDED_BY(device_mutex_);
};

// Does an access and, while it faults, lets EL2's abort handler see to it:
// clang-format off
//   auto value = sim::Retry(
//       [&] { return machine.HostRead64(0, ipa); },
//       [&](const sim::Fault& fault) { return HandleAbort(fault); });
// clang-format on
// `handler` returns true to try again, as EL2 returning to the host does. Gives
// up after `limit` tries, with the last fault.
template <class DoAccess, class Handler>
auto Retry(DoAccess&& access, Handler&& handler, unsigned limit = 100)
    -> decltype(access()) {
  for (unsigned i = 0;; ++i) {
    auto result = access();
    if (result.has_value() || i == limit || !handler(result.error()))
      return result;
  }
}

// This thread is a CPU of a machine while the object lives; then it is again
// what it was. A CPU is one thread at a time (fatal otherwise).
class OnCpu {
 public:
  OnCpu(Machine& machine, unsigned index);
  ~OnCpu();
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  Cpu* const previous_;
  bool outermost_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_MACHINE_H_
