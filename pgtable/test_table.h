// SPDX-License-Identifier: Apache-2.0
//
// What the tests of pgtable/ share: a simulated machine with one stage-2 table
// on it, a reader of tables that shares no code with the walker under test, and
// a model that says, page by page, what the table must say. For tests only.
#ifndef HOLDFAST_PGTABLE_TEST_TABLE_H_
#define HOLDFAST_PGTABLE_TEST_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/addr.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/stage2.h"
#include "test_machine.h"
#include "test_text.h"

namespace holdfast::pgtable {

inline constexpr CpuFeatures kTestCpu = {
    .pa_bits = 48, .fwb = true, .xnx = true};

inline Stage2Attr GuestAttr(unsigned software = 0) {
  return Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kTestCpu)
      ->WithSoftware(software);
}
inline Stage2Attr ReadOnlyAttr() {
  return *Stage2Attr::For({.r = true}, MemStyle::kFromProt, kTestCpu);
}

// A receipt that may be dropped: most tests do not look at it.
struct AnyReceipt : FlushReceipt {
  AnyReceipt(FlushReceipt&& receipt)
      : FlushReceipt(std::move(receipt)) {}  // NOLINT
};

// A granule with an input size.
template <class GG, unsigned kBits>
struct Config {
  using G = GG;
  static constexpr unsigned kIpaBits = kBits;
};

// One machine, its RAM given to the stock and root of one table. Output
// addresses of mappings are best taken from kOutput up, which no table page is
// in.
template <class G>
struct TestTable {
  static constexpr uint64_t kRam = uint64_t{1} << 30;
  static constexpr uint64_t kOutput = uint64_t{1}
                                      << (G::kPageShift < 12 ? 35 : 40);
  static constexpr Vmid kVmid{7};

  explicit TestTable(unsigned ipa_bits, uint32_t stock_pages = 512,
                     sim::MachineConfig config = {})
      : machine(WithRam(std::move(config), stock_pages)),
        on_cpu(machine, 0),
        table(LockRank::kHypOrVm),
        total(stock_pages) {
    const Stage2Shape shape = ShapeFor<G>(ipa_bits);
    table.Init(kVmid, shape, kTestCpu, PhysAddr(kRam));
    SpinlockHolder hold(table.lock);
    for (uint32_t i = 0; i < stock_pages; ++i) {
      table.stock.Push(PhysAddr(kRam + (kMaxRootPages + i) * G::kPageSize));
    }
  }

  static sim::MachineConfig WithRam(sim::MachineConfig config,
                                    uint32_t stock_pages) {
    config.ram = {
        {PhysAddr(kRam), (kMaxRootPages + stock_pages) * G::kPageSize}};
    config.page_shift = G::kPageShift;
    config.features = kTestCpu;
    return config;
  }

