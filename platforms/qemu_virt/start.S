// SPDX-License-Identifier: Apache-2.0
//
// From the boot loader, or PSCI, to C++: as little as can be done without a
// stack. MMU and caches are off on entry (arm64 boot protocol; PSCI 6.4).

#include "platforms/aarch64/layout.h"
#include "platforms/qemu_virt/layout.h"

// SCTLR_EL2 with the bits that are RES1 and nothing else: MMU and caches off.
#define SCTLR_EL2_OFF 0x30c50830
// HCR_EL2 until SetUpCpu(): EL1 is AArch64 (RW), everything else off.
#define HCR_EL2_BOOT 0x80000000
#define HCR_EL2_E2H_BIT 34

// The first thing on every way into EL2. HCR_EL2.E2H selects the translation
// regime and with it the layout of SCTLR_EL2, TCR_EL2, TTBR0_EL2 and CPTR_EL2
// (Arm ARM D8.2, D19.2 HCR_EL2); a reset leaves it unknown. So it is written,
// and the write synchronized, before any of them. Where it stays 1 (no
// FEAT_E2H0) this EL2 cannot run.
        .macro  take_el2
        msr     daifset, #0xf
        adr     x19, message_not_el2
        mrs     x1, currentel
        cmp     x1, #(2 << 2)
        b.ne    refuse
        movz    x1, #(HCR_EL2_BOOT >> 16), lsl #16
        msr     hcr_el2, x1
        isb
        adr     x19, message_e2h
        mrs     x1, hcr_el2
        tbnz    x1, #HCR_EL2_E2H_BIT, refuse
        msr     spsel, #1
        .endm

        .section .text.start, "ax"
        .global _start
// The arm64 Image header: makes QEMU pass the device tree in x0 and fill in
// bootargs and the initrd. Flags: little endian, 4 KiB pages, any 2 MiB base.
_start:
        b       primary_entry
        .long   0
        .quad   __text_offset           // of the linker script
        .quad   0x04000000              // image_size; the image rule knows better
        .quad   0xa                     // flags
        .quad   0, 0, 0
        .ascii  "ARM\x64"
        .long   0

primary_entry:
        take_el2
        mov     x20, x0
        adr     x19, message_address
        adr     x1, _start
        ldr     x2, =_start
        cmp     x1, x2
        b.ne    refuse
        movz    x1, #(SCTLR_EL2_OFF >> 16), lsl #16
        movk    x1, #(SCTLR_EL2_OFF & 0xffff)
        msr     sctlr_el2, x1
        isb

        // .bss is zeroed with the cache off; a stale line (the loader promises
        // clean memory for the file only) must not come back when it is on.
        adrp    x1, __bss_start
        adrp    x2, __bss_end
        mov     x3, x1
1:      stp     xzr, xzr, [x3], #16
        cmp     x3, x2
        b.lo    1b
        dsb     sy
        mrs     x3, ctr_el0
        ubfx    x3, x3, #16, #4
        mov     x4, #4
        lsl     x4, x4, x3
2:      dc      ivac, x1
        add     x1, x1, x4
        cmp     x1, x2
        b.lo    2b
        dsb     sy

        adrp    x0, boot_stack_top
        add     x0, x0, :lo12:boot_stack_top
        mov     sp, x0
        mov     x29, xzr
        mov     x30, xzr
        // PrimaryStart() fills in the first CPU's StartArgs and returns them: the
        // only C++ that runs with the MMU off.
        bl      PrimaryStart
        bl      install
        mov     x0, x20
        bl      PrimaryMain
        b       .

// StartOnFinalTables(const StartArgs*): the frames of PrimaryMain are left behind.
        .global StartOnFinalTables
StartOnFinalTables:
        mov     x20, x0
        bl      install
        mov     x0, x20
        bl      FinalMain
        b       .

// A CPU that PSCI started, or woke up; x0: its StartArgs, cleaned to the point
// of coherency by the CPU that wrote them.
        .global secondary_entry
secondary_entry:
        take_el2
        mov     x20, x0
        bl      install
        mov     x0, x20
        bl      SecondaryMain
        b       .

// x0: StartArgs. Takes over stack, vectors, per-CPU pointer, key and tables, and
// turns the MMU on. Returns with x29 = 0, so that backtraces end here.
//
// From tables to tables by way of MMU off, since old and new map the same
// addresses with other block sizes, which live would need break-before-make (Arm
// ARM D8.16.1). Registers only: no memory access between off and on. This code
// was cleaned to memory by the loader, and the key by the first CPU.
install:
        ldr     x1, [x0, #HF_START_STACK]
        mov     sp, x1
        ldr     x1, [x0, #HF_START_CPU]
        msr     tpidr_el2, x1
        ldr     x1, [x0, #HF_START_VBAR]
        msr     vbar_el2, x1
        mov     x29, xzr
        movz    x1, #(SCTLR_EL2_OFF >> 16), lsl #16
        movk    x1, #(SCTLR_EL2_OFF & 0xffff)
        ldp     x2, x3, [x0, #HF_START_TTBR0]   // and TCR
        ldp     x4, x5, [x0, #HF_START_MAIR]    // and SCTLR
        tbz     x5, #HF_SCTLR_ENIA_BIT, 1f
        adrp    x6, g_return_key
        add     x6, x6, :lo12:g_return_key
        ldp     x6, x7, [x6]
        msr     HF_APIAKEYLO_EL1, x6
        msr     HF_APIAKEYHI_EL1, x7
1:      dsb     sy
        msr     sctlr_el2, x1
        isb
        msr     ttbr0_el2, x2
        msr     tcr_el2, x3
        msr     mair_el2, x4
        isb
        tlbi    alle2
        ic      iallu
        dsb     nsh
        isb
        msr     sctlr_el2, x5
        isb
        ret

// EnterHost(pc, x0, spsr, stack top): to EL1, all other registers zero.
        .global EnterHost
EnterHost:
        msr     elr_el2, x0
        msr     spsr_el2, x2
        mov     sp, x3
        mov     x0, x1
        // EL2's key stays EL2's: EL1 could read it, or sign with it.
        mrs     x1, sctlr_el2
        tbz     x1, #HF_SCTLR_ENIA_BIT, 1f
        msr     HF_APIAKEYLO_EL1, xzr
        msr     HF_APIAKEYHI_EL1, xzr
1:
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        mov     x\n, xzr
        .endr
        eret
        // No speculation past ERET.
        dsb     nsh
        isb

// x19: a message. Prints it and leaves QEMU with status 1, from any EL.
refuse:
        movz    x1, #(HF_UART_BASE >> 16), lsl #16
1:      ldrb    w2, [x19], #1
        cbz     w2, 2f
        str     w2, [x1]
        b       1b
2:      adr     x1, exit_block
        mov     w0, #0x20               // SYS_EXIT_EXTENDED
        hlt     #0xf000
        b       .

        .ltorg
        .balign 8
exit_block:
        .quad   0x20026, 1              // ADP_Stopped_ApplicationExit, status
message_not_el2:
        .asciz  "holdfast: not entered at EL2; run QEMU with -M virt,gic-version=3,virtualization=on\n"
message_e2h:
        .asciz  "holdfast: this CPU has no EL2 without VHE (HCR_EL2.E2H stays 1)\n"
message_address:
        .asciz  "holdfast: loaded at a wrong address; pass the .bin (not the .elf) to -kernel\n"
        .balign 4

        // For PrimaryStart() only.
        .section .bss.boot_stack, "aw", @nobits
        .balign 16
        .space  4096
boot_stack_top:
