// SPDX-License-Identifier: Apache-2.0
#include "platforms/stream/casemate.h"

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast::stream {
namespace {

constexpr uint64_t kPage = 4096;
constexpr unsigned kMaxTids = 4;
constexpr size_t kMaxRoots = 64;

constexpr uint64_t PageOf(uint64_t pa) { return pa & ~(kPage - 1); }
constexpr uint64_t RootOf(uint64_t vttbr) {
  return vttbr & ((uint64_t{1} << 48) - 1);
}
constexpr bool IsTable(uint64_t raw) { return (raw & 3) == 3; }
constexpr uint64_t TableIn(uint64_t raw) { return raw & 0xffff'ffff'f000; }

// T0SZ 16 and SL0 2, or T0SZ 25 and SL0 1, of 4 KiB pages: 48 and 39 bits, one
// root page each. The level the walk begins at.
std::optional<int> StartLevel(uint64_t vtcr) {
  const uint64_t t0sz = vtcr & 0x3f, sl0 = vtcr >> 6 & 3;
  if ((vtcr >> 14 & 3) != 0) return std::nullopt;
  if (t0sz == 16 && sl0 == 2) return 0;
  if (t0sz == 25 && sl0 == 1) return 1;
  return std::nullopt;
}

// Which words are a stage 2's, as the stores link them.
class Trees {
 public:
  void AddRoot(uint64_t root, int level) { Join(root, level, root); }
  void RemoveRoot(uint64_t root) { Leave(root); }
  // `found` is told of each page that comes in.
  template <class Found>
  void Store(uint64_t pa, uint64_t value, Found found) {
    const auto node = nodes_.find(PageOf(pa));
    uint64_t& word = words_[pa];
    const uint64_t before = std::exchange(word, value);
    if (node == nodes_.end() || node->second.level == 3) return;
    const auto [level, root] = node->second;
    const auto goes_to = [](uint64_t raw) {
      return IsTable(raw) ? TableIn(raw) : 0;
    };
    if (goes_to(before) == goes_to(value)) return;
    if (IsTable(before)) Leave(TableIn(before));
    if (IsTable(value)) Join(TableIn(value), level + 1, root, found);
  }
  void Clear(uint64_t page) {
    for (uint64_t at = page; at < page + kPage; at += 8) words_.erase(at);
  }

 private:
  struct Node {
    int level;
    uint64_t root;
  };
  static constexpr auto kNobody = [](uint64_t, uint64_t) {};

  template <class Found>
  void Join(uint64_t page, int level, uint64_t root, Found found) {
    nodes_.insert_or_assign(page, Node{level, root});
    found(page, root);
    if (level == 3) return;
    for (const uint64_t raw : Words(page)) {
      if (IsTable(raw)) Join(TableIn(raw), level + 1, root, found);
    }
  }
  void Join(uint64_t page, int level, uint64_t root) {
    Join(page, level, root, kNobody);
  }
  void Leave(uint64_t page) {
    const auto node = nodes_.find(page);
    if (node == nodes_.end()) return;
    const int level = node->second.level;
    nodes_.erase(node);
    if (level == 3) return;
    for (const uint64_t raw : Words(page)) {
      if (IsTable(raw)) Leave(TableIn(raw));
    }
  }
  std::vector<uint64_t> Words(uint64_t page) const {
    std::vector<uint64_t> words;
    for (uint64_t at = page; at < page + kPage; at += 8) {
      if (const auto word = words_.find(at); word != words_.end())
        words.push_back(word->second);
    }
    return words;
  }

  absl::flat_hash_map<uint64_t, Node> nodes_;
  absl::flat_hash_map<uint64_t, uint64_t> words_;
};

class Writer {
 public:
  explicit Writer(absl::Span<const Event> events) : events_(events) {}

  tl::expected<std::string, std::string> Write() {
    if (std::string problem = LookAhead(); !problem.empty())
      return tl::unexpected(std::move(problem));
    for (const Event& event : events_) One(event);
    return std::move(text_);
  }

 private:
  // What will be a stage-2 table, and with which locks: the rest is left out.
  std::string LookAhead() {
    Trees trees;
    const auto found = [this](uint64_t page, uint64_t) {
      tables_.insert(page);
    };
    for (const Event& event : events_) {
      if (event.cpu >= kMaxTids)
        return absl::StrCat("casemate takes ", kMaxTids, " CPUs, and CPU ",
                            event.cpu, " is in it");
      if (event.type == EventType::kTablePage) {
        trees.Clear(event.a);
      } else if (event.type == EventType::kStorePte ||
                 event.type == EventType::kPublishPte) {
        trees.Store(event.a, event.c, found);
      } else if (event.type == EventType::kStage2Created) {
        const std::optional<int> level = StartLevel(event.b);
        if (!level.has_value()) {
          return absl::StrFormat(
              "casemate takes tables of 4 KiB pages for 39 or 48 bits, and "
              "VTCR_EL2 %#x makes others",
              event.b);
        }
        trees.AddRoot(RootOf(event.a), *level);
        tables_.insert(RootOf(event.a));
        locks_.insert(event.c);
        if (locks_.size() > kMaxRoots)
          return absl::StrCat("casemate takes ", kMaxRoots, " locks of tables");
        if (!host_.has_value() && event.a >> 48 == 0) host_ = event.a;
      } else if (event.type == EventType::kStage2Destroyed) {
        trees.RemoveRoot(RootOf(event.a));
      }
    }
    return "";
  }

  void One(const Event& event) {
    at_ = &event;
    switch (event.type) {
      case EventType::kTablePage:
        if (!tables_.contains(event.a)) return;
        trees_.Clear(event.a);
        Record("mem-init",
               absl::StrFormat("(address %#x) (size %#x)", event.a, kPage));
        return;
      case EventType::kStage2Created:
        Created(event);
        return;
      case EventType::kStage2Destroyed:
        trees_.RemoveRoot(RootOf(event.a));
        Hint("release_table", RootOf(event.a), 0);
        return;
      case EventType::kStorePte:
      case EventType::kPublishPte:
        Stored(event);
        return;
      case EventType::kDsbIshst:
        Record("barrier", "dsb (kind ishst)");
        return;
      case EventType::kDsbIsh:
        Record("barrier", "dsb (kind ish)");
        return;
      case EventType::kIsb:
        Record("barrier", "isb");
        return;
      case EventType::kTlbiIpas2e1is:
        ByIpa(event.b, event.c);
        return;
      case EventType::kTlbiRipas2e1is:
        if (event.c / kPage > kCasemateMaxRange) {
          Record("tlbi", "vmalls12e1is");
          return;
        }
        for (uint64_t done = 0; done < event.c; done += kPage)
          ByIpa(event.b + done, ~uint64_t{0});
        return;
      case EventType::kTlbiVmalle1is:
        Record("tlbi", "vmalle1is");
        return;
      case EventType::kTlbiVmalls12e1is:
        Record("tlbi", "vmalls12e1is");
        return;
      case EventType::kTlbiAlle1is:
        Record("tlbi", "alle1is");
        return;
      case EventType::kHostStage2:
      case EventType::kEnterContext:
        SysReg("vtcr_el2", event.b);
        SysReg("vttbr_el2", event.a);
        return;
      case EventType::kLeaveContext:
        // Away from a table that may go now.
        if (host_.has_value()) SysReg("vttbr_el2", *host_);
        return;
      case EventType::kLock:
      case EventType::kUnlock:
        if (locks_.contains(event.a)) {
          Record(event.type == EventType::kLock ? "lock" : "unlock",
                 absl::StrFormat("(address %#x)", event.a));
        }
        return;
      default:
        return;
    }
  }

  void Record(const char* name, const std::string& fields) {
    absl::StrAppendFormat(&text_, "(%s (id %d) (tid %d) %s (src \"%s:%d\"))\n",
                          name, next_id_++, at_->cpu, fields,
                          EventTypeName(at_->type), at_->seq);
  }
  void Hint(const char* kind, uint64_t location, uint64_t value) {
    Record("hint", absl::StrFormat("(kind %s) (location %#x) (value %#x)", kind,
                                   location, value));
  }
  void SysReg(const char* name, uint64_t value) {
    uint64_t& now = registers_[{at_->cpu, name}];
    if (now == value + 1) return;
    now = value + 1;  // 0: never written
    Record("sysreg-write",
           absl::StrFormat("(sysreg %s) (value %#x)", name, value));
  }
  // The operand: the page in 43:0; with a level, TTL in 47:44, whose upper half
  // is 1 for 4 KiB (C5.5). Level 0 has no hint.
  void ByIpa(uint64_t ipa, uint64_t level) {
    uint64_t operand = ipa >> 12;
    if (level >= 1 && level <= 3) operand |= uint64_t{1} << 46 | level << 44;
    Record("tlbi", absl::StrFormat("ipas2e1is (value %#x)", operand));
  }
  void Created(const Event& event) {
    const uint64_t root = RootOf(event.a);
    // T0SZ counts, and the tool reads it before it reads a table.
    SysReg("vtcr_el2", event.b);
    Hint("set_root_lock", root, event.c);
    trees_.AddRoot(root, *StartLevel(event.b));
    // Once it is in VTTBR_EL2 the tool knows the table.
    SysReg("vttbr_el2", event.a);
    if (host_.has_value()) SysReg("vttbr_el2", *host_);
  }
  void Stored(const Event& event) {
    if (!tables_.contains(PageOf(event.a))) return;
    trees_.Store(event.a, event.c, [this](uint64_t page, uint64_t root) {
      Hint("set_owner_root", page, root);
    });
    Record("mem-write",
           absl::StrFormat("(mem-order release) (address %#x) (value %#x)",
                           event.a, event.c));
  }

  const absl::Span<const Event> events_;
  absl::flat_hash_set<uint64_t> tables_;
  std::set<uint64_t> locks_;
  std::optional<uint64_t> host_;  // VTTBR_EL2

  const Event* at_ = nullptr;
  Trees trees_;
  std::map<std::pair<unsigned, std::string>, uint64_t> registers_;
  uint64_t next_id_ = 0;
  std::string text_;
};

}  // namespace

tl::expected<std::string, std::string> ToCasemate(
    absl::Span<const Event> events) {
  return Writer(events).Write();
}

}  // namespace holdfast::stream
