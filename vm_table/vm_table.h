// SPDX-License-Identifier: Apache-2.0
//
// The VM table: handles, slots, life-cycle states and references. It keeps
// objects and never moves a page, so it knows nothing of the rooms above it.
//
//           Reserve       BeginInit          Publish      StartTeardown
//     free --------> reserved ----> initialising ----> live ----> dying
//       ^   Unreserve   |  ^  AbortInit   |                         |
//       +---------------+  +--------------+                         |
//       +-----------------------------------------------------------+  Remove
//
// Every member that reads or changes the table needs its lock; clang checks it
// where it can, AssertHeld() does everywhere.
#ifndef HOLDFAST_VM_TABLE_VM_TABLE_H_
#define HOLDFAST_VM_TABLE_VM_TABLE_H_

#include <array>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "vm_table/vm.h"

namespace holdfast::vm_table {

// VMs that can exist at once; VMIDs 1..255 fit the smallest hardware.
inline constexpr uint32_t kVmSlots = 255;
// Handle of slot 0.
inline constexpr uint32_t kFirstHandle = 0x1000;
static_assert(kFirstHandle + kVmSlots < 0x10000, "a handle has 16 bits");

class VmTable;

// A counted reference: the VM cannot be torn down or removed while one exists.
// Given up by taking the table's lock: destroy it with no lock held.
class VmRef {
 public:
  VmRef() = default;
  VmRef(VmRef&& other) noexcept : table_(other.table_), vm_(other.vm_) {
    other.vm_ = nullptr;
  }
  VmRef& operator=(VmRef&&) = delete;
  ~VmRef();

  Vm& operator*() const { return *vm_; }
  Vm* operator->() const { return vm_; }

 private:
  friend class VmTable;
  VmRef(VmTable& table, Vm& vm) : table_(&table), vm_(&vm) {}

  VmTable* table_ = nullptr;
  Vm* vm_ = nullptr;
};

// What Load answers: the vCPU, and whether this CPU must first drop what
// another vCPU of the same VM left in its TLB.
struct LoadedVcpu {
  Vcpu* vcpu = nullptr;
  bool stale_context = false;
};

class VmTable {
 public:
  VmTable() : lock(LockRank::kVmTable) {}

  Spinlock lock;

  // VMID of a handle's slot: 1..255. The handle must be one of the table's.
  static Vmid VmidOf(VmHandle handle);

  // ---- Slots ---------------------------------------------------------------

  // Takes the first free slot. ENOMEM: none.
  Result<VmHandle> Reserve() ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // EINVAL: not a reserved slot.
  Status Unreserve(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // Claims a reserved slot, so that Publish cannot fail. EINVAL: not reserved.
  Status BeginInit(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // The slot is reserved again. It must be initialising.
  void AbortInit(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // The VM is live. Its slot must be initialising.
  void Publish(Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // ---- VMs -----------------------------------------------------------------

  // The VM, live or dying, or null. The pointer is good while the lock is held;
  // take a reference to keep it.
  Vm* Find(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  VmRef Reference(Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  bool IsDying(const Vm& vm) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // EINVAL: unknown; EBUSY: referenced; EINVAL: dying already.
  Status StartTeardown(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // The dying, unreferenced VM, to be finalised. EINVAL: unknown; EBUSY:
  // referenced; EINVAL: not dying.
  Result<Vm*> FindToFinalize(VmHandle handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // Frees the slot of a dying, unreferenced VM without vCPUs.
  void Remove(Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // ---- vCPUs ---------------------------------------------------------------

  // EINVAL: the VM is dying, has no such index, or has that vCPU already.
  Status CheckNewVcpu(Vm& vm, uint64_t index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // After CheckNewVcpu, under the same hold of the lock.
  void PublishVcpu(Vcpu& vcpu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // The vCPU of an index, or null: there is none. Good while the VM is
  // referenced.
  Vcpu* VcpuAt(Vm& vm, uint64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // Binds the vCPU to this CPU and takes a reference on its VM. ENOENT: no such
  // VM; EINVAL: it is dying or has no such index; ENOENT: that vCPU was never
  // initialised; EBUSY: it is loaded somewhere.
  Result<LoadedVcpu> Load(VmHandle handle, uint64_t index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  // Undoes Load. The vCPU must be loaded.
  void Put(Vcpu& vcpu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  // Takes a vCPU out of a dying VM, or null if none is left
  // or the budget is spent. Looks at no more
  // than `*budget` slots and lessens it by what it looked at.
  Vcpu* TakeVcpu(Vm& vm, uint32_t* budget) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  uint32_t VcpusAlive(const Vm& vm) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  uint32_t References(const Vm& vm) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

 private:
  friend class Inspector;
  friend class VmRef;

  enum class SlotState : uint8_t { kFree, kReserved, kInitialising, kVm };
  struct Slot {
    SlotState state = SlotState::kFree;
    Vm* vm = nullptr;
  };

  // The slot of a handle, or null if no slot has it.
  Slot* SlotOf(VmHandle handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);
  void Release(Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock);

  std::array<Slot, kVmSlots> slots_ ABSL_GUARDED_BY(lock);
};

}  // namespace holdfast::vm_table

#endif  // HOLDFAST_VM_TABLE_VM_TABLE_H_
