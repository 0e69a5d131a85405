// SPDX-License-Identifier: Apache-2.0
//
// Only the completion of a batch makes a receipt.
#include <utility>

#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void HandOver(FlushReceipt&& receipt);

void GiveAway(TlbBatch<Granule4K>& batch) {
#ifdef HOLDFAST_WRONG
  HandOver(FlushReceipt(0, ~uint64_t{0}, Vmid(0), false));
  static_cast<void>(batch);
#else
  HandOver(batch.Complete());
#endif
}

}  // namespace holdfast::pgtable
