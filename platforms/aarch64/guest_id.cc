// SPDX-License-Identifier: Apache-2.0
#include "platforms/aarch64/guest_id.h"

#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/guest_ids.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {
namespace {

// A register's name in an ISS, without Rt and direction.
constexpr uint64_t Name(uint64_t op0, uint64_t op1, uint64_t crn, uint64_t crm,
                        uint64_t op2) {
  return op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
}
constexpr uint64_t kNameMask = Name(3, 7, 15, 15, 7);

// What the CPU says. Those of which a guest gets nothing are left out.
uint64_t ReadId(SysregTrap trap) {
  switch (trap.crm() << 4 | trap.op2()) {
    case 0x40:
      return IdAa64Pfr0El1::Read();
    case 0x41:
      return IdAa64Pfr1El1::Read();
    case 0x60:
      return IdAa64Isar0El1::Read();
    case 0x61:
      return IdAa64Isar1El1::Read();
    case 0x62:
      return IdAa64Isar2El1::Read();
    case 0x70:
      return IdAa64Mmfr0El1::Read();
    case 0x71:
      return IdAa64Mmfr1El1::Read();
    case 0x72:
      return IdAa64Mmfr2El1::Read();
    default:
      return 0;
  }
}

}  // namespace

std::optional<uint64_t> GuestReads(uint64_t iss) {
  const SysregTrap trap = {iss};
  if (!trap.is_id_read()) return std::nullopt;
  return GuestIdValue(trap, ReadId(trap), This().machine.pauth);
}

bool GuestWriteIsIgnored(uint64_t iss) {
  switch (iss & kNameMask) {
    case Name(1, 0, 7, 6, 2):   // DC ISW
    case Name(1, 0, 7, 10, 2):  // DC CSW
    case Name(1, 0, 7, 14, 2):  // DC CISW
      // By set and way nothing can be kept coherent; EL2 cleans what it gives.
      return true;
    default:
      return false;
  }
}

bool IsSgiWrite(uint64_t iss) {
  return (iss & kNameMask) == Name(3, 0, 12, 11, 5) && (iss & 1) == 0;
}

}  // namespace holdfast::aarch64
