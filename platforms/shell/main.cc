// SPDX-License-Identifier: Apache-2.0
//
// The simulator's shell: a prompt on a terminal, or a script from files or
// standard input.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "platforms/shell/panic.h"
#include "platforms/shell/runner.h"

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
};

int Usage(const std::string& what) {
  std::cerr << "sim: " << what << "\n" << kUsage;
  return static_cast<int>(Failure::kBadLine);
}

int Run(const Flags& flags) {
  RunnerOptions options;
  options.check = flags.check;
  options.print = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
  };
  Runner runner(options, MakeTextRenderer());
  for (const std::string& file : flags.files) {
    if (!runner.DoFile(file)) return runner.Finish();
  }
  if (flags.files.empty()) {
    Place place{"stdin", 0};
    std::string line;
    while (std::getline(std::cin, line)) {
      ++place.line;
      if (!runner.Do(place, line)) break;
    }
  }
  return runner.Finish();
}

int Main(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
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
  const int status = Run(flags);
  std::fflush(stdout);
  // Not exit(): commands under way may have threads.
  _exit(status);
}

}  // namespace
}  // namespace holdfast::shell

int main(int argc, char** argv) { return holdfast::shell::Main(argc, argv); }
