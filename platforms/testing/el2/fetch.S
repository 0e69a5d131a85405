// SPDX-License-Identifier: Apache-2.0
//
// uint64_t FetchAt(uint64_t pc, uint64_t spsr)
//
// Has a lower exception level, as `spsr` says, execute the instruction at `pc`,
// which is a BRK that comes back here (MDCR_EL2.TDE), if the fetch does not fault
// first. Returns ESR_EL2. The lower level may change no register on its way: it
// executes nothing else.
        .text
        .global FetchAt
        .type   FetchAt, @function
FetchAt:
        bti     c
        stp     x29, x30, [sp, #-32]!
        mov     x29, sp
        mrs     x2, vbar_el2
        str     x2, [sp, #16]
        adr     x2, fetch_vectors
        msr     vbar_el2, x2
        msr     elr_el2, x0
        msr     spsr_el2, x1
        isb
        eret
        dsb     nsh
        isb

// Synchronous from a lower level (Arm ARM D1.3.1): SP_EL2 is as it was left.
back:
        ldr     x2, [sp, #16]
        msr     vbar_el2, x2
        isb
        mrs     x0, esr_el2
        ldp     x29, x30, [sp], #32
        ret
        .size   FetchAt, . - FetchAt

        .balign 2048
fetch_vectors:
        .rept   8
        b       .
        .balign 128
        .endr
        b       back
