// SPDX-License-Identifier: Apache-2.0
//
// Which bits of a redistributor's RD_base frame a host sees, and which it may
// write (Arm IHI 0069, 12.11): none that have to do with LPIs. It knows numbers
// only, so that it is tested on the host.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_REGISTERS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_REGISTERS_H_

#include <cstdint>

namespace holdfast::qemu_virt::gicr {

inline constexpr uint64_t kFrameSize = 0x1'0000;

// Offsets of 32-bit words in the frame.
inline constexpr uint64_t kCtlr = 0x00, kIidr = 0x04;
inline constexpr uint64_t kTyper = 0x08, kTyperHigh = 0x0c;
inline constexpr uint64_t kStatusr = 0x10, kWaker = 0x14;
inline constexpr uint64_t kPropbaser = 0x70, kPendbaser = 0x78;
inline constexpr uint64_t kFirstId = 0xffd0;  // identification, to the end

inline constexpr uint32_t kCtlrEnableLpis = 1u << 0;
// PLPIS, VLPIS and DirectLPI.
inline constexpr uint32_t kTyperLpis = 1u << 0 | 1u << 1 | 1u << 3;

// What is not named here reads as zero.
constexpr uint32_t ReadableBits(uint64_t offset) {
  switch (offset) {
    case kCtlr:
      return ~kCtlrEnableLpis;
    case kTyper:
      return ~kTyperLpis;
    case kIidr:
    case kTyperHigh:
    case kStatusr:
    case kWaker:
      return ~0u;
    default:
      return offset >= kFirstId && offset < kFrameSize ? ~0u : 0;
  }
}

// What is not named here ignores writes.
constexpr uint32_t WritableBits(uint64_t offset) {
  switch (offset) {
    case kCtlr:
      return ~kCtlrEnableLpis;
    case kStatusr:
    case kWaker:
      return ~0u;
    default:
      return 0;
  }
}

}  // namespace holdfast::qemu_virt::gicr

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_REDISTRIBUTOR_REGISTERS_H_
