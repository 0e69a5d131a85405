// SPDX-License-Identifier: Apache-2.0
//
// Into a guest and out again: from C++ it looks like a call. What C++ need not
// have in general registers is switched by guest_switch.cc.

#include "platforms/aarch64/layout.h"

        .section .text.guest, "ax"

// uint64_t EnterGuest(GuestState*, Cpu*): the vector of the exception that ended
// it (Arm ARM D1.3.1.3; 8 and up). What the caller wants back (AAPCS64 6.1) is on
// the stack meanwhile, where SP_EL2 points at the exception.
        .global EnterGuest
EnterGuest:
        hint    #25                             // PACIASP
        sub     sp, sp, #96
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        str     x0, [x1, #HF_CPU_RUNNING]
        ldp     x2, x3, [x0, #HF_GUEST_PC]      // and PSTATE
        msr     elr_el2, x2
        msr     spsr_el2, x3
        mrs     x2, sctlr_el2
        tbz     x2, #HF_SCTLR_ENIA_BIT, 1f
        ldp     x2, x3, [x0, #HF_GUEST_KEY_A]
        msr     HF_APIAKEYLO_EL1, x2
        msr     HF_APIAKEYHI_EL1, x3
1:      ldp     x2, x3, [x0, #16]
        ldp     x4, x5, [x0, #32]
        ldp     x6, x7, [x0, #48]
        ldp     x8, x9, [x0, #64]
        ldp     x10, x11, [x0, #80]
        ldp     x12, x13, [x0, #96]
        ldp     x14, x15, [x0, #112]
        ldp     x16, x17, [x0, #128]
        ldp     x18, x19, [x0, #144]
        ldp     x20, x21, [x0, #160]
        ldp     x22, x23, [x0, #176]
        ldp     x24, x25, [x0, #192]
        ldp     x26, x27, [x0, #208]
        ldp     x28, x29, [x0, #224]
        ldr     x30, [x0, #240]
        ldp     x0, x1, [x0, #0]
        eret
        // No speculation past ERET.
        dsb     nsh
        isb

// From the vectors, while Cpu::running is set. x0..x3 of the guest are in the trap
// frame at sp, x1: the vector, x2: the GuestState.
        .global guest_exit
guest_exit:
        stp     x4, x5, [x2, #32]
        stp     x6, x7, [x2, #48]
        stp     x8, x9, [x2, #64]
        stp     x10, x11, [x2, #80]
        stp     x12, x13, [x2, #96]
        stp     x14, x15, [x2, #112]
        stp     x16, x17, [x2, #128]
        stp     x18, x19, [x2, #144]
        stp     x20, x21, [x2, #160]
        stp     x22, x23, [x2, #176]
        stp     x24, x25, [x2, #192]
        stp     x26, x27, [x2, #208]
        stp     x28, x29, [x2, #224]
        str     x30, [x2, #240]
        ldp     x4, x5, [sp, #0]
        stp     x4, x5, [x2, #0]
        ldp     x4, x5, [sp, #16]
        stp     x4, x5, [x2, #16]
        mrs     x4, elr_el2
        mrs     x5, spsr_el2
        stp     x4, x5, [x2, #HF_GUEST_PC]
        mrs     x4, tpidr_el2
        str     xzr, [x4, #HF_CPU_RUNNING]
        mrs     x4, sctlr_el2
        tbz     x4, #HF_SCTLR_ENIA_BIT, 1f
        mrs     x4, HF_APIAKEYLO_EL1
        mrs     x5, HF_APIAKEYHI_EL1
        stp     x4, x5, [x2, #HF_GUEST_KEY_A]
        adrp    x4, g_return_key
        add     x4, x4, :lo12:g_return_key
        ldp     x4, x5, [x4]
        msr     HF_APIAKEYLO_EL1, x4
        msr     HF_APIAKEYHI_EL1, x5
        isb
        // So that no report prints it.
        mov     x4, xzr
        mov     x5, xzr
1:      add     sp, sp, #HF_TRAP_FRAME_SIZE
        mov     x0, x1
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        add     sp, sp, #96
        hint    #29                             // AUTIASP
        ret
