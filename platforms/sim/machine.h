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
#include "base/stage2_context.h"
#include "platforms/sim/access.h"
#include "platforms/sim/config.h"
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
