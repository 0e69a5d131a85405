// SPDX-License-Identifier: Apache-2.0
//
// What machine a session has: what `machine`, `ram` and `cpus` said, and what
// holds if they said nothing. Knows no running machine.
#ifndef HOLDFAST_PLATFORMS_SHELL_SETUP_H_
#define HOLDFAST_PLATFORMS_SHELL_SETUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "platforms/shell/command.h"
#include "platforms/shell/parsed.h"
#include "tests/world/board.h"

namespace holdfast::shell {

class Setup {
 public:
  static constexpr uint64_t kDefaultBase = 0x4000'0000;
  static constexpr uint64_t kDefaultSize = 64 << 20;

  // Each takes what the command says, or says why it cannot be. A granule that
  // is not this binary's is no error here: see granule().
  Parsed<std::monostate> Apply(const MachineCommand& machine);
  Parsed<std::monostate> Apply(const RamCommand& ram);
  Parsed<std::monostate> Apply(const CpusCommand& cpus);

  // log2 of the page that was asked for.
  unsigned granule() const { return granule_; }
  unsigned cpus() const { return cpus_; }

  // For a machine; an error if EL2 finds no room in the RAM.
  Parsed<tests::BoardConfig> Config() const;
  // "4 CPUs, pages of 4K, ...": one line.
  std::string Text() const;

 private:
  tests::BoardConfig ConfigOf(const std::vector<RamCommand>& ram) const;

  unsigned granule_ = kPageShift;
  unsigned ipa_bits_ = 40;
  bool adversarial_tlb_ = true;
  uint64_t seed_ = 1;
  unsigned cpus_ = 4;
  std::vector<RamCommand> ram_;  // empty: the default
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_SETUP_H_
