// SPDX-License-Identifier: Apache-2.0
//
// What el2.cc asks of its guest (el2_guest.S). Also read by the assembler.
#ifndef HOLDFAST_BENCHMARKS_EL2_GUEST_H_
#define HOLDFAST_BENCHMARKS_EL2_GUEST_H_

// The guest asks for work by this call, which EL2 does not serve: the host
// answers in x0 (what) and x1. If it does not, x0 is -1: ask again.
#define HF_BENCH_ASK 0xc6000203
// x1 calls that EL2 serves itself; as many NOPs instead; touch a page and the
// one behind it, and so on, from address x1 without an end.
#define HF_BENCH_CALLS 1
#define HF_BENCH_NOPS 2
#define HF_BENCH_TOUCH 3

// The guest's own instructions: from one HF_BENCH_ASK to the next if it is not
// answered, and for each page it touches. HVC counts.
#define HF_BENCH_ASK_INSTRUCTIONS 4
#define HF_BENCH_TOUCH_INSTRUCTIONS 3

#endif  // HOLDFAST_BENCHMARKS_EL2_GUEST_H_
