// SPDX-License-Identifier: Apache-2.0
//
// The shape of translation tables: how a granule cuts an address into indices,
// and how many levels and root pages a stage-2 input size needs. Pure constexpr
// arithmetic; knows neither descriptors nor the machine.
//
// Sources: Arm ARM DDI 0487 D8.2 (translation granules, levels, concatenation),
// VTCR_EL2 (D19.2). LPA2 and LVA are not used: input and output addresses have
// at most 48 bits, or 52 with the 64 KiB granule.
#ifndef HOLDFAST_PGTABLE_GEOMETRY_H_
#define HOLDFAST_PGTABLE_GEOMETRY_H_

#include <cstddef>
#include <cstdint>

#include "base/addr.h"
#include "base/check.h"
#include "base/cpu_features.h"
#include "base/granule.h"

namespace holdfast::pgtable {

// A translation granule: tables fill one page of 2^kShift bytes and have 8-byte
// entries. Levels are -1..3; level 3 maps pages.
template <unsigned kShift>
struct Granule {
  static constexpr unsigned kPageShift = kShift;
  static constexpr uint64_t kPageSize = uint64_t{1} << kShift;
  static constexpr unsigned kIndexBits = kShift - 3;
  static constexpr unsigned kEntries = 1u << kIndexBits;

  // log2 of the bytes that one entry of `level` spans. May exceed 63 for levels
  // the granule does not have.
  static constexpr unsigned Shift(Level level) {
    return kShift + static_cast<unsigned>(3 - level.value()) * kIndexBits;
  }
  // Bytes that one entry of `level` spans.
  static constexpr uint64_t Size(Level level) {
    return uint64_t{1} << Shift(level);
  }
  // Which entry of its table (one page) at `level` translates `address`.
  static constexpr unsigned Index(uint64_t address, Level level) {
    return static_cast<unsigned>(address >> Shift(level)) & (kEntries - 1);
  }
  // Whether an entry of `level` may be a block (D8.3.1, without LPA2: 4 KiB
  // levels 1 and 2, 16 KiB and 64 KiB level 2). The test granule follows the 4
  // KiB one.
  static constexpr bool BlockAllowed(Level level) {
    if (kShift == 14 || kShift == 16) return level.value() == 2;
    return level.value() == 1 || level.value() == 2;
  }
};

using Granule4K = Granule<12>;
using Granule16K = Granule<14>;
using Granule64K = Granule<16>;
// Four entries a table, 32-byte pages: no CPU has it. It exists so that whole
// state spaces can be explored; it behaves as the 4 KiB granule does.
using GranuleTiny = Granule<5>;
using BuildGranule = Granule<holdfast::kPageShift>;

// Most root tables that stage 2 may concatenate (D8.2.2).
inline constexpr unsigned kMaxRootPages = 16;

// A stage-2 table: its input size, where walks start, and the root, which is
// `root_pages` contiguous pages aligned to their total size.
struct Stage2Shape {
  unsigned ipa_bits = 0;
  Level start;
  unsigned levels = 0;      // 2..4; start = 4 - levels
  unsigned root_pages = 0;  // 1..kMaxRootPages, a power of two

  constexpr bool operator==(const Stage2Shape&) const = default;
};

// The largest stage-2 input size the granule can have without LPA2, in bits.
template <class G>
constexpr unsigned MaxIpaBits() {
  if (G::kPageShift == 16) return 52;
  if (G::kPageShift < 12) return G::kPageShift + 4 * G::kIndexBits + 4;
  return 48;
}
// The smallest: two levels with more than one root entry in use, and never less
// than the architecture's 32 bits (T0SZ at most 32 keeps clear of FEAT_TTST).
template <class G>
constexpr unsigned MinIpaBits() {
  return G::kPageShift < 12 ? G::kPageShift + G::kIndexBits + 1 : 32;
}

// The shape for `ipa_bits` of input, MinIpaBits..MaxIpaBits (CHECKed): as few
// levels as concatenating up to 16 root tables allows, at least two.
template <class G>
constexpr Stage2Shape ShapeFor(unsigned ipa_bits) {
  HOLDFAST_CHECK(ipa_bits >= MinIpaBits<G>() && ipa_bits <= MaxIpaBits<G>());
  unsigned levels = 2;
  // 2^4 concatenated tables take four bits off the top.
  while (G::kPageShift + levels * G::kIndexBits + 4 < ipa_bits) ++levels;
  const unsigned below_root = G::kPageShift + levels * G::kIndexBits;
  const unsigned root_pages =
      ipa_bits > below_root ? 1u << (ipa_bits - below_root) : 1u;
  HOLDFAST_CHECK(levels <= 4 && root_pages <= kMaxRootPages);
  return Stage2Shape{ipa_bits, Level(static_cast<int8_t>(4 - levels)), levels,
                     root_pages};
}

// VTCR_EL2 for tables of `shape` (Arm ARM D19.2, VTCR_EL2):
//   5:0 T0SZ  7:6 SL0  9:8 IRGN0 = WBWA  11:10 ORGN0 = WBWA  13:12 SH0 = inner
//   15:14 TG0  18:16 PS  19 VS (16-bit VMID)  21 HA (hardware sets AF)  31 RES1
// The test granule has TG0 = 3, which the architecture reserves, and the 4 KiB
// granule's SL0.
template <class G>
constexpr uint64_t Vtcr(const Stage2Shape& shape, const CpuFeatures& cpu) {
  constexpr uint64_t kTg0 = G::kPageShift == 12   ? 0
                            : G::kPageShift == 16 ? 1
                            : G::kPageShift == 14 ? 2
                                                  : 3;
  constexpr int kSl0Base = G::kPageShift == 14 || G::kPageShift == 16 ? 3 : 2;
  const uint64_t sl0 = static_cast<uint64_t>(kSl0Base - shape.start.value());
  const uint64_t ps = cpu.pa_bits >= 52   ? 6
                      : cpu.pa_bits >= 48 ? 5
                      : cpu.pa_bits >= 44 ? 4
                      : cpu.pa_bits >= 42 ? 3
                      : cpu.pa_bits >= 40 ? 2
                      : cpu.pa_bits >= 36 ? 1
                                          : 0;
  uint64_t vtcr = uint64_t{1} << 31;
  vtcr |= 64 - shape.ipa_bits;
  vtcr |= sl0 << 6;
  vtcr |= uint64_t{1} << 8 | uint64_t{1} << 10;
  vtcr |= uint64_t{3} << 12;
  vtcr |= kTg0 << 14;
  vtcr |= ps << 16;
  if (cpu.vmid16) vtcr |= uint64_t{1} << 19;
  if (cpu.hafdbs) vtcr |= uint64_t{1} << 21;
  return vtcr;
}

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_GEOMETRY_H_
