// SPDX-License-Identifier: Apache-2.0
//
// The fault registers of a guest's exit as values.
//
//   ESR_EL2     31:26 EC, 25 IL, 24:0 ISS          (Arm ARM D19.2.37)
//   ISS, abort  24 ISV, 6 WnR, 5:0 DFSC / IFSC
//   HPFAR_EL2   43:4 FIPA = IPA[51:12]             (D19.2.58)
#ifndef HOLDFAST_HYP_SYNDROME_H_
#define HOLDFAST_HYP_SYNDROME_H_

#include <cstdint>

#include "base/addr.h"
#include "vm_table/vm.h"

namespace holdfast::hyp {

inline constexpr uint64_t kEcWfx = 0x01;
inline constexpr uint64_t kEcHvc64 = 0x16;
inline constexpr uint64_t kEcSmc64 = 0x17;
inline constexpr uint64_t kEcInstructionAbortLower = 0x20;
inline constexpr uint64_t kEcDataAbortLower = 0x24;

inline constexpr uint64_t kWfxIsWfe = 1;  // TI of its ISS
inline constexpr uint64_t kEcSysreg = 0x18;

inline constexpr uint64_t kEsrIl = uint64_t{1} << 25;
inline constexpr uint64_t kEsrWnr = uint64_t{1} << 6;
inline constexpr uint64_t kEsrS1ptw = uint64_t{1} << 7;
inline constexpr uint64_t kEsrIsv = uint64_t{1} << 24;
inline constexpr uint64_t kFaultTranslationLevel3 = 0x07;

constexpr uint64_t ExceptionClassOf(uint64_t esr) { return esr >> 26 & 0x3f; }
constexpr uint64_t EsrOf(uint64_t ec, uint64_t iss) {
  return ec << 26 | kEsrIl | iss;
}

constexpr bool IsAbort(uint64_t esr) {
  const uint64_t ec = ExceptionClassOf(esr);
  return ec == kEcInstructionAbortLower || ec == kEcDataAbortLower;
}

// An instruction or data abort of a lower EL, by a translation fault of any
// level (0b0001LL; level -1: 0b101011).
constexpr bool IsTranslationAbort(uint64_t esr) {
  if (!IsAbort(esr)) return false;
  const uint64_t status = esr & 0x3f;
  return status >> 2 == 1 || status == 0x2b;
}

// A write of ICC_SGI1R_EL1 (3, 0, c12, c11, 5) that trapped (Arm ARM D19.2.37,
// EC 0x18: Op0 21:20, Op2 19:17, Op1 16:14, CRn 13:10, Rt 9:5, CRm 4:1, read
// 0).
constexpr bool IsSgiWrite(uint64_t esr) {
  constexpr uint64_t kRt = uint64_t{31} << 5;
  return ExceptionClassOf(esr) == kEcSysreg &&
         (esr & 0x3f'ffff & ~kRt) ==
             (uint64_t{3} << 20 | 5 << 17 | 12 << 10 | 11 << 1);
}
constexpr unsigned SysregRt(uint64_t esr) {
  return static_cast<unsigned>(esr >> 5 & 31);
}

// What a data abort with ISV says of the instruction (Arm ARM D19.2.37, ISS of
// data aborts: SAS 23:22, SSE 21, SRT 20:16, SF 15).
constexpr vm_table::Owed AccessOf(uint64_t esr) {
  return {.kind = vm_table::Owed::Kind::kAccess,
          .store = (esr & kEsrWnr) != 0,
          .sign_extend = (esr >> 21 & 1) != 0,
          .wide = (esr >> 15 & 1) != 0,
          .rt = static_cast<uint8_t>(esr >> 16 & 31),
          .bytes = static_cast<uint8_t>(1u << (esr >> 22 & 3))};
}

// The page of the IPA that faulted. (FIPA's unit is 4 KiB, whatever the
// granule.)
constexpr Ipa FaultPage(const vm_table::GuestExit& exit) {
  return Ipa((exit.hpfar >> 4 & ((uint64_t{1} << 40) - 1)) << 12)
      .AlignDown(kPageSize);
}
// The byte: of the virtual address only what every page size leaves alone.
constexpr Ipa FaultAddress(const vm_table::GuestExit& exit) {
  return Ipa((exit.hpfar >> 4 & ((uint64_t{1} << 40) - 1)) << 12 |
             (exit.far & 0xfff));
}
constexpr uint64_t HpfarOf(Ipa ipa) { return ipa.value() >> 12 << 4; }

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_SYNDROME_H_
