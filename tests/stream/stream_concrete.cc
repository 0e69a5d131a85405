// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/stream_concrete.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "hyp/abi.h"
#include "tests/stream/shadow.h"

namespace holdfast::stream {
namespace {

// Of kVmState.
constexpr spec::SlotState StateOf(uint64_t state) {
  switch (state) {
    case 1:
      return spec::SlotState::kReserved;
    case 2:
      return spec::SlotState::kInitialising;
    case 3:
      return spec::SlotState::kLive;
    case 4:
      return spec::SlotState::kDying;
    default:
      return spec::SlotState::kFree;
  }
}

}  // namespace

void StreamConcrete::Feed(const Event& event) {
  switch (event.type) {
    case EventType::kMachine:
      page_shift_ = static_cast<unsigned>(event.a);
      layout_.pa_bits = static_cast<unsigned>(event.b);
      layout_.fwb = (event.c & 1) != 0;
      layout_.xnx = (event.c & 2) != 0;
      layout_.hafdbs = (event.c & 4) != 0;
      layout_.vm_bytes = event.d;
      layout_.vm_bytes_per_vcpu = event.e;
      layout_.vcpu_bytes = event.f;
      zeroes_.assign(spec::kEntries, 0);
      break;
    case EventType::kRegion:
      layout_.regions.push_back({event.a, event.a + event.b,
                                 event.c == 0   ? spec::Region::Kind::kMemory
                                 : event.c == 1 ? spec::Region::Kind::kNoMap
                                                : spec::Region::Kind::kMmio});
      break;
    case EventType::kBootFrames:
      layout_.boot.push_back({event.a, event.b});
      break;
    case EventType::kHypTable: {
      const Format format =
          Format::OfStage1(static_cast<unsigned>(event.b), page_shift_);
      hyp_root_ = {event.a, format.start_level, 1};
      break;
    }
    case EventType::kStage2Created: {
      if (event.a >> 48 != 0) break;  // guests' go by their VM
      const auto format = Format::OfVtcr(event.b, page_shift_ == 5 ? 5 : 0);
      if (!format.has_value()) break;
      layout_.ipa_bits = format->in_bits;
      layout_.start_level = format->start_level;
      layout_.root_pages = static_cast<unsigned>(
          std::max<uint64_t>(format->root_words() / format->words(), 1));
      host_root_ = event.a;
      break;
    }
    case EventType::kStorePte:
    case EventType::kPublishPte:
    case EventType::kHardwareAf:
      Page(event.a & ~(kPageSize - 1))[event.a % kPageSize / 8] = event.c;
      break;
    case EventType::kTablePage:
    case EventType::kZeroPage:
      Page(event.a).assign(spec::kEntries, 0);
      break;
    case EventType::kPageState:
      PageState(event);
      break;
    case EventType::kVmState:
      VmState(event);
      break;
    case EventType::kVcpuMade: {
      spec::Vcpu& vcpu =
          vms_[event.a].slot.vcpus[static_cast<uint32_t>(event.b)];
      vcpu.memory = {event.c, layout_.VcpuFrames()};
      vcpu.run_page = event.d;
      break;
    }
    case EventType::kVcpu:
      loaded_[event.cpu].reset();
      if (event.c != 0)
        loaded_[event.cpu] = {event.a, static_cast<uint32_t>(event.b)};
      break;
    case EventType::kCallEnter:
      calls_[event.cpu] = event;
      break;
    case EventType::kCallExit:
      CallExit(event);
      break;
    default:
      break;
  }
}

std::string StreamConcrete::Unfit() const {
  if (page_shift_ == 0) return "the stream does not begin at boot";
  if (page_shift_ != kPageShift) {
    return absl::StrFormat("pages of 2^%d bytes, and this is built for 2^%d",
                           page_shift_, kPageShift);
  }
  if (host_root_ == 0) return "the host has no table";
  return "";
}

StreamConcrete::Words& StreamConcrete::Page(uint64_t page) {
  Words& words = pages_[page];
  if (words.empty()) words.assign(spec::kEntries, 0);
  return words;
}

const uint64_t* StreamConcrete::PageWords(uint64_t pa) const {
  const spec::Region* const region = layout_.Find(pa);
  if (region == nullptr || !region->IsRam()) return nullptr;
  const auto found = pages_.find(pa);
  return found == pages_.end() ? zeroes_.data() : found->second.data();
}

spec::Root StreamConcrete::VmRoot(uint64_t handle) const {
  return RootAt(vms_.at(handle).slot.root.first << kPageShift);
}

void StreamConcrete::PageState(const Event& event) {
  const spec::Record record{static_cast<spec::PageState>(event.b),
                            static_cast<spec::PageState>(event.c),
                            static_cast<uint32_t>(event.d)};
  records_[event.a] = record;
  changed_.insert(event.a);
  if (event.b != 0) return;
  // The host's again: no stock, no vCPU.
  for (auto& [handle, vm] : vms_) {
    vm.given.erase(event.a);
    for (auto vcpu = vm.slot.vcpus.begin(); vcpu != vm.slot.vcpus.end();) {
      const auto here = vcpu++;
      if (here->second.memory.Has(event.a)) vcpu = vm.slot.vcpus.erase(here);
    }
  }
}

void StreamConcrete::ChangedRecords(
    absl::FunctionRef<void(uint64_t, const spec::Record&)> say) {
  for (const uint64_t pfn : changed_) say(pfn, records_.at(pfn));
  changed_.clear();
}

void StreamConcrete::VmState(const Event& event) {
  const spec::SlotState state = StateOf(event.b);
  if (state == spec::SlotState::kFree) {
    vms_.erase(event.a);
    return;
  }
  spec::Slot& slot = vms_[event.a].slot;
  slot.state = state;
  if (state != spec::SlotState::kLive) return;
  slot.vcpu_count = static_cast<uint32_t>(event.c);
  slot.is_protected = event.d != 0;
  slot.memory = {event.e, layout_.VmFrames(event.c)};
  slot.root = {event.f, layout_.root_pages};
}

void StreamConcrete::CallExit(const Event& event) {
  const Event& call = calls_[event.cpu];
  if (event.a != HF_TOPUP_VM || event.b != 0) return;
  const auto vm = vms_.find(call.b);
  if (vm == vms_.end()) return;
  for (uint64_t i = 0; i < event.c; ++i) vm->second.given.insert(call.c + i);
}

void StreamConcrete::ReadTable(spec::VmTable* table) {
  *table = spec::VmTable();
  for (const auto& [handle, vm] : vms_) {
    spec::Slot& slot = table->slots[handle] = vm.slot;
    for (const auto& loaded : loaded_) {
      if (!loaded.has_value() || loaded->handle != handle) continue;
      ++slot.references;
      const auto vcpu = slot.vcpus.find(loaded->index);
      if (vcpu != slot.vcpus.end()) vcpu->second.loaded = true;
    }
  }
}

uint64_t StreamConcrete::Walk(uint64_t page, int level,
                              std::set<uint64_t>* tables) const {
  const uint64_t* const words = PageWords(page);
  if (words == nullptr) return 0;
  const Format format{.page_shift = kPageShift};
  uint64_t mapped = 0;
  for (uint64_t i = 0; i < spec::kEntries; ++i) {
    const Entry entry = Decode(format, words[i], level);
    if (entry.kind == EntryKind::kLeaf) mapped += spec::PagesAt(level);
    if (entry.kind != EntryKind::kTable || level >= 3) continue;
    if (tables->insert(entry.address >> kPageShift).second)
      mapped += Walk(entry.address, level + 1, tables);
  }
  return mapped;
}

void StreamConcrete::ReadVm(uint64_t handle, spec::VmView* view) {
  const Vm& vm = vms_.at(handle);
  std::set<uint64_t> tables;
  view->pages = 0;
  for (uint64_t i = 0; i < layout_.root_pages; ++i) {
    view->pages += Walk((vm.slot.root.first + i) << kPageShift,
                        layout_.start_level, &tables);
  }
  view->stock_frames = vm.given.size();
  view->stock.clear();
  for (const uint64_t frame : vm.given) {
    if (tables.contains(frame)) continue;
    view->stock.push_back(frame);
    // What was a table is wiped as it comes back, by no store of the stream;
    // whether it was is seen when it leaves the stock (kTablePage).
    pages_.erase(frame << kPageShift);
  }
}

spec::Cpu StreamConcrete::ReadCpu(unsigned cpu) {
  return {loaded_[cpu], spec::Exit()};
}

}  // namespace holdfast::stream
