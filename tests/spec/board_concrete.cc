// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/board_concrete.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "hyp/abi.h"

namespace holdfast::vm_table {

// Looks into the table's private parts, for checkers.
class Inspector {
 public:
  static void Slots(VmTable& table, spec::VmTable* to,
                    absl::flat_hash_map<uint64_t, Vm*>* vms)
      ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (uint32_t i = 0; i < kVmSlots; ++i) {
      const VmTable::Slot& slot = table.slots_[i];
      const uint64_t handle = kFirstHandle + i;
      switch (slot.state) {
        case VmTable::SlotState::kFree:
          break;
        case VmTable::SlotState::kReserved:
          to->slots[handle].state = spec::SlotState::kReserved;
          break;
        case VmTable::SlotState::kInitialising:
          to->slots[handle].state = spec::SlotState::kInitialising;
          break;
        case VmTable::SlotState::kVm:
          Read(*slot.vm, &to->slots[handle]);
          (*vms)[handle] = slot.vm;
          break;
      }
    }
  }

 private:
  static spec::Frames Of(const FrameRange& range) {
    return {range.first.value(), range.count};
  }
  static void Read(Vm& vm, spec::Slot* to) {
    to->state = vm.dying_ ? spec::SlotState::kDying : spec::SlotState::kLive;
    to->is_protected = vm.is_protected();
    to->vcpu_count = vm.vcpu_count();
    to->memory = Of(vm.memory());
    to->root = Of(vm.root());
    to->references = vm.references_;
    for (uint32_t i = 0; i < vm.vcpu_count(); ++i) {
      const Vcpu* vcpu = vm.vcpus()[i];
      if (vcpu == nullptr) continue;
      spec::Vcpu& out = to->vcpus[i];
      out.memory = Of(vcpu->memory());
      out.run_page = vcpu->run_page().value();
      out.loaded = vcpu->loaded_;
      // While it is loaded its CPU writes this, with no lock.
      if (!out.loaded)
        out.exit = {vcpu->exit.esr, vcpu->exit.far, vcpu->exit.hpfar};
    }
  }
};

}  // namespace holdfast::vm_table

namespace holdfast::pgtable {

// The free pages of a pool: each one's first word names the next; then a run.
class PoolInspector {
 public:
  template <class G, class Words>
  static void Free(const PagePool<G>& pool, Words words,
                   std::vector<uint64_t>* frames) {
    uint64_t at = pool.head_;
    for (uint32_t i = 0; i < pool.run_pages_; ++i)
      frames->push_back((pool.run_.value() >> kPageShift) + i);
    for (uint32_t i = pool.run_pages_; i < pool.pages_; ++i) {
      frames->push_back(at >> kPageShift);
      const uint64_t* const page = words(at);
      if (page == nullptr) return;
      at = *page;
    }
  }
};

}  // namespace holdfast::pgtable

namespace holdfast::hyp {

class Inspector {
 public:
  static uint64_t Style(const Hypervisor& hv) {
    return hv.abort_as_translation_.load(std::memory_order_relaxed)
               ? HF_ABORT_TRANSLATION
               : HF_ABORT_EXTERNAL;
  }
};

}  // namespace holdfast::hyp

