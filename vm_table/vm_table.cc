// SPDX-License-Identifier: Apache-2.0
#include "vm_table/vm_table.h"

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"

namespace holdfast::vm_table {
namespace {

enum class VmEvent : uint64_t {
  kFree,
  kReserved,
  kInitialising,
  kLive,
  kDying
};

void NoteState(VmHandle handle, VmEvent state) {
  Note(EventKind::kVmState, handle.value(), static_cast<uint64_t>(state));
}

void NoteState(const Vm& vm, VmEvent state) {
  Note(EventKind::kVmState, vm.handle().value(), static_cast<uint64_t>(state),
       vm.vcpu_count(), vm.is_protected(), vm.memory().first.value(),
       vm.root().first.value());
}

}  // namespace

VmRef::~VmRef() {
  if (vm_ == nullptr) return;
  SpinlockHolder hold(table_->lock);
  table_->Release(*vm_);
}

Vmid VmTable::VmidOf(VmHandle handle) {
  const uint32_t index = handle.value() - kFirstHandle;
  HOLDFAST_CHECK(index < kVmSlots);
  return Vmid(static_cast<uint16_t>(index + 1));
}

VmTable::Slot* VmTable::SlotOf(VmHandle handle) {
  // Unsigned: a handle below the first wraps to a huge index.
  const uint32_t index = uint32_t{handle.value()} - kFirstHandle;
  return index < kVmSlots ? &slots_[index] : nullptr;
}

Result<VmHandle> VmTable::Reserve() {
  lock.AssertHeld();
  for (uint32_t i = 0; i < kVmSlots; ++i) {
    if (slots_[i].state != SlotState::kFree) continue;
    slots_[i].state = SlotState::kReserved;
    const VmHandle handle(static_cast<uint16_t>(kFirstHandle + i));
    NoteState(handle, VmEvent::kReserved);
    return handle;
  }
  return Error(Errno::kEnomem);
}

Status VmTable::Unreserve(VmHandle handle) {
  lock.AssertHeld();
  Slot* slot = SlotOf(handle);
  if (slot == nullptr || slot->state != SlotState::kReserved)
    return Error(Errno::kEinval);
  slot->state = SlotState::kFree;
  NoteState(handle, VmEvent::kFree);
  return {};
}

Status VmTable::BeginInit(VmHandle handle) {
  lock.AssertHeld();
  Slot* slot = SlotOf(handle);
  if (slot == nullptr || slot->state != SlotState::kReserved)
    return Error(Errno::kEinval);
  slot->state = SlotState::kInitialising;
  NoteState(handle, VmEvent::kInitialising);
  return {};
}

void VmTable::AbortInit(VmHandle handle) {
  lock.AssertHeld();
  Slot* slot = SlotOf(handle);
  HOLDFAST_CHECK(slot != nullptr);
  HOLDFAST_CHECK(slot->state == SlotState::kInitialising);
  slot->state = SlotState::kReserved;
  NoteState(handle, VmEvent::kReserved);
}

void VmTable::Publish(Vm& vm) {
  lock.AssertHeld();
  Slot* slot = SlotOf(vm.handle());
  HOLDFAST_CHECK(slot != nullptr);
  HOLDFAST_CHECK(slot->state == SlotState::kInitialising);
  for (uint32_t& last : vm.last_vcpu_) last = Vm::kNoVcpu;
  *slot = Slot{SlotState::kVm, &vm};
  NoteState(vm, VmEvent::kLive);
}

Vm* VmTable::Find(VmHandle handle) {
  lock.AssertHeld();
  Slot* slot = SlotOf(handle);
  return slot != nullptr && slot->state == SlotState::kVm ? slot->vm : nullptr;
}

VmRef VmTable::Reference(Vm& vm) {
  lock.AssertHeld();
  ++vm.references_;
  HOLDFAST_CHECK(vm.references_ != 0);
  return VmRef(*this, vm);
}

void VmTable::Release(Vm& vm) {
  lock.AssertHeld();
  HOLDFAST_CHECK(vm.references_ != 0);
  --vm.references_;
}

bool VmTable::IsDying(const Vm& vm) const {
  lock.AssertHeld();
  return vm.dying_;
}

Status VmTable::StartTeardown(VmHandle handle) {
  lock.AssertHeld();
  Vm* vm = Find(handle);
  if (vm == nullptr) return Error(Errno::kEinval);
  if (vm->references_ != 0) return Error(Errno::kEbusy);
  if (vm->dying_) return Error(Errno::kEinval);
  vm->dying_ = true;
  NoteState(*vm, VmEvent::kDying);
  return {};
}

Result<Vm*> VmTable::FindToFinalize(VmHandle handle) {
  lock.AssertHeld();
  Vm* vm = Find(handle);
  if (vm == nullptr) return Error(Errno::kEinval);
  if (vm->references_ != 0) return Error(Errno::kEbusy);
  if (!vm->dying_) return Error(Errno::kEinval);
  return vm;
}

void VmTable::Remove(Vm& vm) {
  lock.AssertHeld();
  Slot* slot = SlotOf(vm.handle());
  HOLDFAST_CHECK(slot != nullptr);
  HOLDFAST_CHECK(slot->vm == &vm);
  HOLDFAST_CHECK(vm.dying_);
  HOLDFAST_CHECK(vm.references_ == 0);
  HOLDFAST_CHECK(vm.vcpus_alive_ == 0);
  *slot = Slot{};
  NoteState(vm.handle(), VmEvent::kFree);
}

Status VmTable::CheckNewVcpu(Vm& vm, uint64_t index) {
  lock.AssertHeld();
  if (vm.dying_ || index >= vm.vcpu_count()) return Error(Errno::kEinval);
  if (vm.vcpus()[index] != nullptr) return Error(Errno::kEinval);
  return {};
}

void VmTable::PublishVcpu(Vcpu& vcpu) {
  lock.AssertHeld();
  Vm& vm = vcpu.vm();
  HOLDFAST_CHECK(CheckNewVcpu(vm, vcpu.index()).has_value());
  vm.vcpus()[vcpu.index()] = &vcpu;
  ++vm.vcpus_alive_;
  machine::OnNote(EventKind::kVcpuMade, vm.handle().value(), vcpu.index(),
                  vcpu.memory().first.value(), vcpu.run_page().value(), 0, 0);
}

Vcpu* VmTable::VcpuAt(Vm& vm, uint64_t index) {
  lock.AssertHeld();
  return index < vm.vcpu_count() ? vm.vcpus()[index] : nullptr;
}

Result<LoadedVcpu> VmTable::Load(VmHandle handle, uint64_t index) {
  lock.AssertHeld();
  Vm* vm = Find(handle);
  if (vm == nullptr) return Error(Errno::kEnoent);
  if (vm->dying_ || index >= vm->vcpu_count()) return Error(Errno::kEinval);
  Vcpu* vcpu = vm->vcpus()[index];
  if (vcpu == nullptr) return Error(Errno::kEnoent);
  if (vcpu->loaded_) return Error(Errno::kEbusy);
  ++vm->references_;
  vcpu->loaded_ = true;
  uint32_t& last = vm->last_vcpu_[machine::ThisCpu().index];
  const bool stale = last != Vm::kNoVcpu && last != vcpu->index();
  last = vcpu->index();
  Note(EventKind::kVcpu, handle.value(), index, 1);
  return LoadedVcpu{vcpu, stale};
}

void VmTable::Put(Vcpu& vcpu) {
  lock.AssertHeld();
  HOLDFAST_CHECK(vcpu.loaded_);
  vcpu.loaded_ = false;
  Release(vcpu.vm());
  Note(EventKind::kVcpu, vcpu.vm().handle().value(), vcpu.index(), 0);
}

Vcpu* VmTable::TakeVcpu(Vm& vm, uint32_t* budget) {
  lock.AssertHeld();
  HOLDFAST_CHECK(vm.dying_);
  for (; *budget > 0 && vm.vcpu_scan_ < vm.vcpu_count(); --*budget) {
    Vcpu*& slot = vm.vcpus()[vm.vcpu_scan_++];
    if (slot == nullptr) continue;
    Vcpu* vcpu = slot;
    slot = nullptr;
    --vm.vcpus_alive_;
    --*budget;
    return vcpu;
  }
  return nullptr;
}

uint32_t VmTable::VcpusAlive(const Vm& vm) const {
  lock.AssertHeld();
  return vm.vcpus_alive_;
}
uint32_t VmTable::References(const Vm& vm) const {
  lock.AssertHeld();
  return vm.references_;
}

}  // namespace holdfast::vm_table
