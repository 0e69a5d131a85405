// SPDX-License-Identifier: Apache-2.0
//
// Lines of a simulator script (platforms/shell), done on a board that the
// oracle watches. What fuzzers try and what they print is the same text, so a
// failure is a script, and a script is a test.
//
// Understood: machine, ram, cpus; call, let, finish, hvc; host and guest
// accesses and calls; resume; on, start, step and join CPU; expect RESULT.
// Other commands do nothing.
//
// And one that the simulator has not:
//   run [answered=N] [value=N] [result=N] [interrupts=N] [intid=N] [: STEPS]
// The host fills in the run page of the vCPU that is loaded (all else of its
// half is 0; `result` is x0, x1 to x3 are the numbers after it) and calls
// vcpu_run, while which the guest does the steps (tests/spec/guest_program.h).
#ifndef HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_
#define HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/cpu_local.h"
#include "platforms/shell/command.h"
#include "platforms/shell/number.h"
#include "platforms/shell/scheduler.h"
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
  // Of the last line, if it ended a command: the `expect` that a script must
  // have after it, or "".
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
  // What was started and has not ended.
  shell::Scheduler& scheduler() { return scheduler_; }
  // Of the last command that ended on a CPU: what makes it not as it should be
  // as a line ("no such guest runs there").
  const std::string& wrong(unsigned cpu) const { return jobs_[cpu].wrong; }

 private:
  // `run`.
  struct RunLine {
    spec::RunAnswer answer;
    spec::GuestProgram program;
    std::string text;
  };
  // A command on a CPU, and what it came to.
  struct Job {
    shell::Command command;
    std::optional<RunLine> run = std::nullopt;
    std::optional<tests::Reply> reply = std::nullopt;  // of a call
    std::string to_expect = "";
    std::string wrong = "";
  };

  std::string Boot();
  std::string DoOn(unsigned cpu, Job job);
  // Stops at scheduling points.
  void Launch(unsigned cpu, Job job);
  std::string Start(unsigned cpu, Job job);
  std::string Step(const shell::StepCommand& step);
  std::string Join(const shell::JoinCommand& join);
  // What there is to say when it has ended; nothing if it has not.
  std::string EndOn(unsigned cpu);

  // As the CPU.
  void Work(unsigned cpu, Job& job);
  void Call(const shell::CallCommand& call, Job& job);
  // Nothing: the line is another command's. `wrong`: it is no good one.
  std::optional<std::string> DoRun(const std::string& line);
  void Run(unsigned cpu, const RunLine& run, Job& job);
  void HostAccess(const shell::AccessCommand& access, Job& job);
  // A bad line if no such guest runs there.
  void Guest(unsigned cpu, const shell::VcpuName& vcpu,
             const shell::Command& command, Job& job);
  void Resume(unsigned cpu, Job& job);

  std::string Expect(const shell::ExpectCommand& expect, const Job& job) const;

  shell::Setup setup_;
  shell::Names names_;
  std::unique_ptr<spec::Oracle> oracle_;
  // Before the board: its machine calls it to its end.
  shell::Scheduler scheduler_;
  std::unique_ptr<tests::Board> board_;
  // What a vCPU does again when it is resumed, by handle and index.
  std::map<std::pair<uint64_t, uint64_t>, shell::Command> again_;
  std::array<Job, kMaxCpus> jobs_;
  unsigned last_cpu_ = 0;
  std::string to_expect_;
};

}  // namespace holdfast::fuzz

#endif  // HOLDFAST_TESTS_FUZZ_SCRIPT_RUN_H_
