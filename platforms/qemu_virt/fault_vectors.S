// SPDX-License-Identifier: Apache-2.0
//
// For the test image only: vectors that make an SError of the next synchronous
// exception of a guest. QEMU has no SError to give; from its vector on all is as
// if it had (Arm ARM D1.3.1.3): the syndrome, and the rest of EL2's registers as
// the exception left them. But the guest goes on at ELR_EL2, so the exception
// should be one that comes again, an abort.

#include "platforms/aarch64/layout.h"
#include "platforms/qemu_virt/faults.h"

        .macro  as_ever number
        .balign 128
        b       el2_vectors + \number * 128
        .endm

        .section .text.fault_vectors, "ax"
        .balign 2048
        .global fault_vectors
fault_vectors:
        as_ever 0
        as_ever 1
        as_ever 2
        as_ever 3
        as_ever 4
        as_ever 5
        as_ever 6
        as_ever 7
        .balign 128
        // Lower EL, synchronous. The host's own are none of it.
        stp     x0, x1, [sp, #-16]!
        mrs     x0, tpidr_el2
        ldr     x0, [x0, #HF_CPU_RUNNING]
        cbnz    x0, 1f
        ldp     x0, x1, [sp], #16
        b       el2_vectors + 8 * 128
1:      adrp    x0, el2_vectors
        add     x0, x0, :lo12:el2_vectors
        msr     vbar_el2, x0
        movz    x0, #HF_FAULT_SERROR_HIGH, lsl #16
        movk    x0, #HF_FAULT_SERROR_LOW
        msr     esr_el2, x0
        isb
        ldp     x0, x1, [sp], #16
        b       el2_vectors + 11 * 128
        as_ever 9
        as_ever 10
        as_ever 11
        as_ever 12
        as_ever 13
        as_ever 14
        as_ever 15
