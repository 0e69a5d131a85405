// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/walker.h"

#include <algorithm>

namespace holdfast::sim {
namespace {

constexpr unsigned kTinyShift = 5;

constexpr uint64_t Bits(uint64_t word, unsigned high, unsigned low) {
  return (word >> low) & ((uint64_t{2} << (high - low)) - 1);
}

constexpr uint64_t Mask(unsigned high, unsigned low) {
  return ((uint64_t{2} << (high - low)) - 1) << low;
}

// The address field of a table or page descriptor (D8.3.1).
uint64_t AddressField(const Stage2Format& format, uint64_t descriptor) {
  if (format.page_shift == kTinyShift) return (descriptor & Mask(47, 12)) >> 7;
  uint64_t address = descriptor & Mask(47, format.page_shift);
  if (format.page_shift == 16) address |= Bits(descriptor, 15, 12) << 48;
  return address;
}

// All bits of a descriptor that hold address.
uint64_t AddressBits(const Stage2Format& format) {
  return format.page_shift == 14 ? Mask(47, 14) : Mask(47, 12);
}

// D8.6: with FWB (D8.6.6) 0xxx but 0b0100, without it all but xx00 above zero.
bool ReservedMemAttr(uint8_t attr, bool fwb) {
  if (fwb) return attr >= 8 || attr == 4;
  return (attr & 0xc) != 0 && (attr & 3) == 0;
}

Fault FaultAt(FaultKind kind, int level, Ipa ipa) {
  return Fault{.kind = kind,
               .level = level,
               .ipa = ipa,
               .is_write = false,
               .is_exec = false};
}

}  // namespace

std::optional<Stage2Format> Stage2Format::From(uint64_t vtcr,
                                               unsigned page_shift,
                                               const CpuFeatures& features) {
  Stage2Format format;
  format.page_shift = page_shift;
  format.hardware_af = features.hafdbs && Bits(vtcr, 21, 21) != 0;
  format.xnx = features.xnx;
  format.fwb = features.fwb;
  if (Bits(vtcr, 32, 32) != 0)
    return std::nullopt;  // DS: LPA2 is not implemented

  const unsigned t0sz = static_cast<unsigned>(Bits(vtcr, 5, 0));
  format.ipa_bits = 64 - t0sz;
  // PS above 52 bits is reserved; above what the CPU has, the CPU's counts.
  constexpr unsigned kPaBits[] = {32, 36, 40, 42, 44, 48, 52, 52};
  format.pa_bits = std::min(kPaBits[Bits(vtcr, 18, 16)], features.pa_bits);
  if (page_shift != 16) format.pa_bits = std::min(format.pa_bits, 48u);
  if (format.ipa_bits > (page_shift == 16 ? 52u : 48u)) return std::nullopt;

  if (page_shift == kTinyShift) {
    int levels = (static_cast<int>(format.ipa_bits) - 4 - 5 + 1) / 2;
    levels = std::max(levels, 2);
    if (levels > 4) return std::nullopt;
    format.start_level = 4 - levels;
  } else {
    const unsigned granule = static_cast<unsigned>(Bits(vtcr, 15, 14));
    if (granule != (page_shift == 12 ? 0u : page_shift == 16 ? 1u : 2u))
      return std::nullopt;
    // SL0 counts levels upwards from 2 (4 KiB; 3 is FEAT_TTST's level 3) or
    // from 3.
    const int sl0 = static_cast<int>(Bits(vtcr, 7, 6));
    format.start_level = (page_shift == 12 ? 2 : 3) - sl0;
    if (format.start_level < (page_shift == 12 ? 0 : 1)) return std::nullopt;
  }

  // T0SZ must leave the start level between one index bit (that the level below
  // cannot take) and four more than its table has.
  const int top_bits = static_cast<int>(format.ipa_bits) -
                       static_cast<int>(format.level_shift(format.start_level));
  if (top_bits < 1 || top_bits > static_cast<int>(format.index_bits()) + 4)
    return std::nullopt;
  format.root_entries = 1u << top_bits;
  return format;
}

unsigned Stage2Format::root_tables() const {
  return std::max(root_entries / table_entries(), 1u);
}

PhysAddr Stage2Format::EffectiveRoot(PhysAddr root) const {
  const uint64_t least = page_shift == kTinyShift ? table_bytes() : 64;
  return root.AlignDown(std::max(root_bytes(), least));
}

bool Stage2Format::BlockAllowed(int level) const {
  switch (page_shift) {
    case 14:
      return level == 2;
    case 16:
      return level == 2 || (level == 1 && pa_bits == 52);
    default:
      return level == 1 || level == 2;
  }
}

bool Entry::Grants(AccessType type) const {
  if (kind != Kind::kLeaf) return false;
  switch (type.kind) {
    case AccessType::Kind::kRead:
      return readable;
    case AccessType::Kind::kWrite:
      return writable;
    // Execution also wants read permission at stage 2 (D8.4.1.2).
    case AccessType::Kind::kExec:
      return readable && (type.privileged ? exec_el1 : exec_el0);
  }
  return false;
}

bool Entry::SameMemory(const Entry& other) const {
  return kind == other.kind && address == other.address &&
         mem_attr == other.mem_attr && shareability == other.shareability;
}

bool Entry::Covers(const Entry& other) const {
  return SameMemory(other) && readable >= other.readable &&
         writable >= other.writable && exec_el1 >= other.exec_el1 &&
         exec_el0 >= other.exec_el0;
}

Entry Decode(const Stage2Format& format, uint64_t descriptor, int level) {
  Entry entry;
  const bool valid = (descriptor & 1) != 0;
  const bool bit1 = (descriptor & 2) != 0;
  if (!valid) return entry;
  if (bit1 && level < 3) {
    entry.kind = Entry::Kind::kTable;
    entry.address = PhysAddr(AddressField(format, descriptor));
    entry.reserved_bits =
        (descriptor & ~(Mask(58, 51) | AddressBits(format) | Mask(11, 0))) != 0;
    return entry;
  }
  // Level 3 has pages only; elsewhere a block must be one the granule has.
  if (level == 3 ? !bit1 : !format.BlockAllowed(level)) return entry;

  entry.kind = Entry::Kind::kLeaf;
  const uint64_t field = AddressField(format, descriptor);
  entry.address = PhysAddr(field).AlignDown(format.entry_span(level));
  entry.mem_attr = static_cast<uint8_t>(Bits(descriptor, 5, 2));
  entry.readable = Bits(descriptor, 6, 6) != 0;
  entry.writable = Bits(descriptor, 7, 7) != 0;
  entry.shareability = static_cast<uint8_t>(Bits(descriptor, 9, 8));
  entry.access_flag = Bits(descriptor, 10, 10) != 0;
  // XN[1:0]: 00 all, 01 not EL1, 10 none, 11 not EL0; without XNX only XN[1]
  // counts.
  const unsigned xn = static_cast<unsigned>(Bits(descriptor, 54, 53));
  entry.exec_el1 = format.xnx ? xn == 0 || xn == 3 : xn < 2;
  entry.exec_el0 = format.xnx ? xn == 0 || xn == 1 : xn < 2;
  entry.reserved_bits = ReservedMemAttr(entry.mem_attr, format.fwb) ||
                        entry.address.value() != field ||
                        entry.shareability == 1;
  return entry;
}

WalkResult Walk(const Ram& ram, const Stage2Format& format, PhysAddr root,
                Ipa ipa) {
  if (ipa.value() >= format.input_size()) {
    return {std::nullopt, FaultAt(FaultKind::kTranslation, 0, ipa)};
  }
  if (root.value() >> format.pa_bits != 0) {
    return {std::nullopt, FaultAt(FaultKind::kAddressSize, 0, ipa)};
  }
  // Concatenated tables are one table with more entries: find the page of it.
  const uint64_t index = ipa.value() >> format.level_shift(format.start_level);
  const uint64_t table = index / format.table_entries();
  return WalkFrom(ram, format,
                  format.EffectiveRoot(root) + table * format.table_bytes(),
                  format.start_level, ipa);
}

WalkResult WalkFrom(const Ram& ram, const Stage2Format& format, PhysAddr table,
                    int level, Ipa ipa) {
  for (;; ++level) {
    const uint64_t index = (ipa.value() >> format.level_shift(level)) &
                           (format.table_entries() - 1);
    const PhysAddr at = table + index * 8;
    if (!ram.Contains(at, 8)) {
      return {std::nullopt, FaultAt(FaultKind::kExternal, level, ipa)};
    }
    const uint64_t descriptor = ram.Load(at, 8);
    const Entry entry = Decode(format, descriptor, level);
    if (entry.kind == Entry::Kind::kInvalid) {
      return {std::nullopt, FaultAt(FaultKind::kTranslation, level, ipa)};
    }
    if (entry.address.value() >> format.pa_bits != 0) {
      return {std::nullopt, FaultAt(FaultKind::kAddressSize, level, ipa)};
    }
    if (entry.kind == Entry::Kind::kLeaf) {
      const uint64_t offset = ipa.value() & (format.entry_span(level) - 1);
      return {Translation{.pa = entry.address + offset,
                          .leaf = entry,
                          .level = level,
                          .entry = at,
                          .descriptor = descriptor},
              Fault{}};
    }
    table = entry.address;
  }
}

}  // namespace holdfast::sim
