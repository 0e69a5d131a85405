// SPDX-License-Identifier: Apache-2.0
//
// Offsets that assembler and C++ share; asserted where the structs are.
#ifndef HOLDFAST_PLATFORMS_AARCH64_LAYOUT_H_
#define HOLDFAST_PLATFORMS_AARCH64_LAYOUT_H_

// Cpu, at TPIDR_EL2.
#define HF_CPU_RUNNING 0

// GuestState: x0..x30 come first.
#define HF_GUEST_PC 248
#define HF_GUEST_KEY_A 264

// FpState, VectorState.
#define HF_FP_FPSR 512
#define HF_VECTOR_Z 528
#define HF_VECTOR_P 8720
#define HF_VECTOR_FFR 9232

// The frame a trap from a lower EL leaves on the stack: x0..x30, key A of EL1's
// return addresses, padding.
#define HF_TRAP_FRAME_SIZE 272
#define HF_TRAP_FRAME_KEY 248

// ESR_EL2 of HVC #0: class 0x16, IL (Arm ARM D19.2.37).
#define HF_ESR_HVC_0 0x5a000000

// Key A's registers (FEAT_PAuth), by encoding, and SCTLR_EL2.EnIA, by which
// assembler knows whether they are there.
#define HF_APIAKEYLO_EL1 S3_0_C2_C1_0
#define HF_APIAKEYHI_EL1 S3_0_C2_C1_1
#define HF_SCTLR_ENIA_BIT 31

#endif  // HOLDFAST_PLATFORMS_AARCH64_LAYOUT_H_
