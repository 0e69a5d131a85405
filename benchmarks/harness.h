// SPDX-License-Identifier: Apache-2.0
//
// What the programs of benchmarks/ share: operations with what the project
// measures itself against, timed beside it, or run once for callgrind
// (instructions.sh). Included by one source file of a program.
#ifndef HOLDFAST_BENCHMARKS_HARNESS_H_
#define HOLDFAST_BENCHMARKS_HARNESS_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "benchmark/benchmark.h"

namespace holdfast::bench {

inline constexpr double kNone = -1;

// An operation: how to come to its start, and the run that is measured. A
// negative number: there is none.
template <class World>
struct Operation {
  const char* key;
  const char* name;
  double reference_ns;
  double reference_ir;
  double bound_ns;
  double bound_ir;
  double goal;  // instructions: at most this share of the reference's
  uint64_t units;
  void (*prepare)(World&);
  void (*run)(World&);
};

// What callgrind counts (--toggle-collect): the operation and nothing else. Not
// optimised: a copy that is would have another name.
extern "C" [[clang::optnone, gnu::noinline]] inline void holdfast_measured(
    void (*run)(void*), void* world) {
  run(world);
}

template <class World>
class Program {
 public:
  using Op = Operation<World>;

  // `make` gives the world that an operation starts from.
  Program(std::span<const Op> operations,
          std::unique_ptr<World> (*make)(const Op&))
      : operations_(operations), make_(make) {}

  int Main(int argc, char** argv) {
    constexpr std::string_view kCount = "--count=";
    if (argc == 2 && std::string_view(argv[1]).starts_with(kCount))
      return Count(std::string_view(argv[1]).substr(kCount.size()));
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    // By number, not by time: setting up takes far longer than some operations
    // do, and is not in the time that would be counted.
    constexpr int kRuns = 100;
    for (const Op& operation : operations_) {
      benchmark::RegisterBenchmark(
          operation.key,
          [&](benchmark::State& state) { Run(state, operation); })
          ->UseManualTime()
          ->Iterations(kRuns)
          ->Unit(benchmark::kMillisecond);
    }
    Table table(operations_);
    benchmark::RunSpecifiedBenchmarks(&table);
    return 0;
  }

 private:
  // What holdfast_measured calls.
  struct Call {
    const Op* operation;
    World* world;
  };
  static void Measure(const Op& operation, World& world) {
    Call call{&operation, &world};
    holdfast_measured(
        [](void* raw) {
          const Call& c = *static_cast<Call*>(raw);
          c.operation->run(*c.world);
        },
        &call);
  }

  void Run(benchmark::State& state, const Op& operation) {
    double seconds = 0;
    uint64_t runs = 0;
    double best = 1e9;
    for (auto _ : state) {
      const std::unique_ptr<World> world = make_(operation);
      operation.prepare(*world);
      const auto start = std::chrono::steady_clock::now();
      Measure(operation, *world);
      const std::chrono::duration<double> took =
          std::chrono::steady_clock::now() - start;
      state.SetIterationTime(took.count());
      seconds += took.count();
      best = std::min(best, took.count());
      ++runs;
    }
    state.counters["ns_per_unit"] =
        seconds / static_cast<double>(runs * operation.units) * 1e9;
    state.counters["best_ns_per_unit"] =
        best / static_cast<double>(operation.units) * 1e9;
  }

  // Prints what Google Benchmark prints, and then all of it beside the
  // reference.
  class Table : public benchmark::ConsoleReporter {
   public:
    explicit Table(std::span<const Op> operations)
        : operations_(operations), ns_(operations.size()) {}

    void ReportRuns(const std::vector<Run>& runs) override {
      ConsoleReporter::ReportRuns(runs);
      for (const Run& run : runs) {
        const auto best = run.counters.find("best_ns_per_unit");
        if (best == run.counters.end() || run.error_occurred) continue;
        for (size_t i = 0; i < operations_.size(); ++i) {
          if (run.run_name.function_name != operations_[i].key) continue;
          if (ns_[i] == 0 || best->second.value < ns_[i])
            ns_[i] = best->second.value;
        }
      }
    }
    void Finalize() override {
      ConsoleReporter::Finalize();
      std::printf("\n%-52s %12s %10s %8s %10s\n", "ns, best run", "reference",
                  "Holdfast", "ratio", "bound");
      for (size_t i = 0; i < operations_.size(); ++i) {
        if (ns_[i] == 0) continue;
        const Op& o = operations_[i];
        if (o.reference_ns > 0) {
          std::printf("%-52s %12.1f %10.2f %8.2f %10.2f\n", o.name,
                      o.reference_ns, ns_[i], ns_[i] / o.reference_ns,
                      o.bound_ns);
        } else {
          std::printf("%-52s %12s %10.2f %8s %10s\n", o.name, "-", ns_[i], "-",
                      "-");
        }
      }
    }

   private:
    const std::span<const Op> operations_;
    std::vector<double> ns_;
  };

  // For instructions.sh: one operation, once; or the list of them.
  int Count(std::string_view key) {
    for (const Op& operation : operations_) {
      if (key == "list") {
        std::printf("%s|%s|%g|%g|%g|%g|%llu\n", operation.key, operation.name,
                    operation.reference_ir, operation.bound_ir, operation.goal,
                    operation.reference_ns,
                    static_cast<unsigned long long>(operation.units));
      } else if (key == operation.key) {
        const std::unique_ptr<World> world = make_(operation);
        operation.prepare(*world);
        Measure(operation, *world);
        return 0;
      }
    }
    return key == "list" ? 0 : 1;
  }

  const std::span<const Op> operations_;
  std::unique_ptr<World> (*const make_)(const Op&);
};

}  // namespace holdfast::bench

#endif  // HOLDFAST_BENCHMARKS_HARNESS_H_
