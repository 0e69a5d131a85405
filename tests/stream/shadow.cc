// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/shadow.h"

#include <algorithm>

namespace holdfast::stream {
namespace {

constexpr unsigned kTinyShift = 5;

constexpr uint64_t Bits(uint64_t value, unsigned high, unsigned low) {
  return value >> low & ((uint64_t{1} << (high - low + 1)) - 1);
}
constexpr uint64_t Mask(unsigned high, unsigned low) {
  return ((uint64_t{1} << (high - low + 1)) - 1) << low;
}

// MemAttr or AttrIndx and NS, SH, nG (stage 1; RES0 at stage 2), contiguous.
constexpr uint64_t kAttributes =
    Mask(5, 2) | Mask(9, 8) | Mask(11, 11) | Mask(52, 52);
// Bits of a leaf that hardware ignores: software's.
constexpr uint64_t kLeafIgnored = Mask(58, 55);
// And of a table.
constexpr uint64_t kTableIgnored = Mask(58, 51) | Mask(11, 2);

uint64_t AddressIn(const Format& format, uint64_t raw) {
  if (format.page_shift == kTinyShift)
    return (raw & Mask(47, 12)) >> (12 - kTinyShift);
  uint64_t address = raw & Mask(47, format.page_shift);
  if (format.page_shift == 16) address |= Bits(raw, 15, 12) << 48;
  return address;
}

}  // namespace

std::optional<Format> Format::OfVtcr(uint64_t vtcr, unsigned page_shift) {
  Format format;
  format.in_bits = 64 - static_cast<unsigned>(Bits(vtcr, 5, 0));
  if (page_shift == kTinyShift) {
    format.page_shift = kTinyShift;
    const int bits = static_cast<int>(format.in_bits) - 4 - 5;
    format.start_level = 4 - std::max((bits + 1) / 2, 2);
    if (format.start_level < 0) return std::nullopt;
    return format;
  }
  // TG0: 0 is 4 KiB, 1 is 64, 2 is 16 (D19.2, VTCR_EL2).
  constexpr unsigned kShifts[] = {12, 16, 14};
  const uint64_t granule = Bits(vtcr, 15, 14);
  if (granule > 2) return std::nullopt;
  format.page_shift = kShifts[granule];
  const int sl0 = static_cast<int>(Bits(vtcr, 7, 6));
  format.start_level = (granule == 0 ? 2 : 3) - sl0;
  if (format.start_level < 0 || format.in_bits > 52 ||
      format.span(format.start_level) > uint64_t{1} << format.in_bits ||
      format.root_words() > 16 * format.words()) {
    return std::nullopt;
  }
  return format;
}

Format Format::OfStage1(unsigned va_bits, unsigned page_shift) {
  Format format;
  format.page_shift = page_shift;
  format.in_bits = va_bits;
  const unsigned index_bits = page_shift - 3;
  format.start_level =
      4 -
      static_cast<int>((va_bits - page_shift + index_bits - 1) / index_bits);
  return format;
}

bool Format::BlockAllowed(int level) const {
  if (level == 2) return true;
  // Level 1 blocks: 1 GiB; with 16 and 64 KiB pages only under LPA2.
  return level == 1 && (page_shift == 12 || page_shift == kTinyShift);
}

Entry Decode(const Format& format, uint64_t raw, int level) {
  Entry entry;
  if ((raw & 1) == 0) return entry;
  const bool bit1 = (raw & 2) != 0;
  if (level < 3 && bit1) {
    entry.kind = EntryKind::kTable;
    entry.address = AddressIn(format, raw);
    return entry;
  }
  if (level < 3 ? !format.BlockAllowed(level) : !bit1) {
    entry.kind = EntryKind::kReserved;
    return entry;
  }
  entry.kind = EntryKind::kLeaf;
  entry.address = AddressIn(format, raw) & ~(format.span(level) - 1);
  entry.attributes = raw & kAttributes;
  entry.state = static_cast<unsigned>(Bits(raw, 56, 55));
  return entry;
}

bool Matters(const Format& format, uint64_t before, uint64_t after, int level) {
  const EntryKind was = Decode(format, before, level).kind;
  const EntryKind is = Decode(format, after, level).kind;
  if (was != is) return true;
  switch (is) {
    case EntryKind::kInvalid:
      return false;
    case EntryKind::kTable:
      return ((before ^ after) & ~kTableIgnored) != 0;
    case EntryKind::kLeaf:
    case EntryKind::kReserved:
      return ((before ^ after) & ~kLeafIgnored) != 0;
  }
  return true;
}

std::optional<uint64_t> Shadow::Load(uint64_t pa) const {
  const uint64_t* const words = PageWords(PageOf(pa));
  if (words == nullptr) return std::nullopt;
  return words[(pa - PageOf(pa)) / 8];
}

void Shadow::Store(uint64_t pa, uint64_t value) {
  const auto found = pages_.find(PageOf(pa));
  if (found != pages_.end()) found->second[(pa - PageOf(pa)) / 8] = value;
}

const uint64_t* Shadow::PageWords(uint64_t page) const {
  const auto found = pages_.find(page);
  return found == pages_.end() ? nullptr : found->second.data();
}

}  // namespace holdfast::stream
