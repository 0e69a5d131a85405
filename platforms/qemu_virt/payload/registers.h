// SPDX-License-Identifier: Apache-2.0
//
// All that EL1 has in registers, with patterns in it: for tests of who sees
// whose.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_REGISTERS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_REGISTERS_H_

#include <cstddef>
#include <cstdint>

#include "platforms/qemu_virt/payload/registers_layout.h"

namespace holdfast::payload {

struct Registers {
  uint64_t x[31];
  uint64_t unused;
  alignas(16) uint64_t q[32][2];
};
static_assert(sizeof(Registers) == HF_REGISTERS_SIZE);
static_assert(offsetof(Registers, q) == HF_REGISTERS_Q);

// registers.S.
extern "C" void CallWithAllRegisters(uint64_t pattern, Registers* after,
                                     uint64_t x0, uint64_t x1, uint64_t x2,
                                     uint64_t x3);

// FP and SIMD at EL1 from now on (CPACR_EL1.FPEN).
inline void OpenFp() {
  asm volatile("msr cpacr_el1, %0\n isb" : : "r"(uint64_t{3} << 20));
}

// SVE, where there is, with the longest vectors (CPACR_EL1.ZEN, ZCR_EL1).
inline constexpr uint64_t kMaxSveBytes = 32 * 256 + 16 * 32;
extern "C" uint64_t CallWithSve(uint64_t pattern, void* after, uint64_t x0);
inline bool OpenSve() {
  uint64_t pfr0;
  asm volatile("mrs %0, id_aa64pfr0_el1" : "=r"(pfr0));
  if ((pfr0 >> 32 & 0xf) == 0) return false;
  asm volatile("msr cpacr_el1, %0\n isb" : : "r"(uint64_t{0x33} << 16));
  asm volatile("msr S3_0_C1_C2_0, %0\n isb" : : "r"(uint64_t{0xf}));
  return true;
}

// System registers that hold any number, without a meaning as long as nothing
// is going on.
// clang-format off
#define HOLDFAST_FREE_REGISTERS(X)                                           \
  X(tpidr_el0) X(tpidrro_el0) X(contextidr_el1) X(far_el1) X(sp_el0)         \
  X(elr_el1) X(cntv_cval_el0) X(par_el1)
// clang-format on
inline constexpr unsigned kFreeRegisters = 8;

// TPIDR2_EL0, where there is SME: a guest that has none could use it all the
// same.
inline bool HasTpidr2() {
  uint64_t pfr1;
  asm volatile("mrs %0, id_aa64pfr1_el1" : "=r"(pfr1));
  return (pfr1 >> 24 & 0xf) != 0;
}
inline void WriteTpidr2(uint64_t value) {
  asm volatile("msr S3_3_C13_C0_5, %0" : : "r"(value));
}
inline uint64_t ReadTpidr2() {
  uint64_t value;
  asm volatile("mrs %0, S3_3_C13_C0_5" : "=r"(value));
  return value;
}

struct FreeRegisters {
  uint64_t value[kFreeRegisters];
};
inline void WriteFreeRegisters(uint64_t pattern) {
  uint64_t value = pattern + 0x100;
#define HOLDFAST_X(name) asm volatile("msr " #name ", %0" : : "r"(value++));
  HOLDFAST_FREE_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
  asm volatile("isb");
}
inline FreeRegisters ReadFreeRegisters() {
  FreeRegisters all;
  unsigned i = 0;
#define HOLDFAST_X(name) asm volatile("mrs %0, " #name : "=r"(all.value[i++]));
  HOLDFAST_FREE_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
  return all;
}

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_REGISTERS_H_
