// SPDX-License-Identifier: Apache-2.0
//
// The report's pictures: SVG, drawn by gnuplot. Each function writes one file;
// if gnuplot does not, the program ends.
#ifndef HOLDFAST_BENCHMARKS_PICTURES_H_
#define HOLDFAST_BENCHMARKS_PICTURES_H_

#include <string>
#include <vector>

#include "benchmarks/measured.h"

namespace holdfast::bench {

// A bar for each row, beside the reference's; marks for the bound and the goal.
void DrawRows(const std::string& file, const std::string& unit,
              const std::vector<Row>& rows);
// How many bytes each library has, by kind.
void DrawSize(const std::string& file, const std::vector<Library>& libraries);
// Which share of all calls takes more than so much, for each size of VM.
void DrawLatency(const std::string& file, const std::string& unit,
                 const std::vector<Latency>& all);
// Each call by itself: from the median to the longest.
void DrawCalls(const std::string& file, const std::string& unit,
               const std::vector<Latency>& all);
// Calls a second over threads, an operation a panel.
void DrawScaling(const std::string& file, const std::vector<Scaling>& all);

}  // namespace holdfast::bench

#endif  // HOLDFAST_BENCHMARKS_PICTURES_H_
