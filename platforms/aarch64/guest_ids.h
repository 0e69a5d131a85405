// SPDX-License-Identifier: Apache-2.0
//
// The id registers as a guest reads them: EL2 answers, not the CPU and not the
// host. Of each register those fields are kept that name what a guest has
// (guest_switch.cc); all others, and all registers not listed, read as zero.
// Arithmetic on register values, so that it is tested on the host.
#ifndef HOLDFAST_PLATFORMS_AARCH64_GUEST_IDS_H_
#define HOLDFAST_PLATFORMS_AARCH64_GUEST_IDS_H_

#include <cstdint>

#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

// ISS of a trapped MSR or MRS (Arm ARM D19.2.37, EC 0x18).
struct SysregTrap {
  uint64_t iss = 0;

  constexpr unsigned op0() const { return Get<21, 20>(); }
  constexpr unsigned op2() const { return Get<19, 17>(); }
  constexpr unsigned op1() const { return Get<16, 14>(); }
  constexpr unsigned crn() const { return Get<13, 10>(); }
  constexpr unsigned rt() const { return Get<9, 5>(); }
  constexpr unsigned crm() const { return Get<4, 1>(); }
  constexpr bool is_read() const { return (iss & 1) != 0; }

  // Of the id group that HCR_EL2.TID3 traps: 3, 0, c0, c1..c7.
  constexpr bool is_id_read() const {
    return op0() == 3 && op1() == 0 && crn() == 0 && crm() >= 1 && is_read();
  }

 private:
  template <unsigned kHigh, unsigned kLow>
  constexpr unsigned Get() const {
    return static_cast<unsigned>(Field<kHigh, kLow>::Get(iss));
  }
};

// All 4-bit fields from bits kHigh+3 down to kLow.
constexpr uint64_t IdFields(unsigned high, unsigned low) {
  return (~uint64_t{0} >> (60 - high)) & (~uint64_t{0} << low);
}

// `value` of the id register `trap` names, as a guest reads it. `pauth`: all
// CPUs of the machine sign return addresses; a guest may come to any of them.
constexpr uint64_t GuestIdValue(SysregTrap trap, uint64_t value, bool pauth) {
  switch (trap.crm() << 4 | trap.op2()) {
    case 0x40: {  // ID_AA64PFR0_EL1: FP, AdvSIMD, GIC, DIT, CSV2, CSV3
      const uint64_t keep =
          IdFields(24, 16) | IdFields(48, 48) | IdFields(60, 56);
      return (value & keep) | 0x11;  // EL1 and EL0, AArch64 only
    }
    case 0x41:  // ID_AA64PFR1_EL1: BT, SSBS
      return value & IdFields(4, 0);
    case 0x50:  // ID_AA64DFR0_EL1: Armv8 debug, which is the least there is
      return 6;
    case 0x60:  // ID_AA64ISAR0_EL1: all but TME
      return value & ~IdFields(24, 24);
    case 0x61:  // ID_AA64ISAR1_EL1: DPB to GPI, FRINTTS, SB, BF16, DGH, I8MM
      return value & (IdFields(36, 0) | IdFields(52, 44)) &
             (pauth ? ~uint64_t{0} : ~(IdFields(8, 4) | IdFields(28, 24)));
    case 0x62:  // ID_AA64ISAR2_EL1: GPA3, APA3
      return pauth ? value & IdFields(12, 8) : 0;
    case 0x70:  // ID_AA64MMFR0_EL1: up to TGran4
      return value & IdFields(28, 0);
    case 0x71:  // ID_AA64MMFR1_EL1: HAFDBS, HPDS, PAN
      return value & (IdFields(0, 0) | IdFields(12, 12) | IdFields(20, 20));
    case 0x72:  // ID_AA64MMFR2_EL1: CnP, UAO, IESB, VARange, AT, IDS, TTL, E0PD
      return value & (IdFields(4, 0) | IdFields(16, 12) | IdFields(36, 32) |
                      IdFields(48, 48) | IdFields(60, 60));
    default:
      return 0;
  }
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_GUEST_IDS_H_
