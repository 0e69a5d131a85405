// SPDX-License-Identifier: Apache-2.0
#include "benchmark/benchmark.h"

namespace {

void BM_Nothing(benchmark::State& state) {
  for (auto _ : state) {
    int value = 1;
    benchmark::DoNotOptimize(value);
  }
}
BENCHMARK(BM_Nothing);

}  // namespace
