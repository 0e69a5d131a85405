// SPDX-License-Identifier: Apache-2.0
//
// One order of what CPUs do, as it is being made: a stretch at a time, by
// whoever chooses.
#ifndef HOLDFAST_TESTS_INTERLEAVE_PLAY_H_
#define HOLDFAST_TESTS_INTERLEAVE_PLAY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "tests/fuzz/last_words.h"
#include "tests/fuzz/script_run.h"
#include "tests/interleave/interleaver.h"

namespace holdfast::interleave {

// What a stretch touched that another CPU could, too.
struct Footprint {
  // Taken, or held from before; named alike on all machines.
  absl::btree_set<uint64_t> locks;
  bool accesses = false;  // memory, as the host or a guest
  bool guests = false;    // what guests tell each other with no lock

  // Whether it makes no difference which of the two is first.
  bool CommutesWith(const Footprint& other) const;
};

class Play {
 public:
  // Makes the machine, and lets each CPU come to its first choice. `words` says
  // what is being done.
  Play(const Race& race, fuzz::LastWords& words);

  // The CPUs that can go on. None: all have ended, or wait for each other.
  std::vector<unsigned> Ready() const;
  bool Ended() const;
  // Where the CPU that moved last may be left: else it must go on.
  bool MayLeave() const { return may_leave_; }
  // Those that may come instead where it may not be.
  bool IsAboutToAccess(unsigned cpu) const;

  // `cpu`, which is ready, goes on to the next point at which there is a
  // choice.
  Footprint Stretch(unsigned cpu);

  fuzz::ScriptRun& run() { return *run_; }
  // Of what was wrong with a line, or "".
  const std::string& wrong() const { return wrong_; }
  // The script so far: setup, `start` and `step`.
  std::vector<std::string> Lines() const;

 private:
  bool IsReady(unsigned cpu) const;
  bool RunsGuest(unsigned cpu) const;
  // Begins the next line of a CPU that has nothing under way, until one stops
  // or there is none.
  void StartNext(unsigned cpu);
  void Note(Footprint* footprint, unsigned cpu) const;
  uint64_t NameOfLock(uint64_t address) const;

  const Race& race_;
  fuzz::LastWords& words_;
  std::unique_ptr<fuzz::ScriptRun> run_;
  std::vector<size_t> next_line_;  // of each CPU
  std::vector<std::string> done_;  // `start` lines and "step N" to be merged
  bool may_leave_ = true;
  std::string wrong_;
};

}  // namespace holdfast::interleave

#endif  // HOLDFAST_TESTS_INTERLEAVE_PLAY_H_
