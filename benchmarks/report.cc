// SPDX-License-Identifier: Apache-2.0
//
// Reads what the programs of benchmarks/ measured, compares with the baseline
// that is kept, and makes a page of it: tables, and pictures by gnuplot.
// bench.sh runs it.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "benchmarks/measured.h"
#include "benchmarks/pictures.h"
#include "nlohmann/json.hpp"

ABSL_FLAG(std::vector<std::string>, instructions, {},
          "PROGRAM=FILE of lines as of instructions.sh, several with commas");
ABSL_FLAG(std::vector<std::string>, times, {},
          "PROGRAM=FILE of Google Benchmark's JSON, several with commas");
ABSL_FLAG(std::string, size, "", "what //platforms:qemu_virt_size printed");
ABSL_FLAG(std::vector<std::string>, latency, {},
          "files of LATENCY and LATENCY_NS lines, with commas");
ABSL_FLAG(std::vector<std::string>, scaling, {},
          "files of SCALING lines, with commas");
ABSL_FLAG(std::string, machine, "", "on what it was measured, a line each");
ABSL_FLAG(std::string, baseline, "", "the numbers that are kept (JSON)");
ABSL_FLAG(bool, update, false, "keep these numbers instead");
ABSL_FLAG(std::string, report, "", "a folder for index.html and pictures");

