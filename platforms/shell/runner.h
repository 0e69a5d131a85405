// SPDX-License-Identifier: Apache-2.0
//
// Lines, one after the other: what is a command's, the session does; what is
// the session's (files, snapshots, expectations, checks), is done here. Prints
// through a renderer. Where lines come from, it need not know.
//
// Snapshots are the lines that led to them: a restore does them again,
// silently, on a new machine. All is deterministic by the seed, so that is the
// same state.
#ifndef HOLDFAST_PLATFORMS_SHELL_RUNNER_H_
#define HOLDFAST_PLATFORMS_SHELL_RUNNER_H_

#include <cstddef>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platforms/shell/command.h"
#include "platforms/shell/parsed.h"
#include "platforms/shell/renderer.h"
#include "platforms/shell/session.h"

namespace holdfast::shell {

enum class CheckWhen : uint8_t { kEvery, kEnd, kOff };

struct RunnerOptions {
  CheckWhen check = CheckWhen::kEvery;
  // A person is typing: mistakes do not end the session.
  bool interactive = false;
  // Output, as it comes.
  std::function<void(const std::string& text)> print;
  // The machine shall have pages of 1 << shift bytes, which this binary has
  // not. Comes back only if there is no other binary.
  std::function<BadLine(unsigned shift)> other_granule;
};

class Runner {
 public:
  Runner(RunnerOptions options, std::unique_ptr<Renderer> renderer);
  ~Runner();

  // One line. False: no more lines, please; see status().
  bool Do(const Place& place, const std::string& line);
  // The lines of a file. False as above.
  bool DoFile(const std::string& path);
  // When there are no more lines: the last checks. Returns the exit status.
  int Finish();

  // 0 good, 1 expectation, 2 bad line, 3 panic or broken invariant.
  int status() const { return status_; }
  Session& session() { return *session_; }

 private:
  static constexpr unsigned kDeepestInclude = 16;

  bool Fail(const Place& place, const std::string& line, Failure failure,
            const std::string& what);
  bool BadLineAt(const Place& place, const std::string& line,
                 const BadLine& bad);
  // An error that nothing after it expected. False as Do.
  bool CheckUnexpected();

  Parsed<std::vector<Outcome>> Carry(const Place& place,
                                     const std::string& line,
                                     const Command& command);
  Parsed<std::vector<Outcome>> CarryOut(const Command& command);
  Parsed<std::monostate> Expect(const Place& place, const std::string& line,
                                unsigned cpu, const ExpectCommand& expect);
  Parsed<std::vector<Outcome>> Show(const ShowCommand& show);
  Parsed<std::monostate> SetUpMachine(const MachineCommand& machine);
  Parsed<std::monostate> Restore(const std::string& name);
  Parsed<std::monostate> Renew();
  Parsed<std::monostate> Include(const std::string& path);
  Parsed<std::monostate> Record(const RecordCommand& record);
  // Writes the trace that is being recorded, if one is.
  Parsed<std::monostate> EndTrace();

  void Print(const std::string& text) const;

  const RunnerOptions options_;
  const std::unique_ptr<Renderer> renderer_;
  std::unique_ptr<Session> session_;

  // Lines that made the machine what it is.
  std::vector<std::string> journal_;
  std::map<std::string, std::vector<std::string>> snapshots_;
  bool replaying_ = false;

  // Errors that no `expect` has named yet, by CPU.
  struct Unexpected {
    Place place;
    std::string line;
    std::string what;
  };
  std::map<unsigned, Unexpected> unexpected_;

  std::ofstream record_;
  // Of the machine's events, or nothing.
  std::optional<RecordCommand> trace_;
  unsigned include_depth_ = 0;
  Place last_place_;
  bool done_ = false;
  int status_ = 0;
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_RUNNER_H_
