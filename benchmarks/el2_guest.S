// SPDX-License-Identifier: Apache-2.0
//
// The guest of el2.cc, in one page, MMU off. el2_guest.h says what it is asked.

#include "benchmarks/el2_guest.h"

        .section .text.bench_guest, "ax"
        .global bench_guest
        .global bench_guest_end
bench_guest:
ask:
        movz    x0, #(HF_BENCH_ASK & 0xffff)
        movk    x0, #(HF_BENCH_ASK >> 16), lsl #16
        hvc     #0
        tbnz    x0, #63, ask
        cmp     x0, #HF_BENCH_NOPS
        b.eq    nops
        b.hi    touch

        .macro  loop name instruction
\name:
        mov     x4, x1
1:      movz    x0, #0x0002             // HF_GUEST_MEMINFO
        movk    x0, #0xc600, lsl #16
        mov     x1, xzr
        mov     x2, xzr
        mov     x3, xzr
        \instruction
        subs    x4, x4, #1
        b.ne    1b
        b       ask
        .endm

        loop    calls "hvc #0"
        loop    nops "nop"

touch:
        ldr     x5, [x1]
        add     x1, x1, #4096
        b       touch
bench_guest_end:
