// SPDX-License-Identifier: Apache-2.0
//
// FP, SIMD and SVE registers in memory. EL2 uses none of them itself; the only
// code that touches them is guest_fp.S.
#ifndef HOLDFAST_PLATFORMS_AARCH64_FP_STATE_H_
#define HOLDFAST_PLATFORMS_AARCH64_FP_STATE_H_

#include <cstddef>
#include <cstdint>

#include "platforms/aarch64/layout.h"

namespace holdfast::aarch64 {

// V0..V31, FPSR, FPCR: what a guest has.
struct FpState {
  alignas(16) uint64_t v[32][2] = {};
  uint64_t fpsr = 0, fpcr = 0;
};
static_assert(offsetof(FpState, fpsr) == HF_FP_FPSR);

// What a host has: SVE's registers at the longest vectors there are (256
// bytes), or, on CPUs without it, those of `fp`.
struct VectorState {
  FpState fp;
  alignas(16) std::byte z[32 * 256] = {};
  std::byte p[16 * 32] = {};
  std::byte ffr[32] = {};
  uint64_t svcr = 0;  // streaming mode (FEAT_SME)
};
static_assert(offsetof(VectorState, z) == HF_VECTOR_Z);
static_assert(offsetof(VectorState, p) == HF_VECTOR_P);
static_assert(offsetof(VectorState, ffr) == HF_VECTOR_FFR);

// guest_fp.S. SVE's with vectors as long as ZCR_EL2 (SMCR_EL2 in streaming
// mode) allows, and CPTR_EL2 open for them. `ffr`: FFR is there (it is not in
// streaming mode).
extern "C" void SaveFp(FpState* state);
extern "C" void LoadFp(const FpState* state);
extern "C" void SaveSve(VectorState* state, uint64_t ffr);
extern "C" void LoadSve(const VectorState* state, uint64_t ffr);

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_FP_STATE_H_
