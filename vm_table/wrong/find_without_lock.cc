// SPDX-License-Identifier: Apache-2.0
// What is in the table is for those who hold its lock.
#include "vm_table/vm_table.h"

namespace holdfast::vm_table {

bool Exists(VmTable& table, VmHandle handle) {
#ifndef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#endif
  return table.Find(handle) != nullptr;
}

}  // namespace holdfast::vm_table
