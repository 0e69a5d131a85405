// SPDX-License-Identifier: Apache-2.0
//
// The simulator's shell: a prompt on a terminal, or a script from files or
// standard input.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/granule.h"
#include "platforms/shell/completion.h"
#include "platforms/shell/number.h"
#include "platforms/shell/panic.h"
#include "platforms/shell/runner.h"
#include "platforms/shell/stdin_lines.h"
#include "platforms/shell/terminal.h"

namespace holdfast::shell {
namespace {

constexpr char kUsage[] =
    R"(usage: sim [--check=every|end|off] [--json] [FILE...]

Does the commands of the files, or else of standard input: at a prompt if that is
a terminal. `help` lists them.

  --check=WHEN  hold the invariants against the machine after every command
                (default), at the end, or never
  --json        one JSON object a line instead of text

Exit status: 0 good; 1 an expectation failed, or an error was not expected; 2 a
bad line; 3 EL2 panicked, or an invariant is broken. Each names the line.
)";

struct Flags {
  CheckWhen check = CheckWhen::kEvery;
  bool json = false;
  std::vector<std::string> files;
  // Where the binaries for other page sizes are.
  std::string programs;
  // From the binary that gave way to this one: the lines of standard input that
  // it took, and how much it had printed. All of it is done again; what was
  // printed is not printed again.
  std::string taken;
  size_t printed = 0;
};

class Shell {
 public:
  Shell(Flags flags, std::vector<std::string> arguments)
      : flags_(std::move(flags)),
        arguments_(std::move(arguments)),
        interactive_(flags_.files.empty() && isatty(STDIN_FILENO) != 0),
        runner_(Options(),
                flags_.json ? MakeJsonRenderer() : MakeTextRenderer()) {}

  int Run() {
    for (const std::string& file : flags_.files) {
      if (!runner_.DoFile(file)) return runner_.Finish();
    }
    if (!flags_.files.empty()) return runner_.Finish();
    if (interactive_) {
      RunTerminal();
    } else {
      RunStdin();
    }
    return runner_.Finish();
  }

 private:
  RunnerOptions Options() {
    RunnerOptions options;
    options.check = flags_.check;
    options.interactive = interactive_;
    options.print = [this](const std::string& text) { Print(text); };
    options.other_granule = [this](unsigned shift) {
      return BecomeOther(shift);
    };
    return options;
  }

  void Print(const std::string& text) {
    const size_t before = printed_;
    printed_ += text.size();
    if (printed_ <= flags_.printed) return;
    const size_t skip = before < flags_.printed ? flags_.printed - before : 0;
    std::fwrite(text.data() + skip, 1, text.size() - skip, stdout);
    // Whoever drives this waits for the answer.
    if (flags_.files.empty()) std::fflush(stdout);
  }

  bool Do(const std::string& line) {
    ++place_.line;
    taken_ += line + "\n";
    return runner_.Do(place_, line);
  }

  void RunStdin() {
    StdinLines lines(flags_.taken);
    while (const std::optional<std::string> line = lines.Next()) {
      if (!Do(*line)) return;
      if (runner_.session().booted()) lines.ReadAhead();
    }
  }

  void RunTerminal() {
    Print(
        "Holdfast on a simulated machine: " + runner_.session().setup().Text() +
        "\nhelp lists the commands, the tabulator completes them.\n");
    Terminal terminal([this](const std::string& before) {
      return Complete(before, runner_.session().names());
    });
    StdinLines again(flags_.taken);
    while (place_.line < Lines(flags_.taken)) Do(*again.Next());
    while (const std::optional<std::string> line = terminal.ReadLine()) {
      if (!Do(*line)) return;
    }
    Print("\n");
  }

  static size_t Lines(const std::string& text) {
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  // Another binary takes this one's place, and does all again from the first
  // line: nothing was asked of a machine yet.
  BadLine BecomeOther(unsigned shift) {
    const std::string granule = std::to_string((1u << shift) / 1024) + "k";
    const std::string right =
        "bazel run --//base:granule=" + granule + " //platforms:sim";
    const std::string what = "this binary has pages of " + ShowSize(kPageSize);
    if (flags_.programs.empty()) return {0, what, right};
    std::fflush(stdout);
    const std::string program = flags_.programs + "/sim_" + granule;
    std::vector<std::string> arguments = {
        program, "--programs=" + flags_.programs, "--taken=" + taken_,
        "--printed=" + std::to_string(printed_)};
    arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    return {0, what + ", and " + program + " does not start", right};
  }

  const Flags flags_;
  const std::vector<std::string> arguments_;  // as they were given
  const bool interactive_;
  Place place_{"stdin", 0};
  std::string taken_;  // of standard input
  size_t printed_ = 0;
  Runner runner_;
};

int Usage(const std::string& what) {
  std::cerr << "sim: " << what << "\n" << kUsage;
  return static_cast<int>(Failure::kBadLine);
}

// "--name=value": the value.
std::optional<std::string> ValueOf(const std::string& argument,
                                   const std::string& name) {
  const std::string start = "--" + name + "=";
  if (argument.compare(0, start.size(), start) != 0) return std::nullopt;
  return argument.substr(start.size());
}

int Main(int argc, char** argv) {
  Flags flags;
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (const auto programs = ValueOf(argument, "programs")) {
      flags.programs = *programs;
      continue;
    }
    if (const auto taken = ValueOf(argument, "taken")) {
      flags.taken = *taken;
      continue;
    }
    if (const auto printed = ValueOf(argument, "printed")) {
      flags.printed = std::strtoul(printed->c_str(), nullptr, 10);
      continue;
    }
    arguments.push_back(argument);
    if (argument == "--help" || argument == "-h") {
      std::cout << kUsage;
      return 0;
    }
    if (argument == "--json") {
      flags.json = true;
    } else if (argument == "--check=every") {
      flags.check = CheckWhen::kEvery;
    } else if (argument == "--check=end") {
      flags.check = CheckWhen::kEnd;
    } else if (argument == "--check=off") {
      flags.check = CheckWhen::kOff;
    } else if (argument.size() > 1 && argument[0] == '-') {
      return Usage("there is no option " + argument);
    } else {
      flags.files.push_back(argument);
    }
  }
  // `bazel run` starts programs elsewhere; relative paths are the user's.
  if (const char* home = std::getenv("BUILD_WORKING_DIRECTORY")) {
    if (chdir(home) != 0) return Usage(std::string("cannot go to ") + home);
  }
  CatchPanics();
  Shell shell(flags, arguments);
  const int status = shell.Run();
  std::fflush(stdout);
  // Not exit(): commands that wait for each other never end.
  _exit(status);
}

}  // namespace
}  // namespace holdfast::shell

int main(int argc, char** argv) { return holdfast::shell::Main(argc, argv); }