  // One page operations, with all that goes round them. They reserve what the
  // cursor says and expect that exactly that was taken.
  AnyReceipt MapPage(uint64_t ipa, uint64_t pa, Stage2Attr attr) {
    SpinlockHolder hold(table.lock);
    auto cursor = *table.Find(Ipa(ipa));
    auto pages = *table.stock.Reserve(cursor.tables_missing());
    TlbBatch<G> batch(table);
    table.MapAt(cursor, PhysAddr(pa), attr, pages, batch);
    EXPECT_EQ(pages.remaining(), 0u);
    return batch.Complete();
  }
  AnyReceipt AnnotatePage(uint64_t ipa, Annotation annotation) {
    SpinlockHolder hold(table.lock);
    auto cursor = *table.Find(Ipa(ipa));
    auto pages = *table.stock.Reserve(cursor.tables_missing());
    TlbBatch<G> batch(table);
    table.AnnotateAt(cursor, annotation, pages, batch);
    EXPECT_EQ(pages.remaining(), 0u);
    return batch.Complete();
  }
  AnyReceipt UnmapPage(uint64_t ipa) {
    SpinlockHolder hold(table.lock);
    auto cursor = *table.Find(Ipa(ipa));
    TlbBatch<G> batch(table);
    table.UnmapAt(cursor, batch);
    return batch.Complete();
  }
  AnyReceipt MapRange(uint64_t ipa, uint64_t pa, uint64_t size, Stage2Attr attr,
                      int largest = 3) {
    SpinlockHolder hold(table.lock);
    const Level level(static_cast<int8_t>(largest));
    auto pages =
        *table.stock.Reserve(table.TablesNeeded(Ipa(ipa), size, level));
    TlbBatch<G> batch(table);
    table.Map(Ipa(ipa), PhysAddr(pa), size, attr, level, pages, batch);
    return batch.Complete();
  }
  AnyReceipt AnnotateRange(uint64_t ipa, uint64_t size, Annotation annotation,
                           int largest = 3) {
    SpinlockHolder hold(table.lock);
    const Level level(static_cast<int8_t>(largest));
    auto pages =
        *table.stock.Reserve(table.TablesNeeded(Ipa(ipa), size, level));
    TlbBatch<G> batch(table);
    table.Annotate(Ipa(ipa), size, annotation, pages, batch, level);
    return batch.Complete();
  }
  AnyReceipt UnmapRange(uint64_t ipa, uint64_t size) {
    SpinlockHolder hold(table.lock);
    TlbBatch<G> batch(table);
    table.Unmap(Ipa(ipa), size, batch);
    return batch.Complete();
  }
  Pte<G> Look(uint64_t ipa, int* level = nullptr) {
    SpinlockHolder hold(table.lock);
    auto cursor = *table.Find(Ipa(ipa));
    if (level != nullptr) *level = cursor.level().value();
    return cursor.pte();
  }
  uint32_t FreePages() {
    SpinlockHolder hold(table.lock);
    return table.stock.free();
  }

  // ---- An independent reading of the table ---------------------------------

  struct Leaf {
    uint64_t raw;
    int level;
    bool operator==(const Leaf&) const = default;
  };

  // Every non-zero entry that is no table, by IPA. Checks on the way that each
  // count equals the entries that are not zero, that none is 0, that table
  // pages are aligned, and that none is linked twice.
  std::map<uint64_t, Leaf> Read() {
    std::map<uint64_t, Leaf> leaves;
    tables_seen.clear();
    const Stage2Shape& shape = table.shape();
    for (unsigned i = 0; i < shape.root_pages; ++i) {
      const int start = shape.start.value();
      ReadTable(kRam + i * G::kPageSize, start,
                uint64_t{i} << (Shift(start) + G::kPageShift - 3), leaves);
    }
    // A table page is either linked or in the stock.
    EXPECT_EQ(FreePages() + tables_seen.size(), total);
    return leaves;
  }

  static unsigned Shift(int level) {
    return G::kPageShift +
           static_cast<unsigned>(3 - level) * (G::kPageShift - 3);
  }

  sim::Machine machine;
  sim::OnCpu on_cpu;
  Stage2<G> table;
  uint32_t total;
  std::map<uint64_t, int> tables_seen;

 private:
  // Returns how many entries are not zero.
  unsigned ReadTable(uint64_t pa, int level, uint64_t ipa,
                     std::map<uint64_t, Leaf>& leaves) {
    unsigned non_zero = 0;
    const uint64_t* entries =
        static_cast<const uint64_t*>(machine.ram().At(PhysAddr(pa)));
    for (unsigned i = 0; i < G::kPageSize / 8; ++i) {
      const uint64_t raw = entries[i];
      if (raw == 0) continue;
      ++non_zero;
      const uint64_t at = ipa + (uint64_t{i} << Shift(level));
      if (level < 3 && (raw & 3) == 3) {
        uint64_t next = raw & 0xFFFF'FFFF'F000;
        if (G::kPageShift == 14) EXPECT_EQ(next & 0x3000, 0u);
        if (G::kPageShift == 16)
          next = (next & ~uint64_t{0xF000}) | (raw >> 12 & 0xF) << 48;
        if (G::kPageShift == 5) next >>= 7;
        EXPECT_EQ(tables_seen[next]++, 0) << "linked twice";
        const unsigned count = (raw >> 2 & 0x3F) | (raw >> 51 & 0xFF) << 6;
        EXPECT_EQ(count, ReadTable(next, level + 1, at, leaves))
            << absl::StrFormat("count of the level %d table for %#x", level + 1,
                               at);
        EXPECT_NE(count, 0u) << "an empty table is linked";
      } else {
        leaves[at] = Leaf{raw, level};
      }
    }
    return non_zero;
  }
};

