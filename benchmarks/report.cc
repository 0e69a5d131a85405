// SPDX-License-Identifier: Apache-2.0
//
// Reads what the programs of benchmarks/ measured, compares instructions with
// the baseline that is kept, and makes a page of it: tables, and pictures by
// gnuplot. bench.sh runs it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

ABSL_FLAG(std::vector<std::string>, instructions, {},
          "PROGRAM=FILE of instructions.sh --lines, several with commas");
ABSL_FLAG(std::vector<std::string>, times, {},
          "PROGRAM=FILE of Google Benchmark's JSON, several with commas");
ABSL_FLAG(std::string, size, "", "what //platforms:qemu_virt_size printed");
ABSL_FLAG(std::string, baseline, "", "the numbers that are kept (JSON)");
ABSL_FLAG(bool, update, false, "keep these numbers instead");
ABSL_FLAG(std::string, report, "", "a folder for index.html and pictures");

namespace holdfast::bench {
namespace {

using Json = nlohmann::json;

// More than this share above the baseline is a regression.
constexpr double kTolerance = 0.03;

struct Row {
  std::string key, name;
  double ir = 0;
  // Negative: there is none.
  double reference = -1, bound = -1, goal = -1;
  std::optional<double> baseline;
  std::optional<double> ns;

  double change() const {
    return baseline.has_value() && *baseline > 0 ? ir / *baseline - 1 : 0;
  }
  bool worse() const { return change() > kTolerance; }
  bool missed() const { return reference > 0 && ir > goal * reference; }
};

using Programs = absl::btree_map<std::string, std::vector<Row>>;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    std::fprintf(stderr, "bench: cannot read %s\n", path.c_str());
    std::exit(2);
  }
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "NAME=FILE" of the flags.
std::pair<std::string, std::string> Split(const std::string& flag) {
  return absl::StrSplit(flag, absl::MaxSplits('=', 1));
}

Programs ReadInstructions() {
  Programs programs;
  for (const std::string& flag : absl::GetFlag(FLAGS_instructions)) {
    const auto [program, file] = Split(flag);
    for (absl::string_view line :
         absl::StrSplit(ReadFile(file), '\n', absl::SkipEmpty())) {
      const std::vector<std::string> fields = absl::StrSplit(line, '|');
      Row row;
      if (fields.size() != 6 || !absl::SimpleAtod(fields[2], &row.ir) ||
          !absl::SimpleAtod(fields[3], &row.reference) ||
          !absl::SimpleAtod(fields[4], &row.bound) ||
          !absl::SimpleAtod(fields[5], &row.goal)) {
        std::fprintf(stderr, "bench: not a line of instructions.sh: %s\n",
                     std::string(line).c_str());
        std::exit(2);
      }
      row.key = fields[0];
      row.name = fields[1];
      programs[program].push_back(row);
    }
  }
  return programs;
}

void ReadTimes(Programs& programs) {
  for (const std::string& flag : absl::GetFlag(FLAGS_times)) {
    const auto [program, file] = Split(flag);
    const Json json = Json::parse(ReadFile(file), nullptr, false);
    for (const Json& run : json.value("benchmarks", Json::array())) {
      const std::string name = run.value("name", "");
      for (Row& row : programs[program]) {
        // "key/iterations:100/manual_time"
        if (name.substr(0, name.find('/')) == row.key &&
            run.contains("best_ns_per_unit"))
          row.ns = run["best_ns_per_unit"].get<double>();
      }
    }
  }
}

void Compare(Programs& programs, const std::string& path) {
  if (!std::filesystem::exists(path)) return;
  const Json json = Json::parse(ReadFile(path), nullptr, false);
  for (auto& [program, rows] : programs) {
    for (Row& row : rows) {
      const Json of = json.value(program, Json::object());
      if (of.contains(row.key)) row.baseline = of[row.key].get<double>();
    }
  }
}

void Keep(const Programs& programs, const std::string& path) {
  Json json;
  for (const auto& [program, rows] : programs) {
    for (const Row& row : rows) json[program][row.key] = row.ir;
  }
  std::ofstream(path) << json.dump(2) << "\n";
}

// ---- The report
// --------------------------------------------------------------

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

// Bars of Holdfast, the reference and the bound on a log scale, as SVG.
void Draw(const std::string& folder, const std::string& program,
          const std::vector<Row>& rows) {
  const std::string stem = absl::StrCat(folder, "/", program);
  {
    std::ofstream data(stem + ".dat");
    for (const Row& row : rows) {
      data << '"' << row.name << "\" " << row.ir;
      for (const double other : {row.reference, row.bound}) {
        if (other > 0) {
          data << ' ' << other;
        } else {
          data << " ?";
        }
      }
      data << '\n';
    }
    std::ofstream script(stem + ".gnuplot");
    script << absl::StrFormat(
        R"gp(set terminal svg noenhanced size 1100,620 font "sans,12"
set output "%s.svg"
set datafile missing "?"
set style data histograms
set style histogram clustered gap 1
set style fill solid
set logscale y
set ylabel "instructions (log)"
set xtics nomirror rotate by -40
set rmargin 14
set grid ytics
set key outside top horizontal
plot "%s.dat" using 2:xtic(1) title "Holdfast" lc rgb "#2b6cb0", \
     "" using 3 title "reference" lc rgb "#c05621", \
     "" using 4 title "bound" lc rgb "#a0aec0"
)gp",
        stem, stem);
  }
  if (std::system(absl::StrCat("gnuplot ", stem, ".gnuplot").c_str()) != 0) {
    std::fprintf(stderr, "bench: gnuplot did not draw %s.svg\n", stem.c_str());
    std::exit(2);
  }
  std::filesystem::remove(stem + ".dat");
  std::filesystem::remove(stem + ".gnuplot");
}

