// SPDX-License-Identifier: Apache-2.0
//
// The one place at EL2 that touches FP, SIMD and SVE registers (fp_state.h).

#include "platforms/aarch64/layout.h"

        .section .text.guest_fp, "ax"
        .arch_extension fp
        .arch_extension simd

// void SaveFp(FpState*), void LoadFp(const FpState*)
        .global SaveFp
SaveFp:
        stp     q0, q1, [x0, #0]
        stp     q2, q3, [x0, #32]
        stp     q4, q5, [x0, #64]
        stp     q6, q7, [x0, #96]
        stp     q8, q9, [x0, #128]
        stp     q10, q11, [x0, #160]
        stp     q12, q13, [x0, #192]
        stp     q14, q15, [x0, #224]
        stp     q16, q17, [x0, #256]
        stp     q18, q19, [x0, #288]
        stp     q20, q21, [x0, #320]
        stp     q22, q23, [x0, #352]
        stp     q24, q25, [x0, #384]
        stp     q26, q27, [x0, #416]
        stp     q28, q29, [x0, #448]
        stp     q30, q31, [x0, #480]
        mrs     x1, fpsr
        mrs     x2, fpcr
        add     x0, x0, #HF_FP_FPSR
        stp     x1, x2, [x0]
        ret

        .global LoadFp
LoadFp:
        ldp     q0, q1, [x0, #0]
        ldp     q2, q3, [x0, #32]
        ldp     q4, q5, [x0, #64]
        ldp     q6, q7, [x0, #96]
        ldp     q8, q9, [x0, #128]
        ldp     q10, q11, [x0, #160]
        ldp     q12, q13, [x0, #192]
        ldp     q14, q15, [x0, #224]
        ldp     q16, q17, [x0, #256]
        ldp     q18, q19, [x0, #288]
        ldp     q20, q21, [x0, #320]
        ldp     q22, q23, [x0, #352]
        ldp     q24, q25, [x0, #384]
        ldp     q26, q27, [x0, #416]
        ldp     q28, q29, [x0, #448]
        ldp     q30, q31, [x0, #480]
        add     x0, x0, #HF_FP_FPSR
        ldp     x1, x2, [x0]
        msr     fpsr, x1
        msr     fpcr, x2
        ret

        .arch_extension sve
// void SaveSve(VectorState*, uint64_t ffr), void LoadSve(const VectorState*,
// uint64_t ffr). FFR comes and goes through P0, so after and before it.
        .global SaveSve
SaveSve:
        mrs     x2, fpsr
        mrs     x3, fpcr
        add     x4, x0, #HF_FP_FPSR
        stp     x2, x3, [x4]
        add     x4, x0, #HF_VECTOR_Z
        str     z0, [x4, #0, mul vl]
        str     z1, [x4, #1, mul vl]
        str     z2, [x4, #2, mul vl]
        str     z3, [x4, #3, mul vl]
        str     z4, [x4, #4, mul vl]
        str     z5, [x4, #5, mul vl]
        str     z6, [x4, #6, mul vl]
        str     z7, [x4, #7, mul vl]
        str     z8, [x4, #8, mul vl]
        str     z9, [x4, #9, mul vl]
        str     z10, [x4, #10, mul vl]
        str     z11, [x4, #11, mul vl]
        str     z12, [x4, #12, mul vl]
        str     z13, [x4, #13, mul vl]
        str     z14, [x4, #14, mul vl]
        str     z15, [x4, #15, mul vl]
        str     z16, [x4, #16, mul vl]
        str     z17, [x4, #17, mul vl]
        str     z18, [x4, #18, mul vl]
        str     z19, [x4, #19, mul vl]
        str     z20, [x4, #20, mul vl]
        str     z21, [x4, #21, mul vl]
        str     z22, [x4, #22, mul vl]
        str     z23, [x4, #23, mul vl]
        str     z24, [x4, #24, mul vl]
        str     z25, [x4, #25, mul vl]
        str     z26, [x4, #26, mul vl]
        str     z27, [x4, #27, mul vl]
        str     z28, [x4, #28, mul vl]
        str     z29, [x4, #29, mul vl]
        str     z30, [x4, #30, mul vl]
        str     z31, [x4, #31, mul vl]
        mov     x4, #HF_VECTOR_P
        add     x4, x0, x4
        str     p0, [x4, #0, mul vl]
        str     p1, [x4, #1, mul vl]
        str     p2, [x4, #2, mul vl]
        str     p3, [x4, #3, mul vl]
        str     p4, [x4, #4, mul vl]
        str     p5, [x4, #5, mul vl]
        str     p6, [x4, #6, mul vl]
        str     p7, [x4, #7, mul vl]
        str     p8, [x4, #8, mul vl]
        str     p9, [x4, #9, mul vl]
        str     p10, [x4, #10, mul vl]
        str     p11, [x4, #11, mul vl]
        str     p12, [x4, #12, mul vl]
        str     p13, [x4, #13, mul vl]
        str     p14, [x4, #14, mul vl]
        str     p15, [x4, #15, mul vl]
        cbz     x1, 1f
        rdffr   p0.b
        mov     x5, #HF_VECTOR_FFR
        add     x5, x0, x5
        str     p0, [x5]
        ldr     p0, [x4]
1:      ret

        .global LoadSve
LoadSve:
        add     x4, x0, #HF_VECTOR_Z
        ldr     z0, [x4, #0, mul vl]
        ldr     z1, [x4, #1, mul vl]
        ldr     z2, [x4, #2, mul vl]
        ldr     z3, [x4, #3, mul vl]
        ldr     z4, [x4, #4, mul vl]
        ldr     z5, [x4, #5, mul vl]
        ldr     z6, [x4, #6, mul vl]
        ldr     z7, [x4, #7, mul vl]
        ldr     z8, [x4, #8, mul vl]
        ldr     z9, [x4, #9, mul vl]
        ldr     z10, [x4, #10, mul vl]
        ldr     z11, [x4, #11, mul vl]
        ldr     z12, [x4, #12, mul vl]
        ldr     z13, [x4, #13, mul vl]
        ldr     z14, [x4, #14, mul vl]
        ldr     z15, [x4, #15, mul vl]
        ldr     z16, [x4, #16, mul vl]
        ldr     z17, [x4, #17, mul vl]
        ldr     z18, [x4, #18, mul vl]
        ldr     z19, [x4, #19, mul vl]
        ldr     z20, [x4, #20, mul vl]
        ldr     z21, [x4, #21, mul vl]
        ldr     z22, [x4, #22, mul vl]
        ldr     z23, [x4, #23, mul vl]
        ldr     z24, [x4, #24, mul vl]
        ldr     z25, [x4, #25, mul vl]
        ldr     z26, [x4, #26, mul vl]
        ldr     z27, [x4, #27, mul vl]
        ldr     z28, [x4, #28, mul vl]
        ldr     z29, [x4, #29, mul vl]
        ldr     z30, [x4, #30, mul vl]
        ldr     z31, [x4, #31, mul vl]
        cbz     x1, 1f
        mov     x5, #HF_VECTOR_FFR
        add     x5, x0, x5
        ldr     p0, [x5]
        wrffr   p0.b
1:      mov     x4, #HF_VECTOR_P
        add     x4, x0, x4
        ldr     p0, [x4, #0, mul vl]
        ldr     p1, [x4, #1, mul vl]
        ldr     p2, [x4, #2, mul vl]
        ldr     p3, [x4, #3, mul vl]
        ldr     p4, [x4, #4, mul vl]
        ldr     p5, [x4, #5, mul vl]
        ldr     p6, [x4, #6, mul vl]
        ldr     p7, [x4, #7, mul vl]
        ldr     p8, [x4, #8, mul vl]
        ldr     p9, [x4, #9, mul vl]
        ldr     p10, [x4, #10, mul vl]
        ldr     p11, [x4, #11, mul vl]
        ldr     p12, [x4, #12, mul vl]
        ldr     p13, [x4, #13, mul vl]
        ldr     p14, [x4, #14, mul vl]
        ldr     p15, [x4, #15, mul vl]
        add     x4, x0, #HF_FP_FPSR
        ldp     x2, x3, [x4]
        msr     fpsr, x2
        msr     fpcr, x3
        ret