// What a table must say, page by page, over a window of input addresses that
// nothing outside of is used. It speaks of pages; `level` says how large the
// entry was that said it.
template <class G>
class Model {
 public:
  struct Page {
    enum class Kind : uint8_t { kNone, kLeaf, kAnnotation } kind = Kind::kNone;
    int level = 3;
    uint64_t pa = 0;    // of this page, kLeaf
    uint64_t attr = 0;  // kLeaf
    uint64_t raw = 0;   // of this page, kAnnotation
  };
  using Kind = typename Page::Kind;

  Model(uint64_t base, uint64_t size, int start)
      : base_(base), start_(start), pages_(size / G::kPageSize) {}

  uint64_t base() const { return base_; }
  uint64_t size() const { return pages_.size() * G::kPageSize; }
  Page& At(uint64_t ipa) { return pages_[(ipa - base_) / G::kPageSize]; }

  static uint64_t Span(int level) {
    return uint64_t{1} << (G::kPageShift + static_cast<unsigned>(3 - level) *
                                               (G::kPageShift - 3));
  }
  static bool Blocks(int level) {
    return level == 2 ||
           (level == 1 && (G::kPageShift == 12 || G::kPageShift == 5));
  }

  // Whether the table of `level` that translates `ipa` is there: it has an
  // entry.
  bool HasTable(uint64_t ipa, int level) {
    if (level <= start_) return true;
    const uint64_t span = Span(level - 1);
    uint64_t from = ipa / span * span;
    uint64_t to = from + span;
    if (from < base_) from = base_;
    if (to > base_ + size()) to = base_ + size();
    for (uint64_t at = from; at < to; at += G::kPageSize) {
      if (At(at).kind != Kind::kNone && At(at).level >= level) return true;
    }
    return false;
  }
  // Tables that page entries for all of the range would add.
  uint64_t TablesNeeded(uint64_t ipa, uint64_t size) {
    uint64_t needed = 0;
    for (int level = start_ + 1; level <= 3; ++level) {
      const uint64_t span = Span(level - 1);
      for (uint64_t at = ipa / span * span; at < ipa + size; at += span) {
        if (!HasTable(at < ipa ? ipa : at, level)) ++needed;
      }
    }
    return needed;
  }

  // An entry at `level` for `ipa` is going to change: what is larger falls
  // apart.
  void SplitTo(uint64_t ipa, int level) {
    const Page page = At(ipa);
    if (page.kind == Kind::kNone || page.level >= level) return;
    const uint64_t block = Span(page.level);
    const uint64_t from = ipa / block * block;
    for (uint64_t at = from; at < from + block; at += G::kPageSize) {
      int deepest = page.level + 1;
      while (deepest < level && at / Span(deepest) == ipa / Span(deepest))
        ++deepest;
      At(at).level = deepest;
    }
  }
  int LevelFor(uint64_t at, uint64_t pa, uint64_t left, int largest) {
    int level = largest < 1 ? 1 : largest;
    while (level < 3 && (!Blocks(level) || left < Span(level) ||
                         at % Span(level) != 0 || pa % Span(level) != 0)) {
      ++level;
    }
    // Tables that are there are filled, but a last-level one is replaced.
    const int wanted = level;
    while (level < 3 && HasTable(at, level + 1)) ++level;
    if (level == 3 && wanted < 3) level = 2;
    return level;
  }
  template <class Set>
  void Write(uint64_t ipa, uint64_t pa, uint64_t size, int largest, Set set) {
    for (uint64_t at = ipa; at < ipa + size;) {
      const uint64_t now = pa == ~uint64_t{0} ? 0 : pa + (at - ipa);
      const int level = LevelFor(at, now, ipa + size - at, largest);
      SplitTo(at, level);
      for (uint64_t page = at; page < at + Span(level); page += G::kPageSize) {
        set(At(page), page - ipa);
        At(page).level = level;
      }
      at += Span(level);
    }
  }

