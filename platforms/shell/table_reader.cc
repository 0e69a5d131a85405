// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/table_reader.h"

#include "pgtable/hyp_table.h"

namespace holdfast::shell {

using pgtable::BuildGranule;

namespace {

// Of `count` entries from `table` on, of which the first translates `base`.
void ReadEntries(tests::Board& board, PhysAddr table, Level level,
                 uint64_t count, uint64_t base,
                 std::vector<TableEntry>* entries) {
  for (uint64_t i = 0; i < count; ++i) {
    const Pte entry(board.machine().ram().Load(table + i * 8, 8));
    const uint64_t address = base + (i << BuildGranule::Shift(level));
    switch (entry.kind(level)) {
      case pgtable::PteKind::kEmpty:
        break;
      case pgtable::PteKind::kTable:
        ReadEntries(board, entry.address(),
                    Level(static_cast<int8_t>(level.value() + 1)),
                    BuildGranule::kEntries, address, entries);
        break;
      default:
        entries->push_back({address, level, entry});
    }
  }
}

}  // namespace

std::vector<TableEntry> EntriesOf(tests::Board& board, const TableRoot& root) {
  std::vector<TableEntry> entries;
  const uint64_t count =
      uint64_t{BuildGranule::kEntries} * board.mem().stage2_shape().root_pages;
  ReadEntries(board, root.root, root.start, count, 0, &entries);
  return entries;
}

TableRoot HostRoot(tests::Board& board) {
  return GuestRoot(board, board.mem().host_context().root);
}

TableRoot HypRoot(tests::Board& board) {
  return {board.mem().hyp_table().root(),
          pgtable::HypStartLevel<BuildGranule>(board.mem().features().pa_bits)};
}

TableRoot GuestRoot(tests::Board& board, PhysAddr root) {
  return {root, board.mem().stage2_shape().start};
}

std::vector<WalkStep> Walk(tests::Board& board, const TableRoot& root,
                           uint64_t address) {
  std::vector<WalkStep> steps;
  PhysAddr table = root.root;
  Level level = root.start;
  // The root may be several tables in a row: its index is not cut off.
  uint64_t index = address >> BuildGranule::Shift(level);
  while (true) {
    const PhysAddr at = table + index * 8;
    const Pte entry(board.machine().ram().Load(at, 8));
    steps.push_back({level, at, entry});
    if (entry.kind(level) != pgtable::PteKind::kTable) return steps;
    table = entry.address();
    level = Level(static_cast<int8_t>(level.value() + 1));
    index = BuildGranule::Index(address, level);
  }
}

std::optional<pgtable::Annotation> HostAnnotation(tests::Board& board,
                                                  uint64_t pfn) {
  const WalkStep leaf = Walk(board, HostRoot(board), pfn << kPageShift).back();
  const auto annotation = leaf.entry.annotation();
  if (!annotation.has_value()) return std::nullopt;
  const uint64_t mask = BuildGranule::Size(leaf.level) / kPageSize - 1;
  return annotation->At(pfn & mask);
}

}  // namespace holdfast::shell
