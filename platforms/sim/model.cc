// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/model.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast::sim {
namespace {

uint64_t AddressOf(const void* lock) {
  return reinterpret_cast<uintptr_t>(lock);
}

std::string Name(const Stage2Context& context) {
  return absl::StrFormat("vmid %d root %#x vtcr %#x", context.vmid.value(),
                         context.root.value(), context.vtcr);
}

bool Same(const Stage2Context& a, const Stage2Context& b) {
  return a.vmid == b.vmid && a.root == b.root && a.vtcr == b.vtcr;
}

bool NeedsContext(TlbiKind kind) {
  switch (kind) {
    case TlbiKind::kIpas2e1is:
    case TlbiKind::kIpas2e1:
    case TlbiKind::kRipas2e1is:
    case TlbiKind::kVmalle1is:
    case TlbiKind::kVmalle1:
    case TlbiKind::kVmalls12e1is:
      return true;
    case TlbiKind::kAlle1is:
    case TlbiKind::kVale2is:
    case TlbiKind::kVae2is:
      return false;
  }
  return false;
}

EventType EventOf(TlbiKind kind) {
  switch (kind) {
    case TlbiKind::kIpas2e1is:
      return EventType::kTlbiIpas2e1is;
    case TlbiKind::kIpas2e1:
      return EventType::kTlbiIpas2e1;
    case TlbiKind::kRipas2e1is:
      return EventType::kTlbiRipas2e1is;
    case TlbiKind::kVmalle1is:
      return EventType::kTlbiVmalle1is;
    case TlbiKind::kVmalle1:
      return EventType::kTlbiVmalle1;
    case TlbiKind::kVmalls12e1is:
      return EventType::kTlbiVmalls12e1is;
    case TlbiKind::kAlle1is:
      return EventType::kTlbiAlle1is;
    case TlbiKind::kVale2is:
      return EventType::kTlbiVale2is;
    case TlbiKind::kVae2is:
      return EventType::kTlbiVae2is;
  }
  return EventType::kTlbiAlle1is;
}

EventType EventOf(BarrierKind kind) {
  switch (kind) {
    case BarrierKind::kDsbIshst:
      return EventType::kDsbIshst;
    case BarrierKind::kDsbIsh:
      return EventType::kDsbIsh;
    case BarrierKind::kDsbNsh:
      return EventType::kDsbNsh;
    case BarrierKind::kIsb:
      return EventType::kIsb;
  }
  return EventType::kIsb;
}

}  // namespace

Model::Model(const Ram& ram, const ModelConfig& config)
    : ram_(ram),
      config_(config),
      tlb_(config.cpus, uint64_t{1} << config.page_shift,
           config.tlbi_needs_repeat),
      random_(config.seed | 1) {}

void Model::Record(unsigned cpu, EventType type, uint64_t a, uint64_t b,
                   uint64_t c) {
  Record({.cpu = cpu, .type = type, .a = a, .b = b, .c = c});
}

void Model::Record(Event event) {
  event.seq = event_count_++;
  if (config_.record_events) events_.push_back(event);
}

void Model::Report(unsigned cpu, ViolationKind kind, const std::string& what) {
  violations_.push_back(
      {kind, cpu,
       absl::StrFormat("CPU %d: %s: %s", cpu, ViolationKindName(kind), what)});
  if (config_.print_violations) {
    std::fprintf(stderr, "sim: violation: %s\n",
                 violations_.back().message.c_str());
  }
  Record(cpu, EventType::kViolation, static_cast<uint64_t>(kind));
}

// ---- Table stores -----------------------------------------------------------

bool Model::Cacheable(const Stage2Format& format, const Entry& leaf) const {
  // D8.5.2: a descriptor whose access flag is 0 is not cached, unless hardware
  // may set the flag itself; nor is one that gives an address size fault.
  return leaf.kind == Entry::Kind::kLeaf &&
         (leaf.access_flag || format.hardware_af) &&
         leaf.address.value() >> format.pa_bits == 0;
}

