// SPDX-License-Identifier: Apache-2.0
//
// What a mapping allows, and how that is written in a leaf. A Prot says it in
// plain words; Stage2Attr and HypAttr are checked, encoded forms that only
// For() makes, so that no leaf with a combination the rules refuse can be
// built. Knows no addresses and no tables.
//
// Sources: Arm ARM DDI 0487 D8.4 (permissions), D8.6 (memory attributes); bit
// positions are in the table atop pte.h.
#ifndef HOLDFAST_PGTABLE_ATTR_H_
#define HOLDFAST_PGTABLE_ATTR_H_

#include <cstdint>

#include "base/check.h"
#include "base/cpu_features.h"
#include "base/result.h"

namespace holdfast::pgtable {

// One value, so "device and non-cacheable at once" cannot be said.
enum class MemType : uint8_t {
  kNormal,    // write-back cacheable
  kNormalNc,  // normal, non-cacheable
  kDevice,    // device nGnRE
};

// Permissions and memory type of a mapping. px, ux: execute at the privileged
// and at the unprivileged level.
struct Prot {
  bool r = false;
  bool w = false;
  bool px = false;
  bool ux = false;
  MemType type = MemType::kNormal;

  constexpr bool operator==(const Prot&) const = default;
};

inline constexpr Prot kHostMemory{.r = true, .w = true, .px = true, .ux = true};
// Device or not is the host's stage 1 to say (MemStyle::kAsStage1).
inline constexpr Prot kHostMmio{.r = true, .w = true};
inline constexpr Prot kGuestMemory{
    .r = true, .w = true, .px = true, .ux = true};
inline constexpr Prot kHypData{.r = true, .w = true};
inline constexpr Prot kHypText{.r = true, .px = true, .ux = true};
inline constexpr Prot kHypRodata{.r = true};
inline constexpr Prot kHypDevice{
    .r = true, .w = true, .type = MemType::kDevice};

// Who says what memory is like: this table, or the owner's own stage 1. The
// host's table uses kAsStage1 for RAM and MMIO alike, guests' tables kFromProt.
enum class MemStyle : uint8_t { kFromProt, kAsStage1 };

// Attributes of a stage-2 leaf.
class Stage2Attr {
 public:
  // EINVAL: execute from device or non-cacheable memory; px != ux without
  // FEAT_XNX.
  static constexpr Result<Stage2Attr> For(Prot prot, MemStyle style,
                                          const CpuFeatures& cpu) {
    const bool executable = prot.px || prot.ux;
    if (prot.type != MemType::kNormal && executable)
      return Error(Errno::kEinval);
    if (prot.px != prot.ux && !cpu.xnx) return Error(Errno::kEinval);
    uint64_t bits = MemAttr(prot.type, style, cpu.fwb) << 2;
    bits |= uint64_t{prot.r} << 6 | uint64_t{prot.w} << 7;
    bits |= uint64_t{3} << 8;   // SH: inner shareable
    bits |= uint64_t{1} << 10;  // AF
    bits |= Xn(prot.px, prot.ux) << 53;
    return Stage2Attr(bits);
  }

  // The same with `two_bits` (0..3, CHECKed) in the software field, bits 56:55.
  constexpr Stage2Attr WithSoftware(unsigned two_bits) const {
    HOLDFAST_CHECK(two_bits <= 3);
    return Stage2Attr((bits_ & ~(uint64_t{3} << 55)) | uint64_t{two_bits}
                                                           << 55);
  }

  // `bits` of a leaf, with what this allows allowed too. All else stays.
  constexpr uint64_t RightsAddedTo(uint64_t bits) const {
    const uint64_t both = bits | bits_;
    const bool px = MayExecuteAtEl1(bits) || MayExecuteAtEl1(bits_);
    const bool ux = MayExecuteAtEl0(bits) || MayExecuteAtEl0(bits_);
    const uint64_t s2ap = uint64_t{3} << 6;
    return (bits & ~(kXnMask | s2ap)) | (both & s2ap) | Xn(px, ux) << 53;
  }
  constexpr bool executable() const {
    return MayExecuteAtEl1(bits_) || MayExecuteAtEl0(bits_);
  }

  // The descriptor's bits other than address, valid and type.
  constexpr uint64_t bits() const { return bits_; }
  constexpr bool operator==(const Stage2Attr&) const = default;

 private:
  constexpr explicit Stage2Attr(uint64_t bits) : bits_(bits) {}

  // XN[1:0] (D8.4.3). 01 and 11 need FEAT_XNX.
  static constexpr uint64_t kXnMask = uint64_t{3} << 53;
  static constexpr bool MayExecuteAtEl1(uint64_t bits) {
    const uint64_t xn = (bits & kXnMask) >> 53;
    return xn == 0 || xn == 3;
  }
  static constexpr bool MayExecuteAtEl0(uint64_t bits) {
    return (bits & kXnMask) >> 53 <= 1;
  }
  static constexpr uint64_t Xn(bool px, bool ux) {
    if (px) return ux ? 0 : 3;
    return ux ? 1 : 2;
  }

  // MemAttr[3:0]. Without FEAT_S2FWB (D8.6.5): 0xF write-back, 5 non-cacheable,
  // 1 nGnRE; these combine with stage 1, so 0xF is also "as stage 1". With it
  // (D8.6.6): 6 forces write-back, 7 takes stage 1's.
  static constexpr uint64_t MemAttr(MemType type, MemStyle style, bool fwb) {
    if (style == MemStyle::kAsStage1) return fwb ? 7 : 0xF;
    switch (type) {
      case MemType::kNormal:
        return fwb ? 6 : 0xF;
      case MemType::kNormalNc:
        return 5;
      case MemType::kDevice:
        return 1;
    }
    HOLDFAST_UNREACHABLE("memory type");
  }

  uint64_t bits_;
};

// Attributes of a leaf of EL2's own stage 1 (nVHE: one privilege level).
class HypAttr {
 public:
  // EINVAL: not readable; writable and executable; executable device or
  // non-cacheable memory. `ux` means nothing at EL2 and is dropped first.
  static constexpr Result<HypAttr> For(Prot prot) {
    prot.ux = false;
    if (!prot.r) return Error(Errno::kEinval);
    if (prot.w && prot.px) return Error(Errno::kEinval);
    if (prot.type != MemType::kNormal && prot.px) return Error(Errno::kEinval);
    // MAIR_EL2 has no non-cacheable normal slot: EL2 maps none.
    if (prot.type == MemType::kNormalNc) return Error(Errno::kEinval);
    uint64_t bits = uint64_t{prot.type == MemType::kDevice ? 4u : 0u}
                    << 2;  // AttrIndx
    bits |= (prot.w ? uint64_t{1} : uint64_t{3})
            << 6;                             // AP[2:1]; AP[1] is RES1 here
    bits |= uint64_t{3} << 8;                 // SH: inner shareable
    bits |= uint64_t{1} << 10;                // AF
    if (!prot.px) bits |= uint64_t{1} << 54;  // XN
    return HypAttr(bits);
  }

  // The same, for code that indirect branches enter by a landing pad only (GP,
  // bit 50; D8.4.6). FEAT_BTI.
  constexpr HypAttr Guarded() const {
    return HypAttr(bits_ | uint64_t{1} << 50);
  }

  constexpr uint64_t bits() const { return bits_; }
  constexpr bool operator==(const HypAttr&) const = default;

 private:
  constexpr explicit HypAttr(uint64_t bits) : bits_(bits) {}
  uint64_t bits_;
};

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_ATTR_H_
