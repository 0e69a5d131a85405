// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/scheduler.h"

#include <utility>

#include "base/check.h"
#include "platforms/sim/fibre.h"

namespace holdfast::shell {

using sim::SchedulingPoint;

struct Scheduler::Worker {
  std::unique_ptr<sim::Fibre> fibre;
  Stop stop;
};

Scheduler::Scheduler() = default;
Scheduler::~Scheduler() = default;

void Scheduler::OnPoint(unsigned cpu, SchedulingPoint point, uint64_t address) {
  if (point == SchedulingPoint::kLockAcquired) holders_[address] = cpu;
  if (Worker* worker = workers_[cpu].get()) {
    const bool waits = point == SchedulingPoint::kLockWait;
    worker->stop = {point, address,
                    waits && worker->stop.point == SchedulingPoint::kLockWait};
    worker->fibre->Pause();
  }
  if (point == SchedulingPoint::kLockReleased) holders_.erase(address);
}

void Scheduler::Start(sim::Machine& machine, unsigned cpu,
                      std::function<void()> work) {
  HOLDFAST_CHECK(!Busy(cpu));
  workers_[cpu] = std::make_unique<Worker>();
  workers_[cpu]->fibre =
      std::make_unique<sim::Fibre>([&machine, cpu, work = std::move(work)] {
        sim::OnCpu on_cpu(machine, cpu);
        work();
      });
  Run(cpu);
}

void Scheduler::Run(unsigned cpu) {
  sim::Fibre& fibre = *workers_[cpu]->fibre;
  fibre.Resume();
  if (fibre.ended()) workers_[cpu].reset();
}

void Scheduler::Step(unsigned cpu) {
  HOLDFAST_CHECK(Busy(cpu));
  Run(cpu);
}

bool Scheduler::Join(unsigned cpu) {
  while (Busy(cpu)) {
    Run(cpu);
    if (Busy(cpu) && stop(cpu).stuck) return false;
  }
  return true;
}

bool Scheduler::JoinAll(const std::function<void(unsigned)>& ended) {
  while (AnyBusy()) {
    bool moved = false;
    for (unsigned cpu = 0; cpu < kMaxCpus; ++cpu) {
      if (!Busy(cpu)) continue;
      Run(cpu);
      moved |= !Busy(cpu) || !stop(cpu).stuck;
      if (!Busy(cpu)) ended(cpu);
    }
    if (!moved) return false;
  }
  return true;
}

bool Scheduler::AnyBusy() const {
  for (const auto& worker : workers_) {
    if (worker != nullptr) return true;
  }
  return false;
}

const Scheduler::Stop& Scheduler::stop(unsigned cpu) const {
  HOLDFAST_CHECK(Busy(cpu));
  return workers_[cpu]->stop;
}

const char* PointText(SchedulingPoint point) {
  switch (point) {
    case SchedulingPoint::kLockRequested:
      return "is about to ask for";
    case SchedulingPoint::kLockWait:
      return "waits for a lock";
    case SchedulingPoint::kLockAcquired:
      return "has just taken";
    case SchedulingPoint::kLockReleased:
      return "is about to release";
    case SchedulingPoint::kTableStore:
      return "is about to store an entry at";
    case SchedulingPoint::kTlbi:
      return "is about to invalidate TLBs";
    case SchedulingPoint::kBarrier:
      return "is about to do a barrier";
    case SchedulingPoint::kAccess:
      return "is about to access";
    case SchedulingPoint::kGuest:
      return "runs a guest";
  }
  return "?";
}

}  // namespace holdfast::shell
