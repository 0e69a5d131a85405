// SPDX-License-Identifier: Apache-2.0
//
// Where things are on this board. Also read by the assembler.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_LAYOUT_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_LAYOUT_H_

// QEMU's virt board, hw/arm/virt.c documents the map in docs/system/arm/virt.
#define HF_UART_BASE 0x09000000
#define HF_RAM_BASE 0x40000000
// The EL2 image (el2.ld), and what is appended to it.
#define HF_IMAGE_BASE 0x40200000
#define HF_PAYLOAD_BASE 0x40400000

// Offsets of fields that assembler uses; board.cc asserts them.
#define HF_CPU_PANIC_FRAME 0x1000
#define HF_PANIC_FRAME_SP 248
#define HF_PANIC_FRAME_KIND 256
#define HF_PANIC_FRAME_STACK 264
#define HF_START_TTBR0 0
#define HF_START_TCR 8
#define HF_START_MAIR 16
#define HF_START_SCTLR 24
#define HF_START_VBAR 32
#define HF_START_STACK 40
#define HF_START_CPU 48

// The frame a trap from a lower EL leaves on the stack: x0..x30, key A of EL1's
// return addresses, padding.
#define HF_TRAP_FRAME_SIZE 272
#define HF_TRAP_FRAME_KEY 248
// Its registers (FEAT_PAuth), by encoding.
#define HF_APIAKEYLO_EL1 S3_0_C2_C1_0
#define HF_APIAKEYHI_EL1 S3_0_C2_C1_1
// SCTLR_EL2.EnIA, by which assembler knows whether there are keys.
#define HF_SCTLR_ENIA_BIT 31

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_LAYOUT_H_
