// SPDX-License-Identifier: Apache-2.0
//
// The contract, watching: a Holdfast on a simulated machine whose every call,
// abort and access is held against the executable specification (steps.h).
//
// clang-format off
//   spec::Oracle oracle;
//   config.machine.scheduling_point = oracle.Hook();
//   tests::Board board(config);
//   oracle.Attach(board);
//   oracle.Call(HF_HOST_SHARE_HYP, pfn);   // ... and so on, as the host
//   EXPECT_EQ(oracle.Trouble(), "");
// clang-format on
//
// It reads a part of the state when its lock is acquired and when it is about
// to be released. Between calls it keeps what it read last: a part that is not
// that when its lock is next acquired was changed without the lock, and so is
// every store to a table whose lock the storing CPU does not hold. When a call
// ends, its lock sections and its results must be those that the contract gives
// (run.h). So it works with any number of CPUs at once.
//
// Accesses through it are checked too: against the state (who may touch what),
// and contents (contents.h).
//
// Calls that go round it change the state unchecked; it takes note of them by
// their locks.
#ifndef HOLDFAST_TESTS_SPEC_ORACLE_H_
#define HOLDFAST_TESTS_SPEC_ORACLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "hyp/hypervisor.h"
#include "platforms/sim/host_mutex.h"
#include "platforms/sim/machine.h"
#include "tests/spec/abstraction.h"
#include "tests/spec/board_concrete.h"
#include "tests/spec/contents.h"
#include "tests/spec/guest_program.h"
#include "tests/spec/run.h"
#include "tests/spec/state.h"
#include "tests/spec/steps.h"
#include "tests/world/board.h"

namespace holdfast::spec {

class Oracle {
 public:
  struct Options {
    // All words of a table are read once in so many times that a lock of its
    // kind is acquired; else only those that were stored to through the
    // machine. 1: always.
    unsigned full_reading_every = 16;
    // Reports kept; the rest is counted.
    unsigned max_reports = 8;
    // CPUs take turns (one thread): then what is accessed in the middle of
    // another's call is checked too. It must be right before that call's
    // section or after it.
    bool in_turns = false;
    // A guest is about to run: others may come in between.
    std::function<void(unsigned cpu, uint64_t pc)> at_guest = {};
  };

  Oracle() : Oracle(Options()) {}
  explicit Oracle(const Options& options) : options_(options) {}
  Oracle(const Oracle&) = delete;
  Oracle& operator=(const Oracle&) = delete;

  // For MachineConfig::scheduling_point; or call OnPoint from a hook of one's
  // own, when the CPU goes on.
  std::function<void(unsigned, sim::SchedulingPoint, uint64_t)> Hook() {
    return [this](unsigned cpu, sim::SchedulingPoint point, uint64_t address) {
      OnPoint(cpu, point, address);
    };
  }
  // For MachineConfig::guest, with CPUs that take turns: guests do what they
  // are told (RunVcpu). Without it they do nothing.
  auto Guest() {
    return [this](unsigned cpu, const Stage2Context& context,
                  machine::GuestState& guest) {
      return RunGuest(cpu, context, guest);
    };
  }
  void OnPoint(unsigned cpu, sim::SchedulingPoint point, uint64_t address);

  // The board it watches, at rest. Before that it sees nothing.
  void Attach(tests::Board& board);

  // ---- What a CPU does -----------------------------------------------------
  // By the CPU that the calling thread is.

  tests::Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                    uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0);
  // The host fills its half of the run page, if a vCPU is loaded, and runs it;
  // meanwhile the guest does what the program says. `text`: for reports.
  tests::Reply RunVcpu(const RunAnswer& answer, const GuestProgram& program,
                       const std::string& text);
  hyp::HostAbortAction HostAbort(const hyp::HostAbort& abort);
  // A vCPU must be loaded.
  hyp::GuestAction GuestCall(hyp::GuestRegs& regs);
  hyp::GuestAction GuestAbort(const vm_table::GuestExit& exit);
  void CpuOff();
  // On behalf of an FF-A proxy.
  Status ShareFfa(uint64_t pfn, uint64_t pages);
  Status UnshareFfa(uint64_t pfn, uint64_t pages);

  // Accesses of 8 bytes by the host; what EL2 says would work now is tried
  // again. Nothing, or false: it was refused.
  std::optional<uint64_t> Load(uint64_t address);
  bool Store(uint64_t address, uint64_t value);
  bool Exec(uint64_t address);
  // By a guest. If a vCPU of it is loaded here, EL2 is told of what is refused.
  std::optional<uint64_t> GuestLoad(uint64_t handle, uint64_t ipa);
  bool GuestStore(uint64_t handle, uint64_t ipa, uint64_t value);
  bool GuestExec(uint64_t handle, uint64_t ipa, bool privileged = true);

  // ---- What came of it -----------------------------------------------------

