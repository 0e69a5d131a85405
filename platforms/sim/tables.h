// SPDX-License-Identifier: Apache-2.0
//
// Which memory holds translation tables: every page reachable from a root that
// was announced, with what it translates. So that a store into memory can be
// read as "this entry, of this VMID, for this IPA, changes". No locks: see
// model.h.
#ifndef HOLDFAST_PLATFORMS_SIM_TABLES_H_
#define HOLDFAST_PLATFORMS_SIM_TABLES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "base/addr.h"
#include "base/stage2_context.h"
#include "platforms/sim/walker.h"

namespace holdfast::sim {

// A stage-2 table that was announced and not yet taken back.
struct Stage2Root {
  Stage2Context context;
  Stage2Format format;
  // Guards stores into the table; null: nobody said.
  const void* lock = nullptr;
};

// A page (of the root: all its concatenated pages, or the part of one) of
// tables.
struct TablePage {
  const Stage2Root* root = nullptr;
  PhysAddr start;
  uint64_t bytes = 0;
  int level = 0;
  Ipa ipa;  // of its first entry

  Ipa IpaOf(PhysAddr entry) const {
    return ipa + (entry - start) / 8 * root->format.entry_span(level);
  }
};

class TableIndex {
 public:
  // The root of `vmid`; null if there is none. Stable until RemoveRoot.
  const Stage2Root* Root(Vmid vmid) const;
  const Stage2Root* AddRoot(const Stage2Root& root);  // its VMID must have none
  void RemoveRoot(Vmid vmid);                         // its pages must be gone
  // Those that `lock` guards.
  std::vector<const Stage2Root*> RootsOf(const void* lock) const;

  // The table page that holds any byte of [pa, pa + size); null if none does.
  const TablePage* Find(PhysAddr pa, uint64_t size) const;
  void Add(const TablePage& page);  // must not overlap another
  void Remove(PhysAddr start);

 private:
  absl::flat_hash_map<uint16_t, std::unique_ptr<Stage2Root>> roots_;
  absl::btree_map<uint64_t, TablePage> pages_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_TABLES_H_
