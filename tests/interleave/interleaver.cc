// SPDX-License-Identifier: Apache-2.0
#include "tests/interleave/interleaver.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/last_words.h"
#include "tests/fuzz/shrink.h"
#include "tests/interleave/play.h"

namespace holdfast::interleave {
namespace {

using Sleepers = std::map<unsigned, Footprint>;  // by CPU

// A point with a choice, on the way of the order that is being tried.
struct Node {
  unsigned choice = 0;
  std::vector<unsigned> left;  // choices not tried yet
  // Whose next stretch need not be tried here: all orders that begin with it
  // were tried before, or cannot differ from such.
  Sleepers asleep;
  unsigned preemptions = 0;  // on the way here
};

// What is wrong at the end of an order.
std::string TroubleAtEnd(Play& play, const Check& check) {
  if (!play.wrong().empty()) return play.wrong();
  if (!play.Ended()) return "CPUs wait for each other";
  std::string trouble = play.run().FullTrouble();
  if (trouble.empty() && check) trouble = check(play.run());
  return trouble;
}

void Keep(Play& play, const std::string& trouble, Findings* findings) {
  if (trouble.empty() || !findings->trouble.empty()) return;
  findings->trouble = trouble;
  findings->script = fuzz::ScriptOf(play.Lines());
}

class Enumeration {
 public:
  Enumeration(const Race& race, const Options& options)
      : race_(race), options_(options) {}

  Findings Run() {
    do {
      Order();
    } while (findings_.trouble.empty() && Turn());
    return std::move(findings_);
  }

 private:
  // Sleep sets are sound only if every order is one that may be tried.
  bool UsesSleep() const {
    return !options_.all_orders && options_.preemptions == kNoLimit;
  }

  // Who may move at a point, first who is to be tried first. `last` moved last.
  std::vector<unsigned> Choices(const Play& play, std::optional<unsigned> last,
                                unsigned preemptions) const {
    std::vector<unsigned> ready = play.Ready();
    const bool goes_on =
        last.has_value() &&
        std::find(ready.begin(), ready.end(), *last) != ready.end();
    if (!goes_on) return ready;
    std::vector<unsigned> choices = {*last};
    if (preemptions == options_.preemptions) return choices;
    for (unsigned cpu : ready) {
      if (cpu == *last) continue;
      if (play.MayLeave() || play.IsAboutToAccess(cpu)) choices.push_back(cpu);
    }
    return choices;
  }

  // From a new machine along the way, and on to the end.
  void Order() {
    Play play(race_, words_);
    ++findings_.orders;
    std::optional<unsigned> last;
    Sleepers asleep;
    unsigned preemptions = 0;
    for (size_t at = 0;; ++at) {
      if (at == way_.size()) {
        std::vector<unsigned> choices = Choices(play, last, preemptions);
        if (choices.empty()) {
          Keep(play, TroubleAtEnd(play, options_.check), &findings_);
          return;
        }
        std::erase_if(choices,
                      [&](unsigned cpu) { return asleep.contains(cpu); });
        if (choices.empty()) {
          ++findings_.cut;
          return;  // ~ScriptRun lets it end
        }
        way_.push_back({.choice = choices[0],
                        .left = {choices.begin() + 1, choices.end()},
                        .asleep = asleep,
                        .preemptions = preemptions});
      }
      Node& node = way_[at];
      const std::vector<unsigned> ready = play.Ready();
      if (last.has_value() && *last != node.choice &&
          std::find(ready.begin(), ready.end(), *last) != ready.end()) {
        ++preemptions;
      }
      last = node.choice;
      const Footprint footprint = play.Stretch(node.choice);
      asleep.clear();
      if (!UsesSleep()) continue;
      for (const auto& [cpu, next] : node.asleep) {
        if (cpu != node.choice && next.CommutesWith(footprint))
          asleep.emplace(cpu, next);
      }
      footprints_.resize(at);
      footprints_.push_back(footprint);
    }
  }

  // To the next order; false: there is none.
  bool Turn() {
    while (!way_.empty()) {
      Node& node = way_.back();
      if (!node.left.empty()) {
        if (UsesSleep())
          node.asleep.insert_or_assign(node.choice,
                                       footprints_[way_.size() - 1]);
        node.choice = node.left.front();
        node.left.erase(node.left.begin());
        return true;
      }
      way_.pop_back();
    }
    return false;
  }

  const Race& race_;
  const Options& options_;
  fuzz::LastWords words_;
  std::vector<Node> way_;
  // What each stretch on the way touched.
  std::vector<Footprint> footprints_;
  Findings findings_;
};

}  // namespace

Findings& Findings::operator+=(const Findings& more) {
  orders += more.orders;
  cut += more.cut;
  if (trouble.empty()) {
    trouble = more.trouble;
    script = more.script;
  }
  return *this;
}

Findings AllOrders(const Race& race, const Options& options) {
  Findings findings = Enumeration(race, options).Run();
  if (findings.trouble.empty()) return findings;
  // The simplest that fails.
  for (unsigned most = 0; most < 4 && most < options.preemptions; ++most) {
    Options few = options;
    few.preemptions = most;
    Findings simpler = Enumeration(race, few).Run();
    if (simpler.trouble.empty()) continue;
    simpler.orders = findings.orders;
    simpler.cut = findings.cut;
    return simpler;
  }
  return findings;
}

Findings RandomOrders(const Race& race, uint64_t orders, unsigned depth,
                      uint64_t seed, const Check& check) {
  Findings findings;
  fuzz::LastWords words;
  // How many stretches an order has, as far as is known.
  uint64_t length = 1;
  for (uint64_t i = 0; i < orders && findings.trouble.empty(); ++i) {
    std::seed_seq seeds{seed, i};
    std::mt19937_64 random(seeds);
    // Higher is first; what a change point gives is lower than all of these.
    std::vector<unsigned> priority(race.cpus.size());
    std::iota(priority.begin(), priority.end(), depth);
    std::shuffle(priority.begin(), priority.end(), random);
    std::vector<uint64_t> changes;
    for (unsigned change = 1; change < depth; ++change)
      changes.push_back(random() % length);

    Play play(race, words);
    ++findings.orders;
    uint64_t at = 0;
    for (;; ++at) {
      const std::vector<unsigned> ready = play.Ready();
      if (ready.empty()) break;
      const unsigned cpu = *std::max_element(
          ready.begin(), ready.end(),
          [&](unsigned a, unsigned b) { return priority[a] < priority[b]; });
      play.Stretch(cpu);
      for (unsigned change = 0; change < changes.size(); ++change) {
        if (changes[change] == at) priority[cpu] = change;
      }
    }
    length = std::max(length, at);
    Keep(play, TroubleAtEnd(play, check), &findings);
  }
  return findings;
}

}  // namespace holdfast::interleave