// The host's table maps IPA = PA, so whether the host reaches a page is one
// walk. Guests are not looked up: what they own, the host's table does not map.
bool Model::MappedByHost(PhysAddr pa) const {
  const Stage2Root* host = tables_.Root(kHostVmid);
  return host != nullptr &&
         Walk(ram_, host->format, host->context.root, Ipa(pa.value()))
             .translation.has_value();
}

std::optional<StaleEntry> Model::StaleLeafOver(PhysAddr pa, uint64_t size,
                                               bool hosts_too) const {
  if (tlb_.empty()) return std::nullopt;
  for (const StaleEntry& stale : tlb_.Entries()) {
    if (stale.is_walk_cache() || (!hosts_too && stale.vmid == kHostVmid) ||
        stale.entry.address.value() >= pa.value() + size ||
        pa.value() >= stale.entry.address.value() + stale.size) {
      continue;
    }
    const Stage2Root* root = tables_.Root(stale.vmid);
    if (root == nullptr || !Harmless(*root, stale)) return stale;
  }
  return std::nullopt;
}

void Model::StorePte(unsigned cpu, PhysAddr pa, uint64_t* entry, uint64_t value,
                     bool release) {
  const uint64_t before = __atomic_load_n(entry, __ATOMIC_RELAXED);
  Record(cpu, release ? EventType::kPublishPte : EventType::kStorePte,
         pa.value(), before, value);
  __atomic_store_n(entry, value, __ATOMIC_RELEASE);
  if (!pa.IsAligned(8)) {
    Report(cpu, ViolationKind::kUnaligned,
           absl::StrFormat("table entry at %#x", pa.value()));
    return;
  }
  if (!ram_.Contains(pa, 8)) {
    Report(cpu, ViolationKind::kNotRam,
           absl::StrFormat("table entry at %#x", pa.value()));
    return;
  }
  tlb_.Tick();
  if (const TablePage* page = tables_.Find(pa, 8)) {
    EntryChanged(cpu, TablePage(*page), pa, before, value, release);
  } else if ((value & 1) != 0 && tlb_.HasWalkCache(pa, 8)) {
    Report(cpu, ViolationKind::kWalkCacheReuse,
           absl::StrFormat("valid entry %#x stored at %#x", value, pa.value()));
  }
}

std::optional<PhysAddr> Model::RootOf(PhysAddr pa) const {
  const TablePage* page = tables_.Find(pa, 8);
  if (page == nullptr) return std::nullopt;
  return page->root->context.root;
}

