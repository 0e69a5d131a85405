// SPDX-License-Identifier: Apache-2.0
//
// The contract, executable: for every call of the host and of a guest, and for
// every abort, what is checked in which order, what is answered, and what the
// state is afterwards. Each works on a Run: it asks for the parts it needs,
// section by section, and changes them as the contract says.
//
// Written from the contract (hyp/abi.h, the comments "C:" and "E:" of what is
// promised, the design); never calls the code under test, nor copies it.
#ifndef HOLDFAST_TESTS_SPEC_STEPS_H_
#define HOLDFAST_TESTS_SPEC_STEPS_H_

#include <array>
#include <cstdint>
#include <optional>

#include "tests/spec/run.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

using Arguments = std::array<uint64_t, 5>;  // x1..x5

// An HVC #0 of the host, by its function id.
Outcome HostCall(Run& run, uint64_t id, const Arguments& x);
// The host takes the CPU down: nothing to answer.
void CpuOff(Run& run);

// What an FF-A proxy asks on behalf of the secure world, which has no state of
// its own here: shared, and neither with hyp nor with a guest. 0 or errno.
int ShareFfa(Run& run, uint64_t pfn, uint64_t pages);
int UnshareFfa(Run& run, uint64_t pfn, uint64_t pages);

// ---- Guests ----------------------------------------------------------------

struct GuestOutcome {
  bool resumes = false;  // else the host runs
  std::array<uint64_t, 4> x{};
  uint64_t pc = 0;
  bool operator==(const GuestOutcome&) const = default;
};
// An HVC #0 of the guest whose vCPU is loaded; `pc` is behind the instruction.
GuestOutcome GuestCall(Run& run, const std::array<uint64_t, 4>& x, uint64_t pc);
// An abort of its; it exits.
GuestOutcome GuestAbort(Run& run, const Exit& exit);

// ---- Aborts of the host ----------------------------------------------------

struct HostAbortCase {
  std::optional<uint64_t> ipa;  // nothing: it could not be resolved
  bool is_translation = true;   // fault
};
enum class HostAbortAnswer : uint8_t {
  kRetry,
  kInjectExternal,
  kInjectTranslation,
};
// `found`: what was answered, for when EL2 is out of tables.
HostAbortAnswer HostAbort(Run& run, const HostAbortCase& abort,
                          HostAbortAnswer found);

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_STEPS_H_
