// SPDX-License-Identifier: Apache-2.0
//
// The invariants of the ownership model, read from RAM: what the tables of
// every component say, held against the page records and against each other. It
// decodes entries itself and shares no code with pgtable/.
#include <algorithm>
#include <map>
#include <set>

#include "test_text.h"
#include "tests/world/board.h"

namespace holdfast::tests {
namespace {

using mem_protect::PageRecord;
using mem_protect::PageState;
using mem_protect::PageStateName;
using mem_protect::Region;

constexpr unsigned kIndexBits = kPageShift - 3;
constexpr unsigned kEntries = 1u << kIndexBits;
// An address in an entry starts at bit 12 even for pages smaller than that.
constexpr unsigned kAddressUp = kPageShift < 12 ? 12 - kPageShift : 0;

struct Entry {
  uint64_t raw = 0;
  int level = 3;
  uint64_t address = 0;  // what it translates, first byte
};

bool IsTable(uint64_t raw, int level) { return level < 3 && (raw & 3) == 3; }
uint64_t AddressIn(uint64_t raw) {
  uint64_t address = (raw & 0xffff'ffff'f000) >> kAddressUp;
  if constexpr (kPageShift > 12) address &= ~(kPageSize - 1);
  if constexpr (kPageShift == 16) address |= (raw >> 12 & 0xf) << 48;
  return address;
}

// A set of tables, read entry by entry.
class Tables {
 public:
  Tables(const sim::Ram& ram, uint64_t root, int start, unsigned root_tables)
      : ram_(ram), root_(root), start_(start), root_tables_(root_tables) {}

  // The entry that translates `address`.
  Entry At(uint64_t address) const {
    uint64_t table = root_;
    uint64_t index = address >> Shift(start_);
    for (int level = start_;; ++level) {
      const uint64_t raw = Read(table + index * 8);
      if (!IsTable(raw, level))
        return {raw, level, address >> Shift(level) << Shift(level)};
      table = AddressIn(raw);
      index = (address >> Shift(level + 1)) % kEntries;
    }
  }

  // Every non-zero leaf or annotation; what is wrong with counts; the table
  // pages below the root.
  void ReadAll(std::vector<Entry>* entries, std::vector<std::string>* wrong,
               std::set<uint64_t>* tables) const {
    Read(root_, start_, 0, kEntries * root_tables_, entries, wrong, tables);
  }

 private:
  static unsigned Shift(int level) {
    return kPageShift + static_cast<unsigned>(3 - level) * kIndexBits;
  }
  uint64_t Read(uint64_t entry) const { return ram_.Load(PhysAddr(entry), 8); }

  // Returns how many entries of the table are not zero.
  unsigned Read(uint64_t table, int level, uint64_t base, unsigned count,
                std::vector<Entry>* entries, std::vector<std::string>* wrong,
                std::set<uint64_t>* tables) const {
    unsigned used = 0;
    for (unsigned i = 0; i < count; ++i) {
      const uint64_t raw = Read(table + uint64_t{i} * 8);
      const uint64_t address = base + (uint64_t{i} << Shift(level));
      if (raw == 0) continue;
      ++used;
      if (!IsTable(raw, level)) {
        entries->push_back({raw, level, address});
        continue;
      }
      tables->insert(AddressIn(raw) / kPageSize);
      const unsigned below = Read(AddressIn(raw), level + 1, address, kEntries,
                                  entries, wrong, tables);
      // The count of a table is in the ignored bits of the entry that links it.
      const unsigned kept =
          static_cast<unsigned>((raw >> 51 & 0xff) << 6 | (raw >> 2 & 0x3f));
      if (kept != below) {
        wrong->push_back(
            absl::StrFormat("table at %#x (level %d, for %#x): its count says "
                            "%u entries, it has %u",
                            AddressIn(raw), level + 1, address, kept, below));
      }
      if (below == 0) {
        wrong->push_back(absl::StrFormat("table at %#x is empty but linked",
                                         AddressIn(raw)));
      }
    }
    return used;
  }

