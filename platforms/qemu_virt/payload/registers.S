// SPDX-License-Identifier: Apache-2.0
//
// For tests of who sees whose registers: fills all of them, makes a call, and
// notes what they hold then.

#include "platforms/qemu_virt/payload/registers_layout.h"

        .text
        .arch_extension fp
        .arch_extension simd

// void CallWithAllRegisters(uint64_t pattern, Registers* after, uint64_t x0,
//                           uint64_t x1, uint64_t x2, uint64_t x3)
// x<n> is pattern + n, q<n> twice pattern + 64 + n, but for x0..x3 and x29 to sp.
// FP must be open at EL1.
        .global CallWithAllRegisters
CallWithAllRegisters:
        sub     sp, sp, #112
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        str     x1, [sp, #96]
        sub     sp, sp, #HF_REGISTERS_SIZE
        add     x6, x0, #64
        dup     v0.2d, x6
        add     x6, x6, #1
        dup     v1.2d, x6
        add     x6, x6, #1
        dup     v2.2d, x6
        add     x6, x6, #1
        dup     v3.2d, x6
        add     x6, x6, #1
        dup     v4.2d, x6
        add     x6, x6, #1
        dup     v5.2d, x6
        add     x6, x6, #1
        dup     v6.2d, x6
        add     x6, x6, #1
        dup     v7.2d, x6
        add     x6, x6, #1
        dup     v8.2d, x6
        add     x6, x6, #1
        dup     v9.2d, x6
        add     x6, x6, #1
        dup     v10.2d, x6
        add     x6, x6, #1
        dup     v11.2d, x6
        add     x6, x6, #1
        dup     v12.2d, x6
        add     x6, x6, #1
        dup     v13.2d, x6
        add     x6, x6, #1
        dup     v14.2d, x6
        add     x6, x6, #1
        dup     v15.2d, x6
        add     x6, x6, #1
        dup     v16.2d, x6
        add     x6, x6, #1
        dup     v17.2d, x6
        add     x6, x6, #1
        dup     v18.2d, x6
        add     x6, x6, #1
        dup     v19.2d, x6
        add     x6, x6, #1
        dup     v20.2d, x6
        add     x6, x6, #1
        dup     v21.2d, x6
        add     x6, x6, #1
        dup     v22.2d, x6
        add     x6, x6, #1
        dup     v23.2d, x6
        add     x6, x6, #1
        dup     v24.2d, x6
        add     x6, x6, #1
        dup     v25.2d, x6
        add     x6, x6, #1
        dup     v26.2d, x6
        add     x6, x6, #1
        dup     v27.2d, x6
        add     x6, x6, #1
        dup     v28.2d, x6
        add     x6, x6, #1
        dup     v29.2d, x6
        add     x6, x6, #1
        dup     v30.2d, x6
        add     x6, x6, #1
        dup     v31.2d, x6
        add     x6, x6, #1
        mov     x29, x0
        mov     x0, x2
        mov     x1, x3
        mov     x2, x4
        mov     x3, x5
        add     x4, x29, #4
        add     x5, x29, #5
        add     x6, x29, #6
        add     x7, x29, #7
        add     x8, x29, #8
        add     x9, x29, #9
        add     x10, x29, #10
        add     x11, x29, #11
        add     x12, x29, #12
        add     x13, x29, #13
        add     x14, x29, #14
        add     x15, x29, #15
        add     x16, x29, #16
        add     x17, x29, #17
        add     x18, x29, #18
        add     x19, x29, #19
        add     x20, x29, #20
        add     x21, x29, #21
        add     x22, x29, #22
        add     x23, x29, #23
        add     x24, x29, #24
        add     x25, x29, #25
        add     x26, x29, #26
        add     x27, x29, #27
        add     x28, x29, #28
        hvc     #0
        stp     x0, x1, [sp, #0]
        stp     x2, x3, [sp, #16]
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        stp     x18, x19, [sp, #144]
        stp     x20, x21, [sp, #160]
        stp     x22, x23, [sp, #176]
        stp     x24, x25, [sp, #192]
        stp     x26, x27, [sp, #208]
        stp     x28, x29, [sp, #224]
        str     x30, [sp, #240]
        add     x1, sp, #HF_REGISTERS_Q
        stp     q0, q1, [x1, #0]
        stp     q2, q3, [x1, #32]
        stp     q4, q5, [x1, #64]
        stp     q6, q7, [x1, #96]
        stp     q8, q9, [x1, #128]
        stp     q10, q11, [x1, #160]
        stp     q12, q13, [x1, #192]
        stp     q14, q15, [x1, #224]
        stp     q16, q17, [x1, #256]
        stp     q18, q19, [x1, #288]
        stp     q20, q21, [x1, #320]
        stp     q22, q23, [x1, #352]
        stp     q24, q25, [x1, #384]
        stp     q26, q27, [x1, #416]
        stp     q28, q29, [x1, #448]
        stp     q30, q31, [x1, #480]
        mov     x2, sp
        add     sp, sp, #HF_REGISTERS_SIZE
        ldr     x1, [sp, #96]
        mov     x3, #HF_REGISTERS_SIZE
1:      ldr     x4, [x2], #8
        str     x4, [x1], #8
        subs    x3, x3, #8
        b.ne    1b
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #112
        ret

        .arch_extension sve
// uint64_t CallWithSve(uint64_t pattern, void* after, uint64_t x0): the same with
// SVE's registers, as long as they are: z<n> is pattern + n in each doubleword,
// p<n> all ones if n is even. After the call Z, and behind them P, go to `after`.
// Returns the bytes of a vector. SVE must be open at EL1.
        .global CallWithSve
CallWithSve:
        stp     x19, x30, [sp, #-16]!
        mov     x19, x1
        dup     z0.d, x0
        add     x0, x0, #1
        dup     z1.d, x0
        add     x0, x0, #1
        dup     z2.d, x0
        add     x0, x0, #1
        dup     z3.d, x0
        add     x0, x0, #1
        dup     z4.d, x0
        add     x0, x0, #1
        dup     z5.d, x0
        add     x0, x0, #1
        dup     z6.d, x0
        add     x0, x0, #1
        dup     z7.d, x0
        add     x0, x0, #1
        dup     z8.d, x0
        add     x0, x0, #1
        dup     z9.d, x0
        add     x0, x0, #1
        dup     z10.d, x0
        add     x0, x0, #1
        dup     z11.d, x0
        add     x0, x0, #1
        dup     z12.d, x0
        add     x0, x0, #1
        dup     z13.d, x0
        add     x0, x0, #1
        dup     z14.d, x0
        add     x0, x0, #1
        dup     z15.d, x0
        add     x0, x0, #1
        dup     z16.d, x0
        add     x0, x0, #1
        dup     z17.d, x0
        add     x0, x0, #1
        dup     z18.d, x0
        add     x0, x0, #1
        dup     z19.d, x0
        add     x0, x0, #1
        dup     z20.d, x0
        add     x0, x0, #1
        dup     z21.d, x0
        add     x0, x0, #1
        dup     z22.d, x0
        add     x0, x0, #1
        dup     z23.d, x0
        add     x0, x0, #1
        dup     z24.d, x0
        add     x0, x0, #1
        dup     z25.d, x0
        add     x0, x0, #1
        dup     z26.d, x0
        add     x0, x0, #1
        dup     z27.d, x0
        add     x0, x0, #1
        dup     z28.d, x0
        add     x0, x0, #1
        dup     z29.d, x0
        add     x0, x0, #1
        dup     z30.d, x0
        add     x0, x0, #1
        dup     z31.d, x0
        add     x0, x0, #1
        ptrue   p0.b
        pfalse  p1.b
        ptrue   p2.b
        pfalse  p3.b
        ptrue   p4.b
        pfalse  p5.b
        ptrue   p6.b
        pfalse  p7.b
        ptrue   p8.b
        pfalse  p9.b
        ptrue   p10.b
        pfalse  p11.b
        ptrue   p12.b
        pfalse  p13.b
        ptrue   p14.b
        pfalse  p15.b
        mov     x0, x2
        mov     x1, xzr
        mov     x2, xzr
        mov     x3, xzr
        hvc     #0
        str     z0, [x19, #0, mul vl]
        str     z1, [x19, #1, mul vl]
        str     z2, [x19, #2, mul vl]
        str     z3, [x19, #3, mul vl]
        str     z4, [x19, #4, mul vl]
        str     z5, [x19, #5, mul vl]
        str     z6, [x19, #6, mul vl]
        str     z7, [x19, #7, mul vl]
        str     z8, [x19, #8, mul vl]
        str     z9, [x19, #9, mul vl]
        str     z10, [x19, #10, mul vl]
        str     z11, [x19, #11, mul vl]
        str     z12, [x19, #12, mul vl]
        str     z13, [x19, #13, mul vl]
        str     z14, [x19, #14, mul vl]
        str     z15, [x19, #15, mul vl]
        str     z16, [x19, #16, mul vl]
        str     z17, [x19, #17, mul vl]
        str     z18, [x19, #18, mul vl]
        str     z19, [x19, #19, mul vl]
        str     z20, [x19, #20, mul vl]
        str     z21, [x19, #21, mul vl]
        str     z22, [x19, #22, mul vl]
        str     z23, [x19, #23, mul vl]
        str     z24, [x19, #24, mul vl]
        str     z25, [x19, #25, mul vl]
        str     z26, [x19, #26, mul vl]
        str     z27, [x19, #27, mul vl]
        str     z28, [x19, #28, mul vl]
        str     z29, [x19, #29, mul vl]
        str     z30, [x19, #30, mul vl]
        str     z31, [x19, #31, mul vl]
        addvl   x19, x19, #16
        addvl   x19, x19, #16
        str     p0, [x19, #0, mul vl]
        str     p1, [x19, #1, mul vl]
        str     p2, [x19, #2, mul vl]
        str     p3, [x19, #3, mul vl]
        str     p4, [x19, #4, mul vl]
        str     p5, [x19, #5, mul vl]
        str     p6, [x19, #6, mul vl]
        str     p7, [x19, #7, mul vl]
        str     p8, [x19, #8, mul vl]
        str     p9, [x19, #9, mul vl]
        str     p10, [x19, #10, mul vl]
        str     p11, [x19, #11, mul vl]
        str     p12, [x19, #12, mul vl]
        str     p13, [x19, #13, mul vl]
        str     p14, [x19, #14, mul vl]
        str     p15, [x19, #15, mul vl]
        rdvl    x0, #1
        ldp     x19, x30, [sp], #16
        ret
