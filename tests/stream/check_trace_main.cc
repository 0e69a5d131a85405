// SPDX-License-Identifier: Apache-2.0
//
// check_trace [--casemate FILE] [--chrome FILE] STREAM: holds a recorded event
// stream, of the simulated machine (`record events`) or of an EL2 image
// (--//platforms/stream:el2), against the rules of checker.h, and its calls
// against the executable specification (replay.h); prints each violation with
// the events round it. Writes the stream for another tool as well.
//
// Status 0: nothing is wrong. 1: something is. 2: it cannot be read or written.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/stream/casemate.h"
#include "platforms/stream/chrome.h"
#include "platforms/stream/text.h"
#include "tests/stream/checker.h"
#include "tests/stream/replay.h"

ABSL_FLAG(std::string, casemate, "", "also write it as a casemate trace here");
ABSL_FLAG(std::string, chrome, "", "also write it as Chrome trace JSON here");
ABSL_FLAG(int, context, 4, "events to print before and after a violation");
ABSL_FLAG(size_t, most, 20, "violations to print");

namespace holdfast::stream {
namespace {

constexpr int kWrong = 1;
constexpr int kCannot = 2;

bool Write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "cannot write %s\n", path.c_str());
  return static_cast<bool>(file);
}

// The event at which it showed and that with which it began are marked.
void Print(const Finding& finding, const std::vector<Event>& events) {
  absl::PrintF("\n%s\n", ToString(finding));
  const uint64_t around =
      static_cast<uint64_t>(std::max(absl::GetFlag(FLAGS_context), 0));
  const auto near = [&](uint64_t seq) {
    const uint64_t at = seq - events.front().seq;
    const uint64_t first = at > around ? at - around : 0;
    for (uint64_t i = first; i <= at + around && i < events.size(); ++i) {
      absl::PrintF("  %c %s\n", events[i].seq == seq ? '>' : ' ',
                   ToString(events[i]));
    }
  };
  if (finding.cause.has_value() &&
      *finding.cause + 2 * around < finding.event) {
    near(*finding.cause);
    absl::PrintF("    ...\n");
  }
  near(finding.event);
}

int Main(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    return kCannot;
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto events = ReadText(text);
  if (!events.has_value()) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(),
                 ToString(events.error()).c_str());
    return kCannot;
  }
  if (const std::string to = absl::GetFlag(FLAGS_casemate); !to.empty()) {
    const auto trace = ToCasemate(*events);
    if (!trace.has_value()) {
      std::fprintf(stderr, "%s\n", trace.error().c_str());
      return kCannot;
    }
    if (!Write(to, *trace)) return kCannot;
  }
  if (const std::string to = absl::GetFlag(FLAGS_chrome);
      !to.empty() && !Write(to, ToChrome(*events))) {
    return kCannot;
  }

  Checker checker;
  Replay replay;
  for (const Event& event : *events) {
    checker.Feed(event);
    replay.Feed(event);
  }
  checker.Finish();
  const Counts counts = checker.counts();
  const uint64_t verdicts =
      static_cast<uint64_t>(absl::c_count_if(*events, [](const Event& event) {
        return event.type == EventType::kViolation;
      }));
  absl::PrintF(
      "%d events: %d calls, %d aborts, %d lock sections\n"
      "%d stores to live tables, %d tables linked, %d TLBIs, %d barriers\n"
      "%d old translations seen to be invalidated, %d pages handed over, "
      "%d zeroed\n",
      counts.events, counts.calls, counts.aborts, counts.locks, counts.stores,
      counts.links, counts.tlbis, counts.barriers, counts.old, counts.handovers,
      counts.zeroed);
  if (verdicts != 0)
    absl::PrintF("the simulated machine itself saw %d violations\n", verdicts);
  size_t printed = 0;
  for (const Finding& finding : checker.findings()) {
    if (printed++ == absl::GetFlag(FLAGS_most)) break;
    Print(finding, *events);
  }
  for (const Replay::Wrong& wrong : replay.wrong()) {
    if (printed++ >= absl::GetFlag(FLAGS_most)) break;
    absl::PrintF("\n#%d not as the specification has it: %s\n", wrong.event,
                 wrong.what);
  }
  if (const std::string unfit = replay.Unfit(); !unfit.empty()) {
    absl::PrintF("no call was held against the specification: %s\n", unfit);
  } else {
    absl::PrintF(
        "%d calls and aborts held against the specification, %d not: they "
        "overlapped, or hang on what no stream says\n",
        replay.checked(), replay.skipped());
  }
  const size_t wrong = checker.findings().size() + replay.wrong().size();
  absl::PrintF("%d violations\n", wrong);
  return wrong == 0 && verdicts == 0 ? 0 : kWrong;
}

}  // namespace
}  // namespace holdfast::stream

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "check_trace [--casemate FILE] [--chrome FILE] STREAM");
  const std::vector<char*> files = absl::ParseCommandLine(argc, argv);
  // Under `bazel run`, paths are meant from where one stands.
  if (const char* home = std::getenv("BUILD_WORKING_DIRECTORY");
      home != nullptr && chdir(home) != 0) {
    std::perror(home);
    return 2;
  }
  if (files.size() != 2) {
    std::fprintf(stderr, "%s\n",
                 std::string(absl::ProgramUsageMessage()).c_str());
    return 2;
  }
  return holdfast::stream::Main(files[1]);
}