namespace holdfast::spec {

static_assert(sizeof(mem_protect::PageRecord) == sizeof(uint32_t));

BoardConcrete::BoardConcrete(tests::Board& board) : board_(board) {
  mem_protect::MemProtect& mem = board.mem();
  const pgtable::Stage2Shape& shape = mem.stage2_shape();
  layout_.pa_bits = mem.features().pa_bits;
  layout_.ipa_bits = shape.ipa_bits;
  layout_.start_level = shape.start.value();
  layout_.root_pages = shape.root_pages;
  layout_.xnx = mem.features().xnx;
  layout_.fwb = mem.features().fwb;
  layout_.hafdbs = mem.features().hafdbs;
  const auto boot = [&](const vm_table::FrameRange& range) {
    layout_.boot.push_back({range.first.value(), range.count});
  };
  boot(board.carveout());
  for (const vm_table::FrameRange& image : board.image()) boot(image);
  for (const mem_protect::Region& region : mem.map().regions()) {
    Region::Kind kind = Region::Kind::kMemory;
    if (region.kind == mem_protect::RegionKind::kNoMap)
      kind = Region::Kind::kNoMap;
    if (region.kind == mem_protect::RegionKind::kMmio)
      kind = Region::Kind::kMmio;
    layout_.regions.push_back(
        {region.base.value(), region.end().value(), kind});
    if (!region.IsRam()) continue;
    const mem_protect::PageRecord* const first =
        mem.RecordOf(region.first_pfn());
    Records records;
    records.first = region.first_pfn().value();
    records.words = reinterpret_cast<const uint32_t*>(first);
    records.seen.resize(region.end_pfn() - region.first_pfn());
    records_.push_back(std::move(records));
  }
  layout_.vm_bytes = vm_table::Vm::BytesFor(0);
  layout_.vm_bytes_per_vcpu =
      vm_table::Vm::BytesFor(1) - vm_table::Vm::BytesFor(0);
  layout_.vcpu_bytes = vm_table::Vm::BytesForVcpu();
}

const uint64_t* BoardConcrete::PageWords(uint64_t pa) const {
  const sim::Ram& ram = board_.machine().ram();
  if (!ram.Contains(PhysAddr(pa), kPageSize)) return nullptr;
  return static_cast<const uint64_t*>(ram.At(PhysAddr(pa)));
}

Root BoardConcrete::HostRoot() const {
  return {board_.mem().host_context().root.value(), layout_.start_level,
          layout_.root_pages};
}

// EL2's input addresses are as wide as physical ones; the root is one page.
Root BoardConcrete::HypRoot() const {
  const unsigned levels =
      (layout_.pa_bits - kPageShift + kIndexBits - 1) / kIndexBits;
  return {board_.mem().hyp_table().root().value(), 4 - static_cast<int>(levels),
          1};
}

Root BoardConcrete::VmRoot(uint64_t handle) const {
  return {vms_.at(handle)->stage2.context().root.value(), layout_.start_level,
          layout_.root_pages};
}

//   bits 31:4 count   3:2 hyp's state, complemented   1:0 host's
void BoardConcrete::ChangedRecords(
    absl::FunctionRef<void(uint64_t pfn, const Record&)> say) {
  for (Records& records : records_) {
    const size_t size = records.seen.size();
    constexpr size_t kStep = 512;
    for (size_t start = 0; start < size; start += kStep) {
      const size_t count = std::min(kStep, size - start);
      if (std::memcmp(records.words + start, records.seen.data() + start,
                      count * sizeof(uint32_t)) == 0) {
        continue;
      }
      for (size_t i = start; i < start + count; ++i) {
        const uint32_t word = records.words[i];
        if (word == records.seen[i]) continue;
        records.seen[i] = word;
        say(records.first + i,
            {static_cast<PageState>(word & 3),
             static_cast<PageState>((word >> 2 & 3) ^ 3), word >> 4});
      }
    }
  }
}

void BoardConcrete::ReadTable(VmTable* table) {
  *table = VmTable();
  vms_.clear();
  vm_table::Inspector::Slots(board_.hv().vms(), table, &vms_);
  locks_.clear();
  for (const auto& [handle, vm] : vms_) locks_[&vm->stage2.lock] = handle;
}

void BoardConcrete::ReadVm(uint64_t handle,
                           VmView* view) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  vm_table::Vm& vm = *vms_.at(handle);
  view->pages = vm.guest_pages;
  view->stock_frames = vm.stock_frames;
  view->devices.clear();
  for (size_t i = 0; i < vm.device_count; ++i) {
    view->devices.push_back({vm.devices[i].start.value(), vm.devices[i].size});
  }
  view->stock.clear();
  pgtable::PoolInspector::Free(
      vm.stage2.stock, [&](uint64_t pa) { return PageWords(pa); },
      &view->stock);
}

Cpu BoardConcrete::ReadCpu(unsigned cpu) {
  const vm_table::Vcpu* vcpu = board_.hv().loaded(cpu);
  if (vcpu == nullptr) return {};
  return {LoadedVcpu{vcpu->vm().handle().value(), vcpu->index()},
          {vcpu->exit.esr, vcpu->exit.far, vcpu->exit.hpfar}};
}

std::optional<uint64_t> BoardConcrete::ReadStyle() {
  return hyp::Inspector::Style(board_.hv());
}

uint64_t BoardConcrete::HostTablesFree() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return board_.mem().host_table().stock.free();
}
uint64_t BoardConcrete::HypTablesFree() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  return board_.mem().hyp_table().stock.free();
}

const void* BoardConcrete::host_lock() const {
  return &board_.mem().host_table().lock;
}
const void* BoardConcrete::hyp_lock() const {
  return &board_.mem().hyp_table().lock;
}
const void* BoardConcrete::table_lock() const {
  return &board_.hv().vms().lock;
}
uint64_t BoardConcrete::VmOf(const void* lock) const {
  const auto at = locks_.find(lock);
  return at == locks_.end() ? 0 : at->second;
}
std::optional<Stage2Context> BoardConcrete::ContextOf(uint64_t handle) const {
  const auto at = vms_.find(handle);
  if (at == vms_.end()) return std::nullopt;
  return at->second->stage2.context();
}

}  // namespace holdfast::spec
