// SPDX-License-Identifier: Apache-2.0
//
// A table's stock is guarded by the table's lock.
#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void TopUp(Stage2<Granule4K>& table, PhysAddr page) {
#ifndef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#endif
  table.stock.Push(page);
}

}  // namespace holdfast::pgtable
