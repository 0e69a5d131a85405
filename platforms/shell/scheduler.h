// SPDX-License-Identifier: Apache-2.0
//
// Commands that stop in the middle: `start`, `step`, `join`. Each is a fibre
// that pauses at every scheduling point of the machine until it is told to go
// on. All are of one thread, so the same steps give the same machine. Knows
// nothing of what the commands do.
#ifndef HOLDFAST_PLATFORMS_SHELL_SCHEDULER_H_
#define HOLDFAST_PLATFORMS_SHELL_SCHEDULER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/cpu_local.h"
#include "platforms/sim/machine.h"

namespace holdfast::shell {

class Scheduler {
 public:
  // Where a CPU is stopped.
  struct Stop {
    sim::SchedulingPoint point = sim::SchedulingPoint::kAccess;
    uint64_t address = 0;
    // It was stopped here waiting for a lock, went on, and waits still.
    bool stuck = false;
  };

  Scheduler();
  // Nothing may be under way: see JoinAll.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // For MachineConfig::scheduling_point.
  void OnPoint(unsigned cpu, sim::SchedulingPoint point, uint64_t address);

  // Begins `work` as `cpu`, which must be free; returns when
  // it is at its first point, or has ended.
  void Start(sim::Machine& machine, unsigned cpu, std::function<void()> work);
  // One point on, or to the end. Something must be under way.
  void Step(unsigned cpu);
  // To the end, or until it is stuck: false.
  bool Join(unsigned cpu);
  // All of them, in turns of one step, CPU 0 first: false if some are stuck.
  // `ended` is called as each ends.
  bool JoinAll(const std::function<void(unsigned cpu)>& ended);

  bool Busy(unsigned cpu) const { return workers_[cpu] != nullptr; }
  bool AnyBusy() const;
  // Of a busy CPU.
  const Stop& stop(unsigned cpu) const;
  // Who holds each lock, by its address.
  const std::map<uint64_t, unsigned>& holders() const { return holders_; }

 private:
  struct Worker;

  // Lets it run until it stops again or ends.
  void Run(unsigned cpu);

  std::array<std::unique_ptr<Worker>, kMaxCpus> workers_;
  std::map<uint64_t, unsigned> holders_;
};

// "waits for a lock", "is about to store at 0x40201008", ...
const char* PointText(sim::SchedulingPoint point);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_SCHEDULER_H_
