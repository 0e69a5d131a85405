// SPDX-License-Identifier: Apache-2.0
#include "tests/explore/explorer.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tests/fuzz/script_run.h"
#include "tests/fuzz/shrink.h"

namespace holdfast::explore {
namespace {

// A state, less what makes no difference to any operation: which of a VM's
// frames are tables and which are stock (they are alike), and at which
// instruction a vCPU stopped.
struct Key {
  spec::State state;
  // Translations that some TLB may still use: (VMID, IPA, size, level, output),
  // and on which CPUs.
  std::vector<std::array<uint64_t, 7>> stale;

  bool operator==(const Key&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Key& key) {
    return H::combine(std::move(h), key.state, key.stale);
  }
};

void Forget(spec::Exit& exit) {
  constexpr uint64_t kClass = uint64_t{0x3f} << 26;
  constexpr uint64_t kStatus = 0x3f;
  exit.esr &= kClass | kStatus;
  exit.far = 0;
}

Key KeyOf(fuzz::ScriptRun& run) {
  Key key{run.oracle().state(), {}};
  for (auto& [handle, cow] : key.state.vms) {
    spec::Vm& vm = cow.Mut();
    for (auto& [at, frame] : vm.tables) frame = 0;
    const size_t free = vm.stock.size();
    vm.stock.clear();
    vm.stock.insert(free);
  }
  for (auto& [handle, slot] : key.state.table.Mut().slots) {
    for (auto& [index, vcpu] : slot.vcpus) Forget(vcpu.exit);
  }
  for (spec::Cpu& cpu : key.state.cpus) Forget(cpu.exit);
  for (const sim::StaleEntry& entry : run.board().machine().StaleEntries()) {
    key.stale.push_back({entry.vmid.value(), entry.ipa.value(), entry.size,
                         static_cast<uint64_t>(entry.level),
                         entry.entry.address.value(), entry.stage2_cpus,
                         entry.combined_cpus});
  }
  return key;
}

// ---- Panics -----------------------------------------------------------------

// What is being done, for the signal handler, which may not allocate.
char doing[1 << 16];

void OnAbort(int) {
  constexpr char kTitle[] = "EL2 panicked at the end of this script:\n";
  [[maybe_unused]] ssize_t written =
      write(STDERR_FILENO, kTitle, sizeof(kTitle) - 1);
  written = write(STDERR_FILENO, doing, std::strlen(doing));
  _exit(3);
}

class Doing {
 public:
  void Say(const std::vector<std::string>& lines) {
    at_ = 0;
    for (const std::string& line : lines) Add(line);
    base_ = at_;
  }
  void Then(const std::string& line) {
    at_ = base_;
    Add(line);
  }

 private:
  void Add(const std::string& line) {
    if (at_ + line.size() + 2 > sizeof(doing)) return;
    std::memcpy(doing + at_, line.data(), line.size());
    at_ += line.size();
    doing[at_++] = '\n';
    doing[at_] = '\0';
  }

  size_t at_ = 0;
  size_t base_ = 0;
};

class Explorer {
 public:
  Explorer(const Domain& domain, uint64_t most_states)
      : domain_(domain), most_states_(most_states) {}

  Findings Run() {
    const auto start = std::chrono::steady_clock::now();
    std::signal(SIGABRT, OnAbort);
    if (Begin()) {
      for (size_t at = 0; at < nodes_.size() && found_.trouble.empty(); ++at) {
        if (nodes_.size() > most_states_) break;
        From(at);
        found_.complete = at + 1 == nodes_.size();
      }
    }
    std::signal(SIGABRT, SIG_DFL);
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
  Doing doing_;
  Findings found_;
};

}  // namespace

Findings Explore(const Domain& domain, uint64_t most_states) {
  return Explorer(domain, most_states).Run();
}

}  // namespace holdfast::explore
