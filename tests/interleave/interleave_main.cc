// SPDX-License-Identifier: Apache-2.0
//
// interleave KIND [SITUATION...]: every order of
//   pairs     two CPUs, each with one operation: all pairs
//   triples   three CPUs, each with a hot one, at most two preemptions
//   sequences two CPUs, each with two hot ones
//   random    four CPUs, each with a few of any: --orders of each of --races
// in all situations (races.h), or in those named. Shards of a Bazel test share
// the races.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "tests/interleave/interleaver.h"
#include "tests/interleave/races.h"

ABSL_FLAG(uint64_t, races, 2000, "random: how many, of each situation");
ABSL_FLAG(uint64_t, orders, 10, "random: orders of each race");
ABSL_FLAG(uint64_t, seed, 1, "random: the first of its races");
ABSL_FLAG(uint64_t, one_of, 1, "tries one race of so many");

namespace holdfast::interleave {
namespace {

uint64_t Environment(const char* name, uint64_t otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Races one after the other; of them, those that are this shard's.
class Tally {
 public:
  bool IsMine() {
    const uint64_t index = index_++;
    return index % shards_ == shard_ &&
           index / shards_ % absl::GetFlag(FLAGS_one_of) == 0;
  }
  // False: something is wrong, and said.
  bool Add(const Findings& found) {
    ++races_;
    found_ += found;
    if (found.trouble.empty()) return true;
    std::fprintf(stderr, "%s\n\nThe script that does it:\n%s\n",
                 found.trouble.c_str(), found.script.c_str());
    return false;
  }
  void Print(const char* kind, const char* situation) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_)
            .count();
    std::printf("%-9s %-9s %8llu races %9llu orders (%llu cut short) %6.1f s\n",
                kind, situation, static_cast<unsigned long long>(races_),
                static_cast<unsigned long long>(found_.orders),
                static_cast<unsigned long long>(found_.cut), seconds);
    std::fflush(stdout);
  }

 private:
  const uint64_t shards_ = Environment("TEST_TOTAL_SHARDS", 1);
  const uint64_t shard_ = Environment("TEST_SHARD_INDEX", 0);
  const std::chrono::steady_clock::time_point start_ =
      std::chrono::steady_clock::now();
  uint64_t index_ = 0;
  uint64_t races_ = 0;
  Findings found_;
};

bool Pairs(const Situation& at, Tally& tally) {
  for (const std::string& a : at.operations) {
    for (const std::string& b : at.operations) {
      if (tally.IsMine() && !tally.Add(AllOrders({at.setup, {{a}, {b}}})))
        return false;
    }
  }
  return true;
}

bool Triples(const Situation& at, Tally& tally) {
  for (const std::string& a : at.hot) {
    for (const std::string& b : at.hot) {
      for (const std::string& c : at.hot) {
        if (tally.IsMine() && !tally.Add(AllOrders({at.setup, {{a}, {b}, {c}}},
                                                   {.preemptions = 2})))
          return false;
      }
    }
  }
  return true;
}

bool Sequences(const Situation& at, Tally& tally) {
  for (const std::string& a : at.hot) {
    for (const std::string& b : at.hot) {
      for (const std::string& c : at.hot) {
        for (const std::string& d : at.hot) {
          if (tally.IsMine() &&
              !tally.Add(AllOrders({at.setup, {{a, b}, {c, d}}})))
            return false;
        }
      }
    }
  }
  return true;
}

bool Random(const Situation& at, Tally& tally) {
  constexpr unsigned kDepth = 4;
  constexpr size_t kMostLines = 6;
  for (uint64_t i = 0; i < absl::GetFlag(FLAGS_races); ++i) {
    if (!tally.IsMine()) continue;
    const uint64_t seed = absl::GetFlag(FLAGS_seed) + i;
    std::mt19937_64 random(seed);
    Race race{at.setup, std::vector<std::vector<std::string>>(4)};
    for (std::vector<std::string>& lines : race.cpus) {
      for (size_t left = 1 + random() % kMostLines; left > 0; --left)
        lines.push_back(at.operations[random() % at.operations.size()]);
    }
    if (!tally.Add(
            RandomOrders(race, absl::GetFlag(FLAGS_orders), kDepth, seed)))
      return false;
  }
  return true;
}

int Main(const std::vector<char*>& arguments) {
  struct Kind {
    const char* name;
    unsigned cpus;
    bool (*all)(const Situation& at, Tally& tally);
  };
  constexpr Kind kKinds[] = {{"pairs", 2, Pairs},
                             {"triples", 3, Triples},
                             {"sequences", 2, Sequences},
                             {"random", 4, Random}};
  if (arguments.size() < 2) {
    std::fprintf(stderr, "which kind? pairs, triples, sequences or random\n");
    return 2;
  }
  for (const Kind& kind : kKinds) {
    if (kind.name != std::string(arguments[1])) continue;
    size_t done = 0;
    for (const Situation& at : Situations(kind.cpus)) {
      bool wanted = arguments.size() == 2;
      for (size_t i = 2; i < arguments.size(); ++i)
        wanted |= at.name == std::string(arguments[i]);
      if (!wanted) continue;
      ++done;
      Tally tally;
      if (!kind.all(at, tally)) return 1;
      tally.Print(kind.name, at.name);
    }
    if (done > 0) return 0;
    std::fprintf(stderr, "there is no such situation; see races.cc\n");
    return 2;
  }
  std::fprintf(stderr, "there is no kind %s\n", arguments[1]);
  return 2;
}

}  // namespace
}  // namespace holdfast::interleave

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "interleave pairs|triples|sequences|random [SITUATION...]");
  return holdfast::interleave::Main(absl::ParseCommandLine(argc, argv));
}
