// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/tables.h"

#include <iterator>

#include "base/check.h"

namespace holdfast::sim {

const Stage2Root* TableIndex::Root(Vmid vmid) const {
  const auto it = roots_.find(vmid.value());
  return it == roots_.end() ? nullptr : it->second.get();
}

const Stage2Root* TableIndex::AddRoot(const Stage2Root& root) {
  auto& slot = roots_[root.context.vmid.value()];
  HOLDFAST_CHECK(slot == nullptr);
  slot = std::make_unique<Stage2Root>(root);
  return slot.get();
}

void TableIndex::RemoveRoot(Vmid vmid) { roots_.erase(vmid.value()); }

std::vector<const Stage2Root*> TableIndex::RootsOf(const void* lock) const {
  std::vector<const Stage2Root*> roots;
  for (const auto& [vmid, root] : roots_) {
    if (root->lock == lock) roots.push_back(root.get());
  }
  return roots;
}

const TablePage* TableIndex::Find(PhysAddr pa, uint64_t size) const {
  // The last page that starts before the end of the range.
  auto it = pages_.lower_bound(pa.value() + size);
  if (it == pages_.begin()) return nullptr;
  const TablePage& page = std::prev(it)->second;
  return page.start.value() + page.bytes > pa.value() ? &page : nullptr;
}

void TableIndex::Add(const TablePage& page) {
  HOLDFAST_CHECK(Find(page.start, page.bytes) == nullptr);
  pages_.emplace(page.start.value(), page);
}

void TableIndex::Remove(PhysAddr start) { pages_.erase(start.value()); }

}  // namespace holdfast::sim
