// SPDX-License-Identifier: Apache-2.0
//
// What the tests of vm_table/ share: VMs in ordinary memory, and a table each
// of whose members takes the lock by itself. For tests only.
#ifndef HOLDFAST_VM_TABLE_TEST_TABLE_H_
#define HOLDFAST_VM_TABLE_TEST_TABLE_H_

#include <cstdint>
#include <memory>
#include <new>

#include "base/addr.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "gtest/gtest.h"
#include "test_machine.h"
#include "vm_table/vm_table.h"

namespace holdfast::vm_table {

inline sim::MachineConfig TestMachine(unsigned cpus) {
  return {.ram = {{PhysAddr(0x4000'0000), 1 << 20}}, .cpus = cpus};
}

struct VmDeleter {
  void operator()(Vm* vm) const {
    vm->~Vm();
    ::operator delete(vm, std::align_val_t{alignof(Vm)});
  }
};
using VmPointer = std::unique_ptr<Vm, VmDeleter>;

inline VmPointer MakeVm(VmHandle handle, uint32_t vcpus) {
  void* memory =
      ::operator new(Vm::BytesFor(vcpus), std::align_val_t{alignof(Vm)});
  Vm::Shape shape;
  shape.handle = handle;
  shape.vcpu_count = vcpus;
  return VmPointer(new (memory) Vm(shape));
}

class TestTable {
 public:
  VmTable& raw() { return table_; }

  // A live VM in a new slot.
  VmPointer AddVm(uint32_t vcpus) {
    const VmHandle handle = Reserve().value();
    EXPECT_TRUE(BeginInit(handle).has_value());
    VmPointer vm = MakeVm(handle, vcpus);
    Publish(*vm);
    return vm;
  }

  Result<VmHandle> Reserve() {
    SpinlockHolder hold(table_.lock);
    return table_.Reserve();
  }
  Status Unreserve(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    return table_.Unreserve(handle);
  }
  Status BeginInit(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    return table_.BeginInit(handle);
  }
  void AbortInit(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    table_.AbortInit(handle);
  }
  void Publish(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    table_.Publish(vm);
  }
  Vm* Find(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    return table_.Find(handle);
  }
  VmRef Reference(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    return table_.Reference(vm);
  }
  bool IsDying(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    return table_.IsDying(vm);
  }
  Status StartTeardown(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    return table_.StartTeardown(handle);
  }
  Result<Vm*> FindToFinalize(VmHandle handle) {
    SpinlockHolder hold(table_.lock);
    return table_.FindToFinalize(handle);
  }
  void Remove(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    table_.Remove(vm);
  }
  Status CheckNewVcpu(Vm& vm, uint64_t index) {
    SpinlockHolder hold(table_.lock);
    return table_.CheckNewVcpu(vm, index);
  }
  void PublishVcpu(Vcpu& vcpu) {
    SpinlockHolder hold(table_.lock);
    table_.PublishVcpu(vcpu);
  }
  Result<LoadedVcpu> Load(VmHandle handle, uint64_t index) {
    SpinlockHolder hold(table_.lock);
    return table_.Load(handle, index);
  }
  void Put(Vcpu& vcpu) {
    SpinlockHolder hold(table_.lock);
    table_.Put(vcpu);
  }
  Vcpu* TakeVcpu(Vm& vm, uint32_t* budget) {
    SpinlockHolder hold(table_.lock);
    return table_.TakeVcpu(vm, budget);
  }
  uint32_t VcpusAlive(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    return table_.VcpusAlive(vm);
  }
  uint32_t References(Vm& vm) {
    SpinlockHolder hold(table_.lock);
    return table_.References(vm);
  }

 private:
  VmTable table_;
};

}  // namespace holdfast::vm_table

#endif  // HOLDFAST_VM_TABLE_TEST_TABLE_H_
