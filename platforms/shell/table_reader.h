// SPDX-License-Identifier: Apache-2.0
//
// Translation tables as they lie in RAM, for people to look at. Takes no lock
// and asks nobody: a CPU may be stopped in the middle of a change.
#ifndef HOLDFAST_PLATFORMS_SHELL_TABLE_READER_H_
#define HOLDFAST_PLATFORMS_SHELL_TABLE_READER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "base/addr.h"
#include "pgtable/annotation.h"
#include "pgtable/geometry.h"
#include "pgtable/pte.h"
#include "tests/world/board.h"

namespace holdfast::shell {

using Pte = pgtable::Pte<pgtable::BuildGranule>;

// An entry on the way to an address.
struct WalkStep {
  Level level;
  PhysAddr at;  // where the entry is
  Pte entry{0};
};

// Where walks start.
struct TableRoot {
  PhysAddr root;
  Level start;
};
TableRoot HostRoot(tests::Board& board);
TableRoot HypRoot(tests::Board& board);
TableRoot GuestRoot(tests::Board& board, PhysAddr root);

// From the root to the entry that is no table. `address` must be below the
// table's input size.
std::vector<WalkStep> Walk(tests::Board& board, const TableRoot& root,
                           uint64_t address);

// An entry that is neither a table nor empty.
struct TableEntry {
  uint64_t address = 0;  // the first it translates
  Level level;
  Pte entry{0};
};
// All of them, of a stage 2, by address.
std::vector<TableEntry> EntriesOf(tests::Board& board, const TableRoot& root);

// What the host's table says of a frame it gave away.
std::optional<pgtable::Annotation> HostAnnotation(tests::Board& board,
                                                  uint64_t pfn);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_TABLE_READER_H_
