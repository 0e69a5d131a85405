// SPDX-License-Identifier: Apache-2.0
// The counts beside a VM's stage 2 belong to the VM lock, not to the table's.
#include "vm_table/vm_table.h"

namespace holdfast::vm_table {

uint64_t PagesOf(VmTable& table, Vm& vm) {
#ifdef HOLDFAST_WRONG
  SpinlockHolder hold(table.lock);
#else
  static_cast<void>(table);
  SpinlockHolder hold(vm.stage2.lock);
#endif
  return vm.guest_pages;
}

}  // namespace holdfast::vm_table