  const sim::Ram& ram_;
  const uint64_t root_;
  const int start_;
  const unsigned root_tables_;
};

constexpr uint64_t kHypOwned = uint64_t{2} << 60 | 1 << 1;

bool ValidHostLeaf(const Entry& entry, uint64_t address) {
  const bool rwx = (entry.raw >> 6 & 3) == 3 && (entry.raw >> 53 & 3) == 0;
  const uint64_t output = AddressIn(entry.raw) + (address - entry.address);
  return (entry.raw & 1) != 0 && rwx && output == address;
}

}  // namespace

std::string Board::BrokenInvariants() {
  std::vector<std::string> wrong;
  const auto complain = [&](uint64_t pfn, const PageRecord& record,
                            const std::string& what) {
    if (wrong.size() < 12) {
      wrong.push_back(
          absl::StrFormat("frame %#x (host %s, hyp %s, count %u): %s", pfn,
                          PageStateName(record.host()),
                          PageStateName(record.hyp()), record.count(), what));
    }
  };
  const sim::Ram& ram = machine_->ram();
  const auto shape = mem().stage2_shape();
  const auto stage2 = [&](const Stage2Context& context) {
    return Tables(ram, context.root.value(), shape.start.value(),
                  shape.root_pages);
  };
  const Tables host = stage2(mem().host_context());
  const int hyp_levels = static_cast<int>(
      (mem().features().pa_bits - kPageShift + kIndexBits - 1) / kIndexBits);
  const Tables hyp(ram, mem().hyp_table().root().value(), 4 - hyp_levels, 1);

  std::vector<Entry> ignored;
  std::set<uint64_t> host_tables;
  host.ReadAll(&ignored, &wrong, &host_tables);
  std::set<uint64_t> hyp_tables;
  std::vector<Entry> hyp_entries;
  hyp.ReadAll(&hyp_entries, &wrong, &hyp_tables);

  // Guests: every leaf, by frame.
  struct GuestLeaf {
    uint64_t handle = 0;
    uint64_t gfn = 0;
    PageState state = PageState::kOwned;
  };
  std::map<uint64_t, std::vector<GuestLeaf>> guest_leaves;
  uint32_t all_blocks = 0;
  SpinlockHolder hold(hv_->vms().lock);
  for (uint32_t i = 0; i < vm_table::kVmSlots; ++i) {
    const VmHandle handle(static_cast<uint16_t>(vm_table::kFirstHandle + i));
    vm_table::Vm* vm = hv_->vms().Find(handle);
    if (vm == nullptr) continue;
    SpinlockHolder vm_hold(vm->stage2.lock);
    std::vector<Entry> entries;
    std::set<uint64_t> tables;
    stage2(vm->stage2.context()).ReadAll(&entries, &wrong, &tables);
    uint64_t mapped = 0;
    uint32_t blocks = 0;
    for (const Entry& entry : entries) {
      if ((entry.raw & 1) == 0) {
        if (entry.raw >> 60 != 3) {
          wrong.push_back(absl::StrFormat(
              "VM %#x: a guest entry that is neither leaf nor poison: "
              "%#x at %#x",
              handle.value(), entry.raw, entry.address));
        }
        continue;
      }
      const auto state = static_cast<PageState>(entry.raw >> 55 & 3);
      const uint64_t pages = uint64_t{1} << (3 - entry.level) * kIndexBits;
      for (uint64_t page = 0; page < pages; ++page) {
        guest_leaves[AddressIn(entry.raw) / kPageSize + page].push_back(
            {handle.value(), entry.address / kPageSize + page, state});
      }
      mapped += pages;
      // What a guest owns it has with all rights; what it borrows is never its
      // own.
      const bool rwx = (entry.raw >> 6 & 3) == 3 && (entry.raw >> 53 & 3) == 0;
      if (vm->is_protected()) blocks += entry.level != 3;
      if (vm->is_protected() ? !rwx || state == PageState::kSharedBorrowed
                             : state != PageState::kSharedBorrowed) {
        wrong.push_back(absl::StrFormat(
            "VM %#x (%s): leaf %#x at %#x, level %d", handle.value(),
            vm->is_protected() ? "protected" : "non-protected", entry.raw,
            entry.address, entry.level));
      }
    }
    if (mapped != vm->guest_pages) {
      wrong.push_back(
          absl::StrFormat("VM %#x: its table maps %u pages, it counts %u",
                          handle.value(), mapped, vm->guest_pages));
    }
    const uint32_t free = vm->stage2.stock.free();
    const uint32_t deposits = vm->stage2.stock.deposits();
    if (tables.size() + free + deposits != vm->stock_frames) {
      wrong.push_back(absl::StrFormat(
          "VM %#x: %u tables + %u in stock + %u deposited, it was given %u",
          handle.value(), tables.size(), free, deposits, vm->stock_frames));
    }
    // Each block of a protected guest's can be split.
    if (deposits != blocks) {
      wrong.push_back(absl::StrFormat("VM %#x: %u blocks, %u deposits",
                                      handle.value(), blocks, deposits));
    }
    all_blocks += blocks;
    for (uint64_t table : tables) {
      const PageRecord* record = mem().RecordOf(Pfn(table));
      if (record == nullptr || record->hyp() != PageState::kOwned) {
        wrong.push_back(absl::StrFormat("VM %#x: its table %#x is not EL2's",
                                        handle.value(), table));
      }
    }
  }

  {
    SpinlockHolder host_hold(mem().host_table().lock);
    const uint32_t deposits = mem().host_table().stock.deposits();
    if (deposits != all_blocks) {
      wrong.push_back(
          absl::StrFormat("host: %u blocks are protected guests', %u deposits",
                          all_blocks, deposits));
    }
  }

  for (const Region& region : mem().map().regions()) {
    if (!region.IsRam()) continue;
    for (uint64_t pfn = region.first_pfn().value();
         pfn < region.end_pfn().value(); ++pfn) {
      const PageRecord& record = *mem().RecordOf(Pfn(pfn));
      const uint64_t address = pfn * kPageSize;
      const Entry entry = host.At(address);
      const bool host_leaf = ValidHostLeaf(entry, address);
      const bool zero_or_leaf = entry.raw == 0 || host_leaf;
      const bool in_image = std::any_of(
          image_.begin(), image_.end(),
          [&](const auto& range) { return range.Overlaps({Pfn(pfn), 1}); });
      const bool at_hyp = (hyp.At(address).raw & 1) != 0;
      const auto leaves = guest_leaves.find(pfn);
      const size_t guests =
          leaves == guest_leaves.end() ? 0 : leaves->second.size();

      if (record.host() == PageState::kOwned &&
          record.hyp() == PageState::kNoPage) {
        if (!zero_or_leaf)
          complain(pfn, record,
                   absl::StrFormat("host entry is %#x", entry.raw));
        if (guests != 0) complain(pfn, record, "a guest maps it");
        if (at_hyp) complain(pfn, record, "EL2 maps it");
        if (record.count() != 0) complain(pfn, record, "somebody counts on it");
      } else if (record.host() == PageState::kSharedOwned &&
                 record.hyp() == PageState::kSharedBorrowed) {
        if (!zero_or_leaf)
          complain(pfn, record,
                   absl::StrFormat("host entry is %#x", entry.raw));
        if (guests != 0) complain(pfn, record, "a guest maps it");
        if (at_hyp != (record.count() > 0)) {
          complain(pfn, record,
                   at_hyp ? "EL2 maps it" : "pinned, but EL2 does not map it");
        }
      } else if (record.host() == PageState::kNoPage &&
                 record.hyp() == PageState::kOwned) {
        if (entry.raw != kHypOwned) {
          complain(pfn, record,
                   absl::StrFormat("host entry is %#x", entry.raw));
        }
        if (guests != 0) complain(pfn, record, "a guest maps it");
        if (!at_hyp && !in_image) complain(pfn, record, "EL2 does not map it");
        if (record.count() != 0) complain(pfn, record, "somebody counts on it");
      } else if (record.host() == PageState::kNoPage &&
                 record.hyp() == PageState::kNoPage) {
        if (at_hyp) complain(pfn, record, "EL2 maps it");
        if (guests != 1) {
          complain(pfn, record,
                   absl::StrFormat("a guest's, but %u leaves map it", guests));
        } else {
          const GuestLeaf& leaf = leaves->second.front();
          // A block's says what its first page would.
          const uint64_t into = (address - entry.address) / kPageSize;
          const uint64_t want = uint64_t{2} << 60 | (leaf.gfn - into) << 20 |
                                leaf.handle << 4 | 2 << 1;
          if (entry.raw != want) {
            complain(pfn, record,
                     absl::StrFormat(
                         "host entry is %#x, the guest leaf asks for %#x",
                         entry.raw, want));
          }
          if (leaf.state != PageState::kOwned)
            complain(pfn, record, "the guest does not own it");
        }
      } else if (record.host() == PageState::kSharedOwned &&
                 record.hyp() == PageState::kNoPage) {
        // Shared with guests, each of which borrows it; or with the secure
        // world, and nobody counts.
        if (!zero_or_leaf)
          complain(pfn, record,
                   absl::StrFormat("host entry is %#x", entry.raw));
        if (at_hyp) complain(pfn, record, "EL2 maps it");
        if (guests != record.count()) {
          complain(pfn, record, absl::StrFormat("%u leaves map it", guests));
        }
      } else if (record.host() == PageState::kSharedBorrowed &&
                 record.hyp() == PageState::kNoPage) {
        if (!host_leaf)
          complain(pfn, record,
                   absl::StrFormat("host entry is %#x", entry.raw));
        if (at_hyp) complain(pfn, record, "EL2 maps it");
        if (record.count() != 0) complain(pfn, record, "somebody counts on it");
        if (guests != 1 ||
            leaves->second.front().state != PageState::kSharedOwned) {
          complain(pfn, record,
                   absl::StrFormat(
                       "borrowed from a guest, but %u leaves map it", guests));
        }
      } else {
        complain(pfn, record, "no legal combination of states");
      }
    }
  }
  for (const auto& [pfn, leaves] : guest_leaves) {
    if (mem().RecordOf(Pfn(pfn)) == nullptr) {
      wrong.push_back(
          absl::StrFormat("a guest maps %#x, which is no RAM", pfn));
    }
  }
  return absl::StrJoin(wrong, "\n");
}

}  // namespace holdfast::tests
