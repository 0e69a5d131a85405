// SPDX-License-Identifier: Apache-2.0
//
// What there is of guests that run: registers, power states, interrupts, and
// what each waits for. Nobody reads it from EL2: it follows from what guests
// did, and what the contract makes of it (guest_steps.cc). EL2's own shows when
// a guest goes on, or in the run page.
//
// No lock guards it. It is exact where CPUs take turns (Oracle::Options).
#ifndef HOLDFAST_TESTS_SPEC_GUEST_H_
#define HOLDFAST_TESTS_SPEC_GUEST_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

namespace holdfast::spec {

// What its last exit left open, for the host to answer.
struct Waits {
  enum class Kind : uint8_t { kNothing, kLoad, kStore, kCall };
  Kind kind = Kind::kNothing;
  // Of a load: bytes, whether they are a signed number, whether it is made 64
  // bits wide (else 32), and the register (31: none).
  uint8_t bytes = 0;
  bool is_signed = false;
  bool is_wide = false;
  uint8_t to = 31;
  bool operator==(const Waits&) const = default;
};

struct GuestCpu {
  // DEN0022 5.1.
  enum class Power : uint8_t { kOff, kPending, kOn };
  Power power = Power::kOff;
  // Where it begins when it is turned on, and x0 there. Of kPending.
  uint64_t entry = 0;
  uint64_t context = 0;
  // As when it last stopped, and as the contract changed them since.
  std::array<uint64_t, 31> x{};
  uint64_t pc = 0;
  // What it takes first when it goes on.
  bool takes_abort = false;
  bool takes_undefined = false;
  absl::btree_set<uint32_t> interrupts;  // pending
  Waits waits;

  bool operator==(const GuestCpu&) const = default;
};

struct Guest {
  enum class Ended : uint8_t { kNo, kOff, kReset };
  Ended ended = Ended::kNo;
  bool poison_aborts = false;
  absl::btree_map<uint64_t, GuestCpu> cpus;  // by index
  bool operator==(const Guest&) const = default;
};

using Guests = absl::btree_map<uint64_t, Guest>;  // by handle

std::string ToString(const GuestCpu& cpu);

template <class H>
H AbslHashValue(H h, const Waits& w) {
  return H::combine(std::move(h), w.kind, w.bytes, w.is_signed, w.is_wide,
                    w.to);
}
template <class H>
H AbslHashValue(H h, const GuestCpu& c) {
  return H::combine(std::move(h), c.power, c.entry, c.context, c.x, c.pc,
                    c.takes_abort, c.takes_undefined, c.interrupts, c.waits);
}
template <class H>
H AbslHashValue(H h, const Guest& g) {
  return H::combine(std::move(h), g.ended, g.poison_aborts, g.cpus);
}

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_GUEST_H_