void Model::EntryChanged(unsigned cpu, const TablePage& page, PhysAddr at,
                         uint64_t before, uint64_t after, bool release) {
  const Stage2Root& root = *page.root;
  const Stage2Format& format = root.format;
  const int level = page.level;
  const Ipa ipa = page.IpaOf(at);
  const uint64_t span = format.entry_span(level);
  const Vmid vmid = root.context.vmid;

  if (root.lock != nullptr) {
    const auto owner = lock_owner_.find(root.lock);
    if (owner == lock_owner_.end() || owner->second != cpu) {
      Report(cpu, ViolationKind::kStoreWithoutLock,
             absl::StrFormat("vmid %d entry %#x ipa %#x", vmid.value(),
                             at.value(), ipa.value()));
    }
  }

  const Entry old_entry = Decode(format, before, level);
  const Entry new_entry = Decode(format, after, level);
  // Software's own bits mean nothing to walkers.
  if (old_entry == new_entry) return;
  cpus_[cpu].last_store = tlb_.now();
  if (root.lock != nullptr) cpus_[cpu].last_store_under[root.lock] = tlb_.now();

  if (new_entry.kind != Entry::Kind::kInvalid) {
    CheckMake(cpu, root, ipa, level, new_entry);
    if (new_entry.reserved_bits) {
      Report(cpu, ViolationKind::kReservedBits,
             absl::StrFormat("vmid %d ipa %#x level %d descriptor %#x",
                             vmid.value(), ipa.value(), level, after));
    }
  }
  const bool was_table = old_entry.kind == Entry::Kind::kTable;
  if ((was_table || Cacheable(format, old_entry)) &&
      new_entry.kind != Entry::Kind::kInvalid &&
      !new_entry.SameMemory(old_entry)) {
    Report(cpu, ViolationKind::kBreakBeforeMake,
           absl::StrFormat("vmid %d ipa %#x level %d: %#x -> %#x", vmid.value(),
                           ipa.value(), level, before, after));
  }

  if (was_table) {
    Unlink(cpu, tlb_.now(), root, old_entry.address, level + 1, ipa,
           /*walk_cache=*/true);
  } else if (Cacheable(format, old_entry) &&
             !(Cacheable(format, new_entry) && new_entry.Covers(old_entry))) {
    tlb_.Add(cpu, tlb_.now(), vmid, ipa, span, level, old_entry);
  }

  if (new_entry.kind == Entry::Kind::kTable) {
    if (!release) {
      Report(cpu, ViolationKind::kPlainTableLink,
             absl::StrFormat("vmid %d ipa %#x table %#x", vmid.value(),
                             ipa.value(), new_entry.address.value()));
    }
    Link(cpu, root, new_entry.address, format.table_bytes(), level + 1, ipa);
  } else if (new_entry.kind == Entry::Kind::kLeaf) {
    CheckLeaf(cpu, root, at, new_entry, span);
  }
}

// A valid entry must not appear while another translation of its range may be
// in use (D8.16.1, break-before-make: the break includes the TLBI and its
// barriers).
void Model::CheckMake(unsigned cpu, const Stage2Root& root, Ipa ipa, int level,
                      const Entry& made) {
  if (tlb_.empty()) return;
  for (const StaleEntry& stale : tlb_.Overlapping(
           root.context.vmid, ipa, root.format.entry_span(level))) {
    if (stale.level == level && made.SameMemory(stale.entry)) continue;
    Report(cpu, ViolationKind::kMakeOverStale,
           absl::StrFormat("vmid %d ipa %#x level %d -> %#x while %s",
                           root.context.vmid.value(), ipa.value(), level,
                           made.address.value(), ToString(stale)));
    return;  // one is enough to say
  }
}

void Model::CheckLeaf(unsigned cpu, const Stage2Root& root, PhysAddr at,
                      const Entry& leaf, uint64_t size) {
  if (!config_.check_table_isolation) return;
  if (const TablePage* table = tables_.Find(leaf.address, size)) {
    Report(cpu, ViolationKind::kTableMapped,
           absl::StrFormat("vmid %d entry %#x maps %#x size %#x, where %#x is "
                           "a table of vmid %d",
                           root.context.vmid.value(), at.value(),
                           leaf.address.value(), size, table->start.value(),
                           table->root->context.vmid.value()));
  } else if (tlb_.HasWalkCache(leaf.address, size)) {
    Report(cpu, ViolationKind::kWalkCacheReuse,
           absl::StrFormat("vmid %d entry %#x maps %#x size %#x",
                           root.context.vmid.value(), at.value(),
                           leaf.address.value(), size));
  }
}

void Model::Link(unsigned cpu, const Stage2Root& root, PhysAddr start,
                 uint64_t bytes, int level, Ipa ipa) {
  const Vmid vmid = root.context.vmid;
  const std::string name = absl::StrFormat("vmid %d table %#x level %d",
                                           vmid.value(), start.value(), level);
  if (!ram_.Contains(start, bytes)) {
    Report(cpu, ViolationKind::kNotRam, name);
    return;
  }
  if (const TablePage* page = tables_.Find(start, bytes)) {
    Report(cpu, ViolationKind::kTableLinkedTwice,
           absl::StrCat(name, " is already one of vmid ",
                        page->root->context.vmid.value()));
    return;
  }
  if (tlb_.HasWalkCache(start, bytes))
    Report(cpu, ViolationKind::kWalkCacheReuse, name);
  if (config_.check_table_isolation) {
    if (MappedByHost(start)) {
      Report(cpu, ViolationKind::kTableMapped,
             absl::StrCat(name, " is mapped by the host"));
    }
    if (const auto stale = StaleLeafOver(start, bytes, /*hosts_too=*/true)) {
      Report(cpu, ViolationKind::kTableMapped,
             absl::StrCat(name, " while ", ToString(*stale)));
    }
  }
  tables_.Add({.root = &root,
               .start = start,
               .bytes = bytes,
               .level = level,
               .ipa = ipa});
  const uint64_t span = root.format.entry_span(level);
  for (uint64_t offset = 0; offset < bytes; offset += 8) {
    const PhysAddr at = start + offset;
    const Entry entry = Decode(root.format, ram_.Load(at, 8), level);
    const Ipa entry_ipa = ipa + offset / 8 * span;
    if (entry.kind != Entry::Kind::kInvalid && entry.reserved_bits) {
      Report(cpu, ViolationKind::kReservedBits,
             absl::StrFormat("vmid %d entry %#x ipa %#x", vmid.value(),
                             at.value(), entry_ipa.value()));
    }
    if (entry.kind == Entry::Kind::kTable) {
      Link(cpu, root, entry.address, root.format.table_bytes(), level + 1,
           entry_ipa);
    } else if (entry.kind == Entry::Kind::kLeaf) {
      CheckLeaf(cpu, root, at, entry, span);
    }
  }
}

void Model::Unlink(unsigned cpu, uint64_t stored_at, const Stage2Root& root,
                   PhysAddr start, int level, Ipa ipa, bool walk_cache) {
  const TablePage* found = tables_.Find(start, 8);
  // It is not this one if Link refused it.
  if (found == nullptr || found->root != &root || found->start != start ||
      found->level != level || found->ipa != ipa) {
    return;
  }
  const TablePage page = *found;
  const Stage2Format& format = root.format;
  const uint64_t span = format.entry_span(level);
  tables_.Remove(start);
  for (uint64_t offset = 0; offset < page.bytes; offset += 8) {
    const Entry entry = Decode(format, ram_.Load(start + offset, 8), level);
    const Ipa entry_ipa = ipa + offset / 8 * span;
    if (entry.kind == Entry::Kind::kTable) {
      Unlink(cpu, stored_at, root, entry.address, level + 1, entry_ipa,
             /*walk_cache=*/true);
    } else if (Cacheable(format, entry)) {
      tlb_.Add(cpu, stored_at, root.context.vmid, entry_ipa, span, level,
               entry);
    }
  }
  if (walk_cache) {
    Entry table;
    table.kind = Entry::Kind::kTable;
    table.address = start;
    tlb_.Add(cpu, stored_at, root.context.vmid, ipa,
             format.entry_span(level - 1), level - 1, table);
  }
}

// ---- Barriers, TLBI, contexts -----------------------------------------------

bool Model::Barrier(unsigned cpu, BarrierKind kind) {
  Record(cpu, EventOf(kind));
  CpuState& state = cpus_[cpu];
  switch (kind) {
    case BarrierKind::kIsb:
      return false;
    case BarrierKind::kDsbIshst:
      tlb_.CompleteStores(cpu, /*own_only=*/false);
      return false;
    case BarrierKind::kDsbNsh: {
      tlb_.CompleteStores(cpu, /*own_only=*/true);
      tlb_.CompleteTlbi(cpu, /*own_only=*/true);
      state.local_tlbi = false;
      return false;
    }
    case BarrierKind::kDsbIsh:
      break;
  }
  tlb_.CompleteStores(cpu, /*own_only=*/false);
  tlb_.CompleteTlbi(cpu, /*own_only=*/false);
  for (const auto& [vmid, time] : state.full_tlbis) {
    for (auto& [name, use] : vmids_) {
      if (!vmid.has_value() || vmid->value() == name) {
        use.cleaned_at = std::max(use.cleaned_at, time);
      }
    }
  }
  state.full_tlbis.clear();
  const bool wait = state.local_tlbi || state.broadcast_tlbi;
  state.local_tlbi = state.broadcast_tlbi = false;
  return wait;
}

void Model::EnterContext(unsigned cpu, const Stage2Context& context) {
  Record(cpu, EventType::kEnterContext, context.vttbr(), context.vtcr);
  CpuState& state = cpus_[cpu];
  if (state.context.has_value()) {
    Report(cpu, ViolationKind::kNestedContext,
           absl::StrCat(Name(context), " inside ", Name(*state.context)));
  }
  if (!tlb_.StoreCompleted(cpu, state.last_store, /*for_own_walks=*/true)) {
    Report(cpu, ViolationKind::kUnfinishedStores,
           absl::StrCat("entering ", Name(context), " before a DSB"));
  }
  const Stage2Root* root = tables_.Root(context.vmid);
  if (root == nullptr ? !vmids_.contains(context.vmid.value())
                      : !Same(root->context, context)) {
    Report(cpu, ViolationKind::kUnknownContext, Name(context));
  }
  state.context = context;
}

void Model::LeaveContext(unsigned cpu) {
  CpuState& state = cpus_[cpu];
  if (!state.context.has_value()) {
    Record(cpu, EventType::kLeaveContext);
    Report(cpu, ViolationKind::kLeaveWithoutEnter, "no context was entered");
    return;
  }
  Record(cpu, EventType::kLeaveContext, state.context->vttbr(),
         state.context->vtcr);
  if (state.local_tlbi || state.broadcast_tlbi) {
    Report(cpu, ViolationKind::kUnfinishedTlbi,
           absl::StrCat("leaving ", Name(*state.context)));
  }
  state.context.reset();
}

void Model::Tlbi(unsigned cpu, TlbiKind kind, uint64_t address, uint64_t size,
                 int level) {
  CpuState& state = cpus_[cpu];
  const Vmid vmid = state.context.has_value() ? state.context->vmid : Vmid(0);
  const bool by_ipa = kind == TlbiKind::kIpas2e1is ||
                      kind == TlbiKind::kIpas2e1 ||
                      kind == TlbiKind::kRipas2e1is;
  const bool local = kind == TlbiKind::kIpas2e1 || kind == TlbiKind::kVmalle1;
  const uint64_t page = uint64_t{1} << config_.page_shift;
  const uint64_t operand =
      kind == TlbiKind::kRipas2e1is
          ? size
          : static_cast<uint64_t>(static_cast<int64_t>(level));
  if (kind == TlbiKind::kVale2is || kind == TlbiKind::kVae2is) {
    Record(cpu, EventOf(kind), address);
  } else if (by_ipa) {
    Record(cpu, EventOf(kind), vmid.value(), address, operand);
  } else {
    Record(cpu, EventOf(kind), NeedsContext(kind) ? vmid.value() : 0);
  }
  (local ? state.local_tlbi : state.broadcast_tlbi) = true;

  if (NeedsContext(kind) && !state.context.has_value()) {
    Report(cpu, ViolationKind::kNoContext,
           absl::StrFormat("%s %#x", EventTypeName(EventOf(kind)), address));
    return;
  }
  if (by_ipa) {
    const uint64_t bytes = kind == TlbiKind::kRipas2e1is ? size : page;
    const uint64_t limit = uint64_t{1} << (64 - (state.context->vtcr & 0x3f));
    // 2^21 pages: FEAT_TLBIRANGE's largest, SCALE 3 and NUM 31 (D8.17.5).
    const bool range_ok =
        kind != TlbiKind::kRipas2e1is ||
        (config_.range_tlbi && size != 0 && size % page == 0 &&
         size / page <= uint64_t{1} << 21);
    if (address % page != 0 || address >= limit || bytes > limit - address ||
        !range_ok || level < -1 || level > 3) {
      Report(
          cpu, ViolationKind::kBadTlbiOperand,
          absl::StrFormat("%s ipa %#x size %#x level %d",
                          EventTypeName(EventOf(kind)), address, bytes, level));
      return;
    }
    tlb_.InvalidateIpa(cpu, vmid, Ipa(address), bytes, level, !local);
    return;
  }
  switch (kind) {
    case TlbiKind::kVmalle1is:
      tlb_.InvalidateStage1(cpu, vmid, /*broadcast=*/true);
      return;
    case TlbiKind::kVmalle1:
      tlb_.InvalidateStage1(cpu, vmid, /*broadcast=*/false);
      return;
    case TlbiKind::kVmalls12e1is:
      tlb_.InvalidateVmid(cpu, vmid);
      state.full_tlbis.emplace_back(vmid, tlb_.Tick());
      return;
    case TlbiKind::kAlle1is:
      tlb_.InvalidateAll(cpu);
      state.full_tlbis.emplace_back(std::nullopt, tlb_.Tick());
      return;
    case TlbiKind::kIpas2e1is:
    case TlbiKind::kIpas2e1:
    case TlbiKind::kRipas2e1is:
    case TlbiKind::kVale2is:
    case TlbiKind::kVae2is:
      return;
  }
}

// ---- Locks ------------------------------------------------------------------

void Model::LockAcquired(unsigned cpu, const void* lock) {
  Record(cpu, EventType::kLock, AddressOf(lock));
  lock_owner_[lock] = cpu;
}

// What the live table says about a stale translation's range is the same
// memory: no page has changed hands. Rights that were taken away may linger,
// until who took them flushes the VMID.
bool Model::Harmless(const Stage2Root& root, const StaleEntry& stale) const {
  if (stale.is_walk_cache()) return false;
  const WalkResult walk = Walk(ram_, root.format, root.context.root, stale.ipa);
  return walk.translation.has_value() &&
         walk.translation->level == stale.level &&
         walk.translation->leaf.SameMemory(stale.entry);
}

void Model::LockReleased(unsigned cpu, const void* lock) {
  Record(cpu, EventType::kUnlock, AddressOf(lock));
  lock_owner_.erase(lock);
  CpuState& state = cpus_[cpu];
  for (const Stage2Root* root : tables_.RootsOf(lock)) {
    std::vector<StaleEntry> stale = tlb_.Entries(root->context.vmid);
    std::erase_if(
        stale, [&](const StaleEntry& entry) { return Harmless(*root, entry); });
    if (stale.empty()) continue;
    Report(
        cpu, ViolationKind::kUnclean,
        absl::StrFormat("%d of vmid %d, first %s", stale.size(),
                        root->context.vmid.value(), ToString(stale.front())));
  }
  if (const auto it = state.last_store_under.find(lock);
      it != state.last_store_under.end()) {
    if (!tlb_.StoreCompleted(cpu, it->second, /*for_own_walks=*/false)) {
      Report(cpu, ViolationKind::kUnfinishedStores,
             "lock of the table released before a DSB");
    }
    state.last_store_under.erase(it);
  }
}

// ---- Tables come and go -----------------------------------------------------

void Model::Stage2Created(unsigned cpu, const Stage2Context& context,
                          const void* lock) {
  Record(cpu, EventType::kStage2Created, context.vttbr(), context.vtcr,
         AddressOf(lock));
  if (tables_.Root(context.vmid) != nullptr) {
    Report(cpu, ViolationKind::kBadRoot,
           absl::StrCat("announced twice: ", Name(context)));
    return;
  }
  const auto format =
      Stage2Format::From(context.vtcr, config_.page_shift, config_.features);
  if (!format.has_value()) {
    Report(cpu, ViolationKind::kBadRoot,
           absl::StrCat("no walk for this VTCR: ", Name(context)));
    return;
  }
  if (format->EffectiveRoot(context.root) != context.root) {
    Report(cpu, ViolationKind::kBadRoot,
           absl::StrFormat("not aligned, hardware walks %#x: %s",
                           format->EffectiveRoot(context.root).value(),
                           Name(context)));
  }
  VmidState& use = vmids_[context.vmid.value()];
  if (use.used_at > use.cleaned_at || !tlb_.Empty(context.vmid)) {
    Report(cpu, ViolationKind::kVmidReuse, Name(context));
  }
  use.used_at = tlb_.Tick();
  const Stage2Root* root =
      tables_.AddRoot({.context = context, .format = *format, .lock = lock});
  Link(cpu, *root, format->EffectiveRoot(context.root), format->root_bytes(),
       format->start_level, Ipa(0));
}

void Model::Stage2Destroyed(unsigned cpu, const Stage2Context& context) {
  Record(cpu, EventType::kStage2Destroyed, context.vttbr(), context.vtcr);
  const Stage2Root* root = tables_.Root(context.vmid);
  if (root == nullptr || !Same(root->context, context)) {
    Report(cpu, ViolationKind::kUnknownContext,
           absl::StrCat("destroyed: ", Name(context)));
    return;
  }
  for (unsigned i = 0; i < config_.cpus; ++i) {
    if (cpus_[i].context.has_value() && Same(*cpus_[i].context, context)) {
      Report(cpu, ViolationKind::kUnknownContext,
             absl::StrFormat("destroyed while entered on CPU %d: %s", i,
                             Name(context)));
    }
  }
  // What VTTBR pointed at is not cached: no walk cache for the root itself.
  Unlink(cpu, /*stored_at=*/0, *root, root->format.EffectiveRoot(context.root),
         root->format.start_level, Ipa(0), /*walk_cache=*/false);
  tables_.RemoveRoot(context.vmid);
}

bool Model::PageOperation(unsigned cpu, EventType type, PhysAddr pa,
                          uint64_t size) {
  Record(cpu, type, pa.value(), type == EventType::kZeroPage ? 0 : size);
  const uint64_t page = uint64_t{1} << config_.page_shift;
  if (!pa.IsAligned(page) || size % page != 0) {
    Report(cpu, ViolationKind::kUnaligned,
           absl::StrFormat("%s %#x size %#x", EventTypeName(type), pa.value(),
                           size));
  }
  if (size == 0) return true;
  if (!ram_.Contains(pa, size)) {
    Report(cpu, ViolationKind::kNotRam,
           absl::StrFormat("%s %#x size %#x", EventTypeName(type), pa.value(),
                           size));
    return false;
  }
  if (type == EventType::kZeroPage && tables_.Find(pa, size) != nullptr) {
    Report(cpu, ViolationKind::kLiveTableOverwritten,
           absl::StrFormat("%s %#x", EventTypeName(type), pa.value()));
  }
  // A page is zeroed between two owners, and cleaned after the first one: who
  // still reaches it could read what is to go, or write it again. Cleaning what
  // the host maps is no harm: it may be going to be shared. Stale translations
  // of the host's are not looked at: LockReleased() does.
  if (type == EventType::kZeroPage && MappedByHost(pa)) {
    Report(cpu, ViolationKind::kPageInUse,
           absl::StrFormat("%s %#x, which the host maps", EventTypeName(type),
                           pa.value()));
  } else if (const auto stale = StaleLeafOver(pa, size, /*hosts_too=*/false)) {
    Report(cpu, ViolationKind::kPageInUse,
           absl::StrFormat("%s %#x while %s", EventTypeName(type), pa.value(),
                           ToString(*stale)));
  }
  return true;
}

