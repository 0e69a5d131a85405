// SPDX-License-Identifier: Apache-2.0
//
// The payload at EL1: entry, exception vectors, and the accesses that may fault.

#define STACK_SIZE 16384

        .section .text.start, "ax"
        .global _start
// The first CPU; x0: the device tree.
_start:
        mov     x20, x0
        adrp    x1, __bss_start
        adrp    x2, __bss_end
1:      stp     xzr, xzr, [x1], #16
        cmp     x1, x2
        b.lo    1b
        dsb     sy
        mov     x19, xzr
        bl      set_up
        mov     x0, x20
        bl      PayloadStart
        b       .

// A CPU that PSCI turned on; x0: its index.
        .global payload_secondary
payload_secondary:
        mov     x19, x0
        bl      set_up
        mov     x0, x19
        bl      PayloadSecondary
        b       .

// x19: the CPU's index. Stack, vectors, MMU and caches.
set_up:
        msr     tpidr_el1, x19
        adrp    x1, payload_stacks
        add     x1, x1, :lo12:payload_stacks
        add     x2, x19, #1
        mov     x3, #STACK_SIZE
        madd    x1, x2, x3, x1
        msr     spsel, #1
        mov     sp, x1
        adr     x1, vectors
        msr     vbar_el1, x1

        adrp    x1, page_table
        msr     ttbr0_el1, x1
        // Index 0 normal write-back, index 1 device nGnRE.
        mov     x1, #0x04ff
        msr     mair_el1, x1
        // T0SZ 25, write-back inner shareable walks, EPD1; IPS as PARange, at
        // most 48 bits.
        mov     x1, #(25 | 1 << 8 | 1 << 10 | 3 << 12)
        orr     x1, x1, #(1 << 23)
        mrs     x2, id_aa64mmfr0_el1
        and     x2, x2, #0xf
        mov     x3, #5
        cmp     x2, x3
        csel    x2, x2, x3, lo
        orr     x1, x1, x2, lsl #32
        msr     tcr_el1, x1
        // Neither FP nor SVE is used; CPACR_EL1 keeps trapping them.
        isb
        tlbi    vmalle1
        ic      iallu
        dsb     nsh
        isb
        movz    x1, #0x30d0, lsl #16
        movk    x1, #0x1805             // RES1, I, C, M
        msr     sctlr_el1, x1
        isb
        ret

// ---- Accesses that may fault -----------------------------------------------
// Each returns {ESR_EL1, FAR_EL1} in x0 and x1: zeroes if all went well.

        // Fault ProbeRead64(address, uint64_t* value)
        .global ProbeRead64
ProbeRead64:
probe_read:
        ldr     x2, [x0]
        str     x2, [x1]
        b       probe_done

        // Fault ProbeRead32(address, uint64_t* value)
        .global ProbeRead32
ProbeRead32:
probe_read32:
        ldr     w2, [x0]
        str     x2, [x1]
        b       probe_done

        // Fault ProbeWrite64(address, value)
        .global ProbeWrite64
ProbeWrite64:
probe_write:
        str     x1, [x0]
        dsb     sy                      // an asynchronous report would come here
        b       probe_done

        // Fault ProbeWrite32(address, value)
        .global ProbeWrite32
ProbeWrite32:
probe_write32:
        str     w1, [x0]
        dsb     sy
        b       probe_done

        // Fault ProbeExecute(address): calls it; it may be a plain RET.
        .global ProbeExecute
ProbeExecute:
        mov     x11, x30
        movz    x10, #0x9ec
        blr     x0
        mov     x30, x11
probe_done:
        mov     x0, xzr
        mov     x1, xzr
        ret
probe_fault:
        ret
probe_execute_fault:
        mov     x30, x11
        mov     x10, xzr
        ret

// ---- Vectors -----------------------------------------------------------------

        .macro  unexpected number
        .balign 128
        mov     x0, #\number
        bl      PayloadUnexpected
        .endm

        .balign 2048
vectors:
        unexpected 0
        unexpected 1
        unexpected 2
        unexpected 3
        .balign 128
        // Synchronous at EL1: one of the probes?
        stp     x2, x3, [sp, #-16]!
        mrs     x2, elr_el1
        adr     x3, probe_read
        cmp     x2, x3
        adr     x3, probe_write
        ccmp    x2, x3, #4, ne
        adr     x3, probe_read32
        ccmp    x2, x3, #4, ne
        adr     x3, probe_write32
        ccmp    x2, x3, #4, ne
        adr     x3, probe_fault
        b.eq    1f
        b       synchronous
1:      mrs     x0, esr_el1
        mrs     x1, far_el1
        msr     elr_el1, x3
        ldp     x2, x3, [sp], #16
        eret
        unexpected 5
        unexpected 6
        unexpected 7
        unexpected 8
        unexpected 9
        unexpected 10
        unexpected 11
        unexpected 12
        unexpected 13
        unexpected 14
        unexpected 15

// A fetch that ProbeExecute made, an instruction under test, or the unexpected.
synchronous:
        adr     x3, probe_execute_fault
        cmp     x10, #0x9ec
        b.eq    1b
        adr     x3, probe_undefined
        cmp     x2, x3
        adr     x3, probe_fault
        b.eq    1b
        ldp     x2, x3, [sp], #16
        mov     x0, #4
        bl      PayloadUnexpected

        // Fault ProbeUndefined(): a register access that EL2 does not allow
        // (TRFCR_EL1 traps or does not exist).
        .global ProbeUndefined
ProbeUndefined:
probe_undefined:
        mrs     x0, S3_0_C1_C2_1
        b       probe_done

// ---- Memory ------------------------------------------------------------------

        // 512 blocks of 1 GiB, identity: devices, RAM (as far as the board can
        // have any), devices. Block, AF; RAM inner shareable; devices XN.
        .section .data.page_table, "aw"
        .balign 4096
page_table:
        .quad   (3 << 53) | (1 << 10) | (1 << 2) | 1
        .set    gigabyte, 1
        .rept   255
        .quad   (gigabyte << 30) | (1 << 10) | (3 << 8) | 1
        .set    gigabyte, gigabyte + 1
        .endr
        .rept   256
        .quad   (gigabyte << 30) | (3 << 53) | (1 << 10) | (1 << 2) | 1
        .set    gigabyte, gigabyte + 1
        .endr

        .section .bss.payload_stacks, "aw", @nobits
        .balign 16
        .global payload_stacks
payload_stacks:
        .space  STACK_SIZE * 8
