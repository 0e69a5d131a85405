// SPDX-License-Identifier: Apache-2.0
//
// A tree of translation tables as it was when it was last read, and what has
// changed since. Its decoder of descriptors is its own, written from the Arm
// ARM (DDI 0487 D8.3); it shares nothing with pgtable/.
//
// Reading all of a tree costs a comparison of its words; who knows which words
// were stored to can have those alone read again.
#ifndef HOLDFAST_TESTS_SPEC_TABLES_H_
#define HOLDFAST_TESTS_SPEC_TABLES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "tests/spec/concrete.h"
#include "tests/spec/layout.h"

namespace holdfast::spec {

// Pages of input addresses.
struct PageRange {
  uint64_t first = 0;
  uint64_t count = 0;
  uint64_t end() const { return first + count; }
};

// An entry that is no table, or the empty entry that a walk ended at.
struct TableEntry {
  uint64_t first = 0;  // the first page it translates
  int level = 3;
  uint64_t raw = 0;

  bool valid() const { return (raw & 1) != 0; }
  uint64_t pages() const { return PagesAt(level); }
  // The page it is translated to, of a valid one.
  uint64_t pfn() const;
};

class Tables {
 public:
  Tables(const Concrete& concrete, const Root& root);

  // Reads the whole tree / the words at `addresses` that are of the tree. What
  // translates otherwise since then is added to `changed`.
  void ReadAll(std::vector<PageRange>* changed);
  void Read(absl::Span<const uint64_t> addresses,
            std::vector<PageRange>* changed);

  // All below: as of the last reading.

  bool Has(uint64_t address) const {
    return nodes_.contains(address & ~(kPageSize - 1));
  }
  // Where the walk for a page ends.
  TableEntry At(uint64_t page) const;
  // Every entry that is neither empty nor a table and translates any page of
  // the range, in order.
  void ForEach(const PageRange& range,
               absl::FunctionRef<void(const TableEntry&)> visit) const;
  // The frames of the tables below the root.
  const absl::btree_map<TableKey, uint64_t>& tables() const { return tables_; }
  // What is wrong with its shape: tables outside RAM, linked twice, empty, or
  // miscounted.
  std::string Trouble() const;

 private:
  struct Node {
    int level = 0;
    uint64_t first = 0;  // page that its first entry translates
    std::vector<uint64_t> words;
  };
  struct Change {
    uint64_t page = 0;  // address of the table
    int level = 0;
    unsigned index = 0;
    uint64_t was = 0;
  };

  static bool IsTable(uint64_t raw, int level) {
    return level < 3 && (raw & 3) == 3;
  }
  void Compare(uint64_t page, Node& node, unsigned first, unsigned count,
               std::vector<Change>* changes);
  void Apply(const std::vector<Change>& changes,
             std::vector<PageRange>* changed);
  void Add(uint64_t page, int level, uint64_t first);
  void Drop(uint64_t page);
  void Visit(const Node& node, const PageRange& range,
             absl::FunctionRef<void(const TableEntry&)> visit) const;

  const Concrete& concrete_;
  const Root root_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Node>> nodes_;
  absl::btree_map<TableKey, uint64_t> tables_;
  absl::btree_map<uint64_t, std::string> wrong_;  // by address of the table
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_TABLES_H_