  void Map(uint64_t ipa, uint64_t pa, uint64_t size, uint64_t attr,
           int largest) {
    Write(ipa, pa, size, largest, [&](Page& page, uint64_t offset) {
      page = Page{.kind = Kind::kLeaf, .pa = pa + offset, .attr = attr};
    });
  }
  void Annotate(uint64_t ipa, uint64_t size, Annotation annotation,
                int largest) {
    Write(ipa, ~uint64_t{0}, size, largest, [&](Page& page, uint64_t offset) {
      page = Page{.kind = Kind::kAnnotation,
                  .raw = annotation.At(offset / G::kPageSize).raw()};
    });
  }
  void Unmap(uint64_t ipa, uint64_t size) {
    for (uint64_t at = ipa; at < ipa + size; at += G::kPageSize) {
      const Page page = At(at);
      if (page.kind == Kind::kNone) continue;
      const uint64_t block = Span(page.level);
      const uint64_t from = at / block * block;
      for (uint64_t p = from; p < from + block; p += G::kPageSize)
        At(p) = Page{};
    }
  }
  void DropAnnotations() {
    for (Page& page : pages_) {
      if (page.kind == Kind::kAnnotation) page = Page{};
    }
  }

  // The entries a table must have, by the specification's bits.
  std::map<uint64_t, typename TestTable<G>::Leaf> Entries() {
    std::map<uint64_t, typename TestTable<G>::Leaf> entries;
    for (uint64_t at = base_; at < base_ + size(); at += G::kPageSize) {
      const Page& page = At(at);
      if (page.kind == Kind::kNone || at % Span(page.level) != 0) continue;
      uint64_t raw = page.raw;
      if (page.kind == Kind::kLeaf) {
        raw = page.attr | (page.level == 3 ? 3 : 1);
        uint64_t field = G::kPageShift == 5 ? page.pa << 7 : page.pa;
        if (G::kPageShift == 16)
          field = (field & 0xFFFF'FFFF'FFFF) | (field >> 48) << 12;
        raw |= field;
      }
      entries[at] = {raw, page.level};
    }
    return entries;
  }

 private:
  uint64_t base_;
  int start_;
  std::vector<Page> pages_;
};

// Shows only what differs: whole maps would be unreadable.
template <class Entries>
testing::AssertionResult SameEntries(const Entries& real,
                                     const Entries& wanted) {
  std::string difference;
  int shown = 0;
  for (const auto& [ipa, leaf] : wanted) {
    const auto it = real.find(ipa);
    if (it != real.end() && it->second == leaf) continue;
    if (++shown > 5) break;
    absl::StrAppendFormat(&difference,
                          "\n  ipa %#x: wanted %#x at level %d, is ", ipa,
                          leaf.raw, leaf.level);
    if (it == real.end()) {
      difference += "nothing";
    } else {
      absl::StrAppendFormat(&difference, "%#x at level %d", it->second.raw,
                            it->second.level);
    }
  }
  for (const auto& [ipa, leaf] : real) {
    if (wanted.count(ipa) != 0) continue;
    if (++shown > 10) break;
    absl::StrAppendFormat(&difference,
                          "\n  ipa %#x: wanted nothing, is %#x at level %d",
                          ipa, leaf.raw, leaf.level);
  }
  if (shown == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << difference;
}

// "kind message" of each violation the machine saw.
inline std::vector<std::string> Messages(const sim::Machine& machine) {
  std::vector<std::string> messages;
  for (const sim::Violation& violation : machine.violations()) {
    messages.push_back(std::string(sim::ViolationKindName(violation.kind)) +
                       ": " + violation.message);
  }
  return messages;
}

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_TEST_TABLE_H_