  // Nothing, or the reports so far: what differs, the call, what EL2 noted.
  std::string Trouble() const;
  // Besides, with the machine at rest: reads all of it again, and how tables
  // are shaped.
  std::string FullTrouble();
  uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }

  // As last read. The machine must be at rest.
  const State& state() const { return state_; }
  const Layout& layout() const { return concrete_->layout(); }
  // Whether the word there is of a table that is linked to a root: a walker may
  // read it. As of when the lock of that root was last taken or released.
  bool IsInTable(uint64_t address) const;
  // The board was put into another state, at rest: takes it as it is. Contents
  // are forgotten, and reports too.
  void Resync();

 private:
  // What a call began with.
  struct Begun {
    Cpu cpu;
    bool loaded_is_protected = false;
    uint64_t style = 0;
    uint64_t style_changes = 0;
    bool sets_style = false;
    uint64_t events = 0;  // of the CPU's ring
  };
  // A vcpu_run under way.
  struct Running {
    Begun begun;
    LoadedVcpu vcpu;
    RunAnswer answer;
    GuestProgram program;
    std::string text;
    size_t next = 0;  // of its steps
    // Since the guest ran last: why EL2 was entered, and guests as they were
    // when the VM table's lock was taken.
    std::optional<GuestTrapped> trap;
    std::optional<Guests> at_table;
  };
  struct PerCpu {
    bool in_call = false;
    std::vector<Part> held;
    RecordedSection section;
    std::vector<RecordedSection> sections;
    std::vector<uint64_t> stores;  // words of tables, since a lock was taken
    // EL2 was entered round the oracle: its own part may be another.
    bool unchecked = false;
    // Of an abort under way: whether its page was mapped when the host's lock
    // was last released.
    std::optional<uint64_t> abort_pfn;
    bool abort_mapped = false;
    uint64_t access_epoch = 0;
    bool access_races = false;
    // Of an access under way.
    std::optional<uint64_t> accessing;
    std::optional<Running> running;
  };

  Begun Begin(unsigned index, bool sets_style = false);
  bool StyleRaced(const Begun& begun) const;
  // The recorded call, for the steps. `style_seen`: what the result says of the
  // abort style, for when other CPUs changed it meanwhile.
  Run RunOf(unsigned index, const Begun& begun, const Outcome& found,
            std::optional<uint64_t> style_seen = std::nullopt);
  void End(unsigned index, const Begun& begun, Run& run,
           const Outcome& expected, const std::string& what);

  void EndFfa(unsigned cpu, const Begun& begun, const Status& status,
              int (*step)(Run&, uint64_t, uint64_t), uint64_t pfn,
              uint64_t pages, const char* name);

  Part PartOf(const void* lock) const;
  void Acquired(unsigned index, const Part& part);
  void Released(unsigned index, const Part& part);
  void Stored(unsigned index, uint64_t address);
  void Read(const Part& part, Abstraction::Stores stores,
            std::vector<uint64_t>* changed);
  std::string DiffOfVm(uint64_t handle, const Vm& expected,
                       const Vm& found) const;
  void Report(unsigned index, const std::string& what);
  void ReportWrong(unsigned index);
  std::string EventsSince(unsigned index, uint64_t count) const;
  bool OthersHold(unsigned cpu) const;

  // Guests (oracle_guest.cc).
  static constexpr size_t kRunPageWords = 64;  // that are EL2's
  std::array<uint64_t, kRunPageWords> FirstHalf(uint64_t run_page) const;
  void FillRunPage(uint64_t run_page, const RunAnswer& answer);
  tests::Reply DoRunVcpu(const GuestProgram& program, const std::string& text);
  GuestTrap RunGuest(unsigned cpu, const Stage2Context& context,
                     machine::GuestState& guest);
  GuestTrap Play(unsigned cpu, uint64_t handle, const Stage2Context& context,
                 machine::GuestState& guest);
  std::string EntryTrouble(unsigned cpu, const Stage2Context& context,
                           const machine::GuestState& guest);
  // What the contract makes of the stretch that ends here.
  static GuestTurn TurnOf(const Running& running, Run& run);

  std::optional<Stage2Context> ContextOf(uint64_t handle);
  template <class DoAccess>
  auto HostAccess(uint64_t address, bool is_write, uint64_t value,
                  DoAccess access) -> decltype(access(0u));
  template <class DoAccess>
  auto GuestAccess(uint64_t handle, uint64_t ipa, bool is_write, uint64_t value,
                   DoAccess access)
      -> std::optional<typename decltype(access(0u,
                                                Stage2Context()))::value_type>;
  // Checks an access that was made: by the host (handle 0) or a guest.
  struct AccessDone {
    Writer who = kHostWrote;
    uint64_t address = 0;  // IPA
    bool done = false;
    bool is_write = false;
    bool is_exec = false;
    bool privileged = true;
    uint64_t value = 0;
    std::optional<sim::FaultKind> fault = std::nullopt;
  };
  void Accessed(unsigned index, const AccessDone& access);
  // A step of a guest's: the fault, or nothing.
  std::optional<sim::Fault> StepAccess(unsigned cpu, uint64_t handle,
                                       const Stage2Context& context,
                                       const GuestStep& step, GuestRegs& regs);
  // Whether a word of a page that has become the host's may be other than zero:
  // it has written there already.
  bool HostMayHaveWritten(uint64_t address, uint64_t value) const;
  // Those that are right now are like others.
  void SettleEarlyAccesses(unsigned index);
  std::string AccessTrouble(const AccessDone& access, bool earlier = false);

  const Options options_;
  mutable sim::HostMutex mutex_;
  tests::Board* board_ = nullptr;
  std::unique_ptr<BoardConcrete> concrete_;
  std::unique_ptr<Abstraction> abstraction_;
  std::unique_ptr<Contents> contents_;
  State state_;
  std::vector<PerCpu> cpus_;
  // As the last holder of each lock left them.
  uint64_t host_tables_free_ = ~uint64_t{0};
  uint64_t hyp_tables_free_ = ~uint64_t{0};
  std::array<unsigned, 5> until_full_{};  // by kind of part
  // Made in the middle of another CPU's section that has perhaps just given the
  // page to whom it was. With `in_turns`; else only what was written.
  std::vector<AccessDone> early_accesses_;
  uint64_t epoch_ = 0;          // counts changes of state and contents
  uint64_t style_changes_ = 0;  // counts their begins and ends
  unsigned style_calls_ = 0;    // under way
  std::vector<std::string> reports_;
  uint64_t more_reports_ = 0;
  std::atomic<uint64_t> calls_{0};
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_ORACLE_H_
