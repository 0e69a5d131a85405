// SPDX-License-Identifier: Apache-2.0
//
// The life of a VM: reserve, init, vCPUs, stock, teardown. Checks come first;
// then memory is taken; then nothing can fail any more.
#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "hyp/arguments.h"
#include "hyp/calls.h"
#include "pgtable/tlb.h"

namespace holdfast::hyp {
namespace {

using mem_protect::MemProtect;
using vm_table::FrameRange;
using vm_table::Vcpu;
using vm_table::Vm;
using vm_table::VmRef;

// What giving a vCPU back takes besides zeroing its frames: two invalidations
// of EL2's own TLB and one of the host's.
constexpr uint32_t kStepsOfAVcpu = 4;

void Zero(const FrameRange& range) {
  for (uint64_t i = 0; i < range.count; ++i)
    machine::ZeroPage((range.first + i).address());
}

// Frames that are EL2's again lose what they held before the host sees them.
void GiveBack(MemProtect& mem, const FrameRange& range) {
  Zero(range);
  HOLDFAST_CHECK(mem.HypDonateHost(range).has_value());
}

// Takes frames out of a VM's stock, as many as there are and `frames` has room
// for; says how many.
size_t PopStock(Vm& vm, std::span<Pfn> frames) {
  SpinlockHolder hold(vm.stage2.lock);
  size_t count = 0;
  for (; count < frames.size(); ++count) {
    const std::optional<PhysAddr> page = vm.stage2.stock.Pop();
    if (!page.has_value()) break;
    frames[count] = Pfn::Of(*page);
  }
  vm.stock_frames -= count;
  return count;
}

// Gives frames of a stock back, neighbours in one go. They are zero, but EL2's
// cache may hold that: the host gets them clean to PoC.
void GiveStockBack(MemProtect& mem, std::span<const Pfn> frames) {
  for (size_t i = 0; i < frames.size();) {
    FrameRange run{frames[i], 1};
    for (++i; i < frames.size(); ++i) {
      if (frames[i] == run.first + run.count) {
        ++run.count;
      } else if (frames[i] + 1 == run.first) {
        run = FrameRange{frames[i], run.count + 1};
      } else {
        break;
      }
    }
    machine::CleanInvalidateToPoc(run.start(), run.size());
    HOLDFAST_CHECK(mem.HypDonateHost(run).has_value());
  }
}

}  // namespace

CallResult Calls::ReserveVm(Hypervisor& hv, const Args&) {
  SpinlockHolder hold(hv.vms_.lock);
  const Result<VmHandle> handle = hv.vms_.Reserve();
  if (!handle.has_value()) return Failed(handle.error());
  return {handle->value()};
}

CallResult Calls::UnreserveVm(Hypervisor& hv, const Args& args) {
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  SpinlockHolder hold(hv.vms_.lock);
  return ResultOf(hv.vms_.Unreserve(*handle));
}

CallResult Calls::VmFramesNeeded(Hypervisor& hv, const Args& args) {
  if (args[0] == 0 || args[0] > vm_table::kMaxVcpus)
    return Failed(Errno::kEinval);
  const uint32_t vcpus = static_cast<uint32_t>(args[0]);
  return {static_cast<int64_t>(PagesFor(Vm::BytesFor(vcpus))),
          hv.mem_.stage2_shape().root_pages, PagesFor(Vm::BytesForVcpu())};
}

// C: a reserved handle; nr_vcpus, flags, frames within the PA size, root
// aligned to its size (the hardware ignores the low bits of VTTBR_EL2.BADDR: it
// would walk what lies below) (EINVAL); MemProtect::DonateHyp.
CallResult Calls::InitVm(Hypervisor& hv, const Args& args) {
  const auto [raw_handle, vm_pfn, root_pfn, vcpus, flags] = args;
  const std::optional<VmHandle> handle = HandleOf(raw_handle);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  {
    SpinlockHolder hold(hv.vms_.lock);
    if (Status status = hv.vms_.BeginInit(*handle); !status.has_value())
      return ResultOf(status);
  }
  // From here the slot is ours; every way out gives it up or publishes.
  const auto refuse = [&](Errno error) -> CallResult {
    SpinlockHolder hold(hv.vms_.lock);
    hv.vms_.AbortInit(*handle);
    return Failed(error);
  };
  const pgtable::Stage2Shape& shape = hv.mem_.stage2_shape();
  if (vcpus == 0 || vcpus > vm_table::kMaxVcpus) return refuse(Errno::kEinval);
  if ((flags & ~uint64_t{HF_VM_PROTECTED}) != 0) return refuse(Errno::kEinval);
  const uint32_t vcpu_count = static_cast<uint32_t>(vcpus);
  const unsigned pa_bits = hv.mem_.features().pa_bits;
  const auto memory =
      RangeOf(vm_pfn, PagesFor(Vm::BytesFor(vcpu_count)), pa_bits);
  const auto root = RangeOf(root_pfn, shape.root_pages, pa_bits);
  if (!memory.has_value() || !root.has_value()) return refuse(Errno::kEinval);
  if (root->first.value() % root->count != 0) return refuse(Errno::kEinval);

  const std::array<FrameRange, 2> ranges = {*memory, *root};
  if (Status status = hv.mem_.DonateHyp(ranges); !status.has_value()) {
    return refuse(status.error());
  }
  for (const FrameRange& range : ranges) Zero(range);
  Vm* vm = new (machine::PhysToVirt(memory->start()))
      Vm({*handle, (flags & HF_VM_PROTECTED) != 0, vcpu_count, *memory, *root});
  vm->stage2.Init(vm_table::VmTable::VmidOf(*handle), shape, hv.mem_.features(),
                  root->start());
  SpinlockHolder hold(hv.vms_.lock);
  hv.vms_.Publish(*vm);
  return {};
}

// C: a VM (ENOENT) that is not dying, an index it has and that is free, frames
// within the PA size (EINVAL); MemProtect::DonateHypAndPin.
CallResult Calls::InitVcpu(Hypervisor& hv, const Args& args) {
  const auto [raw_handle, index, vcpu_pfn, run_pfn, unused] = args;
  const std::optional<VmHandle> handle = HandleOf(raw_handle);
  if (!handle.has_value()) return Failed(Errno::kEnoent);
  // The lock is held throughout, so that the index stays free. The work is
  // bounded: a vCPU is a page or two.
  SpinlockHolder hold(hv.vms_.lock);
  Vm* vm = hv.vms_.Find(*handle);
  if (vm == nullptr) return Failed(Errno::kEnoent);
  if (Status status = hv.vms_.CheckNewVcpu(*vm, index); !status.has_value())
    return ResultOf(status);
  const unsigned pa_bits = hv.mem_.features().pa_bits;
  const auto memory = RangeOf(vcpu_pfn, PagesFor(Vm::BytesForVcpu()), pa_bits);
  const auto run_page = Pfn::FromUntrusted(run_pfn, pa_bits);
  if (!memory.has_value() || !run_page.has_value())
    return Failed(Errno::kEinval);
  if (Status status = hv.mem_.DonateHypAndPin(*memory, *run_page);
      !status.has_value()) {
    return ResultOf(status);
  }
  Zero(*memory);
  Vcpu* vcpu = new (machine::PhysToVirt(memory->start()))
      Vcpu(*vm, static_cast<uint32_t>(index), *memory, *run_page);
  // A VM's first core is on when the VM comes to be, and where it begins is
  // nobody's choice.
  if (index == 0) {
    vcpu->boot_entry = HF_GUEST_ENTRY;
    vcpu->power.store(Vcpu::Power::kPending, std::memory_order_relaxed);
  }
  hv.vms_.PublishVcpu(*vcpu);
  return {};
}

// C: a VM (ENOENT) that is not dying; nr_pages > 0, frames within the PA size
// (EINVAL); MemProtect::DonateHyp, on the part that fits the budget.
CallResult Calls::TopupVm(Hypervisor& hv, const Args& args) {
  const auto [raw_handle, pfn, pages, unused3, unused4] = args;
  const std::optional<VmHandle> handle = HandleOf(raw_handle);
  if (!handle.has_value()) return Failed(Errno::kEnoent);
  std::optional<VmRef> vm;
  {
    SpinlockHolder hold(hv.vms_.lock);
    Vm* found = hv.vms_.Find(*handle);
    if (found == nullptr) return Failed(Errno::kEnoent);
    if (hv.vms_.IsDying(*found)) return Failed(Errno::kEinval);
    vm.emplace(hv.vms_.Reference(*found));
  }
  const uint64_t chunk = pages < kBudget ? pages : kBudget;
  const auto range = RangeOf(pfn, chunk, hv.mem_.features().pa_bits);
  if (!range.has_value()) return Failed(Errno::kEinval);
  if (Status status = hv.mem_.DonateHyp({&*range, 1}); !status.has_value())
    return ResultOf(status);
  Zero(*range);
  SpinlockHolder hold((*vm)->stage2.lock);
  for (uint64_t i = 0; i < range->count; ++i) {
    (*vm)->stage2.stock.Push((range->first + i).address());
  }
  (*vm)->stock_frames += range->count;
  return {0, range->count};
}

// C: VmTable::StartTeardown.
CallResult Calls::StartTeardown(Hypervisor& hv, const Args& args) {
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  SpinlockHolder hold(hv.vms_.lock);
  return ResultOf(hv.vms_.StartTeardown(*handle));
}

// C: a dying VM (EINVAL); no guest page left (EBUSY).
// E, within the budget: tables to stock, stock to the host, vCPUs to the host.
// x2 says what is left: a caller repeats until it is 0.
CallResult Calls::DrainVm(Hypervisor& hv, const Args& args) {
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  std::optional<VmRef> reference;
  {
    SpinlockHolder hold(hv.vms_.lock);
    Vm* found = hv.vms_.Find(*handle);
    if (found == nullptr || !hv.vms_.IsDying(*found))
      return Failed(Errno::kEinval);
    reference.emplace(hv.vms_.Reference(*found));
  }
  Vm& vm = **reference;
  uint32_t budget = kBudget;
  uint64_t returned = 0;
  {
    SpinlockHolder hold(vm.stage2.lock);
    if (vm.guest_pages != 0) return Failed(Errno::kEbusy, vm.guest_pages);
    if (vm.stage2.InRange(vm.drain_cursor, kPageSize)) {
      pgtable::TlbBatch<MemProtect::Granule> batch(vm.stage2);
      vm.stage2.Prune(vm.drain_cursor, &budget, &vm.drain_cursor, batch);
      static_cast<void>(batch.Complete());
    }
  }
  // Stock. Popped and given back in turns: the hypervisor's lock, which giving
  // back takes, is of the VM lock's rank.
  while (budget > 0) {
    std::array<Pfn, 64> frames;
    const size_t popped =
        PopStock(vm, {frames.data(), std::min<size_t>(frames.size(), budget)});
    if (popped == 0) break;
    GiveStockBack(hv.mem_, {frames.data(), popped});
    budget -= static_cast<uint32_t>(popped);
    returned += popped;
  }
  while (budget > 0) {
    Vcpu* vcpu = nullptr;
    {
      SpinlockHolder hold(hv.vms_.lock);
      vcpu = hv.vms_.TakeVcpu(vm, &budget);
    }
    if (vcpu == nullptr) break;
    const FrameRange memory = vcpu->memory();
    hv.mem_.Unpin(vcpu->run_page());
    vcpu->~Vcpu();
    GiveBack(hv.mem_, memory);
    returned += memory.count;
    budget -= std::min<uint32_t>(
        budget, static_cast<uint32_t>(memory.count) + kStepsOfAVcpu);
  }
  SpinlockHolder table_hold(hv.vms_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  return {0, vm.stock_frames + hv.vms_.VcpusAlive(vm), returned};
}

// C: VmTable::FindToFinalize; no guest page, stock, table or vCPU left (EBUSY).
CallResult Calls::FinalizeTeardown(Hypervisor& hv, const Args& args) {
  const std::optional<VmHandle> handle = HandleOf(args[0]);
  if (!handle.has_value()) return Failed(Errno::kEinval);
  Vm* vm = nullptr;
  {
    SpinlockHolder hold(hv.vms_.lock);
    const Result<Vm*> found = hv.vms_.FindToFinalize(*handle);
    if (!found.has_value()) return Failed(found.error());
    vm = *found;
    SpinlockHolder vm_hold(vm->stage2.lock);
    const uint64_t left =
        vm->guest_pages + vm->stock_frames + hv.vms_.VcpusAlive(*vm);
    if (left != 0) return Failed(Errno::kEbusy, left);
    // The slot's VMID may be used again at once: Retire() leaves nothing of
    // this VM in any TLB.
    vm->stage2.Retire();
    hv.vms_.Remove(*vm);
  }
  const FrameRange memory = vm->memory();
  const FrameRange root = vm->root();
  vm->~Vm();
  GiveBack(hv.mem_, memory);
  GiveBack(hv.mem_, root);
  return {};
}

}  // namespace holdfast::hyp
