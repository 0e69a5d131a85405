// SPDX-License-Identifier: Apache-2.0
#include "gtest/gtest.h"

// leave.S.
extern "C" void RunUntilLeft(void (*function)(const void*),
                             const void* argument, uint64_t* place);
extern "C" [[noreturn]] void LeaveTo(const uint64_t* place);

namespace testing {
namespace internal {
namespace {

// One runs at a time, on one CPU.
struct Running {
  void (*write)(std::string_view text) = nullptr;
  unsigned expectations = 0;
  unsigned host_only = 0;
  unsigned failures = 0;
  unsigned fatal = 0;
  bool skipped = false;
  uint64_t outside = 0;  // of leave.S
};
constinit Running g_running;

std::vector<std::string>& Traces() {
  static auto& traces = *new std::vector<std::string>;
  return traces;
}

std::string At(const char* file, int line) {
  return std::string(file) + ":" + holdfast::testing_el2::NumberText(line);
}

// More of one test say nothing new, and fill the console.
constexpr unsigned kPrinted = 10;

}  // namespace

std::vector<TestCase>& Cases() {
  static auto& cases = *new std::vector<TestCase>;
  return cases;
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '\n') {
      quoted += "\\n";
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// NOLINTNEXTLINE(misc-unconventional-assign-operator)
void Report::operator=(const Message& message) const {
  if (severity_ == Severity::kSkip) {
    g_running.skipped = true;
    g_running.write("skipped: " + message.GetString() + "\n");
    return;
  }
  ++g_running.failures;
  if (severity_ == Severity::kAssert) ++g_running.fatal;
  if (g_running.failures > kPrinted) return;
  std::string text = At(file_, line_) + ": Failure\n" + what_ + "\n";
  if (!message.GetString().empty()) text += message.GetString() + "\n";
  for (auto trace = Traces().rbegin(); trace != Traces().rend(); ++trace)
    text += "  at " + *trace + "\n";
  g_running.write(text);
}

void CountExpectation() { ++g_running.expectations; }
bool HostOnly() {
  ++g_running.host_only;
  return false;
}
unsigned FatalFailures() { return g_running.fatal; }

Trace::Trace(const char* file, int line, const Message& message) {
  Traces().push_back(At(file, line) + ": " + message.GetString());
}
Trace::~Trace() { Traces().pop_back(); }

}  // namespace internal

using internal::g_running;

bool Test::HasFailure() { return g_running.failures != 0; }
bool Test::HasFatalFailure() { return g_running.fatal != 0; }

void Test::Run() {
  SetUp();
  if (g_running.fatal == 0 && !g_running.skipped) TestBody();
  TearDown();
}

void LeaveTest(const char* why) {
  g_running.skipped = true;
  g_running.write(std::string("skipped: ") + why + "\n");
  LeaveTo(&g_running.outside);
}

Results RunTests(bool (*wanted)(std::string_view name),
                 void (*write)(std::string_view text)) {
  Results results;
  for (const internal::TestCase& test : internal::Cases()) {
    std::string name = std::string(test.suite) + "." + test.name;
    if (!test.variant.empty()) name += "/" + test.variant;
    if (!wanted(name)) continue;
    g_running = {.write = write};
    // Before it runs, for whoever reads a panic's report.
    write("run " + name + "\n");
    internal::Traces().clear();
    RunUntilLeft(
        [](const void* argument) {
          const auto& test = *static_cast<const internal::TestCase*>(argument);
          Test* const object = test.make(test.parameter);
          object->Run();
          delete object;
        },
        &test, &g_running.outside);
    results.host_only_expectations += g_running.host_only;
    if (g_running.failures != 0) {
      ++results.failed;
      write("FAILED " + name + "\n");
    } else if (g_running.skipped) {
      ++results.skipped;
    } else if (g_running.expectations == 0 && g_running.host_only != 0) {
      ++results.host_only_tests;
    } else {
      ++results.passed;
    }
  }
  return results;
}

}  // namespace testing
