// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/checker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/stream/text.h"

namespace holdfast::stream {
namespace {

constexpr unsigned kHostVmid = 0;

// mem_protect::PageState, as events say it.
constexpr unsigned kOwned = 0;
constexpr unsigned kSharedOwned = 1;
constexpr unsigned kBorrowed = 2;
constexpr unsigned kNoPage = 3;

constexpr uint8_t Bit(unsigned cpu) { return static_cast<uint8_t>(1u << cpu); }

std::string Who(unsigned vmid) {
  return vmid == kHypVmid    ? "EL2"
         : vmid == kHostVmid ? "the host"
                             : absl::StrCat("vmid ", vmid);
}

bool IsGuest(unsigned vmid) { return vmid != kHostVmid && vmid != kHypVmid; }

}  // namespace

const char* RuleName(Rule rule) {
  switch (rule) {
    case Rule::kBreakBeforeMake:
      return "break-before-make";
    case Rule::kMakeOverOld:
      return "made-over-old";
    case Rule::kUnclean:
      return "unclean";
    case Rule::kUnfinishedStores:
      return "unfinished-stores";
    case Rule::kStoreWithoutLock:
      return "store-without-lock";
    case Rule::kPlainLink:
      return "plain-link";
    case Rule::kPrefilledTable:
      return "prefilled-table";
    case Rule::kTableInUse:
      return "table-in-use";
    case Rule::kReservedEncoding:
      return "reserved-encoding";
    case Rule::kHandover:
      return "handover";
    case Rule::kNotZeroed:
      return "not-zeroed";
    case Rule::kNotCleaned:
      return "not-cleaned";
    case Rule::kNotFetchedAnew:
      return "not-fetched-anew";
    case Rule::kZeroedInUse:
      return "zeroed-in-use";
    case Rule::kStateAndTable:
      return "state-and-table";
    case Rule::kVmidReuse:
      return "vmid-reuse";
    case Rule::kOtherVcpu:
      return "other-vcpu";
    case Rule::kContext:
      return "context";
    case Rule::kLock:
      return "lock";
    case Rule::kStream:
      return "stream";
  }
  return "?";
}

std::string ToString(const Finding& finding) {
  std::string text = absl::StrFormat("#%d %s: %s", finding.event,
                                     RuleName(finding.rule), finding.what);
  if (finding.cause.has_value())
    absl::StrAppendFormat(&text, " (since #%d)", *finding.cause);
  return text;
}

std::vector<Finding> Check(absl::Span<const Event> events) {
  Checker checker;
  for (const Event& event : events) checker.Feed(event);
  checker.Finish();
  return checker.findings();
}

void Checker::Report(Rule rule, std::string what,
                     std::optional<uint64_t> cause) {
  findings_.push_back({rule, at_->seq, cause, std::move(what)});
}

Counts Checker::counts() const {
  Counts counts = counts_;
  counts.old = debts_.settled();
  return counts;
}

void Checker::Feed(const Event& event) {
  at_ = &event;
  ++counts_.events;
  switch (event.type) {
    case EventType::kStorePte:
    case EventType::kPublishPte:
    case EventType::kHardwareAf:
      Stored(event);
      break;
    case EventType::kTablePage:
      if (event.b == 0) {
        if (!nodes_.contains(event.a)) shadow_.Zero(event.a);
        Facts(event.a).zero = OthersReach(event.a, kHypVmid, nullptr).empty();
      } else {
        shadow_.Forget(event.a);
        Facts(event.a).zero = false;
      }
      Facts(event.a).clean = false;
      break;
    case EventType::kDsbIshst:
    case EventType::kDsbIsh:
    case EventType::kDsbNsh:
    case EventType::kIsb:
      Barrier(event);
      break;
    case EventType::kTlbiIpas2e1is:
    case EventType::kTlbiIpas2e1:
    case EventType::kTlbiRipas2e1is:
    case EventType::kTlbiVmalle1is:
    case EventType::kTlbiVmalle1:
    case EventType::kTlbiVmalls12e1is:
    case EventType::kTlbiAlle1is:
    case EventType::kTlbiVale2is:
    case EventType::kTlbiVae2is:
      Tlbi(event);
      break;
    case EventType::kEnterContext:
    case EventType::kLeaveContext:
      Context(event);
      break;
    case EventType::kStage2Created:
      TableCreated(event);
      break;
    case EventType::kStage2Destroyed:
      TableDestroyed(event);
      break;
    case EventType::kLock:
      Lock(event);
      break;
    case EventType::kUnlock:
      Unlock(event);
      break;
    case EventType::kZeroPage:
    case EventType::kCleanInvalidate:
    case EventType::kInvalidateICache:
      PageOperation(event);
      break;
    case EventType::kMachine:
      tiny_shift_ = event.a == 5 ? 5 : 0;
      dic_ = (event.c >> 3 & 1) != 0;
      shadow_.set_page_shift(static_cast<unsigned>(event.a));
      break;
    case EventType::kHypTable:
      HypTableMade(event);
      break;
    case EventType::kPageState:
      PageState(event);
      break;
    case EventType::kCallEnter:
    case EventType::kCallExit:
      Call(event);
      break;
    case EventType::kHostAbort:
      ++counts_.aborts;
      break;
    case EventType::kHostStage2:
      host_runs_ = true;
      break;
    case EventType::kVmState:
      VmState(event);
      break;
    case EventType::kVcpu:
      Vcpu(event);
      break;
    case EventType::kIcIallu:
    case EventType::kViolation:
    case EventType::kRegion:
    case EventType::kBootFrames:
    case EventType::kSmc:
    case EventType::kGuestLeaf:
    case EventType::kVcpuMade:
    case EventType::kGuestCall:
    case EventType::kGuestAbort:
      break;
  }
}

void Checker::Finish() {
  if (at_ == nullptr) return;
  debts_.ForEach([&](Debt& debt) {
    if (debt.reported) return;
    // A stream may be cut in the middle of a section.
    const Table* const table = TableOf(debt.vmid);
    if (table != nullptr && locks_.contains(table->lock)) return;
    Report(Rule::kUnclean,
           absl::StrCat("the stream ends with ", ToString(debt)), debt.event);
  });
}

// ---- Tables -----------------------------------------------------------------

Checker::Table* Checker::TableOf(unsigned vmid) {
  const auto found = tables_.find(vmid);
  return found == tables_.end() ? nullptr : &found->second;
}

std::optional<Entry> Checker::Walk(unsigned vmid, uint64_t ipa) const {
  const auto found = tables_.find(vmid);
  if (found == tables_.end()) return std::nullopt;
  const Format& format = found->second.format;
  if (ipa >> format.in_bits != 0) return std::nullopt;
  int level = format.start_level;
  uint64_t at = found->second.root + ipa / format.span(level) * 8;
  for (;; ++level) {
    const std::optional<uint64_t> raw = shadow_.Load(at);
    if (!raw.has_value()) return std::nullopt;
    const Entry entry = Decode(format, *raw, level);
    if (entry.kind != EntryKind::kTable) return entry;
    at = entry.address + ipa / format.span(level + 1) % format.words() * 8;
  }
}

void Checker::TableCreated(const Event& event) {
  const unsigned vmid = static_cast<unsigned>(event.a >> 48);
  const auto format = Format::OfVtcr(event.b, tiny_shift_);
  if (!format.has_value()) {
    Report(Rule::kContext, absl::StrFormat("VTCR %#x makes no walk", event.b));
    return;
  }
  if (tables_.contains(vmid)) {
    Report(Rule::kContext, absl::StrCat("vmid ", vmid, " has a table already"));
    return;
  }
  VmidUse& use = vmids_[vmid];
  if (use.used && !use.flushed) {
    Report(Rule::kVmidReuse,
           absl::StrCat("vmid ", vmid,
                        " was not invalidated after its last table"));
  }
  use.used = true;
  shadow_.set_page_shift(format->page_shift);
  const uint64_t root = event.a & ((uint64_t{1} << 48) - 1);
  const Table& table = tables_[vmid] = {.vmid = vmid,
                                        .root = root,
                                        .vttbr = event.a,
                                        .vtcr = event.b,
                                        .lock = event.c,
                                        .format = *format};
  const uint64_t in_page = format->words() * format->span(format->start_level);
  for (uint64_t done = 0; done < format->root_words() * 8;
       done += format->page()) {
    Link(table, root + done, format->start_level,
         done / format->page() * in_page);
  }
}

void Checker::TableDestroyed(const Event& event) {
  const unsigned vmid = static_cast<unsigned>(event.a >> 48);
  Table* const table = TableOf(vmid);
  if (table == nullptr || table->vttbr != event.a) {
    Report(Rule::kContext, "a table ends that was not announced like this");
    return;
  }
  const Format& format = table->format;
  const uint64_t in_page = format.words() * format.span(format.start_level);
  for (uint64_t done = 0; done < format.root_words() * 8;
       done += format.page()) {
    Unlink(*table, table->root + done, format.start_level,
           done / format.page() * in_page, /*walk_cache=*/false);
  }
  tables_.erase(vmid);
}

// Its root is zero then: EL2 checks that, and says so right after.
void Checker::HypTableMade(const Event& event) {
  const Format format =
      Format::OfStage1(static_cast<unsigned>(event.b), shadow_.page_shift());
  tables_[kHypVmid] = {.vmid = kHypVmid,
                       .root = event.a,
                       .vttbr = 0,
                       .vtcr = 0,
                       .lock = event.c,
                       .format = format};
  shadow_.Zero(event.a);
  nodes_[event.a] = {kHypVmid, format.start_level, 0};
}

void Checker::Stored(const Event& event) {
  const uint64_t pa = event.a;
  if (pa % 8 != 0) {
    Report(Rule::kStream, absl::StrFormat("an entry at %#x", pa));
    return;
  }
  // A walker may have set the access flag meanwhile.
  constexpr uint64_t kAccessFlag = uint64_t{1} << 10;
  const std::optional<uint64_t> known = shadow_.Load(pa);
  if (known.has_value() && ((*known ^ event.b) & ~kAccessFlag) != 0) {
    Report(Rule::kStream,
           absl::StrFormat("%#x held %#x, not %#x as was last stored", pa,
                           event.b, *known));
  }
  const auto found = nodes_.find(shadow_.PageOf(pa));
  if (found != nodes_.end()) {
    ++counts_.stores;
    Changed(Node(found->second), pa, event.b, event.c,
            event.type == EventType::kPublishPte);
    return;
  }
  shadow_.Store(pa, event.c);
  Facts(pa).zero = Facts(pa).clean = false;
  if ((event.c & 1) == 0) return;
  const uint64_t page = shadow_.PageOf(pa);
  if (const Debt* debt = debts_.Find(
          [&](const Debt& d) { return d.is_table && d.address == page; })) {
    Report(Rule::kTableInUse,
           absl::StrFormat("a valid entry at %#x, where there may be walkers: "
                           "%s",
                           pa, ToString(*debt)),
           debt->event);
  }
}

void Checker::Changed(const Node& node, uint64_t at, uint64_t before,
                      uint64_t after, bool release) {
  const Table& table = *TableOf(node.vmid);
  const Format& format = table.format;
  const uint64_t span = format.span(node.level);
  const uint64_t ipa = node.ipa + (at - shadow_.PageOf(at)) / 8 * span;
  const Entry old = Decode(format, before, node.level);
  const Entry made = Decode(format, after, node.level);
  const std::string where =
      absl::StrFormat("%s, ipa %#x, level %d: %#x -> %#x", Who(node.vmid), ipa,
                      node.level, before, after);
  const bool by_walker = at_->type == EventType::kHardwareAf;

  if (table.lock != 0 && !by_walker) {
    const auto owner = locks_.find(table.lock);
    if (owner == locks_.end() || owner->second != at_->cpu)
      Report(Rule::kStoreWithoutLock, where);
  }
  shadow_.Store(at, after);
  const bool same = old.valid() && made.SameMemory(old);
  if (same && made.kind == EntryKind::kLeaf && IsGuest(node.vmid) &&
      old.state != made.state) {
    AddLeaf(table, at, ipa, span, made);
    if (made.state == kOwned)
      GivenToGuest(node.vmid, made.address, span, /*was_there=*/true);
  }
  if (by_walker || !Matters(format, before, after, node.level)) return;
  if (table.lock != 0) cpus_[at_->cpu].stores[table.lock] = at_->seq;
  if (made.kind == EntryKind::kReserved) Report(Rule::kReservedEncoding, where);
  if (same) return;  // rights, access flag
  if (old.valid() && made.valid()) Report(Rule::kBreakBeforeMake, where);

  if (old.kind == EntryKind::kTable) {
    Unlink(table, old.address, node.level + 1, ipa, /*walk_cache=*/true);
  } else if (old.kind == EntryKind::kLeaf) {
    RemoveLeaf(at, old);
    Owe(table, ipa, node.level, old);
  }
  if (!made.valid()) return;
  if (made.kind == EntryKind::kTable && !release)
    Report(Rule::kPlainLink, where);
  Made(table, node, at, ipa, made);
}

// An entry of a live table became valid.
void Checker::Made(const Table& table, const Node& node, uint64_t at,
                   uint64_t ipa, const Entry& entry) {
  const uint64_t span = table.format.span(node.level);
  const std::string where =
      absl::StrFormat("%s, ipa %#x, level %d -> %#x", Who(table.vmid), ipa,
                      node.level, entry.address);
  vmids_[table.vmid].flushed = false;
  if (const Debt* debt = debts_.Find([&](const Debt& d) {
        return d.vmid == table.vmid && d.Covers(ipa, span) &&
               (d.event != at_->seq) &&
               !(d.level == node.level && d.address == entry.address &&
                 d.attributes == entry.attributes &&
                 d.is_table == (entry.kind == EntryKind::kTable));
      })) {
    // Of all the entries that come with one link, the first will do.
    if (findings_.empty() || findings_.back().rule != Rule::kMakeOverOld ||
        findings_.back().event != at_->seq ||
        findings_.back().cause != debt->event) {
      Report(Rule::kMakeOverOld, absl::StrCat(where, " over ", ToString(*debt)),
             debt->event);
    }
  }
  if (entry.kind == EntryKind::kTable) {
    Link(table, entry.address, node.level + 1, ipa);
    return;
  }
  if (table.vmid == kHypVmid) return;  // it maps its own tables
  // Tables are nobody's but EL2's.
  std::optional<uint64_t> node_in;
  const uint64_t end = entry.address + span;
  if (span / table.format.page() <= nodes_.size()) {
    for (uint64_t page = entry.address; page < end;
         page += table.format.page()) {
      if (nodes_.contains(page)) node_in = page;
    }
  } else {
    for (const auto& [page, other] : nodes_) {
      if (page >= entry.address && page < end) node_in = page;
    }
  }
  if (node_in.has_value()) {
    Report(Rule::kTableInUse,
           absl::StrFormat("%s maps the table at %#x", where, *node_in));
  }
  if (const Debt* debt = debts_.Find([&](const Debt& d) {
        return (d.is_table || d.vmid != table.vmid) &&
               d.ReachesPa(entry.address, span, table.format.page());
      })) {
    Report(debt->is_table ? Rule::kTableInUse : Rule::kHandover,
           absl::StrCat(where, ", which is still reached by ", ToString(*debt)),
           debt->event);
  }
  if (!IsGuest(table.vmid)) return;
  AddLeaf(table, at, ipa, span, entry);
  if (entry.state == kOwned)
    GivenToGuest(table.vmid, entry.address, span, /*was_there=*/false);
  if (entry.state == kBorrowed) {
    for (uint64_t pa = entry.address; pa < end; pa += table.format.page()) {
      const auto facts = facts_.find(pa);
      if (facts != facts_.end() && facts->second.host == kSharedOwned) continue;
      Report(Rule::kHandover,
             absl::StrFormat("%s borrows %#x, which the host does not share",
                             where, pa));
      break;
    }
  }
}

void Checker::Link(const Table& table, uint64_t page, int level, uint64_t ipa) {
  const Format& format = table.format;
  const std::string name = absl::StrFormat("%s's table %#x of level %d",
                                           Who(table.vmid), page, level);
  ++counts_.links;
  if (level > 3 || nodes_.contains(page)) {
    Report(Rule::kTableInUse, absl::StrCat(name, " is linked twice"));
    return;
  }
  if (!shadow_.Knows(page)) {
    Report(Rule::kPrefilledTable,
           absl::StrCat(name, " was not seen to be zero"));
  }
  const std::string reached = OthersReach(page, kHypVmid, nullptr);
  if (!reached.empty())
    Report(Rule::kTableInUse, absl::StrCat(name, ": ", reached));
  const Node& node = nodes_[page] = {table.vmid, level, ipa};
  const uint64_t* const words = shadow_.PageWords(page);
  if (words == nullptr) return;
  const Node mine = node;
  const std::vector<uint64_t> copy(words, words + format.words());
  for (uint64_t i = 0; i < copy.size(); ++i) {
    const Entry entry = Decode(format, copy[i], level);
    const uint64_t at = ipa + i * format.span(level);
    if (entry.kind == EntryKind::kReserved) {
      Report(Rule::kReservedEncoding,
             absl::StrFormat("%s, entry %d: %#x", name, i, copy[i]));
    }
    if (entry.valid()) Made(table, mine, page + i * 8, at, entry);
  }
}

void Checker::Unlink(const Table& table, uint64_t page, int level, uint64_t ipa,
                     bool walk_cache) {
  const auto found = nodes_.find(page);
  // It is not this one if Link refused it.
  if (found == nodes_.end() || found->second.vmid != table.vmid ||
      found->second.level != level || found->second.ipa != ipa) {
    return;
  }
  const Format& format = table.format;
  nodes_.erase(found);
  std::vector<uint64_t> words;
  if (const uint64_t* const known = shadow_.PageWords(page))
    words.assign(known, known + format.words());
  // Whoever links it again must have zeroed it.
  shadow_.Forget(page);
  for (uint64_t i = 0; i < words.size(); ++i) {
    const Entry entry = Decode(format, words[i], level);
    const uint64_t at = ipa + i * format.span(level);
    if (entry.kind == EntryKind::kTable) {
      Unlink(table, entry.address, level + 1, at, /*walk_cache=*/true);
    } else if (entry.kind == EntryKind::kLeaf) {
      RemoveLeaf(page + i * 8, entry);
      Owe(table, at, level, entry);
    }
  }
  if (!walk_cache) return;
  Entry link;
  link.kind = EntryKind::kTable;
  link.address = page;
  Owe(table, ipa, level - 1, link);
}

void Checker::Owe(const Table& table, uint64_t ipa, int level,
                  const Entry& entry) {
  if (table.vmid == kHypVmid && !host_runs_) return;
  debts_.Add({.vmid = table.vmid,
              .ipa = ipa,
              .size = table.format.span(level),
              .level = level,
              .is_table = entry.kind == EntryKind::kTable,
              .address = entry.address,
              .attributes = entry.attributes,
              .cpu = at_->cpu,
              .event = at_->seq});
}

void Checker::AddLeaf(const Table& table, uint64_t at, uint64_t ipa,
                      uint64_t size, const Entry& entry) {
  if (!IsGuest(table.vmid)) return;
  largest_leaf_ = std::max(largest_leaf_, size);
  leaves_[{entry.address, at}] = {table.vmid, ipa, size, entry.state};
}

void Checker::RemoveLeaf(uint64_t at, const Entry& entry) {
  leaves_.erase({entry.address, at});
}

std::optional<Checker::Leaf> Checker::GuestLeafOver(uint64_t pa, uint64_t size,
                                                    unsigned but_vmid) const {
  const uint64_t from = pa > largest_leaf_ ? pa - largest_leaf_ : 0;
  for (auto it = leaves_.lower_bound({from, 0});
       it != leaves_.end() && it->first.first < pa + size; ++it) {
    if (it->first.first + it->second.size > pa && it->second.vmid != but_vmid)
      return it->second;
  }
  return std::nullopt;
}

// ---- Barriers, TLBs, contexts, locks ----------------------------------------

void Checker::Barrier(const Event& event) {
  ++counts_.barriers;
  CpuState& cpu = cpus_[event.cpu];
  if (cpu.stale_flushed && event.type != EventType::kDsbIshst &&
      event.type != EventType::kIsb) {
    cpu.stale_vmid.reset();
    cpu.stale_flushed = false;
  }
  // A DSB NSH does for this CPU's own walks only.
  if (event.type != EventType::kDsbIsh && event.type != EventType::kDsbIshst)
    return;
  const bool invalidations = event.type == EventType::kDsbIsh;
  debts_.Dsb(event.cpu, invalidations);
  cpus_[event.cpu].stores.clear();
  if (!invalidations) return;
  for (auto& [vmid, use] : vmids_) {
    if ((use.flushing & Bit(event.cpu)) == 0) continue;
    use.flushing &= static_cast<uint8_t>(~Bit(event.cpu));
    use.flushed = true;
  }
}

void Checker::Tlbi(const Event& event) {
  ++counts_.tlbis;
  const unsigned cpu = event.cpu;
  const uint64_t page = uint64_t{1} << shadow_.page_shift();
  if (event.type == EventType::kTlbiAlle1is) {
    cpus_[cpu].stale_flushed = cpus_[cpu].stale_vmid.has_value();
    debts_.TlbiAll(cpu);
    for (auto& [vmid, use] : vmids_) use.flushing |= Bit(cpu);
    return;
  }
  if (event.type == EventType::kTlbiVale2is ||
      event.type == EventType::kTlbiVae2is) {
    debts_.TlbiHyp(cpu, event.a, page, event.type == EventType::kTlbiVale2is);
    return;
  }
  if (!cpus_[cpu].vttbr.has_value()) {
    Report(Rule::kContext,
           absl::StrCat(EventTypeName(event.type), " with no context entered"));
    return;
  }
  const unsigned vmid = static_cast<unsigned>(*cpus_[cpu].vttbr >> 48);
  if (event.a != vmid) {
    Report(Rule::kContext, absl::StrCat("vmid ", event.a, " while that of ",
                                        vmid, " is entered"));
  }
  if (cpus_[cpu].stale_vmid == vmid &&
      (event.type == EventType::kTlbiVmalle1 ||
       event.type == EventType::kTlbiVmalle1is ||
       event.type == EventType::kTlbiVmalls12e1is)) {
    cpus_[cpu].stale_flushed = true;
  }
  switch (event.type) {
    case EventType::kTlbiIpas2e1is:
      debts_.TlbiIpa(cpu, vmid, event.b, page,
                     static_cast<int>(static_cast<int64_t>(event.c)));
      break;
    case EventType::kTlbiRipas2e1is:
      debts_.TlbiIpa(cpu, vmid, event.b, event.c, -1);
      break;
    case EventType::kTlbiVmalle1is:
      debts_.TlbiStage1(cpu, vmid);
      break;
    case EventType::kTlbiVmalls12e1is:
      debts_.TlbiVmid(cpu, vmid);
      vmids_[vmid].flushing |= Bit(cpu);
      break;
    default:
      break;  // local: other CPUs may go on
  }
}

void Checker::Context(const Event& event) {
  CpuState& cpu = cpus_[event.cpu];
  if (event.type == EventType::kLeaveContext) {
    if (!cpu.vttbr.has_value())
      Report(Rule::kContext, "a context is left that was not entered");
    cpu.vttbr.reset();
    return;
  }
  const unsigned vmid = static_cast<unsigned>(event.a >> 48);
  if (cpu.vttbr.has_value())
    Report(Rule::kContext, "a context is entered within another");
  const Table* const table = TableOf(vmid);
  if (table != nullptr ? table->vttbr != event.a || table->vtcr != event.b
                       : !vmids_.contains(vmid)) {
    Report(Rule::kContext,
           absl::StrFormat("vttbr %#x vtcr %#x was not announced", event.a,
                           event.b));
  }
  cpu.vttbr = event.a;
}

void Checker::Lock(const Event& event) {
  ++counts_.locks;
  const auto [held, fresh] = locks_.try_emplace(event.a, event.cpu);
  if (fresh) return;
  Report(Rule::kLock, absl::StrFormat("%#x is taken while CPU %d holds it",
                                      event.a, held->second));
  held->second = event.cpu;
}

void Checker::Unlock(const Event& event) {
  const auto held = locks_.find(event.a);
  if (held == locks_.end() || held->second != event.cpu) {
    Report(Rule::kLock,
           absl::StrFormat("%#x is released by who does not hold it", event.a));
  }
  if (held != locks_.end()) locks_.erase(held);
  CpuState& cpu = cpus_[event.cpu];
  debts_.ForEach([&](Debt& debt) {
    const Table* const table = TableOf(debt.vmid);
    if (debt.reported || table == nullptr || table->lock != event.a) return;
    debt.reported = true;
    Report(Rule::kUnclean,
           absl::StrCat("the lock is released with ", ToString(debt)),
           debt.event);
  });
  if (const auto store = cpu.stores.find(event.a); store != cpu.stores.end()) {
    Report(Rule::kUnfinishedStores,
           "the lock is released before a DSB for the table's stores",
           store->second);
    cpu.stores.erase(store);
  }
  const Table* const host = TableOf(kHostVmid);
  if (host == nullptr || host->lock != event.a) return;
  for (const uint64_t pa : cpu.lost) {
    const std::optional<Entry> entry = Walk(kHostVmid, pa);
    if (Facts(pa).host != kNoPage || !entry.has_value() ||
        entry->kind != EntryKind::kLeaf) {
      continue;
    }
    Report(Rule::kStateAndTable,
           absl::StrFormat("the host has no part in %#x, but maps it", pa));
  }
  cpu.lost.clear();
}

// ---- Pages ------------------------------------------------------------------

std::string Checker::OthersReach(uint64_t pa, unsigned owner,
                                 std::optional<uint64_t>* cause) {
  const uint64_t page = uint64_t{1} << shadow_.page_shift();
  if (const Debt* debt = debts_.Find([&](const Debt& d) {
        return (d.is_table || d.vmid != owner) && d.ReachesPa(pa, page, page);
      })) {
    if (cause != nullptr) *cause = debt->event;
    return absl::StrCat("it is still reached by ", ToString(*debt));
  }
  const auto maps = [&](unsigned vmid) {
    const std::optional<Entry> entry = Walk(vmid, pa);
    return entry.has_value() && entry->kind == EntryKind::kLeaf;
  };
  if (owner != kHostVmid && maps(kHostVmid)) return "the host's table maps it";
  if (owner != kHypVmid && maps(kHypVmid)) return "EL2's table maps it";
  if (const auto leaf = GuestLeafOver(pa, page, owner); leaf.has_value()) {
    return absl::StrFormat("vmid %d maps it at ipa %#x", leaf->vmid, leaf->ipa);
  }
  return "";
}

void Checker::PageOperation(const Event& event) {
  const uint64_t page = uint64_t{1} << shadow_.page_shift();
  if (event.type == EventType::kCleanInvalidate) {
    for (uint64_t pa = event.a; pa < event.a + event.b; pa += page) {
      if (OthersReach(pa, kHypVmid, nullptr).empty()) Facts(pa).clean = true;
    }
    return;
  }
  if (event.type == EventType::kInvalidateICache) {
    for (uint64_t pa = event.a; pa < event.a + event.b; pa += page) {
      if (OthersReach(pa, kHypVmid, nullptr).empty())
        Facts(pa).fetched_anew = true;
    }
    return;
  }
  ++counts_.zeroed;
  if (nodes_.contains(event.a)) {
    Report(Rule::kTableInUse,
           absl::StrFormat("the live table at %#x is zeroed", event.a));
    return;
  }
  std::optional<uint64_t> cause;
  const std::string reached = OthersReach(event.a, kHypVmid, &cause);
  if (!reached.empty()) {
    Report(Rule::kZeroedInUse, absl::StrFormat("%#x: %s", event.a, reached),
           cause);
  }
  shadow_.Zero(event.a);
  Facts(event.a).zero = Facts(event.a).clean = reached.empty();
  Facts(event.a).fetched_anew = false;
}

void Checker::PageState(const Event& event) {
  const uint64_t pa = event.a << shadow_.page_shift();
  PageFacts& facts = Facts(pa);
  const PageFacts before = facts;
  facts.host = static_cast<unsigned>(event.b);
  facts.hyp = static_cast<unsigned>(event.c);
  if (const Table* host = TableOf(kHostVmid);
      host != nullptr && host->lock != 0) {
    const auto owner = locks_.find(host->lock);
    if (owner == locks_.end() || owner->second != event.cpu) {
      Report(Rule::kStoreWithoutLock,
             absl::StrFormat("the state of %#x, without the host's lock", pa));
    }
  }
  if (facts.host == kNoPage && before.host != kNoPage)
    cpus_[event.cpu].lost.push_back(pa);

  const bool to_host = facts.host == kOwned && before.host != kOwned;
  const bool to_hyp = facts.hyp == kOwned && before.hyp != kOwned;
  if (!to_host && !to_hyp) return;
  ++counts_.handovers;
  std::optional<uint64_t> cause;
  const std::string reached =
      OthersReach(pa, to_host ? kHostVmid : kHypVmid, &cause);
  if (!reached.empty()) {
    Report(Rule::kHandover,
           absl::StrFormat("%#x to %s: %s", pa, to_host ? "the host" : "EL2",
                           reached),
           cause);
  }
  if (to_host && before.host == kNoPage && !(facts.zero && facts.clean)) {
    Report(Rule::kNotZeroed,
           absl::StrFormat("%#x to the host, not %s since it was another's", pa,
                           facts.zero ? "cleaned" : "zeroed"));
  }
  // EL2 never runs what it has for itself; what was shared, the host knew.
  if (to_host && before.host == kNoPage && facts.guest.has_value() && !dic_ &&
      !facts.fetched_anew) {
    Report(Rule::kNotFetchedAnew,
           absl::StrFormat("%#x to the host, with a guest's instructions", pa));
  }
  facts.zero = facts.clean = facts.fetched_anew = false;
  facts.guest.reset();
  if (!nodes_.contains(pa)) shadow_.Forget(pa);
}

// Pages that only the guest has from here on. `was_there`: it had them already,
// and shared them. (Or it loses them for a moment, while its block is split.)
void Checker::GivenToGuest(unsigned vmid, uint64_t pa, uint64_t size,
                           bool was_there) {
  const uint64_t page = uint64_t{1} << shadow_.page_shift();
  for (uint64_t at = pa; at < pa + size; at += page) {
    ++counts_.handovers;
    PageFacts& facts = Facts(at);
    std::optional<uint64_t> cause;
    std::string reached = OthersReach(at, vmid, &cause);
    if (reached.empty() && (facts.host != kNoPage || facts.hyp != kNoPage))
      reached = "EL2 has it for the host's or its own";
    if (!reached.empty()) {
      Report(Rule::kHandover,
             absl::StrFormat("%#x to vmid %d: %s", at, vmid, reached), cause);
    }
    const bool had_it = was_there || facts.guest == vmid;
    if (!had_it && !facts.clean) {
      Report(Rule::kNotCleaned,
             absl::StrFormat("%#x to vmid %d, not cleaned since the host had "
                             "it",
                             at, vmid));
    }
    if (!had_it && !dic_ && !facts.fetched_anew) {
      Report(Rule::kNotFetchedAnew,
             absl::StrFormat("%#x to vmid %d, with the host's instructions", at,
                             vmid));
    }
    facts.zero = facts.clean = facts.fetched_anew = false;
    facts.guest = vmid;
    if (!nodes_.contains(at)) shadow_.Forget(at);
  }
}

void Checker::Call(const Event& event) {
  std::optional<uint64_t>& call = cpus_[event.cpu].call;
  if (event.type == EventType::kCallEnter) {
    ++counts_.calls;
    if (call.has_value()) Report(Rule::kStream, "a call within a call");
    call = event.a;
    return;
  }
  if (call != event.a) Report(Rule::kStream, "a call ends that did not begin");
  call.reset();
  if (cpus_[event.cpu].stale_vmid.has_value()) {
    Report(Rule::kOtherVcpu,
           absl::StrCat("a vCPU may use what vmid ",
                        *cpus_[event.cpu].stale_vmid, " has cached here"));
    cpus_[event.cpu].stale_vmid.reset();
  }
}

void Checker::VmState(const Event& event) {
  constexpr uint64_t kLive = 3;
  if (event.b == kLive) {
    roots_[event.a] = event.f;
    return;
  }
  if (event.b != 0) return;
  roots_.erase(event.a);
  for (CpuState& cpu : cpus_) cpu.last_vcpu.erase(event.a);
}

void Checker::Vcpu(const Event& event) {
  if (event.c == 0) return;
  CpuState& cpu = cpus_[event.cpu];
  const auto [last, is_first] = cpu.last_vcpu.try_emplace(event.a, event.b);
  if (is_first || last->second == event.b) return;
  last->second = event.b;
  const auto root = roots_.find(event.a);
  if (root == roots_.end()) return;
  for (const auto& [vmid, table] : tables_) {
    if (table.root == root->second) cpu.stale_vmid = vmid;
  }
}

}  // namespace holdfast::stream
