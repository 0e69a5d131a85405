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
#define HF_CPU_PANIC_FRAME 0x3000
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

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_LAYOUT_H_
