// SPDX-License-Identifier: Apache-2.0
//
// A runner for tests: lines in, text out.
#ifndef HOLDFAST_PLATFORMS_SHELL_TEST_RUNNER_H_
#define HOLDFAST_PLATFORMS_SHELL_TEST_RUNNER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "platforms/shell/renderer.h"
#include "platforms/shell/runner.h"

namespace holdfast::shell {

class TestRunner {
 public:
  explicit TestRunner(CheckWhen check = CheckWhen::kEvery,
                      std::unique_ptr<Renderer> renderer = MakeTextRenderer())
      : runner_(Options(check), std::move(renderer)) {}

  // Whether it goes on after `line`.
  bool Do(const std::string& line) {
    ++place_.line;
    return runner_.Do(place_, line);
  }
  // Exit status of a whole script.
  int Run(const std::vector<std::string>& lines) {
    for (const std::string& line : lines) {
      if (!Do(line)) break;
    }
    return runner_.Finish();
  }
  // What was printed since the last time.
  std::string Output() { return std::exchange(output_, ""); }
  // What `line` prints.
  std::string OutputOf(const std::string& line) {
    Output();
    Do(line);
    return Output();
  }

  Runner& runner() { return runner_; }
  Session& session() { return runner_.session(); }

 private:
  RunnerOptions Options(CheckWhen check) {
    RunnerOptions options;
    options.check = check;
    options.print = [this](const std::string& text) { output_ += text; };
    return options;
  }

  Place place_{"test.hf", 0};
  std::string output_;
  Runner runner_;
};

// A protected VM of one vCPU, loaded on CPU 0, with 8 frames of stock.
inline const std::vector<std::string> kMakeVm = {
    "let vm = call reserve_vm",
    "call init_vm $vm @0x40200000 @0x40210000 1 1",
    "call host_share_hyp @0x40220000",
    "call init_vcpu $vm 0 @0x40230000 @0x40220000",
    "call topup_vm $vm @0x40240000 8",
    "call vcpu_load $vm 0",
};

inline std::vector<std::string> AfterMakeVm(std::vector<std::string> lines) {
  lines.insert(lines.begin(), kMakeVm.begin(), kMakeVm.end());
  return lines;
}

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_TEST_RUNNER_H_