std::string Number(double value) {
  return value < 0 ? "&ndash;" : absl::StrFormat("%.1f", value);
}

void WriteReport(const Programs& programs, const std::string& folder) {
  std::ofstream page(folder + "/index.html");
  page << R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Holdfast, measured</title>
<style>
body { font: 15px/1.4 sans-serif; max-width: 1140px; margin: 2em auto; color: #1a202c; }
table { border-collapse: collapse; } td, th { padding: .15em .8em; text-align: right; }
td:first-child, th:first-child { text-align: left; }
tr:nth-child(even) { background: #f7fafc; } .bad { color: #c53030; font-weight: bold; }
pre { background: #f7fafc; padding: 1em; } img { max-width: 100%; }
</style></head><body>
<h1>Holdfast, measured</h1>
<p>Instructions are callgrind's: exact for one binary, the same on any machine.
Times are of this machine, best of many runs; compare them among themselves only.
Reference and bound: the program's source says what they are.</p>
)";
  for (const auto& [program, rows] : programs) {
    Draw(folder, program, rows);
    page
        << "<h2>//benchmarks:" << program << "</h2>\n<p><img src=\"" << program
        << ".svg\" alt=\"instructions of each operation\"></p>\n"
        << "<table><tr><th>operation</th><th>instructions</th><th>baseline</th>"
           "<th>change</th><th>reference</th><th>ratio</th><th>goal</th>"
           "<th>bound</th><th>ns</th></tr>\n";
    for (const Row& row : rows) {
      page << "<tr><td>" << Escaped(row.name) << "</td><td>" << Number(row.ir)
           << "</td><td>" << Number(row.baseline.value_or(-1)) << "</td><td"
           << (row.worse() ? " class=\"bad\">" : ">")
           << absl::StrFormat("%+.1f %%", row.change() * 100) << "</td><td>"
           << Number(row.reference) << "</td><td"
           << (row.missed() ? " class=\"bad\">" : ">")
           << (row.reference > 0
                   ? absl::StrFormat("%.3f", row.ir / row.reference)
                   : std::string("&ndash;"))
           << "</td><td>"
           << (row.reference > 0 ? absl::StrFormat("%.3f", row.goal)
                                 : std::string("&ndash;"))
           << "</td><td>" << Number(row.bound) << "</td><td>"
           << Number(row.ns.value_or(-1)) << "</td></tr>\n";
    }
    page << "</table>\n";
  }
  if (const std::string size = absl::GetFlag(FLAGS_size); !size.empty()) {
    page << "<h2>The EL2 image, by library</h2>\n<pre>"
         << Escaped(ReadFile(size)) << "</pre>\n";
  }
  page << "</body></html>\n";
  std::printf("report: %s/index.html\n", folder.c_str());
}

int Main() {
  Programs programs = ReadInstructions();
  ReadTimes(programs);
  const std::string baseline = absl::GetFlag(FLAGS_baseline);
  Compare(programs, baseline);
  int worse = 0;
  for (const auto& [program, rows] : programs) {
    for (const Row& row : rows) {
      if (row.worse()) {
        ++worse;
        std::printf("MORE: %s, %s: %.1f instructions, were %.1f (%+.1f %%)\n",
                    program.c_str(), row.name.c_str(), row.ir, *row.baseline,
                    row.change() * 100);
      } else if (!row.baseline.has_value()) {
        std::printf("new: %s, %s: %.1f instructions\n", program.c_str(),
                    row.name.c_str(), row.ir);
      }
      if (row.missed()) {
        std::printf("misses its goal: %s, %s: %.1f instructions, wanted %.1f\n",
                    program.c_str(), row.name.c_str(), row.ir,
                    row.goal * row.reference);
      }
    }
  }
  if (const std::string folder = absl::GetFlag(FLAGS_report); !folder.empty())
    WriteReport(programs, folder);
  if (absl::GetFlag(FLAGS_update)) {
    Keep(programs, baseline);
    return 0;
  }
  return worse == 0 ? 0 : 1;
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return holdfast::bench::Main();
}
