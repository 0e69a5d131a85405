// SPDX-License-Identifier: Apache-2.0
#include "tests/interleave/play.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/addr.h"
#include "base/check.h"
#include "base/spinlock.h"
#include "platforms/sim/machine.h"

namespace holdfast::interleave {

using sim::SchedulingPoint;

bool Footprint::CommutesWith(const Footprint& other) const {
  if (accesses || other.accesses || (guests && other.guests)) return false;
  return std::none_of(locks.begin(), locks.end(), [&](uint64_t lock) {
    return other.locks.contains(lock);
  });
}

Play::Play(const Race& race, fuzz::LastWords& words)
    : race_(race),
      words_(words),
      run_(std::make_unique<fuzz::ScriptRun>()),
      next_line_(race.cpus.size()) {
  words_.Say(race.setup);
  for (const std::string& line : race.setup) {
    if (const std::string wrong = run_->Do(line);
        !wrong.empty() && wrong_.empty())
      wrong_ = absl::StrCat(line, ": ", wrong);
  }
  for (unsigned cpu = 0; cpu < race.cpus.size(); ++cpu) StartNext(cpu);
}

void Play::StartNext(unsigned cpu) {
  const std::vector<std::string>& lines = race_.cpus[cpu];
  while (!run_->scheduler().Busy(cpu) && next_line_[cpu] < lines.size()) {
    const std::string line =
        absl::StrCat("start ", cpu, " ", lines[next_line_[cpu]++]);
    words_.Add(line);
    done_.push_back(line);
    const std::string wrong = run_->Do(line);
    // That no such guest runs is no trouble: it depends on the order.
    if (!wrong.empty() && wrong != run_->wrong(cpu) && wrong_.empty())
      wrong_ = absl::StrCat(line, ": ", wrong);
  }
}

bool Play::IsReady(unsigned cpu) const {
  shell::Scheduler& scheduler = run_->scheduler();
  if (!scheduler.Busy(cpu)) return false;
  const shell::Scheduler::Stop& stop = scheduler.stop(cpu);
  // No other CPU waits in the queue of a lock: none is let in unless it is
  // free.
  return stop.point != SchedulingPoint::kLockRequested ||
         !scheduler.holders().contains(stop.address);
}

std::vector<unsigned> Play::Ready() const {
  std::vector<unsigned> ready;
  for (unsigned cpu = 0; cpu < race_.cpus.size(); ++cpu) {
    if (IsReady(cpu)) ready.push_back(cpu);
  }
  return ready;
}

bool Play::Ended() const { return !run_->scheduler().AnyBusy(); }

bool Play::IsAboutToAccess(unsigned cpu) const {
  shell::Scheduler& scheduler = run_->scheduler();
  return scheduler.Busy(cpu) &&
         scheduler.stop(cpu).point == SchedulingPoint::kAccess;
}

// Its power states, interrupts and the like are under no lock.
bool Play::RunsGuest(unsigned cpu) const {
  return next_line_[cpu] != 0 &&
         race_.cpus[cpu][next_line_[cpu] - 1].rfind("run", 0) == 0;
}

void Play::Note(Footprint* footprint, unsigned cpu) const {
  for (const auto& [lock, holder] : run_->scheduler().holders()) {
    if (holder == cpu) footprint->locks.insert(NameOfLock(lock));
  }
}

// Orders are tried on one machine each, whose objects are elsewhere each time.
uint64_t Play::NameOfLock(uint64_t address) const {
  tests::Board& board = run_->board();
  const Spinlock* const locks[] = {&board.hv().vms().lock,
                                   &board.mem().host_table().lock,
                                   &board.mem().hyp_table().lock};
  for (uint64_t i = 0; i < std::size(locks); ++i) {
    if (reinterpret_cast<uintptr_t>(locks[i]) == address) return i;
  }
  // A VM's, in its memory.
  const PhysAddr pa(address - board.machine().ram().bias());
  HOLDFAST_CHECK(board.machine().ram().Contains(pa, 1));
  return pa.value();
}

Footprint Play::Stretch(unsigned cpu) {
  shell::Scheduler& scheduler = run_->scheduler();
  HOLDFAST_CHECK(IsReady(cpu));
  Footprint footprint;
  Note(&footprint, cpu);
  footprint.accesses = IsAboutToAccess(cpu);
  footprint.guests = RunsGuest(cpu);
  const std::string step = absl::StrCat("step ", cpu);
  while (true) {
    words_.Add(step);
    done_.push_back(step);
    scheduler.Step(cpu);
    if (!scheduler.Busy(cpu)) {
      may_leave_ = true;
      StartNext(cpu);
      return footprint;
    }
    Note(&footprint, cpu);
    const SchedulingPoint point = scheduler.stop(cpu).point;
    may_leave_ = point == SchedulingPoint::kLockRequested ||
                 point == SchedulingPoint::kAccess ||
                 point == SchedulingPoint::kGuest;
    if (may_leave_) return footprint;
    // Walkers do not see a table that is not linked yet.
    if (point == SchedulingPoint::kTableStore &&
        !run_->oracle().IsInTable(scheduler.stop(cpu).address)) {
      continue;
    }
    for (unsigned other = 0; other < race_.cpus.size(); ++other) {
      if (other != cpu && IsAboutToAccess(other)) return footprint;
    }
  }
}

std::vector<std::string> Play::Lines() const {
  std::vector<std::string> lines = race_.setup;
  for (size_t i = 0; i < done_.size();) {
    size_t same = 1;
    while (i + same < done_.size() && done_[i + same] == done_[i] &&
           done_[i].rfind("step", 0) == 0) {
      ++same;
    }
    lines.push_back(same == 1 ? done_[i] : absl::StrCat(done_[i], " ", same));
    i += same;
  }
  return lines;
}

}  // namespace holdfast::interleave
