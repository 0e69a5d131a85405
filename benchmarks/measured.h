// SPDX-License-Identifier: Apache-2.0
//
// What the programs of benchmarks/ measured, as report.cc reads it from their
// files. A file that cannot be read, or a line that is none, ends the program.
#ifndef HOLDFAST_BENCHMARKS_MEASURED_H_
#define HOLDFAST_BENCHMARKS_MEASURED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"

namespace holdfast::bench {

// More than this share above the baseline is a regression.
inline constexpr double kTolerance = 0.03;

// One operation's instructions, or bytes of something.
struct Row {
  std::string key, name;
  double value = 0;
  // Negative: there is none. `goal` is a share of the reference.
  double reference = -1, bound = -1, goal = -1;
  std::optional<double> baseline;
  std::optional<double> ns;

  double change() const {
    return baseline.has_value() && *baseline > 0 ? value / *baseline - 1 : 0;
  }
  bool worse() const { return change() > kTolerance; }
  bool missed() const { return reference > 0 && value > goal * reference; }
};
using Programs = absl::btree_map<std::string, std::vector<Row>>;

// How many calls of a VM of so many GiB took so much.
struct Latency {
  uint64_t gib = 0;
  std::string call;
  // By what they took, ascending: calls that took it.
  absl::btree_map<uint64_t, uint64_t> calls;

  uint64_t number() const;
  uint64_t longest() const { return calls.empty() ? 0 : calls.rbegin()->first; }
  // What `share` of the calls do not exceed.
  uint64_t Quantile(double share) const;
};

// Calls a second of so many threads.
struct Scaling {
  std::string operation;
  // By number of threads.
  absl::btree_map<uint64_t, double> own_vm, same_vm;
};

// Bytes of one library in the image, by kind: text, rodata, data, bss.
struct Library {
  std::string name;
  std::vector<double> bytes;
};

std::string ReadFile(const std::string& path);

// key|name|value|reference|bound|goal
std::vector<Row> ReadRows(const std::string& path);
// Google Benchmark's JSON: into the rows of the same key.
void ReadTimes(const std::string& path, std::vector<Row>& rows);
// LATENCY|GIB|CALL|STEPS|CALLS, or LATENCY_NS with nanoseconds; `kind` says
// which, all other lines are left out.
std::vector<Latency> ReadLatency(const std::string& path,
                                 const std::string& kind);
// SCALING|OPERATION|THREADS|own_vm or same_vm|CALLS A SECOND; others left out.
std::vector<Scaling> ReadScaling(const std::string& path);
// What //platforms:qemu_virt_size prints; without the total.
std::vector<Library> ReadSize(const std::string& path);

}  // namespace holdfast::bench

#endif  // HOLDFAST_BENCHMARKS_MEASURED_H_
