// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/tlb.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace holdfast::sim {
namespace {

constexpr CpuMask Bit(unsigned cpu) { return static_cast<CpuMask>(1u << cpu); }

bool Overlaps(const StaleEntry& stale, uint64_t start, uint64_t size) {
  return stale.ipa.value() < start + size &&
         start < stale.ipa.value() + stale.size;
}

}  // namespace

std::string ToString(const StaleEntry& stale) {
  const std::string range =
      absl::StrFormat("vmid %d ipa %#x size %#x level %d", stale.vmid.value(),
                      stale.ipa.value(), stale.size, stale.level);
  const std::string what =
      stale.is_walk_cache()
          ? absl::StrFormat("table %#x", stale.entry.address.value())
          : absl::StrFormat(
                "pa %#x %s%s%s", stale.entry.address.value(),
                stale.entry.readable ? "r" : "-",
                stale.entry.writable ? "w" : "-",
                stale.entry.exec_el1 || stale.entry.exec_el0 ? "x" : "-");
  return absl::StrFormat(
      "stale: %s -> %s (stage-2 on CPUs %#x, combined on CPUs %#x)", range,
      what, stale.stage2_cpus, stale.combined_cpus);
}

StaleTlb::StaleTlb(unsigned cpus, uint64_t table_bytes, bool needs_repeat)
    : all_cpus_(static_cast<CpuMask>((1u << cpus) - 1)),
      table_bytes_(table_bytes),
      needs_repeat_(needs_repeat) {}

bool StaleTlb::Empty(Vmid vmid) const {
  const auto it = vmids_.find(vmid.value());
  return it == vmids_.end() || it->second.empty();
}

std::vector<StaleEntry> StaleTlb::Entries() const {
  std::vector<StaleEntry> entries;
  for (const auto& [vmid, records] : vmids_) {
    for (const auto& [key, record] : records) entries.push_back(record.stale);
  }
  return entries;
}

std::vector<StaleEntry> StaleTlb::Entries(Vmid vmid) const {
  std::vector<StaleEntry> entries;
  if (const auto it = vmids_.find(vmid.value()); it != vmids_.end()) {
    for (const auto& [key, record] : it->second)
      entries.push_back(record.stale);
  }
  return entries;
}

std::vector<StaleEntry> StaleTlb::Overlapping(Vmid vmid, Ipa ipa,
                                              uint64_t size) const {
  std::vector<StaleEntry> entries;
  const auto found = vmids_.find(vmid.value());
  if (found == vmids_.end()) return entries;
  const Records& records = found->second;
  for (int level = 0; level < 4; ++level) {
    if (level_size_[level] == 0) continue;
    const uint64_t first = ipa.value() & ~(level_size_[level] - 1);
    for (auto it = records.lower_bound({level, first});
         it != records.end() && it->first < Key{level, ipa.value() + size};
         ++it) {
      if (Overlaps(it->second.stale, ipa.value(), size))
        entries.push_back(it->second.stale);
    }
  }
  return entries;
}

std::vector<StaleEntry> StaleTlb::Usable(unsigned cpu, Vmid vmid,
                                         Ipa ipa) const {
  if (empty()) return {};
  std::vector<StaleEntry> entries = Overlapping(vmid, ipa, 1);
  std::erase_if(entries, [cpu](const StaleEntry& e) {
    return (e.cpus() & Bit(cpu)) == 0;
  });
  return entries;
}

bool StaleTlb::HasWalkCache(PhysAddr pa, uint64_t size) const {
  if (walk_cached_.empty()) return false;
  auto it = walk_cached_.lower_bound(pa.value());
  if (it != walk_cached_.end() && it->first < pa.value() + size) return true;
  if (it == walk_cached_.begin()) return false;
  --it;
  return it->first + table_bytes_ > pa.value();
}

void StaleTlb::Add(unsigned cpu, uint64_t stored_at, Vmid vmid, Ipa ipa,
                   uint64_t size, int level, const Entry& entry) {
  HOLDFAST_CHECK(level >= 0 && level < 4);
  Records& records = vmids_[vmid.value()];
  level_size_[level] = std::max(level_size_[level], size);
  const Key key{level, ipa.value()};
  Record fresh;
  fresh.stale = {.vmid = vmid,
                 .ipa = ipa,
                 .size = size,
                 .level = level,
                 .entry = entry,
                 .stage2_cpus = all_cpus_,
                 .combined_cpus = all_cpus_};
  fresh.storer = cpu;
  fresh.stored_at = stored_at;
  // The same translation a second time takes the place of the first.
  auto [it, end] = records.equal_range(key);
  for (; it != end; ++it) {
    if (it->second.stale.entry == entry) {
      it->second = fresh;
      return;
    }
  }
  records.emplace(key, fresh);
  ++size_;
  if (fresh.stale.is_walk_cache()) ++walk_cached_[entry.address.value()];
}

bool StaleTlb::StoreCompleted(unsigned cpu, uint64_t time,
                              bool for_own_walks) const {
  return completed_[cpu] >= time ||
         (for_own_walks && completed_own_[cpu] >= time);
}

bool StaleTlb::Completed(const Record& record, unsigned cpu,
                         bool broadcast) const {
  return StoreCompleted(record.storer, record.stored_at,
                        /*for_own_walks=*/!broadcast && record.storer == cpu);
}

void StaleTlb::Invalidate(Record& record, unsigned cpu, bool stage2,
                          bool combined, bool broadcast) {
  // Until the store has completed, a walk may fetch the old descriptor again.
  if (!Completed(record, cpu, broadcast)) return;
  const CpuMask cpus = broadcast ? all_cpus_ : Bit(cpu);
  if (stage2) record.pending_stage2[cpu] |= cpus;
  if (combined) {
    // Alone, it has no lasting effect where the stage-2 entry is still there.
    const CpuMask remade = stage2 ? 0 : record.stale.stage2_cpus;
    record.pending_combined[cpu] |= static_cast<CpuMask>(cpus & ~remade);
  }
  pending_[cpu] = true;
}

void StaleTlb::InvalidateIpa(unsigned cpu, Vmid vmid, Ipa ipa, uint64_t size,
                             int level_hint, bool broadcast) {
  const auto found = vmids_.find(vmid.value());
  if (found == vmids_.end()) return;
  for (auto& [key, record] : found->second) {
    const StaleEntry& stale = record.stale;
    if (!Overlaps(stale, ipa.value(), size)) continue;
    // FEAT_TTL: the hint is the level of the leaf. Leaves of other levels, and
    // walk caches of tables at or below it, need not go.
    if (level_hint >= 0) {
      if (stale.is_walk_cache() ? stale.level >= level_hint
                                : stale.level != level_hint)
        continue;
    }
    Invalidate(record, cpu, /*stage2=*/true, /*combined=*/false, broadcast);
  }
}

void StaleTlb::InvalidateStage1(unsigned cpu, Vmid vmid, bool broadcast) {
  const auto found = vmids_.find(vmid.value());
  if (found == vmids_.end()) return;
  for (auto& [key, record] : found->second) {
    Invalidate(record, cpu, /*stage2=*/false, /*combined=*/true, broadcast);
  }
}

void StaleTlb::InvalidateVmid(unsigned cpu, Vmid vmid) {
  const auto found = vmids_.find(vmid.value());
  if (found == vmids_.end()) return;
  for (auto& [key, record] : found->second) {
    Invalidate(record, cpu, /*stage2=*/true, /*combined=*/true,
               /*broadcast=*/true);
  }
}

void StaleTlb::InvalidateAll(unsigned cpu) {
  for (const auto& [vmid, records] : vmids_) InvalidateVmid(cpu, Vmid(vmid));
}

void StaleTlb::CompleteStores(unsigned cpu, bool own_only) {
  completed_own_[cpu] = now_;
  if (!own_only) completed_[cpu] = now_;
}

void StaleTlb::CompleteTlbi(unsigned cpu, bool own_only) {
  if (!pending_[cpu]) return;
  bool left = false;
  const CpuMask reach = own_only ? Bit(cpu) : all_cpus_;
  for (auto& [vmid, records] : vmids_) {
    for (auto it = records.begin(); it != records.end();) {
      Record& record = it->second;
      CpuMask stage2 = record.pending_stage2[cpu] & reach;
      CpuMask combined = record.pending_combined[cpu] & reach;
      record.pending_stage2[cpu] &= static_cast<CpuMask>(~reach);
      record.pending_combined[cpu] &= static_cast<CpuMask>(~reach);
      left |= (record.pending_stage2[cpu] | record.pending_combined[cpu]) != 0;
      if (needs_repeat_) {
        const CpuMask twice_stage2 = stage2 & record.once_stage2;
        const CpuMask twice_combined = combined & record.once_combined;
        record.once_stage2 |= stage2;
        record.once_combined |= combined;
        stage2 = twice_stage2;
        combined = twice_combined;
      }
      record.stale.stage2_cpus &= static_cast<CpuMask>(~stage2);
      record.stale.combined_cpus &= static_cast<CpuMask>(~combined);
      if (record.stale.cpus() == 0) {
        DropRecord(record);
        it = records.erase(it);
      } else {
        ++it;
      }
    }
  }
  pending_[cpu] = left;
}

void StaleTlb::DropRecord(const Record& record) {
  --size_;
  if (!record.stale.is_walk_cache()) return;
  const auto it = walk_cached_.find(record.stale.entry.address.value());
  if (--it->second == 0) walk_cached_.erase(it);
}

}  // namespace holdfast::sim
