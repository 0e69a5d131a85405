// SPDX-License-Identifier: Apache-2.0
//
// A VM and its vCPUs as EL2 keeps them: objects in frames the host donated.
// They hold state and answer questions; moving pages is the business of the
// rooms above.
//
// Two locks guard them. The VM's own lock is that of its stage 2
// (`stage2.lock`) and guards the table, its stock and the counts beside it. All
// that belongs to the life cycle (references, dying, vCPU slots, who is loaded
// where) is private here and reached only through VmTable, whose lock guards
// it.
#ifndef HOLDFAST_VM_TABLE_VM_H_
#define HOLDFAST_VM_TABLE_VM_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/granule.h"
#include "base/machine.h"
#include "base/spinlock.h"
#include "pgtable/geometry.h"
#include "pgtable/stage2.h"

namespace holdfast::vm_table {

// vCPUs one VM can have.
inline constexpr uint32_t kMaxVcpus = 512;

// A run of frames.
struct FrameRange {
  Pfn first;
  uint64_t count = 0;

  constexpr PhysAddr start() const { return first.address(); }
  constexpr uint64_t size() const { return count << kPageShift; }
  constexpr bool Overlaps(const FrameRange& other) const {
    return count != 0 && other.count != 0 &&
           first < other.first + other.count && other.first < first + count;
  }
};

// A run of pages of a guest's.
struct IpaRange {
  Ipa start;
  uint64_t size = 0;

  constexpr bool Contains(Ipa ipa) const {
    return ipa >= start && ipa.value() - start.value() < size;
  }
};

class Inspector;  // of checkers, in tests/
class Vm;

// Why a vCPU stopped running: the registers of the exception as EL2 took it
// (ESR_EL2, FAR_EL2, HPFAR_EL2; Arm ARM D19.2), or would have taken it.
struct GuestExit {
  uint64_t esr = 0;
  uint64_t far = 0;
  uint64_t hpfar = 0;
};

// What a guest waits for, since its last exit.
struct Owed {
  enum class Kind : uint8_t { kNothing, kAccess, kCall } kind = Kind::kNothing;
  // kAccess: of a device, by the syndrome: a load into `rt` (31: none) of
  // `bytes` bytes, or a store.
  bool store = false;
  bool sign_extend = false;
  bool wide = false;  // extended to 64 bits, else to 32
  uint8_t rt = 31;
  uint8_t bytes = 0;
};

// One vCPU. Lives in its own donated frames.
class Vcpu {
 public:
  Vcpu(Vm& vm, uint32_t index, FrameRange memory, Pfn run_page)
      : vm_(vm), index_(index), memory_(memory), run_page_(run_page) {}

  Vm& vm() const { return vm_; }
  uint32_t index() const { return index_; }
  // The frames this object lives in, and the host's page that is its run page
  // (pinned while the vCPU exists).
  const FrameRange& memory() const { return memory_; }
  Pfn run_page() const { return run_page_; }

  // The following are touched only by the CPU that it is loaded on.

  // Its last exit, from EL2's own registers.
  GuestExit exit;
  // All it has in registers while it does not run.
  machine::GuestState guest{};
  // What the host was asked for by the last exit, and may answer.
  Owed owed;

  // PSCI's states of a core (DEN0022 5.1). The vCPU that turns this one on
  // writes where it begins while it is kStarting.
  enum class Power : uint8_t { kOff, kStarting, kPending, kOn };
  std::atomic<Power> power{Power::kOff};
  uint64_t boot_entry = 0;
  uint64_t boot_context = 0;

 private:
  friend class Inspector;
  friend class VmTable;

  Vm& vm_;
  const uint32_t index_;
  const FrameRange memory_;
  const Pfn run_page_;
  // Loaded on some CPU. Guarded by the VM table's lock.
  bool loaded_ = false;
};

class Vm {
 public:
  struct Shape {
    VmHandle handle;
    bool is_protected = true;
    uint32_t vcpu_count = 0;  // 1..kMaxVcpus
    FrameRange memory;        // this object and the vCPU pointers behind it
    FrameRange root;          // top level of its stage 2
  };

  // Bytes of frames that the object takes, and a vCPU's.
  static constexpr uint64_t BytesFor(uint32_t vcpu_count);
  static constexpr uint64_t BytesForVcpu() { return sizeof(Vcpu); }

  explicit Vm(const Shape& shape) : shape_(shape), stage2(LockRank::kHypOrVm) {
    for (uint32_t i = 0; i < shape_.vcpu_count; ++i) vcpus()[i] = nullptr;
  }
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  VmHandle handle() const { return shape_.handle; }
  bool is_protected() const { return shape_.is_protected; }
  uint32_t vcpu_count() const { return shape_.vcpu_count; }
  const FrameRange& memory() const { return shape_.memory; }
  const FrameRange& root() const { return shape_.root; }

 private:
  const Shape shape_;

 public:
  // The VM lock, the guest's stage 2, and the stock its tables come from.
  pgtable::Stage2<pgtable::BuildGranule> stage2;
  // Valid leaves: pages the guest owns, shares or borrows. Poison never counts.
  uint64_t guest_pages ABSL_GUARDED_BY(stage2.lock) = 0;
  // Frames the host gave as stock and has not got back: free ones and tables.
  uint64_t stock_frames ABSL_GUARDED_BY(stage2.lock) = 0;
  // What a guest told of itself (hyp/guest_calls.cc): runs of pages that are
  // devices, and whether it takes aborts where it finds poison.
  static constexpr size_t kMaxDevices = 16;
  std::array<IpaRange, kMaxDevices> devices ABSL_GUARDED_BY(stage2.lock) = {};
  size_t device_count ABSL_GUARDED_BY(stage2.lock) = 0;
  std::atomic<bool> poison_aborts{false};
  // PSCI SYSTEM_OFF and SYSTEM_RESET: none of its vCPUs runs any more.
  enum class Ended : uint8_t { kNo, kOff, kReset };
  std::atomic<Ended> ended{Ended::kNo};
  // Where drain_vm goes on.
  Ipa drain_cursor ABSL_GUARDED_BY(stage2.lock);

 private:
  friend class Inspector;
  friend class VmTable;

  // The vCPU pointers stand right behind the object.
  Vcpu** vcpus() { return reinterpret_cast<Vcpu**>(this + 1); }
  static constexpr uint32_t kNoVcpu = ~uint32_t{0};

  // All below: guarded by the VM table's lock.
  uint32_t references_ = 0;
  uint32_t vcpus_alive_ = 0;
  bool dying_ = false;
  // vCPU that was loaded last on each CPU. Two vCPUs of a VM share a VMID, so
  // one must not find the other's stage-1 entries in the TLB.
  uint32_t last_vcpu_[kMaxCpus] = {};
  uint32_t vcpu_scan_ = 0;  // where TakeVcpu goes on
};

constexpr uint64_t Vm::BytesFor(uint32_t vcpu_count) {
  return sizeof(Vm) + uint64_t{vcpu_count} * sizeof(Vcpu*);
}

}  // namespace holdfast::vm_table

#endif  // HOLDFAST_VM_TABLE_VM_H_
