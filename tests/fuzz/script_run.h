// SPDX-License-Identifier: Apache-2.0
//
// Lines of a simulator script (platforms/shell), done on a board that the
// oracle watches. What fuzzers try and what they print is the same text, so a
// failure is a script, and a script is a test.
//
// Understood: machine, ram, cpus; call, let, finish, hvc; host and guest
// accesses and calls; resume; on CPU; expect RESULT. Other commands do nothing.
#ifndef HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_
#define HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "platforms/shell/command.h"
#include "platforms/shell/number.h"
#include "platforms/shell/setup.h"
#include "tests/spec/oracle.h"
#include "tests/world/board.h"

namespace holdfast::fuzz {

class ScriptRun {
 public:
  ScriptRun() = default;
  ~ScriptRun();
  ScriptRun(const ScriptRun&) = delete;

  // Does a line. What is wrong with it as a line, or an expectation that is not
  // met; or "".
  std::string Do(const std::string& line);
  // Of the last line: the `expect` that a script must have after it, or "".
  const std::string& to_expect() const { return to_expect_; }

  // What the oracle says so far.
  std::string Trouble() const;
  // At the end: the oracle, the rules of the hardware, and the invariants.
  std::string FullTrouble();

  // The first line that is no setup makes these.
  bool booted() const { return board_ != nullptr; }
  spec::Oracle& oracle() { return *oracle_; }
  tests::Board& board() { return *board_; }
  unsigned cpus() const { return setup_.cpus(); }

 private:
  std::string Boot();
  std::string DoOn(unsigned cpu, const shell::Command& command);
  void Call(const shell::CallCommand& call);
  void HostAccess(const shell::AccessCommand& access);
  // Nothing to do if no such guest runs there: a bad line.
  std::string Guest(unsigned cpu, const shell::VcpuName& vcpu,
                    const shell::Command& command);
  std::string Resume(unsigned cpu);
  std::string Expect(const shell::ExpectCommand& expect) const;

  shell::Setup setup_;
  shell::Names names_;
  std::unique_ptr<spec::Oracle> oracle_;
  std::unique_ptr<tests::Board> board_;
  // What a vCPU does again when it is resumed, by handle and index.
  std::map<std::pair<uint64_t, uint64_t>, shell::Command> again_;
  // Of the last call.
  std::optional<tests::Reply> reply_;
  std::string to_expect_;
};

}  // namespace holdfast::fuzz

#endif  // HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_
