// SPDX-License-Identifier: Apache-2.0
//
// One machine's life: its setup, the board once something needs it, the names
// that `let` kept, what each CPU's last command came to, and the commands that
// are under way. It does commands; it reads no lines, prints nothing and opens
// no files (runner.h).
#ifndef HOLDFAST_PLATFORMS_SHELL_SESSION_H_
#define HOLDFAST_PLATFORMS_SHELL_SESSION_H_

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu_local.h"
#include "platforms/shell/changes.h"
#include "platforms/shell/command.h"
#include "platforms/shell/number.h"
#include "platforms/shell/outcome.h"
#include "platforms/shell/parsed.h"
#include "platforms/shell/scheduler.h"
#include "platforms/shell/setup.h"
#include "tests/world/board.h"

namespace holdfast::shell {

class Session {
 public:
  // What EL2 had the guest leave with, and what it does when it goes on.
  struct Pending {
    Command command;  // to be done again; NothingCommand: nothing
  };

  Session() = default;
  // Nothing may be under way: see Settle().
  ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Names& names() const { return names_; }
  const Setup& setup() const { return setup_; }

  // The same machine as another session's, not booted.
  void TakeSetup(const Session& other) { setup_ = other.setup_; }

  // The machine there is now, booted with the first command that needs it.
  Parsed<std::monostate> Boot();
  bool booted() const { return board_ != nullptr; }
  tests::Board& board() { return *board_; }
  Scheduler& scheduler() { return scheduler_; }

  // Before the machine is booted only.
  template <class T>
  Parsed<std::monostate> SetUp(const T& what) {
    if (booted()) {
      return Bad(0, "the machine is running: it is too late for that",
                 "machine, ram and cpus before the first call; reset begins "
                 "anew");
    }
    return setup_.Apply(what);
  }

  // What a CPU does: call, hvc, guest, host, fill, compare, resume.
  Parsed<std::vector<Outcome>> Do(unsigned cpu, const Command& command);
  Parsed<std::vector<Outcome>> Do(const StartCommand& start);
  Parsed<std::vector<Outcome>> Do(const StepCommand& step);
  Parsed<std::vector<Outcome>> Do(const JoinCommand& join);

  // What came of the last command of that CPU / of all.
  const Outcome* last(unsigned cpu) const {
    return last_[cpu].has_value() ? &*last_[cpu] : nullptr;
  }
  unsigned last_cpu() const { return last_cpu_; }

  // From boot on, which must be to come: all that the machine sees is kept.
  Parsed<std::monostate> KeepTrace();
  std::vector<sim::Event> Trace() const;

  // What the machine saw in the last command.
  const std::vector<sim::Event>& events() const { return events_; }

  // Ends what is under way. False: it cannot, CPUs wait for each other.
  bool Settle();

  // Broken invariants and violations, or "". Nothing if a command is under way.
  std::string Trouble();
  // Pages that differ from how they were when `MarkDiff` was called, or at
  // boot.
  std::vector<std::string> Diff() const;
  void MarkDiff();
  // Whether EL2's locks can be taken: none is held or waited for.
  bool LocksAreFree();
  // A CPU with nothing under way.
  std::optional<unsigned> FreeCpu();
  // What a busy CPU is doing and where it is.
  Outcome StoppedAt(unsigned cpu);

 private:
  // ---- As the CPU (work.cc) ------------------------------------------------
  Outcome Work(unsigned cpu, const Command& command);
  Outcome Call(unsigned cpu, const CallCommand& call);
  Outcome Access(unsigned cpu, const AccessCommand& access);
  Outcome GuestAccess(unsigned cpu, const AccessCommand& access);
  Outcome GuestCall(unsigned cpu, const GuestCallCommand& call);
  Outcome GuestLeft(unsigned cpu, const VcpuName& vcpu, const Command& again);
  Outcome Fill(unsigned cpu, const FillCommand& fill);

  Parsed<std::monostate> CheckLoaded(unsigned cpu, const VcpuName& vcpu);
  Parsed<Command> Prepare(unsigned cpu, const Command& command);
  Parsed<std::monostate> CheckFree(unsigned cpu);
  std::optional<VcpuName> LoadedOn(unsigned cpu);
  // Keeps what a command came to, with what it changed.
  Outcome Finished(unsigned cpu);
  void Begin(unsigned cpu, const Command& command);
  // Begins `work`, which stops at scheduling points.
  void Launch(unsigned cpu, const Command& work);

  Setup setup_;
  // Before the board: its machine calls OnPoint to its end.
  Scheduler scheduler_;
  std::unique_ptr<tests::Board> board_;
  std::unique_ptr<Changes> changes_;
  Records diff_base_;
  Names names_;
  std::map<std::pair<uint64_t, uint64_t>, Pending> pending_;  // by vCPU

  struct Job {
    Command command;
    Outcome outcome;
  };
  std::array<Job, kMaxCpus> jobs_;
  std::array<std::optional<Outcome>, kMaxCpus> last_;
  unsigned last_cpu_ = 0;
  std::vector<sim::Event> events_;
  bool keep_trace_ = false;
  std::vector<sim::Event> trace_;  // but for what the machine still has
};

// A command in short: "host_share_hyp(0x40010)", "host read 0x40010000".
std::string Describe(const Command& command);

// "the VM table's lock", "the lock of the VM at frame 0x40200".
std::string LockName(tests::Board& board, uint64_t address);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_SESSION_H_
