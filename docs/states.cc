// SPDX-License-Identifier: Apache-2.0
//
// Writes docs/states.md (`states --md`) or the graph of its picture
// (`states --dot`), of the matrices that the tests run.
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "hyp/life_cycle_matrix.h"
#include "mem_protect/matrix.h"

namespace holdfast::docs {
namespace {

namespace pages = mem_protect::matrix;
namespace life = hyp::life_cycle_matrix;

// ---- The picture ------------------------------------------------------------

// The node of a state: however often, and by whom, a page is shared with guests
// or pinned, it is one node.
std::string NodeOf(std::string state) {
  if (state.rfind("C pinned", 0) == 0) return "C pinned";
  if (state[0] == 'E') return "E";
  if (state[0] == 'F') return "F";
  return state;
}

// A call without the words that tell one row of it from another.
std::string NameOf(std::string row) {
  for (const char* mark : {",", " at ", " of "})
    row = row.substr(0, row.find(mark));
  return row;
}

// What leads from one node to another, by their names.
using Edges =
    std::map<std::pair<std::string, std::string>, std::set<std::string>>;

template <class States, class Rows, class Node>
Edges EdgesOf(const States& states, const Rows& rows, Node node) {
  Edges edges;
  for (const auto& row : rows) {
    for (size_t i = 0; i < states.size(); ++i) {
      const std::string cell = row.cells[i];
      const size_t arrow = cell.find('>');
      if (arrow == std::string::npos) continue;
      const std::string from = node(states[i].name);
      const std::string to = node(cell.substr(arrow + 1));
      if (from != to) edges[{from, to}].insert(NameOf(row.call));
    }
  }
  return edges;
}

void PrintEdges(const Edges& edges) {
  for (const auto& [ends, calls] : edges) {
    std::printf("    \"%s\" -> \"%s\" [label=\"%s\"];\n", ends.first.c_str(),
                ends.second.c_str(), absl::StrJoin(calls, "\\n").c_str());
  }
}

void PrintDot() {
  std::printf(
      "digraph states {\n"
      "  node [shape=box, style=rounded, fontname=\"sans-serif\", "
      "fontsize=11];\n"
      "  edge [fontname=\"sans-serif\", fontsize=9];\n"
      "  subgraph cluster_pages {\n"
      "    label=\"A page\"; fontname=\"sans-serif\";\n");
  std::set<std::string> drawn;
  for (const pages::State& state : pages::kPageStates) {
    if (!drawn.insert(NodeOf(state.name)).second) continue;
    std::printf("    \"%s\" [label=\"%s\\n%s\"];\n", NodeOf(state.name).c_str(),
                NodeOf(state.name).c_str(), state.what);
  }
  Edges edges = EdgesOf(pages::kPageStates, pages::kPageRows, NodeOf);
  // From P a page goes wherever it goes from B: said once.
  for (auto i = edges.begin(); i != edges.end();)
    i = i->first.first == "P" ? edges.erase(i) : std::next(i);
  PrintEdges(edges);
  std::printf(
      "    \"P\" -> \"B\" [style=dashed, label=\"the same page state\"];\n");
  std::printf(
      "  }\n"
      "  subgraph cluster_vms {\n"
      "    label=\"A VM's handle\"; fontname=\"sans-serif\";\n");
  PrintEdges(EdgesOf(life::kStates, life::kRows,
                     [](std::string state) { return state; }));
  std::printf(
      "    \"free\" -> \"reserved\" [label=\"reserve_vm\"];\n"
      "    \"loaded\" -> \"dying, in use\" [style=dashed, "
      "label=\"donate, put, start_teardown_vm\"];\n"
      "  }\n}\n");
}

// ---- The page ---------------------------------------------------------------

// A cell as a reader wants it: what is refused stands back.
std::string CellOf(std::string cell) {
  const size_t arrow = cell.find('>');
  if (arrow == std::string::npos) return cell;
  return absl::StrCat("**", cell.substr(0, arrow), " → ",
                      cell.substr(arrow + 1), "**");
}

template <class States, class Rows>
void PrintTable(const States& states, const Rows& rows) {
  std::printf("| |");
  for (const auto& state : states) std::printf(" %s |", state.name);
  std::printf("\n|---|");
  for (size_t i = 0; i < states.size(); ++i) std::printf("---|");
  std::printf("\n");
  for (const auto& row : rows) {
    std::printf("| %s |", row.call);
    for (const char* cell : row.cells)
      std::printf(" %s |", CellOf(cell).c_str());
    std::printf("\n");
  }
}

void PrintPage() {
  std::printf(
      R"(<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Made by //docs:states of the matrices that tests run; `bazel run //docs:update`. -->

# States

Each page of RAM, and each VM, is in one of the states below; each call leads from one
to another, or is refused and changes nothing. The tables are what
[mem_protect/matrix.h](../mem_protect/matrix.h) and
[hyp/life_cycle_matrix.h](../hyp/life_cycle_matrix.h) say, and
`//mem_protect:matrix_test` and `//hyp:life_cycle_matrix_test` run every cell of them,
with the invariants of the whole machine after each. The picture is drawn of the same
cells.

![The states and what leads from one to another](states.svg)

## A page

| | what | host | hypervisor | guest | entry in the host's stage 2 |
|---|---|---|---|---|---|
)");
  for (const pages::State& state : pages::kPageStates) {
    std::printf("| **%s** | %s | %s | %s | %s | %s |\n", state.name, state.what,
                state.host, state.hyp, state.guest, state.entry);
  }
  std::printf(R"(
What comes of each call. `0 → X`: it succeeds, and the page is in state X then. "g" is
the gfn at which a guest has the page, or would get it; rows marked "internal" are steps
that no single call is. F' is F by another VM or at another gfn; E with a number, as
often shared.

)");
  PrintTable(pages::kPageStates, pages::kPageRows);
  std::printf(R"(
In a VM that has another poisoned gfn all of the above holds, and:

)");
  PrintTable(pages::kPageStates, pages::kPoisonRows);
  std::printf(R"(
## A run of pages as large as a block

| | what |
|---|---|
)");
  for (const pages::RunState& state : pages::kRunStates)
    std::printf("| **%s** | %s |\n", state.name, state.what);
  std::printf("\n");
  PrintTable(pages::kRunStates, pages::kRunRows);
  std::printf(R"(
## A VM's handle

| | what |
|---|---|
)");
  for (const life::State& state : life::kStates)
    std::printf("| **%s** | %s |\n", state.name, state.what);
  std::printf("\n");
  PrintTable(life::kStates, life::kRows);
  std::printf(R"(
A handle is "initialising" while init_vm runs: other CPUs cannot unreserve, initialise or
find it then, and init_vm cannot fail once it has taken the memory.
)");
}

}  // namespace
}  // namespace holdfast::docs

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--dot") {
    holdfast::docs::PrintDot();
  } else {
    holdfast::docs::PrintPage();
  }
}
