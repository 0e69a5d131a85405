// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/runner.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "platforms/shell/expect.h"
#include "platforms/shell/panic.h"
#include "platforms/shell/parser.h"
#include "platforms/shell/show.h"
#include "platforms/shell/syntax.h"
#include "platforms/shell/trace.h"

namespace holdfast::shell {
namespace {

// Whether doing it again leads where it led: those that act on the machine.
bool IsForTheJournal(const Command& command) {
  return command.As<ShowCommand>() == nullptr &&
         command.As<ExpectCommand>() == nullptr &&
         command.As<EchoCommand>() == nullptr &&
         command.As<HelpCommand>() == nullptr &&
         command.As<NothingCommand>() == nullptr &&
         command.As<SnapshotCommand>() == nullptr &&
         command.As<RestoreCommand>() == nullptr &&
         command.As<ResetCommand>() == nullptr &&
         command.As<IncludeCommand>() == nullptr &&
         command.As<RecordCommand>() == nullptr &&
         command.As<StopCommand>() == nullptr &&
         command.As<QuitCommand>() == nullptr;
}

// All that a session does; of `include`, its lines.
bool IsForTheRecord(const Command& command) {
  return command.As<IncludeCommand>() == nullptr &&
         command.As<RecordCommand>() == nullptr;
}

const ExpectCommand* ExpectIn(const Command& command) {
  if (const auto* on = command.As<OnCommand>())
    return on->command->As<ExpectCommand>();
  return command.As<ExpectCommand>();
}

Outcome Lines(std::vector<std::string> lines) {
  Outcome outcome{.kind = Outcome::Kind::kText};
  outcome.text = std::move(lines);
  return outcome;
}

tl::unexpected<BadLine> BadFile(const std::string& path) {
  return Bad(0, absl::StrCat("cannot open ", path, ": ", std::strerror(errno)),
             "a file that is there; relative paths start where you are");
}

}  // namespace

Runner::Runner(RunnerOptions options, std::unique_ptr<Renderer> renderer)
    : options_(std::move(options)),
      renderer_(std::move(renderer)),
      session_(std::make_unique<Session>()) {}

Runner::~Runner() {
  // Threads that wait for each other for ever cannot be ended; the process ends
  // with them.
  if (!session_->Settle()) static_cast<void>(session_.release());
}

void Runner::Print(const std::string& text) const {
  if (!replaying_ && !text.empty()) options_.print(text);
}

bool Runner::Fail(const Place& place, const std::string& line, Failure failure,
                  const std::string& what) {
  Print(renderer_->OfFailure(place, line, failure, what));
  if (status_ == 0) status_ = static_cast<int>(failure);
  if (options_.interactive) return true;
  done_ = true;
  return false;
}

bool Runner::BadLineAt(const Place& place, const std::string& line,
                       const BadLine& bad) {
  Print(renderer_->OfBadLine(place, line, bad));
  if (options_.interactive) return true;
  status_ = static_cast<int>(Failure::kBadLine);
  done_ = true;
  return false;
}

bool Runner::CheckUnexpected() {
  if (unexpected_.empty()) return true;
  const Unexpected first = unexpected_.begin()->second;
  unexpected_.clear();
  if (options_.interactive) return true;
  return Fail(first.place, first.line, Failure::kExpectation,
              absl::StrCat(first.what, ", and no expect follows"));
}

bool Runner::Do(const Place& place, const std::string& line) {
  if (done_) return false;
  last_place_ = place;
  SetPanicPlace(ToString(place));
  const ParseContext context{session_->names(), session_->setup().cpus()};
  const Parsed<Command> command = Parse(line, context);
  if (!command.has_value()) return BadLineAt(place, line, command.error());
  if (command->As<NothingCommand>() != nullptr) return true;
  if (ExpectIn(*command) == nullptr && !CheckUnexpected()) return false;

  const auto outcomes = Carry(place, line, *command);
  if (!outcomes.has_value()) return BadLineAt(place, line, outcomes.error());
  for (const Outcome& outcome : *outcomes) {
    Print(renderer_->Of(place, line, outcome));
    if (outcome.IsError()) {
      unexpected_[outcome.cpu] = {
          place, line, absl::StrCat(outcome.what, " = ", outcome.ResultText())};
    }
  }
  if (done_) return false;
  if (record_.is_open() && !replaying_ && IsForTheRecord(*command))
    record_ << line << "\n";
  if (!IsForTheJournal(*command)) return true;
  journal_.push_back(line);
  if (options_.check != CheckWhen::kEvery || replaying_) return true;
  const std::string trouble = session_->Trouble();
  return trouble.empty() || Fail(place, line, Failure::kTrouble, trouble);
}

Parsed<std::vector<Outcome>> Runner::Carry(const Place& place,
                                           const std::string& line,
                                           const Command& command) {
  if (const ExpectCommand* expect = ExpectIn(command)) {
    const auto* on = command.As<OnCommand>();
    HOLDFAST_TRY(Expect(
        place, line, on != nullptr ? on->cpu : session_->last_cpu(), *expect));
    return std::vector<Outcome>();
  }
  return CarryOut(command);
}

Parsed<std::vector<Outcome>> Runner::CarryOut(const Command& command) {
  const std::vector<Outcome> nothing;
  if (const auto* machine = command.As<MachineCommand>()) {
    HOLDFAST_TRY(SetUpMachine(*machine));
  } else if (const auto* ram = command.As<RamCommand>()) {
    HOLDFAST_TRY(session_->SetUp(*ram));
  } else if (const auto* cpus = command.As<CpusCommand>()) {
    HOLDFAST_TRY(session_->SetUp(*cpus));
  } else if (const auto* on = command.As<OnCommand>()) {
    return session_->Do(on->cpu, *on->command);
  } else if (const auto* start = command.As<StartCommand>()) {
    return session_->Do(*start);
  } else if (const auto* step = command.As<StepCommand>()) {
    return session_->Do(*step);
  } else if (const auto* join = command.As<JoinCommand>()) {
    return session_->Do(*join);
  } else if (const auto* show = command.As<ShowCommand>()) {
    return Show(*show);
  } else if (const auto* snapshot = command.As<SnapshotCommand>()) {
    snapshots_[snapshot->name] = journal_;
    session_->MarkDiff();
  } else if (const auto* restore = command.As<RestoreCommand>()) {
    HOLDFAST_TRY(Restore(restore->name));
  } else if (command.As<ResetCommand>() != nullptr) {
    HOLDFAST_TRY(Renew());
  } else if (const auto* include = command.As<IncludeCommand>()) {
    HOLDFAST_TRY(Include(include->path));
  } else if (const auto* echo = command.As<EchoCommand>()) {
    return std::vector<Outcome>{Lines({echo->text})};
  } else if (const auto* record = command.As<RecordCommand>()) {
    HOLDFAST_TRY(Record(*record));
  } else if (command.As<StopCommand>() != nullptr) {
    if (!record_.is_open() && !trace_.has_value())
      return Bad(0, "nothing is being recorded", "record FILE, first");
    record_.close();
    HOLDFAST_TRY(EndTrace());
  } else if (command.As<QuitCommand>() != nullptr) {
    done_ = true;
  } else if (const auto* help = command.As<HelpCommand>()) {
    return std::vector<Outcome>{Lines(*HelpOn(help->topic))};
  } else {
    return session_->Do(0, command);
  }
  return nothing;
}

Parsed<std::monostate> Runner::Expect(const Place& place,
                                      const std::string& line, unsigned cpu,
                                      const ExpectCommand& expect) {
  HOLDFAST_TRY_ASSIGN(const std::string difference,
                      Compare(*session_, cpu, expect));
  // What a page is, says nothing of a result.
  if (expect.kind != ExpectCommand::Kind::kPage) unexpected_.erase(cpu);
  if (!difference.empty()) Fail(place, line, Failure::kExpectation, difference);
  return std::monostate();
}

Parsed<std::vector<Outcome>> Runner::Show(const ShowCommand& show) {
  if (show.svg.empty()) {
    HOLDFAST_TRY_ASSIGN(std::vector<std::string> lines,
                        ShowLines(*session_, show));
    return std::vector<Outcome>{Lines(std::move(lines))};
  }
  HOLDFAST_TRY_ASSIGN(const std::string svg, ShowSvg(*session_, show));
  std::ofstream file(show.svg);
  if (!file.is_open()) return BadFile(show.svg);
  file << svg;
  return std::vector<Outcome>{Lines({absl::StrCat("wrote ", show.svg)})};
}

Parsed<std::monostate> Runner::SetUpMachine(const MachineCommand& machine) {
  if (machine.granule.has_value() && *machine.granule != kPageShift &&
      !session_->booted() && options_.other_granule) {
    return tl::unexpected(options_.other_granule(*machine.granule));
  }
  return session_->SetUp(machine);
}

Parsed<std::monostate> Runner::Renew() {
  if (!session_->Settle()) {
    return Bad(0, "commands are under way that wait for each other",
               "quit; they cannot be ended");
  }
  HOLDFAST_TRY(EndTrace());
  auto fresh = std::make_unique<Session>();
  fresh->TakeSetup(*session_);
  session_ = std::move(fresh);
  journal_.clear();
  return std::monostate();
}

Parsed<std::monostate> Runner::Restore(const std::string& name) {
  const auto snapshot = snapshots_.find(name);
  if (snapshot == snapshots_.end()) {
    return Bad(0, absl::StrCat("there is no snapshot '", name, "'"),
               snapshots_.empty() ? "snapshot NAME, first"
                                  : "the name of a snapshot that was taken");
  }
  HOLDFAST_TRY(Renew());
  session_ = std::make_unique<Session>();
  const std::vector<std::string> lines = snapshot->second;
  replaying_ = true;
  for (const std::string& line : lines) {
    Do(last_place_, line);
    unexpected_.clear();
  }
  replaying_ = false;
  session_->MarkDiff();
  return std::monostate();
}

Parsed<std::monostate> Runner::Include(const std::string& path) {
  if (include_depth_ == kDeepestInclude) {
    return Bad(0, "files include each other too deeply",
               absl::StrCat("at most ", kDeepestInclude, " files deep"));
  }
  std::ifstream file(path);
  if (!file.is_open()) return BadFile(path);
  ++include_depth_;
  Place place{path, 0};
  std::string line;
  while (std::getline(file, line)) {
    ++place.line;
    if (!Do(place, line)) break;
  }
  --include_depth_;
  return std::monostate();
}

Parsed<std::monostate> Runner::Record(const RecordCommand& record) {
  if (record_.is_open() || trace_.has_value())
    return Bad(0, "something is being recorded already", "stop, first");
  if (record.what != RecordCommand::What::kLines)
    HOLDFAST_TRY(session_->KeepTrace());
  record_.open(record.path);
  if (!record_.is_open()) return BadFile(record.path);
  if (record.what == RecordCommand::What::kLines) return std::monostate();
  record_.close();
  trace_ = record;
  return std::monostate();
}

Parsed<std::monostate> Runner::EndTrace() {
  if (!trace_.has_value()) return std::monostate();
  const RecordCommand record = *std::exchange(trace_, std::nullopt);
  HOLDFAST_TRY(session_->Boot());
  HOLDFAST_TRY_ASSIGN(const std::string text,
                      TraceText(*session_, record.what));
  std::ofstream file(record.path);
  file << text;
  file.close();
  if (!file) return BadFile(record.path);
  return std::monostate();
}

bool Runner::DoFile(const std::string& path) {
  const Parsed<std::monostate> read = Include(path);
  if (read.has_value()) return !done_;
  return BadLineAt({path, 0}, "", read.error());
}

int Runner::Finish() {
  if (!CheckUnexpected()) return status_;
  if (status_ != 0 && !options_.interactive) return status_;
  if (!session_->Settle()) {
    Fail(last_place_, "", Failure::kTrouble,
         "commands are under way that wait for each other for ever");
  } else if (const auto ended = EndTrace(); !ended.has_value()) {
    BadLineAt(last_place_, "stop", ended.error());
  } else if (options_.check != CheckWhen::kOff) {
    const std::string trouble = session_->Trouble();
    if (!trouble.empty()) Fail(last_place_, "", Failure::kTrouble, trouble);
  }
  // What a person typed wrong, he has seen.
  return options_.interactive && status_ != static_cast<int>(Failure::kTrouble)
             ? 0
             : status_;
}

}  // namespace holdfast::shell
