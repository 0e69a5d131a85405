// SPDX-License-Identifier: Apache-2.0
//
// Tables as a stream tells of them: the words that were stored, and how
// VMSAv8-64 reads them (Arm ARM DDI 0487 D8.3; granules 4, 16 and 64 KiB, no
// LPA2, and the test granule of pgtable/geometry.h). Written for the checker;
// shares no code with pgtable/ nor with the simulated machine.
#ifndef HOLDFAST_TESTS_STREAM_SHADOW_H_
#define HOLDFAST_TESTS_STREAM_SHADOW_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace holdfast::stream {

// How a table is read.
struct Format {
  unsigned page_shift = 12;
  unsigned in_bits = 0;
  int start_level = 0;

  // Stage 2, by VTCR_EL2. `page_shift`: 5 for the test granule, else what VTCR
  // says counts.
  static std::optional<Format> OfVtcr(uint64_t vtcr, unsigned page_shift);
  // EL2's stage 1, of as few levels as the bits need.
  static Format OfStage1(unsigned va_bits, unsigned page_shift);

  unsigned index_bits() const { return page_shift - 3; }
  uint64_t page() const { return uint64_t{1} << page_shift; }
  uint64_t words() const { return uint64_t{1} << index_bits(); }
  uint64_t span(int level) const {
    return uint64_t{1} << (page_shift +
                           static_cast<unsigned>(3 - level) * index_bits());
  }
  // Concatenated ones count.
  uint64_t root_words() const {
    return ((uint64_t{1} << in_bits) + span(start_level) - 1) /
           span(start_level);
  }
  bool BlockAllowed(int level) const;
};

enum class EntryKind : uint8_t { kInvalid, kTable, kLeaf, kReserved };

struct Entry {
  EntryKind kind = EntryKind::kInvalid;
  uint64_t address = 0;
  // Memory type, shareability, contiguous: what must not change while it is
  // valid. Not rights, access flag, or software's bits.
  uint64_t attributes = 0;
  // A guest leaf's page state, which EL2 keeps in software's bits.
  unsigned state = 0;

  bool valid() const {
    return kind == EntryKind::kTable || kind == EntryKind::kLeaf;
  }
  // Translates to the same memory in the same way; rights may differ.
  bool SameMemory(const Entry& other) const {
    return kind == other.kind && address == other.address &&
           attributes == other.attributes;
  }
};
Entry Decode(const Format& format, uint64_t raw, int level);
// Whether a change of a live entry from one to the other means something to
// hardware.
bool Matters(const Format& format, uint64_t before, uint64_t after, int level);

// The words of pages that the stream has told of.
class Shadow {
 public:
  void set_page_shift(unsigned shift) { page_shift_ = shift; }
  unsigned page_shift() const { return page_shift_; }

  // All of its words are zero now.
  void Zero(uint64_t page) { pages_[page].assign(Words(), 0); }
  // Nothing is known of it any more.
  void Forget(uint64_t page) { pages_.erase(page); }
  bool Knows(uint64_t pa) const { return pages_.contains(PageOf(pa)); }
  // Nothing, if its page is not known.
  std::optional<uint64_t> Load(uint64_t pa) const;
  void Store(uint64_t pa, uint64_t value);

  uint64_t PageOf(uint64_t pa) const {
    return pa & ~((uint64_t{1} << page_shift_) - 1);
  }
  // Null if it is not known.
  const uint64_t* PageWords(uint64_t page) const;

 private:
  uint64_t Words() const { return uint64_t{1} << (page_shift_ - 3); }

  unsigned page_shift_ = 12;
  absl::flat_hash_map<uint64_t, std::vector<uint64_t>> pages_;
};

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_SHADOW_H_
