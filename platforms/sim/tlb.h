// SPDX-License-Identifier: Apache-2.0
//
// What TLBs may still hold that the tables in memory no longer say. The rule
// (Arm ARM D8.14, D8.17): a translation that was ever legal may be used until
// it was invalidated and the barriers that takes have completed.
//
// An entry gets here when its descriptor is overwritten. Each CPU may hold it
// in two ways, and each must go:
// clang-format off
//   stage 2   IPA -> PA. TLBI by IPA, or of the whole VMID, removes it.
//   combined  VA -> PA, made of both stages. TLBI VMALLE1(IS) or of the whole
//             VMID removes it, but while the CPU still holds the stage-2 one it
//             can be made again from that, so it must come second.
// clang-format on
// A TLBI acts on an entry only if the store that made it stale has completed (a
// DSB by the CPU that stored), and takes effect at a DSB of the CPU that issued
// it: DSB ISH everywhere, DSB NSH on that CPU alone.
//
// No locks, no memory, no tables: one thread at a time, see model.h.
#ifndef HOLDFAST_PLATFORMS_SIM_TLB_H_
#define HOLDFAST_PLATFORMS_SIM_TLB_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "base/addr.h"
#include "base/cpu_local.h"
#include "platforms/sim/walker.h"

namespace holdfast::sim {

// One bit per CPU.
using CpuMask = uint8_t;
static_assert(kMaxCpus <= 8);

// A translation that is no longer in the tables but may still be used.
struct StaleEntry {
  Vmid vmid;
  Ipa ipa;            // start and
  uint64_t size = 0;  // bytes of what it translates
  int level = 3;      // of the overwritten descriptor
  // A leaf; or a table: walks go on through that page, with what it now holds.
  Entry entry;
  CpuMask stage2_cpus = 0;
  CpuMask combined_cpus = 0;

  bool is_walk_cache() const { return entry.kind == Entry::Kind::kTable; }
  CpuMask cpus() const { return stage2_cpus | combined_cpus; }
};
std::string ToString(const StaleEntry& stale);

class StaleTlb {
 public:
  // `cpus` CPUs; tables of `table_bytes`. With `needs_repeat` a TLBI and its
  // DSB take effect the second time only.
  StaleTlb(unsigned cpus, uint64_t table_bytes, bool needs_repeat);

  bool empty() const { return size_ == 0; }
  bool Empty(Vmid vmid) const;
  std::vector<StaleEntry> Entries() const;
  std::vector<StaleEntry> Entries(Vmid vmid) const;
  // Those that overlap [ipa, ipa + size).
  std::vector<StaleEntry> Overlapping(Vmid vmid, Ipa ipa, uint64_t size) const;
  // Those that `cpu` may use for `ipa`.
  std::vector<StaleEntry> Usable(unsigned cpu, Vmid vmid, Ipa ipa) const;
  // Whether walks may still go through a table page in [pa, pa + size).
  bool HasWalkCache(PhysAddr pa, uint64_t size) const;

  // `cpu` overwrote `entry` of `level`, which translated [ipa, ipa + size), at
  // time `stored_at`; 0 if no store was needed to make it stale.
  void Add(unsigned cpu, uint64_t stored_at, Vmid vmid, Ipa ipa, uint64_t size,
           int level, const Entry& entry);

  // TLBI by `cpu`.
  void InvalidateIpa(unsigned cpu, Vmid vmid, Ipa ipa, uint64_t size,
                     int level_hint, bool broadcast);
  void InvalidateStage1(unsigned cpu, Vmid vmid, bool broadcast);
  void InvalidateVmid(unsigned cpu, Vmid vmid);
  void InvalidateAll(unsigned cpu);

  // DSB by `cpu`. ISHST: stores only. NSH: effective for `cpu` alone.
  void CompleteStores(unsigned cpu, bool own_only);
  void CompleteTlbi(unsigned cpu, bool own_only);

  // Logical time: counts stores; a store of `cpu` at `time` has completed.
  uint64_t now() const { return now_; }
  uint64_t Tick() { return ++now_; }
  bool StoreCompleted(unsigned cpu, uint64_t time, bool for_own_walks) const;

 private:
  struct Record {
    StaleEntry stale;
    unsigned storer = 0;
    uint64_t stored_at = 0;
    // By issuing CPU: on which CPUs its TLBI will have effect at its DSB.
    CpuMask pending_stage2[kMaxCpus] = {};
    CpuMask pending_combined[kMaxCpus] = {};
    // What was invalidated a first time (`needs_repeat`).
    CpuMask once_stage2 = 0;
    CpuMask once_combined = 0;
  };
  // Level first: entries of a level are aligned to their size, so a point needs
  // one look per level, and a range a scan of its own part.
  using Key = std::pair<int, uint64_t>;
  using Records = absl::btree_multimap<Key, Record>;

  bool Completed(const Record& record, unsigned cpu, bool broadcast) const;
  void Invalidate(Record& record, unsigned cpu, bool stage2, bool combined,
                  bool broadcast);
  void DropRecord(const Record& record);

  const CpuMask all_cpus_;
  const uint64_t table_bytes_;
  const bool needs_repeat_;
  uint64_t now_ = 0;
  // Stores of a CPU up to this time have completed: for all / for its own
  // walks.
  uint64_t completed_[kMaxCpus] = {};
  uint64_t completed_own_[kMaxCpus] = {};
  bool pending_[kMaxCpus] = {};
  size_t size_ = 0;
  absl::flat_hash_map<uint16_t, Records> vmids_;
  // Largest entry of each level seen so far, for range scans.
  uint64_t level_size_[4] = {};
  // Table pages with walk caches: address -> number of records.
  absl::btree_map<uint64_t, size_t> walk_cached_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_TLB_H_
