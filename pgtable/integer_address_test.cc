// SPDX-License-Identifier: Apache-2.0
//
// A number is not an address until someone says of which kind.
#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void Remove(Stage2<Granule4K>& table, uint64_t ipa, TlbBatch<Granule4K>& batch)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
#ifdef HOLDFAST_WRONG
  table.Unmap(ipa, Granule4K::kPageSize, batch);
#else
  table.Unmap(Ipa(ipa), Granule4K::kPageSize, batch);
#endif
}

}  // namespace holdfast::pgtable
