// SPDX-License-Identifier: Apache-2.0
//
// A table changes under its lock only.
#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void Remove(Stage2<Granule4K>& table, Ipa ipa) {
#ifndef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#endif
  TlbBatch<Granule4K> batch(table);
  table.Unmap(ipa, Granule4K::kPageSize, batch);
  static_cast<void>(batch.Complete());
}

}  // namespace holdfast::pgtable
