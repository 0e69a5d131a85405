// SPDX-License-Identifier: Apache-2.0
//
// The model: puts together the tables in memory, the translations that may
// still be cached, and what each CPU is about; finds what no correct EL2 does;
// keeps the event stream. One method per operation of the facade, each atomic.
//
// One thread at a time: the machine calls it under one lock (machine.h).
#ifndef HOLDFAST_PLATFORMS_SIM_MODEL_H_
#define HOLDFAST_PLATFORMS_SIM_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/addr.h"
#include "base/cpu_features.h"
#include "base/cpu_local.h"
#include "base/stage2_context.h"
#include "platforms/sim/events.h"
#include "platforms/sim/operations.h"
#include "platforms/sim/ram.h"
#include "platforms/sim/tables.h"
#include "platforms/sim/tlb.h"
#include "platforms/sim/violation.h"
#include "platforms/sim/walker.h"

namespace holdfast::sim {

struct ModelConfig {
  unsigned cpus = 1;
  unsigned page_shift = 12;
  CpuFeatures features;
  bool adversarial_tlb = true;
  bool check_table_isolation = true;
  bool record_events = false;
  bool range_tlbi = true;
  bool tlbi_needs_repeat = false;
  bool print_violations = true;
  uint64_t seed = 1;
};

// Where an access goes, or why it goes nowhere.
struct Outcome {
  std::optional<PhysAddr> pa;  // else
  Fault fault;
};

class Model {
 public:
  // `ram` outlives the model.
  Model(const Ram& ram, const ModelConfig& config);

  const std::vector<Violation>& violations() const { return violations_; }
  void ClearViolations() { violations_.clear(); }
  const std::vector<Event>& events() const { return events_; }
  void ClearEvents() { events_.clear(); }
  const StaleTlb& tlb() const { return tlb_; }

  void Record(unsigned cpu, EventType type, uint64_t a = 0, uint64_t b = 0,
              uint64_t c = 0);
  // Numbers it.
  void Record(Event event);
  void Report(unsigned cpu, ViolationKind kind, const std::string& what);

  // ---- Operations of EL2 ----------------------------------------------------

  // Also stores: `entry` is the host address of `pa`.
  void StorePte(unsigned cpu, PhysAddr pa, uint64_t* entry, uint64_t value,
                bool release);
  // The root of the stage 2 table that has an entry at `pa`, if one has.
  std::optional<PhysAddr> RootOf(PhysAddr pa) const;
  // True: a TLBI has completed, so the caller must wait for accesses in flight.
  bool Barrier(unsigned cpu, BarrierKind kind);
  void EnterContext(unsigned cpu, const Stage2Context& context);
  void LeaveContext(unsigned cpu);
  void Tlbi(unsigned cpu, TlbiKind kind, uint64_t address, uint64_t size,
            int level);
  void LockAcquired(unsigned cpu, const void* lock);
  void LockReleased(unsigned cpu, const void* lock);
  void Stage2Created(unsigned cpu, const Stage2Context& context,
                     const void* lock);
  void Stage2Destroyed(unsigned cpu, const Stage2Context& context);
  // ZeroPage or cache maintenance of [pa, pa + size): true if it may go on.
  bool PageOperation(unsigned cpu, EventType type, PhysAddr pa, uint64_t size);

  // ---- Accesses through stage 2 ---------------------------------------------

  // Translates for host or guest: stale translations first (adversarial_tlb),
  // then the tables, setting the access flag if VTCR.HA says so.
  Outcome Translate(unsigned cpu, const Stage2Context& context, Ipa ipa,
                    AccessType type);

 private:
  struct CpuState {
    std::optional<Stage2Context> context;  // entered
    uint64_t last_store = 0;  // time of its last store that matters
    absl::flat_hash_map<const void*, uint64_t> last_store_under;  // by lock
    bool local_tlbi = false;      // issued, no DSB yet
    bool broadcast_tlbi = false;  //
    // Whole VMIDs it has invalidated since its last DSB ISH, and when.
    std::vector<std::pair<std::optional<Vmid>, uint64_t>> full_tlbis;
  };
  struct VmidState {
    uint64_t used_at = 0;     // last time a TLB may have taken up something
    uint64_t cleaned_at = 0;  // last full invalidation that completed
  };

  bool Cacheable(const Stage2Format& format, const Entry& leaf) const;
  bool MappedByHost(PhysAddr pa) const;
  std::optional<StaleEntry> StaleLeafOver(PhysAddr pa, uint64_t size,
                                          bool hosts_too) const;
  void CheckLeaf(unsigned cpu, const Stage2Root& root, PhysAddr at,
                 const Entry& leaf, uint64_t size);
  void Link(unsigned cpu, const Stage2Root& root, PhysAddr start,
            uint64_t bytes, int level, Ipa ipa);
  void Unlink(unsigned cpu, uint64_t stored_at, const Stage2Root& root,
              PhysAddr start, int level, Ipa ipa, bool walk_cache);
  void EntryChanged(unsigned cpu, const TablePage& page, PhysAddr at,
                    uint64_t before, uint64_t after, bool release);
  void CheckMake(unsigned cpu, const Stage2Root& root, Ipa ipa, int level,
                 const Entry& made);
  bool Harmless(const Stage2Root& root, const StaleEntry& stale) const;
  Outcome ByTables(unsigned cpu, const Stage2Format& format, PhysAddr root,
                   Ipa ipa, AccessType type);

  const Ram& ram_;
  const ModelConfig config_;
  TableIndex tables_;
  StaleTlb tlb_;
  CpuState cpus_[kMaxCpus];
  absl::flat_hash_map<uint16_t, VmidState> vmids_;
  absl::flat_hash_map<const void*, unsigned> lock_owner_;
  std::vector<Violation> violations_;
  std::vector<Event> events_;
  uint64_t event_count_ = 0;
  uint64_t random_;
};

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_MODEL_H_
