// SPDX-License-Identifier: Apache-2.0
//
// Every state that a small machine can come to. From the machine as it boots,
// breadth first: in each state every operation of a small domain is tried,
// sensible or not; each call is held against the executable specification, and
// each new state against the invariants and the rules of the hardware. It ends
// when no operation leads to a state that it has not seen: then that is all
// there is, for that machine and that domain.
//
// Operations are lines of simulator scripts, so the way to a state is a script,
// and the first failure comes with a shortest one. A state is come back to by
// its script on a machine made anew: nothing has to be copied or undone.
#ifndef HOLDFAST_TESTS_EXPLORE_EXPLORER_H_
#define HOLDFAST_TESTS_EXPLORE_EXPLORER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/spec/state.h"

namespace holdfast::explore {

struct Operation {
  std::string line;
  // When to try it; where it is left out, it would only name again what others
  // do (a further handle, say), without end. Empty: always.
  std::function<bool(const spec::State& state)> when = {};
};

struct Domain {
  const char* name;
  const char* what;
  std::vector<std::string> setup;  // the machine, and what has happened already
  std::vector<Operation> operations;
};

struct Findings {
  uint64_t states = 0;
  uint64_t transitions = 0;  // operations tried
  uint64_t changing = 0;     // of these, those that led to another state
  unsigned depth = 0;        // of the state furthest from the first
  double seconds = 0;
  // It saw all there is. False: it ended at `most_states`.
  bool complete = false;
  // What went wrong, and the script that leads there; empty: nothing.
  std::string trouble;
  std::string script;
};

// Explores until all is seen, something is wrong, or it has `most_states`. If
// EL2 panics, the script is on stderr and the process ends.
Findings Explore(const Domain& domain, uint64_t most_states);

}  // namespace holdfast::explore

#endif  // HOLDFAST_TESTS_EXPLORE_EXPLORER_H_
