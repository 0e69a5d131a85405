// SPDX-License-Identifier: Apache-2.0
#include "platforms/aarch64/guest_id.h"

#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {
namespace {

// A register's name in an ISS, without Rt and direction.
constexpr uint64_t Name(uint64_t op0, uint64_t op1, uint64_t crn, uint64_t crm,
                        uint64_t op2) {
  return op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1;
}
constexpr uint64_t kNameMask = Name(3, 7, 15, 15, 7);
constexpr uint64_t Id(uint64_t crm, uint64_t op2) {
  return Name(3, 0, 0, crm, op2);
}

template <class... Fields>
constexpr uint64_t Keep(uint64_t value) {
  return (Fields::Put(Fields::Get(value)) | ...);
}
using El0 = Field<3, 0>;
using El1 = Field<7, 4>;
using Fp = Field<19, 16>;
using AdvSimd = Field<23, 20>;
constexpr uint64_t kAArch64Only = 1;

uint64_t Pfr0() {
  const uint64_t pfr0 = IdAa64Pfr0El1::Read();
  return El0::Put(kAArch64Only) | El1::Put(kAArch64Only) |
         Keep<Fp, AdvSimd, IdAa64Pfr0El1::Gic, IdAa64Pfr0El1::Dit,
              Field<63, 60>>(pfr0) |
         // CSV2_2's SCXTNUM registers are not switched.
         IdAa64Pfr0El1::Csv2::Put(IdAa64Pfr0El1::Csv2::Get(pfr0) != 0);
}

// Return addresses are the machine's to sign or not: a guest may come to any of
// its CPUs.
constexpr uint64_t kPauthIsar1 =
    IdAa64Isar1El1::Apa::Put(15) | IdAa64Isar1El1::Api::Put(15) |
    IdAa64Isar1El1::Gpa::Put(15) | IdAa64Isar1El1::Gpi::Put(15);
constexpr uint64_t kPauthIsar2 =
    IdAa64Isar2El1::Gpa3::Put(15) | IdAa64Isar2El1::Apa3::Put(15);

}  // namespace

std::optional<uint64_t> GuestReads(uint64_t iss) {
  const uint64_t name = iss & kNameMask;
  const bool pauth = This().machine.pauth;
  switch (name) {
    case Id(4, 0):
      return Pfr0();
    case Id(4, 1):
      return Keep<IdAa64Pfr1El1::Bt, IdAa64Pfr1El1::Ssbs>(
          IdAa64Pfr1El1::Read());
    case Id(5, 0):
      // DebugVer: Armv8's, which there must be; its registers trap.
      return 6;
    case Id(6, 0):
      return IdAa64Isar0El1::Read();
    case Id(6, 1):
      return IdAa64Isar1El1::Read() & ~IdAa64Isar1El1::Ls64::Put(15) &
             (pauth ? ~uint64_t{0} : ~kPauthIsar1);
    case Id(6, 2):
      return IdAa64Isar2El1::Read() & ~IdAa64Isar2El1::Mops::Put(15) &
             (pauth ? ~uint64_t{0} : ~kPauthIsar2);
    case Id(7, 0):
      return IdAa64Mmfr0El1::Read() & ~IdAa64Mmfr0El1::Fgt::Put(15);
    case Id(7, 1):
      return IdAa64Mmfr1El1::Read() & ~IdAa64Mmfr1El1::Hcx::Put(15);
    case Id(7, 2):
      return IdAa64Mmfr2El1::Read();
    default:
      break;
  }
  // The rest of the space of ID registers reads as zero: nothing of it is
  // there.
  if ((name & Name(3, 7, 15, 0, 0)) == Name(3, 0, 0, 0, 0)) return 0;
  return std::nullopt;
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

}  // namespace holdfast::aarch64
