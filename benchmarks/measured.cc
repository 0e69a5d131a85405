// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/measured.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace holdfast::bench {
namespace {

[[noreturn]] void Stop(const char* what, const std::string& which) {
  std::fprintf(stderr, "bench: %s: %s\n", what, which.c_str());
  std::exit(2);
}

std::vector<std::string> Lines(const std::string& path) {
  return absl::StrSplit(ReadFile(path), '\n', absl::SkipEmpty());
}

}  // namespace

uint64_t Latency::number() const {
  uint64_t sum = 0;
  for (const auto& [took, count] : calls) sum += count;
  return sum;
}

uint64_t Latency::Quantile(double share) const {
  const double want = share * static_cast<double>(number());
  uint64_t seen = 0;
  for (const auto& [took, count] : calls) {
    seen += count;
    if (static_cast<double>(seen) >= want) return took;
  }
  return longest();
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) Stop("cannot read", path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<Row> ReadRows(const std::string& path) {
  std::vector<Row> rows;
  for (const std::string& line : Lines(path)) {
    const std::vector<std::string> fields = absl::StrSplit(line, '|');
    Row row;
    if (fields.size() != 6 || !absl::SimpleAtod(fields[2], &row.value) ||
        !absl::SimpleAtod(fields[3], &row.reference) ||
        !absl::SimpleAtod(fields[4], &row.bound) ||
        !absl::SimpleAtod(fields[5], &row.goal))
      Stop("not a line of instructions.sh", line);
    row.key = fields[0];
    row.name = fields[1];
    rows.push_back(row);
  }
  return rows;
}

void ReadTimes(const std::string& path, std::vector<Row>& rows) {
  using Json = nlohmann::json;
  const Json json = Json::parse(ReadFile(path), nullptr, false);
  for (const Json& run : json.value("benchmarks", Json::array())) {
    const std::string name = run.value("name", "");
    for (Row& row : rows) {
      // "key/iterations:100/manual_time"
      if (name.substr(0, name.find('/')) == row.key &&
          run.contains("best_ns_per_unit"))
        row.ns = run["best_ns_per_unit"].get<double>();
    }
  }
}

std::vector<Latency> ReadLatency(const std::string& path,
                                 const std::string& kind) {
  std::vector<Latency> all;
  for (const std::string& line : Lines(path)) {
    const std::vector<std::string> fields = absl::StrSplit(line, '|');
    if (fields[0] != kind) continue;
    uint64_t gib, took, count;
    if (fields.size() != 5 || !absl::SimpleAtoi(fields[1], &gib) ||
        !absl::SimpleAtoi(fields[3], &took) ||
        !absl::SimpleAtoi(fields[4], &count))
      Stop("not a line of latency's", line);
    if (all.empty() || all.back().gib != gib || all.back().call != fields[2])
      all.push_back({.gib = gib, .call = fields[2], .calls = {}});
    all.back().calls[took] += count;
  }
  return all;
}

std::vector<Scaling> ReadScaling(const std::string& path) {
  std::vector<Scaling> all;
  for (const std::string& line : Lines(path)) {
    const std::vector<std::string> fields = absl::StrSplit(line, '|');
    if (fields[0] != "SCALING") continue;
    uint64_t threads;
    double calls;
    if (fields.size() != 5 || !absl::SimpleAtoi(fields[2], &threads) ||
        (fields[3] != "own_vm" && fields[3] != "same_vm") ||
        !absl::SimpleAtod(fields[4], &calls))
      Stop("not a line of scaling's", line);
    if (all.empty() || all.back().operation != fields[1])
      all.push_back({.operation = fields[1], .own_vm = {}, .same_vm = {}});
    (fields[3] == "own_vm" ? all.back().own_vm : all.back().same_vm)[threads] =
        calls;
  }
  return all;
}

std::vector<Library> ReadSize(const std::string& path) {
  std::vector<Library> all;
  for (const std::string& line : Lines(path)) {
    const std::vector<std::string> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() != 6 || fields[0] == "library" || fields[0] == "total")
      continue;
    Library library = {.name = fields[0], .bytes = {}};
    for (size_t i = 1; i <= 4; ++i) {
      double bytes;
      if (!absl::SimpleAtod(fields[i], &bytes))
        Stop("not a line of the size", line);
      library.bytes.push_back(bytes);
    }
    all.push_back(library);
  }
  return all;
}

}  // namespace holdfast::bench
