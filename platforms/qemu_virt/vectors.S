// SPDX-License-Identifier: Apache-2.0
//
// EL2's exception vectors (Arm ARM D1.3.1.3). Exceptions from the host or a
// guest have a frame on the CPU's stack; anything EL2 itself takes is fatal and
// uses no stack at all until it has switched to the panic stack, because a bad
// stack pointer may be the cause.

#include "platforms/aarch64/layout.h"
#include "platforms/qemu_virt/layout.h"

        .macro  fatal kind
        .balign 128
        // The host's SP_EL0 is lost: this path never returns.
        msr     sp_el0, x0
        mrs     x0, tpidr_el2
        add     x0, x0, #HF_CPU_PANIC_FRAME
        str     x1, [x0, #8]
        mov     x1, #\kind
        b       fatal_common
        .endm

        .macro  lower kind
        .balign 128
        sub     sp, sp, #HF_TRAP_FRAME_SIZE
        stp     x0, x1, [sp, #0]
        mov     x1, #\kind
        b       lower_common
        .endm

        // The vector of synchronous exceptions. Calls come here.
        .macro  lower_sync
        .balign 128
        sub     sp, sp, #HF_TRAP_FRAME_SIZE
        stp     x0, x1, [sp, #0]
        b       synchronous
        .endm

        // All levels sign with the same key registers: each has its own values.
        // EL1's go to the frame.
        .macro  take_key
        mrs     x2, sctlr_el2
        tbz     x2, #HF_SCTLR_ENIA_BIT, 1f
        mrs     x2, HF_APIAKEYLO_EL1
        mrs     x3, HF_APIAKEYHI_EL1
        stp     x2, x3, [sp, #HF_TRAP_FRAME_KEY]
        adrp    x2, g_return_key
        add     x2, x2, :lo12:g_return_key
        ldp     x2, x3, [x2]
        msr     HF_APIAKEYLO_EL1, x2
        msr     HF_APIAKEYHI_EL1, x3
        isb
        // So that no report prints it.
        mov     x2, xzr
        mov     x3, xzr
1:
        .endm
        .macro  give_key_back
        mrs     x2, sctlr_el2
        tbz     x2, #HF_SCTLR_ENIA_BIT, 1f
        ldp     x2, x3, [sp, #HF_TRAP_FRAME_KEY]
        msr     HF_APIAKEYLO_EL1, x2
        msr     HF_APIAKEYHI_EL1, x3
1:
        .endm

        .section .text.vectors, "ax"
        .balign 2048
        .global el2_vectors
el2_vectors:
        fatal   0       // current EL with SP_EL0: EL2 never runs so
        fatal   1
        fatal   2
        fatal   3
        fatal   4       // current EL: synchronous, IRQ, FIQ, SError
        fatal   5
        fatal   6
        fatal   7
        lower_sync      // lower EL, AArch64
        lower   9
        lower   10
        lower   11
        lower   12      // lower EL, AArch32 (EL0 only)
        lower   13
        lower   14
        lower   15

// A call of the host's, HVC #0 and nothing else, has a shorter way: C++ leaves
// x19 to x28 as they are (AAPCS64 6.1), and nobody looks for them in the frame.
synchronous:
        stp     x2, x3, [sp, #16]
        mrs     x2, tpidr_el2
        ldr     x2, [x2, #HF_CPU_RUNNING]
        mov     x1, #8
        cbnz    x2, guest_exit
        mrs     x2, esr_el2
        mov     x3, #HF_ESR_HVC_0
        cmp     x2, x3
        b.ne    host_exit
        stp     x4, x5, [sp, #32]
        stp     x6, x7, [sp, #48]
        stp     x8, x9, [sp, #64]
        stp     x10, x11, [sp, #80]
        stp     x12, x13, [sp, #96]
        stp     x14, x15, [sp, #112]
        stp     x16, x17, [sp, #128]
        str     x18, [sp, #144]
        stp     x29, x30, [sp, #232]
        take_key
        mov     x29, xzr
        mov     x0, sp
        bl      HandleHostHvc
        give_key_back
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldr     x18, [sp, #144]
        ldp     x29, x30, [sp, #232]
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #HF_TRAP_FRAME_SIZE
        eret
        // No speculation past ERET.
        dsb     nsh
        isb

lower_common:
        stp     x2, x3, [sp, #16]
        mrs     x2, tpidr_el2
        ldr     x2, [x2, #HF_CPU_RUNNING]
        cbnz    x2, guest_exit
// x0..x3 are in the frame, x1: the vector.
host_exit:
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
        take_key
        // The frame chain of EL2 ends here; x29 is the host's.
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, sp
        bl      HandleLowerException
        give_key_back
        ldp     x2, x3, [sp, #16]
        ldp     x4, x5, [sp, #32]
        ldp     x6, x7, [sp, #48]
        ldp     x8, x9, [sp, #64]
        ldp     x10, x11, [sp, #80]
        ldp     x12, x13, [sp, #96]
        ldp     x14, x15, [sp, #112]
        ldp     x16, x17, [sp, #128]
        ldp     x18, x19, [sp, #144]
        ldp     x20, x21, [sp, #160]
        ldp     x22, x23, [sp, #176]
        ldp     x24, x25, [sp, #192]
        ldp     x26, x27, [sp, #208]
        ldp     x28, x29, [sp, #224]
        ldr     x30, [sp, #240]
        ldp     x0, x1, [sp, #0]
        add     sp, sp, #HF_TRAP_FRAME_SIZE
        eret
        // No speculation past ERET.
        dsb     nsh
        isb

// x0: the CPU's PanicFrame, x1: which vector; x1 is in the frame, x0 in SP_EL0.
fatal_common:
        str     x1, [x0, #HF_PANIC_FRAME_KIND]
        mrs     x1, sp_el0
        str     x1, [x0, #0]
        stp     x2, x3, [x0, #16]
        stp     x4, x5, [x0, #32]
        stp     x6, x7, [x0, #48]
        stp     x8, x9, [x0, #64]
        stp     x10, x11, [x0, #80]
        stp     x12, x13, [x0, #96]
        stp     x14, x15, [x0, #112]
        stp     x16, x17, [x0, #128]
        stp     x18, x19, [x0, #144]
        stp     x20, x21, [x0, #160]
        stp     x22, x23, [x0, #176]
        stp     x24, x25, [x0, #192]
        stp     x26, x27, [x0, #208]
        stp     x28, x29, [x0, #224]
        str     x30, [x0, #240]
        mov     x1, sp
        str     x1, [x0, #HF_PANIC_FRAME_SP]
        ldr     x1, [x0, #HF_PANIC_FRAME_STACK]
        mov     sp, x1
        mov     x29, xzr
        mov     x30, xzr
        bl      FatalException
        b       .
