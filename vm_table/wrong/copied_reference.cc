// SPDX-License-Identifier: Apache-2.0
// A reference is counted once: it moves, and is not copied.
#include <utility>

#include "vm_table/vm_table.h"

namespace holdfast::vm_table {

VmRef Pass(VmRef& reference) {
#ifdef HOLDFAST_WRONG
  return reference;
#else
  return std::move(reference);
#endif
}

}  // namespace holdfast::vm_table
