// SPDX-License-Identifier: Apache-2.0
//
// When two machines are in the same state.
#ifndef HOLDFAST_TESTS_EXPLORE_KEY_H_
#define HOLDFAST_TESTS_EXPLORE_KEY_H_

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/fuzz/script_run.h"
#include "tests/spec/state.h"

namespace holdfast::explore {

// A state, less what makes no difference to any operation: which of a VM's
// frames are tables and which are stock (they are alike), at which instruction
// a vCPU stopped, and what it has in registers.
struct Key {
  spec::State state;
  // Translations that some TLB may still use: (VMID, IPA, size, level, output),
  // and on which CPUs.
  std::vector<std::array<uint64_t, 7>> stale;

  bool operator==(const Key&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), key.state, key.stale);
  }
};

// Of a machine at rest.
Key KeyOf(fuzz::ScriptRun& run);

}  // namespace holdfast::explore

#endif  // HOLDFAST_TESTS_EXPLORE_KEY_H_
