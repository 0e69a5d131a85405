// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/abstraction.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"

namespace holdfast::spec {
namespace {

constexpr uint64_t Bits(uint64_t raw, unsigned high, unsigned low) {
  return raw >> low & ((uint64_t{1} << (high - low + 1)) - 1);
}
constexpr uint64_t Field(uint64_t value, unsigned low) { return value << low; }

// Where a leaf has its output address: 47:12 or more (bits 15:12 are address
// bits 51:48 of 64 KiB pages, and none of 16 KiB ones).
constexpr uint64_t AddressField() {
  uint64_t mask = 0xffff'ffff'f000;
  if constexpr (kPageShift == 14) mask &= ~uint64_t{0x3fff};
  return mask;
}

// S2AP 7:6, XN 54:53 (D8.4.3).
uint8_t Stage2Rights(uint64_t raw) {
  uint8_t rights = 0;
  if (Bits(raw, 6, 6) != 0) rights |= kRead;
  if (Bits(raw, 7, 7) != 0) rights |= kWrite;
  const uint64_t xn = Bits(raw, 54, 53);
  if (xn == 0 || xn == 3) rights |= kPx;
  if (xn == 0 || xn == 1) rights |= kUx;
  return rights;
}

// What a stage-2 leaf has besides address, rights, access flag and the state in
// 56:55: valid, page or block, MemAttr 5:2, SH 9:8.
uint64_t OddStage2(uint64_t raw, int level, uint64_t mem_attr) {
  const uint64_t want =
      1 | Field(level == 3 ? 1 : 0, 1) | Field(mem_attr, 2) | Field(3, 8);
  const uint64_t free =
      AddressField() | Field(3, 6) | Field(1, 10) | Field(3, 53) | Field(3, 55);
  return (raw & ~free) ^ want;
}

}  // namespace

std::string ToString(const Part& part) {
  switch (part.kind) {
    case Part::Kind::kNone:
      return "no part";
    case Part::Kind::kTable:
      return "the VM table";
    case Part::Kind::kHost:
      return "the host's part";
    case Part::Kind::kHyp:
      return "EL2's table";
    case Part::Kind::kVm:
      return absl::StrFormat("VM %#x", part.handle);
  }
  return "?";
}

Abstraction::Abstraction(Concrete& concrete, unsigned cpus, State* state)
    : concrete_(concrete),
      layout_(concrete.layout()),
      host_(concrete, concrete.HostRoot()),
      hyp_(concrete, concrete.HypRoot()) {
  *state = State();
  state->cpus.resize(cpus);
  constexpr PageRange kAll{0, uint64_t{1} << 52};
  // What of EL2's mappings is the platform's business.
  hyp_.ForEach(kAll, [&](const TableEntry& entry) {
    for (uint64_t i = 0; i < entry.pages(); ++i) {
      const uint64_t page = entry.first + i;
      const Region* region = layout_.Find(page << kPageShift);
      if (layout_.IsBoot(page) || region == nullptr || !region->IsRam())
        hyp_at_boot_[page] = HypMappingIn(entry, page);
    }
  });
  // The trees have been read already, so nothing in them will differ.
  SetHyp(kAll, &state->hyp.Mut());
  std::vector<uint64_t> ignored;
  host_.ForEach(kAll, [&](const TableEntry& entry) {
    if (entry.valid()) CheckHostLeaf(entry);
  });
  ReadHost(nullptr, state, &ignored);
  for (const Frames& frames : layout_.boot) {
    for (uint64_t pfn = frames.first; pfn < frames.end(); ++pfn) {
      const Page page = PageAt(pfn);
      if (page != layout_.Initial(pfn)) state->host.Mut().pages[pfn] = page;
    }
  }
  ReadAll(state);
}

void Abstraction::ReadAll(State* state) {
  std::vector<uint64_t> ignored;
  ReadTable(state);
  ReadHost(nullptr, state, &ignored);
  ReadHyp(nullptr, state);
  for (auto& [handle, vm] : state->vms) ReadVm(handle, nullptr, state);
  for (unsigned i = 0; i < state->cpus.size(); ++i) ReadCpu(i, state);
  state->abort_style = concrete_.ReadStyle().value_or(state->abort_style);
}

// ---- The host's part -------------------------------------------------------

// Type 63:60 = 2, owner 3:1 (3: nobody), for a guest handle 19:4 and gfn 59:20.
Owner Abstraction::OwnerIn(const TableEntry& entry, uint64_t pfn) {
  const uint64_t raw = entry.raw;
  if (entry.valid() || raw == 0) return {};
  if (Bits(raw, 63, 60) == 2) {
    if (Bits(raw, 3, 1) == 1 && Bits(raw, 59, 4) == 0) return Owner::Hyp();
    if (Bits(raw, 3, 1) == 3 && Bits(raw, 59, 4) == 0) return {};
    if (Bits(raw, 3, 1) == 2) {
      return Owner::Guest(Bits(raw, 19, 4),
                          Bits(raw, 59, 20) + (pfn - entry.first));
    }
  }
  wrong_.push_back(absl::StrFormat(
      "the host's entry for page %#x is %#x, which means nothing", pfn, raw));
  return {};
}

Page Abstraction::PageAt(uint64_t pfn) {
  const TableEntry entry = host_.At(pfn);
  const auto at = records_.find(pfn);
  const Record record = at == records_.end() ? Record() : at->second;
  const Page page{record.host, record.hyp, record.count, OwnerIn(entry, pfn)};
  if (entry.valid() && page.host == PageState::kNone) {
    wrong_.push_back(absl::StrFormat(
        "the host's table maps page %#x, which is not the host's: %s", pfn,
        spec::ToString(page)));
  }
  if (!entry.valid() && page.host == PageState::kBorrowed) {
    wrong_.push_back(absl::StrFormat(
        "the host borrows page %#x, but its table does not map it", pfn));
  }
  return page;
}

// A lazy mapping: identity, of what the host may touch, with all rights for
// memory and no execution for devices.
void Abstraction::CheckHostLeaf(const TableEntry& leaf) {
  const uint64_t start = leaf.first << kPageShift;
  const uint64_t end = (leaf.first + leaf.pages()) << kPageShift;
  const Region* in = nullptr;
  bool forbidden = false;
  for (const Region& region : layout_.regions) {
    if (end <= region.base || start >= region.end) continue;
    if (region.kind == Region::Kind::kNoMap) forbidden = true;
    in = &region;
    // A page may stick out of its region, a block not.
    if (leaf.level < 3 && (start < region.base || end > region.end))
      forbidden = true;
  }
  const uint8_t rights =
      in != nullptr && in->IsRam() ? kAllRights : kRead | kWrite;
  const uint64_t odd = OddStage2(leaf.raw, leaf.level, layout_.fwb ? 7 : 0xf) |
                       Bits(leaf.raw, 56, 55);
  if (in == nullptr || forbidden || leaf.pfn() != leaf.first ||
      Stage2Rights(leaf.raw) != rights || odd != 0) {
    wrong_.push_back(absl::StrFormat(
        "the host's table maps page %#x (level %d) by %#x, which it may not",
        leaf.first, leaf.level, leaf.raw));
  }
}

void Abstraction::ReadHost(Stores stores, State* state,
                           std::vector<uint64_t>* changed) {
  std::vector<PageRange> ranges;
  if (stores == nullptr) {
    host_.ReadAll(&ranges);
  } else {
    host_.Read(*stores, &ranges);
  }
  std::vector<uint64_t> pages;
  concrete_.ChangedRecords([&](uint64_t pfn, const Record& record) {
    if (record == Record()) {
      records_.erase(pfn);
    } else {
      records_[pfn] = record;
    }
    pages.push_back(pfn);
  });
  for (const PageRange& range : ranges) {
    const auto& known = state->host->pages;
    for (auto at = known.lower_bound(range.first);
         at != known.end() && at->first < range.end(); ++at) {
      pages.push_back(at->first);
    }
    for (const Frames& boot : layout_.boot) {
      const uint64_t end = std::min(boot.end(), range.end());
      for (uint64_t p = std::max(boot.first, range.first); p < end; ++p)
        pages.push_back(p);
    }
    host_.ForEach(range, [&](const TableEntry& entry) {
      if (entry.valid()) {
        CheckHostLeaf(entry);
        return;
      }
      for (uint64_t i = 0; i < entry.pages(); ++i)
        pages.push_back(entry.first + i);
    });
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  for (uint64_t pfn : pages) {
    const Page page = PageAt(pfn);
    if (page == layout_.At(*state->host, pfn)) continue;
    layout_.Set(state->host.Mut(), pfn, page);
    changed->push_back(pfn);
  }
}

// ---- EL2's table -----------------------------------------------------------

// AttrIndx 4:2, AP 7:6, SH 9:8, AF 10, XN 54 (D8.4.1).
HypMapping Abstraction::HypMappingIn(const TableEntry& entry,
                                     uint64_t page) const {
  if (!entry.valid()) return {.mapped = false, .odd = entry.raw};
  const uint64_t raw = entry.raw;
  HypMapping mapping{.mapped = true,
                     .pfn = entry.pfn() + (page - entry.first),
                     .rights = kRead};
  if (Bits(raw, 7, 7) == 0) mapping.rights |= kWrite;
  if (Bits(raw, 54, 54) == 0) mapping.rights |= kPx;
  const uint64_t want = 1 | Field(entry.level == 3 ? 1 : 0, 1) | Field(1, 6) |
                        Field(3, 8) | Field(1, 10);
  const uint64_t free = AddressField() | Field(1, 7) | Field(1, 54);
  mapping.odd = (raw & ~free) ^ want;
  return mapping;
}

void Abstraction::SetHyp(const PageRange& range, Hyp* hyp) const {
  const auto erase = [&](auto& map) {
    map.erase(map.lower_bound(range.first), map.lower_bound(range.end()));
  };
  erase(hyp->pages);
  for (auto at = hyp_at_boot_.lower_bound(range.first);
       at != hyp_at_boot_.end() && at->first < range.end(); ++at) {
    hyp->pages[at->first] = HypMapping();  // unless it is still there
  }
  hyp_.ForEach(range, [&](const TableEntry& entry) {
    const uint64_t end = std::min(entry.first + entry.pages(), range.end());
    for (uint64_t page = std::max(entry.first, range.first); page < end;
         ++page) {
      const HypMapping mapping = HypMappingIn(entry, page);
      const auto boot = hyp_at_boot_.find(page);
      if (boot != hyp_at_boot_.end() && boot->second == mapping) {
        hyp->pages.erase(page);
      } else {
        hyp->pages[page] = mapping;
      }
    }
  });
}

void Abstraction::ReadHyp(Stores stores, State* state) {
  std::vector<PageRange> ranges;
  if (stores == nullptr) {
    hyp_.ReadAll(&ranges);
  } else {
    hyp_.Read(*stores, &ranges);
  }
  for (const PageRange& range : ranges) SetHyp(range, &state->hyp.Mut());
}

// ---- VMs -------------------------------------------------------------------

void Abstraction::ReadTable(State* state) {
  VmTable now;
  concrete_.ReadTable(&now);
  if (!(now == *state->table)) state->table = Cow<VmTable>(std::move(now));
  for (auto at = state->vms.begin(); at != state->vms.end();) {
    const auto slot = state->table->slots.find(at->first);
    if (slot != state->table->slots.end() && slot->second.IsVm()) {
      ++at;
      continue;
    }
    vms_.erase(at->first);
    at = state->vms.erase(at);
  }
  for (const auto& [handle, slot] : state->table->slots) {
    if (!slot.IsVm() || state->vms.contains(handle)) continue;
    state->vms[handle] = Cow<Vm>();
    vms_.erase(handle);
    ReadVm(handle, nullptr, state);
  }
}

GuestEntry Abstraction::GuestEntryIn(const TableEntry& entry) const {
  const uint64_t raw = entry.raw;
  if (!entry.valid()) {
    return {.poisoned = true,
            .level = static_cast<int8_t>(entry.level),
            .odd = raw ^ Field(3, 60)};
  }
  return {.pfn = entry.pfn(),
          .state = static_cast<PageState>(Bits(raw, 56, 55)),
          .rights = Stage2Rights(raw),
          .young = Bits(raw, 10, 10) != 0,
          .level = static_cast<int8_t>(entry.level),
          .odd = OddStage2(raw, entry.level, layout_.fwb ? 6 : 0xf)};
}

// It will be a table, and a table begins empty. (Its first word names the next
// frame of the stock.)
void Abstraction::CheckStockFrame(uint64_t handle, uint64_t frame) {
  const uint64_t* const words = concrete_.PageWords(frame << kPageShift);
  if (words == nullptr) return;
  for (uint64_t i = 1; i < kEntries; ++i) {
    if (__atomic_load_n(words + i, __ATOMIC_RELAXED) == 0) continue;
    wrong_.push_back(absl::StrFormat(
        "VM %#x: frame %#x of its stock is not zero", handle, frame));
    return;
  }
}

void Abstraction::ReadVm(uint64_t handle, Stores stores, State* state) {
  Cow<Vm>& vm = state->vms[handle];
  std::vector<PageRange> ranges;
  std::unique_ptr<VmTables>& known = vms_[handle];
  const bool is_new = known == nullptr;
  if (is_new) {
    known =
        std::make_unique<VmTables>(Tables(concrete_, concrete_.VmRoot(handle)));
    ranges.push_back({0, uint64_t{1} << 52});
  } else if (stores == nullptr) {
    known->tables.ReadAll(&ranges);
  } else {
    known->tables.Read(*stores, &ranges);
  }
  for (const PageRange& range : ranges) {
    auto& entries = vm.Mut().entries;
    entries.erase(entries.lower_bound(range.first),
                  entries.lower_bound(range.end()));
    known->tables.ForEach(range, [&](const TableEntry& entry) {
      entries[entry.first] = GuestEntryIn(entry);
    });
  }
  if (!ranges.empty() && vm->tables != known->tables.tables())
    vm.Mut().tables = known->tables.tables();
  VmView view;
  concrete_.ReadVm(handle, &view);
  if (is_new || view.stock != known->view.stock) {
    const absl::btree_set<uint64_t> stock(view.stock.begin(), view.stock.end());
    for (uint64_t frame : stock) {
      if (!vm->stock.contains(frame)) CheckStockFrame(handle, frame);
    }
    if (vm->stock != stock) vm.Mut().stock = stock;
  }
  if (vm->pages != view.pages) vm.Mut().pages = view.pages;
  if (vm->stock_frames != view.stock_frames)
    vm.Mut().stock_frames = view.stock_frames;
  if (vm->devices != view.devices) vm.Mut().devices = view.devices;
  known->view = std::move(view);
}

void Abstraction::ReadCpu(unsigned cpu, State* state) {
  state->cpus[cpu] = concrete_.ReadCpu(cpu);
}

Part Abstraction::TableAt(uint64_t address) const {
  if (host_.Has(address)) return {Part::Kind::kHost};
  if (hyp_.Has(address)) return {Part::Kind::kHyp};
  for (const auto& [handle, vm] : vms_) {
    if (vm->tables.Has(address)) return {Part::Kind::kVm, handle};
  }
  return {};
}

std::string Abstraction::ShapeTrouble() const {
  std::string text = host_.Trouble() + hyp_.Trouble();
  for (const auto& [handle, vm] : vms_) text += vm->tables.Trouble();
  return text;
}

}  // namespace holdfast::spec
