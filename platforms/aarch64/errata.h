// SPDX-License-Identifier: Apache-2.0
//
// CPUs that need more than the architecture asks for. Looked up by MIDR_EL1 at
// boot; a machine counts as affected if any of its CPUs is.
#ifndef HOLDFAST_PLATFORMS_AARCH64_ERRATA_H_
#define HOLDFAST_PLATFORMS_AARCH64_ERRATA_H_

#include <cstdint>

#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

struct Errata {
  // A broadcast TLBI and its DSB must be done twice.
  bool repeat_tlbi = false;
  // A speculated AT instruction may walk with a half-switched EL1&0 regime, so
  // walks must be off while VTTBR_EL2 names somebody else's tables.
  bool speculative_at = false;
  bool operator==(const Errata&) const = default;
};

struct ErrataRow {
  uint8_t implementer;
  uint16_t part;
  uint8_t last_affected;  // variant << 4 | revision, inclusive
  Errata errata;
};

// Numbers are those of Arm's Software Developers Errata Notices.
inline constexpr ErrataRow kErrataTable[] = {
    {0x41, 0xd05, 0xff, {.repeat_tlbi = true}},     // A55: 2441007
    {0x41, 0xd05, 0x20, {.speculative_at = true}},  // A55: 1530923
    {0x41, 0xd07, 0xff, {.speculative_at = true}},  // A57: 1319537
    {0x41, 0xd08, 0xff, {.speculative_at = true}},  // A72: 1319367
    {0x41, 0xd0b, 0x30, {.repeat_tlbi = true}},     // A76: 1286807
    {0x41, 0xd0b, 0x20, {.speculative_at = true}},  // A76: 1165522
    {0x41, 0xd46, 0x11, {.repeat_tlbi = true}},     // A510: 2441009
};

constexpr Errata ErrataFor(uint64_t midr) {
  Errata found;
  const uint64_t revision =
      MidrEl1::Variant::Get(midr) << 4 | MidrEl1::Revision::Get(midr);
  for (const ErrataRow& row : kErrataTable) {
    if (row.implementer != MidrEl1::Implementer::Get(midr)) continue;
    if (row.part != MidrEl1::PartNum::Get(midr)) continue;
    if (revision > row.last_affected) continue;
    found.repeat_tlbi |= row.errata.repeat_tlbi;
    found.speculative_at |= row.errata.speculative_at;
  }
  return found;
}

static_assert(ErrataFor(0x411fd070).speculative_at);  // Cortex-A57 r1p0
static_assert(!ErrataFor(0x000f0510).repeat_tlbi);    // no such part

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_ERRATA_H_
