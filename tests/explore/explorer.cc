// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/explorer.h"

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tests/explore/key.h"
#include "tests/fuzz/last_words.h"
#include "tests/fuzz/script_run.h"
#include "tests/fuzz/shrink.h"

namespace holdfast::explore {
namespace {

class Explorer {
 public:
  Explorer(const Domain& domain, uint64_t most_states)
      : domain_(domain), most_states_(most_states) {}

  Findings Run() {
    const auto start = std::chrono::steady_clock::now();
    if (Begin()) {
      for (size_t at = 0; at < nodes_.size() && found_.trouble.empty(); ++at) {
        if (nodes_.size() > most_states_) break;
        From(at);
        found_.complete = at + 1 == nodes_.size();
      }
    }
    found_.states = nodes_.size();
    found_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    return std::move(found_);
  }

 private:
  struct Node {
    uint32_t from = 0;       // the state before
    uint32_t operation = 0;  // what led here
    uint32_t depth = 0;
  };

  std::vector<std::string> WayTo(size_t at) const {
    std::vector<std::string> way;
    for (; at != 0; at = nodes_[at].from)
      way.push_back(domain_.operations[nodes_[at].operation].line);
    std::vector<std::string> lines = domain_.setup;
    lines.insert(lines.end(), way.rbegin(), way.rend());
    return lines;
  }

  // A machine in that state.
  std::unique_ptr<fuzz::ScriptRun> Make(size_t at) {
    const std::vector<std::string> lines = WayTo(at);
    doing_.Say(lines);
    auto run = std::make_unique<fuzz::ScriptRun>();
    for (const std::string& line : lines) {
      if (const std::string wrong = run->Do(line); !wrong.empty())
        Fail(absl::StrCat(line, ": ", wrong), lines);
    }
    return run;
  }

  void Fail(const std::string& trouble, const std::vector<std::string>& lines) {
    if (!found_.trouble.empty()) return;
    found_.trouble = trouble;
    found_.script = fuzz::ScriptOf(lines);
  }

  bool Begin() {
    nodes_.push_back({});
    auto run = Make(0);
    if (found_.trouble.empty() && !run->booted())
      Fail("the setup boots nothing", domain_.setup);
    if (!found_.trouble.empty()) return false;
    if (std::string trouble = run->FullTrouble(); !trouble.empty()) {
      Fail(trouble, domain_.setup);
      return false;
    }
    states_.emplace(KeyOf(*run), 0);
    return true;
  }

  void From(size_t at) {
    auto run = Make(at);
    Key here = KeyOf(*run);
    for (size_t i = 0; i < domain_.operations.size(); ++i) {
      const Operation& operation = domain_.operations[i];
      if (operation.when && !operation.when(here.state)) continue;
      doing_.Then(operation.line);
      const std::string wrong = run->Do(operation.line);
      // No such guest runs now, say.
      if (!wrong.empty()) continue;
      ++found_.transitions;
      std::string trouble = run->Trouble();
      if (trouble.empty()) {
        Key there = KeyOf(*run);
        if (there == here) continue;
        ++found_.changing;
        if (states_.try_emplace(std::move(there), nodes_.size()).second) {
          trouble = run->FullTrouble();
          nodes_.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(i),
                            nodes_[at].depth + 1});
          found_.depth = nodes_.back().depth;
        }
      }
      if (!trouble.empty()) {
        std::vector<std::string> lines = WayTo(at);
        lines.push_back(operation.line);
        Fail(trouble, lines);
        return;
      }
      run.reset();
      run = Make(at);
    }
  }

  const Domain& domain_;
  const uint64_t most_states_;
  std::vector<Node> nodes_;
  absl::flat_hash_map<Key, size_t> states_;
  fuzz::LastWords doing_;
  Findings found_;
};

}  // namespace

Findings Explore(const Domain& domain, uint64_t most_states) {
  return Explorer(domain, most_states).Run();
}

}  // namespace holdfast::explore