// ---- Accesses ---------------------------------------------------------------

Outcome Model::ByTables(unsigned cpu, const Stage2Format& format, PhysAddr root,
                        Ipa ipa, AccessType type) {
  const WalkResult walk = Walk(ram_, format, root, ipa);
  if (!walk.translation.has_value()) return {std::nullopt, walk.fault};
  const Translation& translation = *walk.translation;
  Fault fault{
      .kind = FaultKind::kAccessFlag, .level = translation.level, .ipa = ipa};
  if (!translation.leaf.access_flag && !format.hardware_af)
    return {std::nullopt, fault};
  if (!translation.leaf.Grants(type)) {
    fault.kind = FaultKind::kPermission;
    return {std::nullopt, fault};
  }
  if (!translation.leaf.access_flag) {
    // FEAT_HAFDBS: an atomic read-modify-write of the descriptor (D8.5.2). If
    // the entry has changed meanwhile, so be it: the access came before.
    uint64_t expected = translation.descriptor;
    const uint64_t flagged = expected | uint64_t{1} << 10;
    if (__atomic_compare_exchange_n(
            static_cast<uint64_t*>(ram_.At(translation.entry)), &expected,
            flagged, /*weak=*/false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      Record(cpu, EventType::kHardwareAf, translation.entry.value(),
             translation.descriptor, flagged);
    }
  }
  return {translation.pa, Fault{}};
}

Outcome Model::Translate(unsigned cpu, const Stage2Context& context, Ipa ipa,
                         AccessType type) {
  const auto finish = [&](Outcome outcome) {
    outcome.fault.ipa = ipa;
    outcome.fault.is_write = type.kind == AccessType::Kind::kWrite;
    outcome.fault.is_exec = type.kind == AccessType::Kind::kExec;
    if (config_.check_table_isolation && outcome.pa.has_value()) {
      if (const TablePage* table = tables_.Find(*outcome.pa, 1)) {
        Report(cpu, ViolationKind::kTableMapped,
               absl::StrFormat(
                   "vmid %d accesses ipa %#x in table %#x of vmid %d",
                   context.vmid.value(), ipa.value(), table->start.value(),
                   table->root->context.vmid.value()));
      } else if (tlb_.HasWalkCache(*outcome.pa, 1)) {
        Report(cpu, ViolationKind::kWalkCacheReuse,
               absl::StrFormat("vmid %d accesses ipa %#x, pa %#x",
                               context.vmid.value(), ipa.value(),
                               outcome.pa->value()));
      }
    }
    return outcome;
  };
  const auto format =
      Stage2Format::From(context.vtcr, config_.page_shift, config_.features);
  if (!format.has_value()) return finish({std::nullopt, Fault{}});
  if (const auto use = vmids_.find(context.vmid.value()); use != vmids_.end()) {
    use->second.used_at = tlb_.Tick();
  }

  if (config_.adversarial_tlb && !tlb_.empty()) {
    std::vector<PhysAddr> choices;
    for (const StaleEntry& stale : tlb_.Usable(cpu, context.vmid, ipa)) {
      if (!stale.is_walk_cache()) {
        if (stale.entry.Grants(type))
          choices.push_back(stale.entry.address + (ipa - stale.ipa));
        continue;
      }
      const WalkResult walk =
          WalkFrom(ram_, *format, stale.entry.address, stale.level + 1, ipa);
      if (walk.translation.has_value() &&
          Cacheable(*format, walk.translation->leaf) &&
          walk.translation->leaf.Grants(type)) {
        choices.push_back(walk.translation->pa);
      }
    }
    if (!choices.empty()) {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      return finish({choices[random_ % choices.size()], Fault{}});
    }
  }
  return finish(ByTables(cpu, *format, context.root, ipa, type));
}

}  // namespace holdfast::sim