namespace holdfast::bench {
namespace {

using Json = nlohmann::json;

// What a program's numbers are.
struct About {
  const char* prefix;  // of its name
  const char* title;
  const char* unit;
  const char* command;
  const char* what;
};
constexpr About kAbout[] = {
    {"pgtable", "Page tables", "instructions",
     "bazel run //benchmarks:pgtable_instructions; times: "
     "//benchmarks:pgtable",
     "x86 instructions that callgrind counts: exact for one binary, the same "
     "on "
     "any machine. Times are of this one, best of 100 runs. Reference: Linux's "
     "pgtable.c in user space, its times of another machine. Bound: a bare "
     "table with neither locks nor checks."},
    {"hypercalls", "Calls, without the trap", "instructions",
     "bazel run //benchmarks:hypercalls_instructions; times: "
     "//benchmarks:hypercalls",
     "The same of calls, from registers to registers. The reference of forced "
     "reclaim is its page-table work only, without checks and locks."},
    {"el2", "Calls on the machine", "EL2 instructions",
     "bazel run //benchmarks:el2",
     "Arm instructions at EL2, from the trap to the ERET, which counts; "
     "the image in QEMU, one CPU, -icount shift=0. TLB and cache maintenance "
     "count one each. Reference: pKVM of Linux 6.12 on the same QEMU and CPU; "
     "its share_hyp also maps the page at EL2."},
    {"memory", "Memory of EL2", "bytes",
     "bazel run //benchmarks:memory, bazel run //benchmarks:el2 -- --memory",
     "Pages of 4 KiB. What EL2 takes at boot is all it ever takes; the tables "
     "are for the worst case, each page by itself. What a VM takes, its host "
     "gives. Reference: the record that pKVM keeps of each page."},
};

const About& AboutProgram(const std::string& program) {
  for (const About& about : kAbout) {
    if (absl::StartsWith(program, about.prefix)) return about;
  }
  static constexpr About kUnknown = {"", "", "", "", ""};
  return kUnknown;
}
bool IsBytes(const std::string& program) { return program == "memory"; }

// "NAME=FILE" of the flags.
std::pair<std::string, std::string> Split(const std::string& flag) {
  return absl::StrSplit(flag, absl::MaxSplits('=', 1));
}

void Compare(Programs& programs, const std::string& path) {
  if (!std::filesystem::exists(path)) return;
  const Json json = Json::parse(ReadFile(path), nullptr, false);
  for (auto& [program, rows] : programs) {
    const Json of = json.value(program, Json::object());
    for (Row& row : rows) {
      if (of.contains(row.key)) row.baseline = of[row.key].get<double>();
    }
  }
}

void Keep(const Programs& programs, const std::string& path) {
  Json json;
  for (const auto& [program, rows] : programs) {
    for (const Row& row : rows) json[program][row.key] = row.value;
  }
  std::ofstream(path) << json.dump(2) << "\n";
}

// ---- The page

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

constexpr char kNothing[] = "&ndash;";

std::string Number(double value, bool bytes) {
  if (value < 0) return kNothing;
  if (!bytes) return absl::StrFormat("%.1f", value);
  if (value < 1024) return absl::StrFormat("%.0f B", value);
  if (value < 1 << 20) return absl::StrFormat("%.0f KiB", value / 1024);
  return absl::StrFormat("%.2f MiB", value / (1 << 20));
}

std::string Cell(const std::string& text, bool bad = false) {
  return absl::StrCat(bad ? "<td class=\"bad\">" : "<td>", text, "</td>");
}

std::string Image(const std::string& name, const std::string& says) {
  return absl::StrFormat("<p><img src=\"%s.svg\" alt=\"%s\"></p>\n", name,
                         says);
}

std::string Heading(const std::string& title, const std::string& what,
                    const std::string& command) {
  return absl::StrFormat("<h2>%s</h2>\n<p>%s<br>\n<code>%s</code></p>\n",
                         Escaped(title), Escaped(what), Escaped(command));
}

std::string Table(const std::string& unit, bool bytes,
                  const std::vector<Row>& rows) {
  bool ns = false, bound = false;
  for (const Row& row : rows) {
    ns |= row.ns.has_value();
    bound |= row.bound > 0;
  }
  std::string table = absl::StrCat(
      "<table><tr><th>", bytes ? "of what" : "operation", "</th><th>", unit,
      "</th><th>baseline</th><th>change</th><th>reference</th><th>ratio</th>"
      "<th>goal</th>",
      bound ? "<th>bound</th>" : "", ns ? "<th>ns</th>" : "", "</tr>\n");
  for (const Row& row : rows) {
    const bool has = row.reference > 0;
    absl::StrAppend(
        &table, "<tr>", Cell(Escaped(row.name)), Cell(Number(row.value, bytes)),
        Cell(Number(row.baseline.value_or(-1), bytes)),
        Cell(row.baseline.has_value()
                 ? absl::StrFormat("%+.1f %%", row.change() * 100)
                 : kNothing,
             row.worse()),
        Cell(Number(row.reference, bytes)),
        Cell(
            has ? absl::StrFormat("%.3f", row.value / row.reference) : kNothing,
            row.missed()),
        Cell(has && row.goal < 1 ? absl::StrFormat("%.3f", row.goal)
                                 : kNothing),
        bound ? Cell(Number(row.bound, false)) : "",
        ns ? Cell(Number(row.ns.value_or(-1), false)) : "", "</tr>\n");
  }
  return absl::StrCat(table, "</table>\n");
}

std::string RowsSection(const std::string& folder, const std::string& program,
                        const std::vector<Row>& rows) {
  const About& about = AboutProgram(program);
  std::string section = Heading(absl::StrCat(about.title, " (", program, ")"),
                                about.what, about.command);
  if (!IsBytes(program)) {
    DrawRows(absl::StrCat(folder, "/", program, ".svg"), about.unit, rows);
    absl::StrAppend(&section, Image(program, "each operation, on a log scale"));
  }
  return absl::StrCat(section, Table(about.unit, IsBytes(program), rows));
}

// How long each call is: LatencySection and ScalingSection are empty if nobody
// measured.
std::string LatencySection(const std::string& folder, const std::string& kind,
                           const std::string& unit,
                           const std::string& program) {
  std::vector<Latency> all;
  for (const std::string& file : absl::GetFlag(FLAGS_latency)) {
    for (Latency& latency : ReadLatency(file, kind))
      all.push_back(std::move(latency));
  }
  if (all.empty()) return "";
  const std::string& name = program;
  DrawLatency(absl::StrCat(folder, "/", name, ".svg"), unit, all);
  DrawCalls(absl::StrCat(folder, "/", name, "_calls.svg"), unit, all);
  std::string section = absl::StrCat(
      Heading(
          absl::StrCat("How long single calls are: ", unit),
          "All calls of large VMs' lives. EL2 is not preemptible: the "
          "longest call must not depend on how large a VM is. Of each call: "
          "a dot is the median, a cross 99 %, a triangle the longest.",
          absl::StrCat("bazel run //benchmarks:", program)),
      Image(name, "share of calls that take more than so much"),
      Image(absl::StrCat(name, "_calls"), "each call, median to longest"),
      "<table><tr><th>call</th><th>GiB</th><th>calls</th><th>median</th>"
      "<th>99 %</th><th>99.9 %</th><th>longest</th></tr>\n");
  for (const Latency& latency : all) {
    absl::StrAppend(&section, "<tr>", Cell(Escaped(latency.call)),
                    Cell(absl::StrCat(latency.gib)),
                    Cell(absl::StrCat(latency.number())),
                    Cell(absl::StrCat(latency.Quantile(0.5))),
                    Cell(absl::StrCat(latency.Quantile(0.99))),
                    Cell(absl::StrCat(latency.Quantile(0.999))),
                    Cell(absl::StrCat(latency.longest())), "</tr>\n");
  }
  return absl::StrCat(section, "</table>\n");
}

std::string ScalingSection(const std::string& folder) {
  std::vector<Scaling> all;
  for (const std::string& file : absl::GetFlag(FLAGS_scaling)) {
    for (Scaling& scaling : ReadScaling(file))
      all.push_back(std::move(scaling));
  }
  if (all.empty()) return "";
  DrawScaling(absl::StrCat(folder, "/scaling.svg"), all);
  return absl::StrCat(
      Heading("Several CPUs at once",
              "Calls a second of all threads together, on this machine; the "
              "dashed line is what threads that never wait would make.",
              "bazel run //benchmarks:scaling"),
      Image("scaling", "calls a second over threads"));
}

std::string SizeSection(const std::string& folder) {
  const std::string size = absl::GetFlag(FLAGS_size);
  if (size.empty()) return "";
  DrawSize(absl::StrCat(folder, "/size.svg"), ReadSize(size));
  return absl::StrCat(
      Heading("The EL2 image, by library",
              "Bytes of QEMU virt's image, without its payload; platforms has "
              "the per-CPU blocks and stacks, (layout) is padding.",
              "bazel run //platforms:qemu_virt_size"),
      Image("size", "KiB of each library"), "<pre>", Escaped(ReadFile(size)),
      "</pre>\n");
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
<p>Change: against benchmarks/baseline.json; more than 3 % more is red, and so is
a ratio that misses its goal.</p>
)";
  if (const std::string machine = absl::GetFlag(FLAGS_machine);
      !machine.empty())
    page << "<pre>" << Escaped(machine) << "</pre>\n";
  for (const auto& [program, rows] : programs)
    page << RowsSection(folder, program, rows);
  page << LatencySection(folder, "LATENCY", "steps", "latency")
       << LatencySection(folder, "LATENCY_NS", "nanoseconds", "latency_time")
       << ScalingSection(folder) << SizeSection(folder) << "</body></html>\n";
  std::printf("report: %s/index.html\n", folder.c_str());
}

void PrintMemory(const std::vector<Row>& rows) {
  std::printf("%-52s %14s %12s\n", "memory of EL2", "Holdfast", "reference");
  for (const Row& row : rows) {
    std::printf("%-52s %14s %12s\n", row.name.c_str(),
                Number(row.value, true).c_str(),
                row.reference > 0 ? Number(row.reference, true).c_str() : "-");
  }
}

int Main() {
  Programs programs;
  for (const std::string& flag : absl::GetFlag(FLAGS_instructions)) {
    const auto [program, file] = Split(flag);
    for (Row& row : ReadRows(file)) programs[program].push_back(std::move(row));
  }
  for (const std::string& flag : absl::GetFlag(FLAGS_times)) {
    const auto [program, file] = Split(flag);
    ReadTimes(file, programs[program]);
  }
  const std::string baseline = absl::GetFlag(FLAGS_baseline);
  Compare(programs, baseline);
  int worse = 0;
  for (const auto& [program, rows] : programs) {
    const char* const unit = AboutProgram(program).unit;
    for (const Row& row : rows) {
      if (row.worse()) {
        ++worse;
        std::printf("MORE: %s, %s: %.1f %s, were %.1f (%+.1f %%)\n",
                    program.c_str(), row.name.c_str(), row.value, unit,
                    *row.baseline, row.change() * 100);
      } else if (!row.baseline.has_value()) {
        std::printf("new: %s, %s: %.1f %s\n", program.c_str(), row.name.c_str(),
                    row.value, unit);
      }
      if (row.missed()) {
        std::printf("misses its goal: %s, %s: %.1f %s, wanted %.1f\n",
                    program.c_str(), row.name.c_str(), row.value, unit,
                    row.goal * row.reference);
      }
    }
  }
  if (programs.contains("memory")) PrintMemory(programs["memory"]);
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
