// SPDX-License-Identifier: Apache-2.0
//
// A way out of a test, from any depth.
//
// void RunUntilLeft(void (*function)(const void*), const void* argument,
//                   uint64_t* place): calls it. When it returns, or once
// LeaveTo(place) is called meanwhile, returns.
        .text
        .global RunUntilLeft
        .type   RunUntilLeft, @function
RunUntilLeft:
        bti     c
        stp     x29, x30, [sp, #-96]!
        mov     x29, sp
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        str     x29, [x2]
        mov     x3, x0
        mov     x0, x1
        blr     x3
left:
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #96
        ret
        .size   RunUntilLeft, . - RunUntilLeft

// [[noreturn]] void LeaveTo(const uint64_t* place)
        .global LeaveTo
        .type   LeaveTo, @function
LeaveTo:
        bti     c
        ldr     x1, [x0]
        mov     sp, x1
        mov     x29, x1
        b       left
        .size   LeaveTo, . - LeaveTo
