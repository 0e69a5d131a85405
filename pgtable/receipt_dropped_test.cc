// SPDX-License-Identifier: Apache-2.0
//
// A receipt is not dropped by oversight.
#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void Finish(TlbBatch<Granule4K>& batch) {
#ifdef HOLDFAST_WRONG
  batch.Complete();
#else
  static_cast<void>(batch.Complete());
#endif
}

}  // namespace holdfast::pgtable
