// SPDX-License-Identifier: Apache-2.0
//
// An input address is not an output address.
#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void MapIdentity(Stage2<Granule4K>& table, Stage2<Granule4K>::Cursor& cursor,
                 Ipa ipa, Stage2Attr attr,
                 Stage2<Granule4K>::Reservation& pages,
                 TlbBatch<Granule4K>& batch)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
#ifdef HOLDFAST_WRONG
  table.MapAt(cursor, ipa, attr, pages, batch);
#else
  table.MapAt(cursor, PhysAddr(ipa.value()), attr, pages, batch);
#endif
}

}  // namespace holdfast::pgtable
