// SPDX-License-Identifier: Apache-2.0
//
// Attributes come from For(), which checks them; stage 1's do not fit stage 2.
#include "pgtable/pte.h"

namespace holdfast::pgtable {

#ifdef HOLDFAST_WRONG
uint64_t Descriptor(HypAttr attr) {
#else
uint64_t Descriptor(Stage2Attr attr) {
#endif
  return Pte<Granule4K>::Leaf(PhysAddr(0), kPageLevel, attr).raw();
}

}  // namespace holdfast::pgtable
