// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/shrink.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/fuzz/composer.h"
#include "tests/fuzz/script_run.h"

namespace holdfast::fuzz {
namespace {

constexpr size_t kMostSteps = 400;
constexpr unsigned kMostAttempts = 2000;

// Whether the lines end in trouble or a panic.
bool Fails(const Lines& lines) {
  const pid_t child = fork();
  if (child == 0) {
    // A panic is no news here, and says itself.
    if (const int null = open("/dev/null", O_WRONLY); null >= 0)
      dup2(null, STDERR_FILENO);
    alarm(20);
    _exit(TroubleOf(lines).empty() ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return false;
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

}  // namespace

std::string TroubleOf(const Lines& lines) {
  ScriptRun run;
  for (const std::string& line : lines) {
    run.Do(line);
    if (std::string trouble = run.Trouble(); !trouble.empty()) return trouble;
  }
  return run.FullTrouble();
}

Lines LinesOf(const uint8_t* data, size_t size, std::string* trouble) {
  ScriptRun run;
  Composer composer(data, size, run);
  Lines lines;
  for (size_t step = 0; step < kMostSteps; ++step) {
    const std::optional<std::string> line = composer.Next();
    if (!line.has_value()) break;
    if (absl::StartsWith(*line, "#")) continue;
    lines.push_back(*line);
    run.Do(*line);
    *trouble = run.Trouble();
    if (!trouble->empty()) return lines;
  }
  *trouble = run.FullTrouble();
  return lines;
}

// Leaves out runs of lines, long ones first, for as long as it still fails.
Lines Shrink(const Lines& lines) {
  Lines best = lines;
  unsigned attempts = 0;
  for (size_t run = std::max<size_t>(best.size() / 2, 1); run > 0;) {
    bool shorter = false;
    for (size_t at = 0; at + run <= best.size() && attempts < kMostAttempts;) {
      Lines fewer = best;
      fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(at),
                  fewer.begin() + static_cast<ptrdiff_t>(at + run));
      ++attempts;
      if (Fails(fewer)) {
        best = std::move(fewer);
        shorter = true;
      } else {
        at += run;
      }
    }
    if (!shorter || run > best.size()) run /= 2;
  }
  return best;
}

std::string ScriptOf(const Lines& lines) {
  std::string script;
  ScriptRun run;
  for (const std::string& line : lines) {
    if (!run.Do(line).empty()) continue;  // a bad one
    absl::StrAppend(&script, line, "\n");
    const std::string trouble = run.Trouble();
    if (trouble.empty() && !run.to_expect().empty()) {
      // Of the CPU that did it.
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words[0] == "on" || words[0] == "start" || words[0] == "step" ||
          words[0] == "join") {
        absl::StrAppend(&script, "on ", words[1], " ");
      }
      absl::StrAppend(&script, run.to_expect(), "\n");
    }
  }
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(run.FullTrouble(), '\n'))) {
    if (!line.empty()) absl::StrAppend(&script, "# ", line, "\n");
  }
  return script;
}

}  // namespace holdfast::fuzz
