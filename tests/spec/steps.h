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
#include <string>

#include "hyp/abi.h"
#include "tests/spec/guest.h"
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

// ---- Guests that run -------------------------------------------------------

// The host's half of a run page, as it is when vcpu_run begins.
struct RunAnswer {
  uint64_t answered = 0;
  uint64_t mmio_value = 0;
  std::array<uint64_t, 4> result{};
  uint64_t interrupts = 0;
  std::array<uint32_t, HF_MAX_INTERRUPTS> intid{};
};
// EL2's half when the vCPU has stopped; all else of it is 0.
struct RunExit {
  uint64_t exit = 0;
  uint64_t syndrome = 0;
  uint64_t ipa = 0;
  uint64_t value = 0;
  std::array<uint64_t, 4> x{};
  bool operator==(const RunExit&) const = default;
};
std::string ToString(const RunExit& exit);

// Why EL2 was entered from a guest.
struct GuestTrapped {
  enum class Kind : uint8_t { kSync, kInterrupt, kSError };
  Kind kind = Kind::kInterrupt;
  uint64_t esr = 0;
  uint64_t far = 0;
  uint64_t hpfar = 0;
  uint64_t deadline = 0;       // when its timer fires
  bool poison_aborts = false;  // what its VM had asked for then
};

// What comes next.
struct GuestTurn {
  enum class Kind : uint8_t {
    kGoesOn,   // the guest, as its GuestCpu is
    kStops,    // vcpu_run ends with this exit
    kRefused,  // it ends with EINVAL
  };
  Kind kind = Kind::kGoesOn;
  RunExit exit = {};  // of kStops
};

// vcpu_run of the loaded vCPU, to where the guest is let in.
GuestTurn RunBegins(Run& run, const RunAnswer& answer);
// From a trap to where the guest is let in again. Its GuestCpu has the
// registers as they were.
GuestTurn GuestTraps(Run& run, const GuestTrapped& trap);
// What that changes while EL2 holds the VM table's lock: the interrupts of
// those that an SGI is for.
void SgiAtTable(Guests& guests, const VmTable& table, const LoadedVcpu& sender,
                const GuestTrapped& trap);
// Guests of vCPUs that are new, and no more of those that are gone.
void Follow(Guests& guests, const VmTable& table);

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
