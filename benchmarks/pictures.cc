// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/pictures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "absl/container/btree_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace holdfast::bench {
namespace {

constexpr char kOurs[] = "#2b6cb0";
constexpr char kTheirs[] = "#dd8452";
constexpr char kBound[] = "#4a5568";
constexpr char kGoal[] = "#c53030";
// Of lines and parts of a bar, in their order.
constexpr const char* kColours[] = {"#2b6cb0", "#dd8452", "#55a868",
                                    "#8172b3", "#c53030", "#64748b"};
constexpr char kKeyAbove[] = "set key above left maxrows 1 samplen 2 width 1\n";
constexpr size_t kColourCount = sizeof(kColours) / sizeof(kColours[0]);

void Gnuplot(const std::string& file, const std::string& script) {
  std::FILE* const pipe = popen("gnuplot -", "w");
  const bool written = pipe != nullptr && std::fputs(script.c_str(), pipe) >= 0;
  if (pipe == nullptr || pclose(pipe) != 0 || !written) {
    std::fprintf(stderr, "bench: gnuplot did not draw %s\n", file.c_str());
    std::exit(2);
  }
}

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "'"}}), "\"");
}

std::string Start(const std::string& file, int width, int height) {
  return absl::StrFormat(
      "set terminal svg noenhanced size %d,%d font \"sans,12\" "
      "background \"#ffffff\"\n"
      "set output %s\n"
      "set grid x lc rgb \"#e2e8f0\" lt 1\nset border 3 lc rgb \"#718096\"\n"
      "set xtics nomirror tc rgb \"#1a202c\"\n"
      "set ytics nomirror tc rgb \"#1a202c\"\n",
      width, height, Quoted(file));
}

// Texts beside rows, from the top down, on axis y or y2; row i is at y = -i.
std::string RowTexts(const char* axis, const std::vector<std::string>& texts) {
  std::string tics = absl::StrCat("set ", axis, "tics scale 0 nomirror (");
  for (size_t i = 0; i < texts.size(); ++i)
    absl::StrAppend(&tics, i == 0 ? "" : ", ", Quoted(texts[i]), " -", i);
  return absl::StrFormat("%s) tc rgb \"#1a202c\"\nset %srange [%d.4:0.6]\n",
                         tics, axis, -static_cast<int>(texts.size()) + 1);
}

// A number as it stands beside bars.
std::string Short(double value) {
  if (value >= 1e6) return absl::StrFormat("%.1f M", value / 1e6);
  if (value >= 1e4) return absl::StrFormat("%.1f k", value / 1e3);
  return absl::StrFormat("%.*f", value < 100 ? 1 : 0, value);
}

std::string LogAxis(const std::string& unit, double least, double most) {
  return absl::StrFormat(
      "set logscale x\nset xrange [%g:%g]\nset format x \"%%g\"\n"
      "set mxtics 10\nset xlabel %s\n",
      std::pow(10, std::floor(std::log10(least))), most,
      Quoted(absl::StrCat(unit, " (log)")));
}

}  // namespace

void DrawRows(const std::string& file, const std::string& unit,
              const std::vector<Row>& rows) {
  double least = 1e18, most = 1;
  std::vector<std::string> names, numbers;
  // x y, and of bars from where to where.
  std::string ours, theirs, bound, goal;
  for (const Row& row : rows) {
    const bool two = row.reference > 0;
    const int y = -static_cast<int>(names.size());
    names.push_back(row.name);
    numbers.push_back(
        two ? absl::StrCat(Short(row.value), " of ", Short(row.reference))
            : Short(row.value));
    least = std::min({least, row.value, row.bound > 0 ? row.bound : least});
    most = std::max({most, row.value, row.reference});
    absl::StrAppendFormat(&ours, "%g %d %g %g\n", row.value, y,
                          y + (two ? 0.02 : -0.17), y + (two ? 0.36 : 0.17));
    if (two) {
      absl::StrAppendFormat(&theirs, "%g %d %g %g\n", row.reference, y,
                            y - 0.36, y - 0.02);
    }
    if (row.bound > 0) absl::StrAppendFormat(&bound, "%g %d\n", row.bound, y);
    if (two && row.goal < 1) {
      absl::StrAppendFormat(&goal, "%g %d\n", row.goal * row.reference, y);
    }
  }
  const double left = std::pow(10, std::floor(std::log10(least / 1.5)));
  std::vector<std::string> plots;
  const auto bars = [&](const std::string& data, const char* name,
                        const char* colour, const char* title) {
    if (data.empty()) return;
    plots.push_back(absl::StrFormat(
        "%s using 1:2:(%g):1:3:4 with boxxyerror lc rgb \"%s\" title \"%s\"",
        name, left, colour, title));
  };
  const auto marks = [&](const std::string& data, const char* name,
                         const char* colour, const char* title) {
    if (data.empty()) return;
    plots.push_back(absl::StrFormat(
        "%s using 1:($2-0.42):(0):(0.84) with vectors nohead lw 3 "
        "lc rgb \"%s\" title \"%s\"",
        name, colour, title));
  };
  bars(ours, "$ours", kOurs, "Holdfast");
  bars(theirs, "$theirs", kTheirs, "reference");
  marks(bound, "$bound", kBound, "bound");
  marks(goal, "$goal", kGoal, "goal");
  std::string script =
      Start(file, 1100, 90 + 34 * static_cast<int>(rows.size()));
  absl::StrAppend(&script, RowTexts("y", names), RowTexts("y2", numbers),
                  LogAxis(unit, left, most * 1.3), kKeyAbove,
                  "set style fill solid\n$ours << E\n", ours,
                  "E\n$theirs << E\n", theirs, "E\n$bound << E\n", bound,
                  "E\n$goal << E\n", goal, "E\nplot ");
  for (size_t i = 0; i < plots.size(); ++i)
    absl::StrAppend(&script, i == 0 ? "" : ", ", plots[i]);
  Gnuplot(file, absl::StrCat(script, "\n"));
}

