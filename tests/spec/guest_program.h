// SPDX-License-Identifier: Apache-2.0
//
// What a simulated guest does when it runs, a step after the other, as words:
//
// clang-format off
//   read IPA [BYTES [signed] [wide] [walk]]   a load into x5
//   write IPA [BYTES [walk]]                  a store of x5
//   exec IPA                                  a fetch
//   hvc X0 [X1 [X2 [X3]]]    hvc1 X0 (HVC #1)    smc X0
//   wfi [DEADLINE]    wfe    deadline: of its timer, by default never
//   sgi VALUE                a write of ICC_SGI1R_EL1
//   msr ISS                  another trapped access to a system register
//   interrupt    serror      arrive
//   ack                      takes all its interrupts
// clang-format on
//
// (What is there is accessed with 8 bytes; BYTES is what a syndrome says.)
// Steps are separated by ";". After the last, an interrupt of the host's comes.
#ifndef HOLDFAST_TESTS_SPEC_GUEST_PROGRAM_H_
#define HOLDFAST_TESTS_SPEC_GUEST_PROGRAM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::spec {

struct GuestStep {
  enum class Kind : uint8_t {
    kRead,
    kWrite,
    kExec,
    kHvc,
    kHvc1,
    kSmc,
    kWfi,
    kWfe,
    kSgi,
    kMsr,
    kInterrupt,
    kSError,
    kAck,
  };
  Kind kind = Kind::kInterrupt;
  std::vector<uint64_t> numbers = {};
  bool is_signed = false;
  bool is_wide = false;
  bool is_walk = false;
};
using GuestProgram = std::vector<GuestStep>;

// Nothing: it is no program.
std::optional<GuestProgram> ParseGuestProgram(const std::string& text);

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_GUEST_PROGRAM_H_
