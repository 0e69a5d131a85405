// SPDX-License-Identifier: Apache-2.0
//
// Barriers (Arm ARM B2.3.12, C6.2). All of them, and only here. Each is one for
// the compiler too.
#ifndef HOLDFAST_PLATFORMS_AARCH64_BARRIER_H_
#define HOLDFAST_PLATFORMS_AARCH64_BARRIER_H_

namespace holdfast::aarch64 {

// Stores to translation tables complete: walkers of all CPUs see them.
inline void DsbIshst() { asm volatile("dsb ishst" : : : "memory"); }
// Accesses, TLB and cache maintenance complete in the Inner Shareable domain.
inline void DsbIsh() { asm volatile("dsb ish" : : : "memory"); }
// The same for what acts on this CPU only.
inline void DsbNsh() { asm volatile("dsb nsh" : : : "memory"); }
// Full system: before power and firmware calls, and for cache maintenance that
// agents outside the Inner Shareable domain must observe.
inline void DsbSy() { asm volatile("dsb sy" : : : "memory"); }
// Profiling (FEAT_SPE) and trace (FEAT_TRF) data made so far is on its way to
// memory; a DSB then waits for the writes. By number: hints, so that plain
// Armv8.0 code carries them, and no-ops where the extension is not there.
inline void PsbCsync() { asm volatile("hint #17" : : : "memory"); }
inline void TsbCsync() { asm volatile("hint #18" : : : "memory"); }
// Context synchronisation (B2.3.12).
inline void Isb() { asm volatile("isb" : : : "memory"); }

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_BARRIER_H_