void DrawSize(const std::string& file, const std::vector<Library>& libraries) {
  static constexpr const char* kKinds[] = {"text", "rodata", "data", "bss"};
  std::vector<std::string> names;
  std::string data;
  for (const Library& library : libraries) {
    absl::StrAppend(&data, -static_cast<int>(names.size()));
    double sum = 0;
    for (const double bytes : library.bytes)
      absl::StrAppend(&data, " ", sum += bytes / 1024);
    absl::StrAppendFormat(&data, " \"%.0f KiB\"\n", sum);
    names.push_back(library.name);
  }
  std::string script =
      Start(file, 1100, 90 + 30 * static_cast<int>(libraries.size()));
  absl::StrAppend(&script, RowTexts("y", names),
                  "set xlabel \"KiB\"\nset xrange [0:*]\n", kKeyAbove,
                  "set style fill solid\n$size << E\n", data, "E\nplot ");
  for (int kind = 0; kind < 4; ++kind) {
    const std::string left = kind == 0 ? "(0)" : absl::StrCat(kind + 1);
    absl::StrAppendFormat(&script,
                          "$size using %d:1:%s:%d:($1-0.3):($1+0.3) "
                          "with boxxyerror lc rgb \"%s\" title \"%s\", ",
                          kind + 2, left, kind + 2, kColours[kind],
                          kKinds[kind]);
  }
  absl::StrAppend(&script,
                  "$size using 5:1:6 with labels left offset 0.5,0 "
                  "font \"sans,10\" notitle\n");
  Gnuplot(file, script);
}

void DrawLatency(const std::string& file, const std::string& unit,
                 const std::vector<Latency>& all) {
  absl::btree_map<uint64_t, Latency> sizes;
  for (const Latency& latency : all) {
    for (const auto& [took, count] : latency.calls)
      sizes[latency.gib].calls[took] += count;
  }
  std::string script = Start(file, 1100, 460);
  absl::StrAppend(&script,
                  "set logscale xy\nset grid x y lc rgb \"#e2e8f0\" lt 1\n"
                  "set format x \"%g\"\nset format y \"%g\"\n"
                  "set xlabel ",
                  Quoted(absl::StrCat(unit, " (log)")),
                  "\nset ylabel \"share of calls that take more (log)\"\n"
                  "set yrange [*:1.2]\nset key top right\n");
  std::string plot = "plot ";
  size_t i = 0;
  for (const auto& [gib, latency] : sizes) {
    const auto number = static_cast<double>(latency.number());
    absl::StrAppend(&script, "$d", i, " << E\n");
    double more = number;
    absl::StrAppendFormat(&script, "%d 1\n", latency.calls.begin()->first);
    for (const auto& [took, count] : latency.calls) {
      more -= static_cast<double>(count);
      // The longest has none above it: its line ends at one call's share.
      absl::StrAppendFormat(&script, "%d %g\n", took,
                            std::max(more, 0.5) / number);
    }
    absl::StrAppend(&script, "E\n");
    absl::StrAppendFormat(
        &plot, "%s$d%d using 1:2 with steps lw 2 lc rgb \"%s\" title %s",
        i == 0 ? "" : ", ", i, kColours[i % kColourCount],
        Quoted(absl::StrFormat("VMs of %d GiB: %.0f calls", gib, number)));
    ++i;
  }
  Gnuplot(file, absl::StrCat(script, plot, "\n"));
}

void DrawCalls(const std::string& file, const std::string& unit,
               const std::vector<Latency>& all) {
  std::vector<std::string> names;
  std::vector<uint64_t> sizes;
  const auto index = [](auto& list, const auto& value) {
    const auto at = std::find(list.begin(), list.end(), value);
    if (at != list.end()) return at - list.begin();
    list.push_back(value);
    return static_cast<std::ptrdiff_t>(list.size() - 1);
  };
  double least = 1e18, most = 1;
  for (const Latency& latency : all) {
    index(names, latency.call);
    index(sizes, latency.gib);
    least = std::min(least, static_cast<double>(latency.calls.begin()->first));
    most = std::max(most, static_cast<double>(latency.longest()));
  }
  std::string script =
      Start(file, 1100, 90 + 30 * static_cast<int>(names.size()));
  absl::StrAppend(&script, RowTexts("y", names),
                  LogAxis(unit, std::max(least, 1.0), most * 2), kKeyAbove);
  std::string plot = "plot ";
  const double step = 0.7 / static_cast<double>(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    absl::StrAppend(&script, "$d", i, " << E\n");
    for (const Latency& latency : all) {
      if (latency.gib != sizes[i]) continue;
      absl::StrAppendFormat(&script, "%g %d %d %d\n",
                            0.35 - step / 2 - step * static_cast<double>(i) -
                                static_cast<double>(index(names, latency.call)),
                            latency.Quantile(0.5), latency.Quantile(0.99),
                            latency.longest());
    }
    absl::StrAppend(&script, "E\n");
    const char* const colour = kColours[i % kColourCount];
    absl::StrAppendFormat(
        &plot,
        "%s$d%d using 2:1:($4-$2):(0) with vectors nohead lw 2 lc rgb \"%s\" "
        "notitle, $d%d using 2:1 with points pt 7 ps 0.6 lc rgb \"%s\" "
        "title %s, $d%d using 3:1 with points pt 2 ps 0.6 lc rgb \"%s\" "
        "notitle, $d%d using 4:1 with points pt 9 ps 0.8 "
        "lc rgb \"%s\" notitle",
        i == 0 ? "" : ", ", i, colour, i, colour,
        Quoted(absl::StrFormat("VMs of %d GiB", sizes[i])), i, colour, i,
        colour);
  }
  Gnuplot(file, absl::StrCat(script, plot, "\n"));
}

void DrawScaling(const std::string& file, const std::vector<Scaling>& all) {
  constexpr int kColumns = 3;
  const int lines = (static_cast<int>(all.size()) + kColumns - 1) / kColumns;
  std::string script = Start(file, 1100, 260 * lines);
  absl::StrAppendFormat(
      &script,
      "set multiplot layout %d,%d\nset grid x y lc rgb \"#e2e8f0\" lt 1\n"
      "set xlabel \"threads\"\nset format y \"%%.1s %%c\"\n"
      "set ylabel \"calls a second\"\nset yrange [0:*]\n"
      "set key above center maxrows 1 samplen 2 font \"sans,10\"\n",
      lines, kColumns);
  for (const Scaling& scaling : all) {
    uint64_t most = 1;
    const auto data = [&](const char* name,
                          const absl::btree_map<uint64_t, double>& calls) {
      absl::StrAppend(&script, name, " << E\n");
      for (const auto& [threads, number] : calls) {
        absl::StrAppendFormat(&script, "%d %g\n", threads, number);
        most = std::max(most, threads);
      }
      absl::StrAppend(&script, "E\n");
    };
    data("$own", scaling.own_vm);
    // One thread has one VM: that is where both lines begin.
    absl::btree_map<uint64_t, double> same = scaling.same_vm;
    if (!same.empty() && scaling.own_vm.contains(1))
      same.insert({1, scaling.own_vm.at(1)});
    data("$same", same);
    const double one = scaling.own_vm.contains(1) ? scaling.own_vm.at(1) : 0;
    absl::StrAppendFormat(
        &script, "set title %s\nset xrange [0.8:%g]\nset xtics 1\nplot ",
        Quoted(scaling.operation), static_cast<double>(most) + 0.2);
    if (one > 0) {
      absl::StrAppendFormat(
          &script, "%g*x with lines dt 2 lc rgb \"#a0aec0\" title \"ideal\", ",
          one);
    }
    absl::StrAppendFormat(
        &script,
        "$own with linespoints pt 7 ps 0.6 lw 2 lc rgb \"%s\" title \"%s\"",
        kOurs, same.empty() ? "calls" : "a VM each");
    if (!same.empty()) {
      absl::StrAppendFormat(
          &script,
          ", $same with linespoints pt 5 ps 0.6 lw 2 lc rgb \"%s\" "
          "title \"one VM\"",
          kTheirs);
    }
    absl::StrAppend(&script, "\n");
  }
  Gnuplot(file, script);
}

}  // namespace holdfast::bench
