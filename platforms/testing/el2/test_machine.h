// SPDX-License-Identifier: Apache-2.0
//
// The machine that tests stand on, at EL2: the interface of the simulated one
// (platforms/sim/machine.h) over the real one that runs the test. RAM is the
// board's, at the addresses that the test asks for. An access as host or guest
// is translated by the hardware's walker under that VTTBR_EL2 (AT S12E1R and
// W), and a fetch is made at EL1 or EL0: so that it is not us who judge our
// tables.
//
// What there is not: a model. There are no violations, no stale entries but
// those of the hardware, and one CPU. CPUs take turns: OnCpu changes which one
// EL2 takes itself for, RunParallel runs one function after the other.
// Scheduling points come where the event stream has something.
//
// One machine at a time. A test that wants what is not here ends there and
// counts as skipped: RAM where the board has none for tests, tables of a
// granule or an input size that the CPU does not walk, the instructions
// (events()) that only a newer CPU would be given. config() says what the CPU
// has of what was asked for.
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_TEST_MACHINE_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_TEST_MACHINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/stage2_context.h"
#include "platforms/aarch64/cpu_id.h"
#include "platforms/sim/access.h"
#include "platforms/sim/config.h"
#include "platforms/sim/events.h"
#include "platforms/sim/violation.h"

namespace holdfast::testing_el2 {

// The RAM that machines may have: mapped at EL2 by identity, and nobody else's.
void SetTestRam(uint64_t start, uint64_t size);

}  // namespace holdfast::testing_el2

namespace holdfast::sim {

// Whether a translation that was taken back is used until its invalidation. Not
// TCG's, whose TLB is small and emptied when VTTBR_EL2 changes.
inline constexpr bool kStaleTlb = false;

// The lowest address that a machine may have RAM at.
inline constexpr uint64_t kLowestRam = 0x4000'0000;

class Ram {
 public:
  // Zeroes it.
  explicit Ram(std::vector<RamRange> ranges);

  const std::vector<RamRange>& ranges() const { return ranges_; }
  bool Contains(PhysAddr pa, uint64_t size) const;
  void* At(PhysAddr pa) const { return reinterpret_cast<void*>(pa.value()); }
  uint64_t Load(PhysAddr pa, unsigned bytes) const;
  void Store(PhysAddr pa, unsigned bytes, uint64_t value) const;
  void Fill(PhysAddr pa, uint64_t size, uint64_t word) const;

 private:
  std::vector<RamRange> ranges_;
};

struct StaleEntry {};

struct Cpu {
  CpuLocal& local;
};

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
  // Until the next OnCpu, or the end of one.
  Cpu cpu(unsigned index);

  void RunParallel(const std::vector<std::function<void()>>& functions);
  void RunOnAllCpus(const std::function<void(unsigned cpu)>& function);

  void EnableHostStage2(unsigned cpu, const Stage2Context& context);
  bool HostStage2Enabled(unsigned cpu) { return hosts_[cpu].has_value(); }

  Access<uint64_t> HostRead(unsigned cpu, Ipa ipa, unsigned bytes);
  Access<void> HostWrite(unsigned cpu, Ipa ipa, unsigned bytes, uint64_t value);
  Access<uint64_t> HostRead64(unsigned cpu, Ipa ipa) {
    return HostRead(cpu, ipa, 8);
  }
  Access<void> HostWrite64(unsigned cpu, Ipa ipa, uint64_t value) {
    return HostWrite(cpu, ipa, 8, value);
  }
  Access<uint32_t> HostExec(unsigned cpu, Ipa ipa, bool privileged = true);
  Access<void> HostFillPage(unsigned cpu, Ipa page, uint64_t word);
  Access<bool> HostPageIs(unsigned cpu, Ipa page, uint64_t word);

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

  // Without callbacks.
  void AddMmio(const MmioWindow& window);

  std::vector<Violation> violations() const { return {}; }
  void ClearViolations() {}
  std::vector<Event> events() const;
  void ClearEvents() { events_.clear(); }
  std::vector<StaleEntry> StaleEntries() const { return {}; }
  std::vector<StaleEntry> StaleEntries(Vmid) const { return {}; }

  // From the recorder of platforms/aarch64.
  void Record(const Event& event);

  // Ends the test: what it needs is not here. Not while a lock is held.
  [[noreturn]] static void Abandon(const char* why);

 private:
  friend class OnCpu;

  struct Device {
    MmioWindow window;
    std::vector<uint8_t> registers;
  };

  // As the host if `context` is null: who that is on this CPU; null while it
  // has no stage 2.
  const Stage2Context* Who(unsigned cpu, const Stage2Context* context) const;
  // What the hardware says of an access; of a fetch, see Fetch.
  Access<PhysAddr> Translate(unsigned cpu, const Stage2Context* context,
                             Ipa ipa, bool is_write);
  uint8_t* DeviceAt(PhysAddr pa, unsigned bytes);
  Access<uint64_t> Read(unsigned cpu, const Stage2Context* context, Ipa ipa,
                        unsigned bytes);
  Access<void> Write(unsigned cpu, const Stage2Context* context, Ipa ipa,
                     unsigned bytes, uint64_t value);
  Access<uint32_t> Fetch(unsigned cpu, const Stage2Context* context, Ipa ipa,
                         bool privileged);
  Access<void> FillPage(unsigned cpu, const Stage2Context* context, Ipa page,
                        uint64_t word);
  Access<bool> PageIs(unsigned cpu, const Stage2Context* context, Ipa page,
                      uint64_t word);

  const MachineConfig config_;
  const Ram ram_;
  const aarch64::CpuProfile real_;
  std::unique_ptr<CpuLocal[]> locals_;
  std::vector<std::optional<Stage2Context>> hosts_;
  std::vector<Device> devices_;
  std::vector<Event> events_;
  uint64_t next_seq_ = 0;
};

// EL2 takes itself for that CPU while the object lives.
class OnCpu {
 public:
  OnCpu(Machine& machine, unsigned index);
  ~OnCpu();
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  Machine* const previous_;
  const unsigned previous_index_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_TEST_MACHINE_H_
