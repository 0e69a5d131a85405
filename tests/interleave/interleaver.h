// SPDX-License-Identifier: Apache-2.0
//
// Every order in which CPUs can do what they do. Each CPU has a short sequence
// of lines of a simulator script; between two points of the machine (locks,
// table stores, TLBIs, barriers, accesses) nothing can come in between, so an
// order of these steps is all that hardware can choose. Each order runs on a
// machine made anew, under the oracle; a failure is a script of `start` and
// `step` lines that does it again.
//
// What guests tell each other with no lock (power states, interrupts) is no
// point: between two such steps of EL2's with no other point nothing comes.
//
// Orders that cannot differ are tried once:
// - A CPU may be left only where it is about to ask for a lock, to access
//   memory, or to run a guest; and anywhere, in favour of one that is about to
//   access memory. All else that CPUs share is changed under locks (the oracle
//   reports what is not), so what lies between two requests moves as one.
// - Two such stretches that have no lock in common, of which none accesses
//   memory, and not both are of a vcpu_run, can be swapped: sleep sets
//   (Godefroid, "Partial-Order Methods for the Verification of Concurrent
//   Systems", 1996, ch. 5) leave out the second order.
#ifndef HOLDFAST_TESTS_INTERLEAVE_INTERLEAVER_H_
#define HOLDFAST_TESTS_INTERLEAVE_INTERLEAVER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/fuzz/script_run.h"

namespace holdfast::interleave {

struct Race {
  // The machine, and what has happened already.
  std::vector<std::string> setup;
  // What each CPU does, in order; lines without `on`.
  std::vector<std::vector<std::string>> cpus;
};

inline constexpr unsigned kNoLimit = std::numeric_limits<unsigned>::max();

// What else must hold when all have ended: what is wrong, or "".
using Check = std::function<std::string(fuzz::ScriptRun& run)>;

struct Options {
  // How often a CPU that could go on may be left for another.
  unsigned preemptions = kNoLimit;
  // Orders that cannot differ are all tried.
  bool all_orders = false;
  Check check = {};
};

struct Findings {
  uint64_t orders = 0;
  uint64_t cut = 0;  // of these, those that turned out to be no new ones
  // What went wrong, and the script that does it; empty: nothing.
  std::string trouble;
  std::string script;

  Findings& operator+=(const Findings& more);
};

// All orders, or up to the first trouble. Of that, an order with as few
// preemptions as there is. If EL2 panics, the script is on stderr and the
// process ends.
Findings AllOrders(const Race& race, const Options& options = {});

// `orders` of them, by probabilistic concurrency testing (Burckhardt et al., "A
// Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS
// 2010): CPUs have random priorities, which change at `depth` - 1 random steps.
Findings RandomOrders(const Race& race, uint64_t orders, unsigned depth,
                      uint64_t seed, const Check& check = {});

}  // namespace holdfast::interleave

#endif  // HOLDFAST_TESTS_INTERLEAVE_INTERLEAVER_H_
