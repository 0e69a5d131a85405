// SPDX-License-Identifier: Apache-2.0
//
// A receipt is good for one hand-over.
#include <utility>

#include "pgtable/stage2.h"

namespace holdfast::pgtable {

void HandOver(FlushReceipt receipt);

void GiveAway(FlushReceipt receipt) {
#ifdef HOLDFAST_WRONG
  HandOver(receipt);
#endif
  HandOver(std::move(receipt));
}

}  // namespace holdfast::pgtable
