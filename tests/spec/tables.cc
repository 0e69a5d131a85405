// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/tables.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_format.h"

namespace holdfast::spec {
namespace {

// An address in an entry starts at bit 12, even of pages smaller than that.
constexpr unsigned kAddressUp = kPageShift < 12 ? 12 - kPageShift : 0;

uint64_t AddressIn(uint64_t raw) {
  uint64_t address = (raw & 0xffff'ffff'f000) >> kAddressUp;
  if constexpr (kPageShift > 12) address &= ~(kPageSize - 1);
  if constexpr (kPageShift == 16) address |= (raw >> 12 & 0xf) << 48;
  return address;
}

// How many entries of a table are used, as EL2 notes it in ignored bits of the
// descriptor that links it.
unsigned CountIn(uint64_t raw) {
  return static_cast<unsigned>((raw >> 51 & 0xff) << 6 | (raw >> 2 & 0x3f));
}

uint64_t LoadWord(const uint64_t* word) {
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}

}  // namespace

uint64_t TableEntry::pfn() const { return AddressIn(raw) >> kPageShift; }

Tables::Tables(const Concrete& concrete, const Root& root)
    : concrete_(concrete), root_(root) {
  for (unsigned i = 0; i < root.pages; ++i)
    Add(root.pa + i * kPageSize, root.level,
        i * kEntries * PagesAt(root.level));
}

void Tables::Add(uint64_t page, int level, uint64_t first) {
  const uint64_t* const words = concrete_.PageWords(page);
  if (words == nullptr || nodes_.contains(page)) {
    wrong_[page] =
        absl::StrFormat("table at %#x, linked for page %#x: %s", page, first,
                        words == nullptr ? "no RAM" : "in use");
    return;
  }
  Node& node = *(nodes_[page] = std::make_unique<Node>());
  node.level = level;
  node.first = first;
  node.words.resize(kEntries);
  for (unsigned i = 0; i < kEntries; ++i) node.words[i] = LoadWord(words + i);
  if (level > root_.level)
    tables_[{static_cast<int8_t>(level), first}] = page >> kPageShift;
  for (unsigned i = 0; i < kEntries; ++i) {
    const uint64_t raw = node.words[i];
    if (IsTable(raw, level))
      Add(AddressIn(raw), level + 1, first + i * PagesAt(level));
  }
}

void Tables::Drop(uint64_t page) {
  wrong_.erase(page);
  const auto at = nodes_.find(page);
  if (at == nodes_.end()) return;
  const std::unique_ptr<Node> node = std::move(at->second);
  nodes_.erase(at);
  tables_.erase({static_cast<int8_t>(node->level), node->first});
  for (uint64_t raw : node->words) {
    if (IsTable(raw, node->level)) Drop(AddressIn(raw));
  }
}

void Tables::Compare(uint64_t page, Node& node, unsigned first, unsigned count,
                     std::vector<Change>* changes) {
  const uint64_t* const words = concrete_.PageWords(page);
  if (words == nullptr) return;
  for (unsigned i = first; i < first + count; ++i) {
    const uint64_t now = LoadWord(words + i);
    if (now == node.words[i]) [[likely]]
      continue;
    changes->push_back({page, node.level, i, node.words[i]});
    node.words[i] = now;
  }
}

void Tables::ReadAll(std::vector<PageRange>* changed) {
  std::vector<Change> changes;
  for (auto& [page, node] : nodes_) Compare(page, *node, 0, kEntries, &changes);
  Apply(changes, changed);
}

void Tables::Read(absl::Span<const uint64_t> addresses,
                  std::vector<PageRange>* changed) {
  std::vector<Change> changes;
  for (uint64_t address : addresses) {
    const uint64_t page = address & ~(kPageSize - 1);
    const auto at = nodes_.find(page);
    if (at == nodes_.end()) continue;
    Compare(page, *at->second, static_cast<unsigned>(address - page) / 8, 1,
            &changes);
  }
  Apply(changes, changed);
}

// What went first: a table may have moved from one place to another.
void Tables::Apply(const std::vector<Change>& changes,
                   std::vector<PageRange>* changed) {
  std::vector<Change> real;
  for (const Change& change : changes) {
    const auto at = nodes_.find(change.page);
    // If this table went too, with one above it, so did its own new word.
    const uint64_t now =
        at == nodes_.end() ? 0 : at->second->words[change.index];
    const bool was_table = IsTable(change.was, change.level);
    if (was_table && IsTable(now, change.level) &&
        AddressIn(change.was) == AddressIn(now))
      continue;  // its count
    if (was_table) Drop(AddressIn(change.was));
    real.push_back(change);
  }
  for (const Change& change : real) {
    const auto at = nodes_.find(change.page);
    if (at == nodes_.end()) continue;
    const Node& node = *at->second;
    const uint64_t now = node.words[change.index];
    const PageRange range{node.first + change.index * PagesAt(node.level),
                          PagesAt(node.level)};
    if (IsTable(now, node.level))
      Add(AddressIn(now), node.level + 1, range.first);
    changed->push_back(range);
  }
}

TableEntry Tables::At(uint64_t page) const {
  const uint64_t span = kEntries * PagesAt(root_.level);
  if (page / span >= root_.pages) return {page, 3, 0};
  const Node* node = nodes_.at(root_.pa + page / span * kPageSize).get();
  for (;;) {
    const uint64_t pages = PagesAt(node->level);
    const uint64_t index = (page - node->first) / pages;
    const TableEntry entry{node->first + index * pages, node->level,
                           node->words[index]};
    if (!IsTable(entry.raw, entry.level)) return entry;
    const auto below = nodes_.find(AddressIn(entry.raw));
    if (below == nodes_.end() || below->second->level != entry.level + 1)
      return {entry.first, entry.level, 0};  // Trouble() says it
    node = below->second.get();
  }
}

void Tables::Visit(const Node& node, const PageRange& range,
                   absl::FunctionRef<void(const TableEntry&)> visit) const {
  const uint64_t pages = PagesAt(node.level);
  const uint64_t from =
      range.first <= node.first ? 0 : (range.first - node.first) / pages;
  for (uint64_t i = from; i < kEntries; ++i) {
    const uint64_t first = node.first + i * pages;
    if (first >= range.end()) return;
    const uint64_t raw = node.words[i];
    if (raw == 0) continue;
    if (!IsTable(raw, node.level)) {
      visit({first, node.level, raw});
      continue;
    }
    const auto below = nodes_.find(AddressIn(raw));
    if (below != nodes_.end() && below->second->level == node.level + 1)
      Visit(*below->second, range, visit);
  }
}

void Tables::ForEach(const PageRange& range,
                     absl::FunctionRef<void(const TableEntry&)> visit) const {
  const uint64_t span = kEntries * PagesAt(root_.level);
  for (uint64_t i = range.first / span; i < root_.pages; ++i) {
    if (i * span >= range.end()) return;
    Visit(*nodes_.at(root_.pa + i * kPageSize), range, visit);
  }
}

std::string Tables::Trouble() const {
  std::string text;
  for (const auto& [page, wrong] : wrong_) text += wrong + "\n";
  for (const auto& [page, node] : nodes_) {
    for (uint64_t raw : node->words) {
      if (!IsTable(raw, node->level)) continue;
      const auto below = nodes_.find(AddressIn(raw));
      if (below == nodes_.end()) continue;
      const auto used = static_cast<unsigned>(std::count_if(
          below->second->words.begin(), below->second->words.end(),
          [](uint64_t word) { return word != 0; }));
      if (used == 0 || used != CountIn(raw)) {
        absl::StrAppendFormat(
            &text, "table at %#x (level %d): counted %u entries, has %u\n",
            below->first, below->second->level, CountIn(raw), used);
      }
    }
  }
  return text;
}

}  // namespace holdfast::spec
