// SPDX-License-Identifier: Apache-2.0
//
// The stage-2 MMU: walks VMSAv8-64 tables in RAM as the Arm ARM says (DDI 0487,
// D8.2-D8.6; VTCR_EL2 in D19.2). Knows RAM, nothing of TLBs or CPUs, and shares
// no code with pgtable/.
//
// Entries, stage 2, without FEAT_LPA2 (s = page shift, D8.3):
// clang-format off
//   0      valid
//   1      1 = table (levels 0-2) or page (level 3); 0 = block
//   47:s   address; block: the low bits of it are RES0
//   15:12  PA 51:48, 64 KiB granule only
//   5:2    MemAttr
//   7:6    S2AP (write, read)
//   9:8    SH
//   10     AF
//   51     DBM
//   54:53  XN
// clang-format on
// Tables: bits 58:51 and 11:2 are IGNORED, others besides the address RES0.
//
// The test granule (s = 5, tables of 4 entries) is no granule of the
// architecture. Its rules: as the 4 KiB granule, but the address field holds
// the address shifted left by 12 - s = 7 bits, so that all attributes fit below
// it. TG0 and SL0 are not looked at: an input of T0SZ has ceil((bits - 4 - s) /
// 2) levels, at least 2 and at most 4, ends at level 3 and concatenates up to
// 16 root pages.
#ifndef HOLDFAST_PLATFORMS_SIM_WALKER_H_
#define HOLDFAST_PLATFORMS_SIM_WALKER_H_

#include <cstdint>
#include <optional>

#include "base/addr.h"
#include "base/cpu_features.h"
#include "platforms/sim/access.h"
#include "platforms/sim/ram.h"

namespace holdfast::sim {

// How VTCR_EL2 makes these walkers read tables.
struct Stage2Format {
  unsigned page_shift = 0;
  unsigned ipa_bits = 0;
  unsigned pa_bits = 0;  // addresses in entries are below 2^pa_bits
  int start_level = 0;
  unsigned root_entries = 0;  // all concatenated tables together
  bool hardware_af = false;
  bool xnx = false;
  bool fwb = false;

  // Nothing if VTCR is one the architecture gives no walk for (or asks for
  // LPA2, or names a granule that is not `page_shift`): then every access has a
  // translation fault at level 0.
  static std::optional<Stage2Format> From(uint64_t vtcr, unsigned page_shift,
                                          const CpuFeatures& features);

  unsigned index_bits() const { return page_shift - 3; }
  unsigned table_entries() const { return 1u << index_bits(); }
  uint64_t table_bytes() const { return uint64_t{1} << page_shift; }
  uint64_t input_size() const { return uint64_t{1} << ipa_bits; }
  uint64_t root_bytes() const { return uint64_t{root_entries} * 8; }
  // Tables at the top, each of a page (or part of one).
  unsigned root_tables() const;
  // The hardware ignores VTTBR's bits below the size of the root (at least 64
  // B).
  PhysAddr EffectiveRoot(PhysAddr root) const;
  unsigned level_shift(int level) const {
    return page_shift + static_cast<unsigned>(3 - level) * index_bits();
  }
  uint64_t entry_span(int level) const {
    return uint64_t{1} << level_shift(level);
  }
  bool BlockAllowed(int level) const;
  bool operator==(const Stage2Format&) const = default;
};

// One entry, decoded. Only a `kLeaf` has attributes.
struct Entry {
  enum class Kind : uint8_t { kInvalid, kTable, kLeaf };
  Kind kind = Kind::kInvalid;
  PhysAddr address;  // of the table, or the output address
  uint8_t mem_attr = 0;
  uint8_t shareability = 0;
  bool readable = false;
  bool writable = false;
  bool exec_el1 = false;
  bool exec_el0 = false;
  bool access_flag = false;
  // Bits that the architecture wants zero, or a MemAttr it reserves.
  bool reserved_bits = false;

  bool Grants(AccessType type) const;
  // Translates to the same memory with the same attributes; rights may differ.
  bool SameMemory(const Entry& other) const;
  // SameMemory, and grants at least what `other` does.
  bool Covers(const Entry& other) const;
  bool operator==(const Entry&) const = default;
};
Entry Decode(const Stage2Format& format, uint64_t descriptor, int level);

// A finished walk: the leaf, and where `ipa` lands.
struct Translation {
  PhysAddr pa;
  Entry leaf;
  int level = 3;
  PhysAddr entry;  // where the leaf's descriptor is
  uint64_t descriptor = 0;
};

struct WalkResult {
  std::optional<Translation> translation;  // else
  Fault fault;                             // `kind` and `level` are set
};

// From the root / from the table page `table` of `level`, which translates
// `ipa`. Checks all but AF and rights. Entry reads are single-copy atomic.
WalkResult Walk(const Ram& ram, const Stage2Format& format, PhysAddr root,
                Ipa ipa);
WalkResult WalkFrom(const Ram& ram, const Stage2Format& format, PhysAddr table,
                    int level, Ipa ipa);

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_WALKER_H_
