// SPDX-License-Identifier: Apache-2.0
//
// The machine facade: all that the libraries ask of the machine below them.
// Nothing above platforms/ names a machine; Bazel picks one backend at link
// time (//base:machine), whose "machine_backend.h" defines every function below
// inline. docs/porting.md goes through it for those who write a backend.
//
// Terms follow the Arm ARM (DDI 0487): "completes" and "observes" as in B2.
// Unless a line says otherwise, a function may be called on any CPU, with any
// lock held, and cannot fail.
#ifndef HOLDFAST_BASE_MACHINE_H_
#define HOLDFAST_BASE_MACHINE_H_

#include <cstddef>
#include <cstdint>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/guest.h"
#include "base/stage2_context.h"

namespace holdfast {

namespace machine {

struct GuestState;

// ---- CPUs ------------------------------------------------------------------

// This CPU's block. Stable while the CPU runs EL2 code (EL2 is not preempted).
CpuLocal& ThisCpu();

// ---- Memory ----------------------------------------------------------------

// EL2's address of physical memory that EL2 has mapped in its linear map: its
// own image and pools, and frames donated to it. Anything else may fault. The
// linear map in EL2's own tables is the identity, HypVa = PhysAddr, and whoever
// maps or unmaps frames there relies on it. The pointer is that address on
// hardware; the simulated machine, which runs EL2 unmapped, gives another one.
void* PhysToVirt(PhysAddr address);
// The reverse, for an address that PhysToVirt gave.
PhysAddr VirtToPhys(const void* address);

// Fills one page with zeroes and cleans and invalidates it to the point of
// coherency, whoever owns it: goes through this CPU's fixmap window. The zeroes
// are observed by any agent, cached or not, that gets the page afterwards.
void ZeroPage(PhysAddr page);

// Cleans and invalidates the data cache to the point of coherency, or the
// instruction cache, over whole pages, through the fixmap window.
void CleanInvalidateToPoc(PhysAddr start, uint64_t size);
void InvalidateICache(PhysAddr start, uint64_t size);

// ---- Translation table entries ---------------------------------------------

// Single-copy atomic (Arm ARM B2.2.1). StorePte orders nothing. PublishPte is a
// store-release: whoever walks to what it links sees that filled in.
uint64_t LoadPte(const uint64_t* entry);
void StorePte(uint64_t* entry, uint64_t value);
void PublishPte(uint64_t* entry, uint64_t value);

// ---- Barriers --------------------------------------------------------------

void DsbIshst();
void DsbIsh();
void DsbNsh();
void Isb();

// ---- TLB maintenance (Arm ARM D8.17) ---------------------------------------
// One instruction each. The sequences that make them effective are in
// pgtable/tlb.h, in one place, and run alike on every machine.

// Makes `context` the one that stage-2 TLB operations of this CPU act on, and
// restores what was there before. No-ops if it is current already. Never
// nested. The caller completes earlier table writes (a DSB, of stores at least)
// first; the switch itself waits for accesses and walks in the old context.
void EnterStage2Context(const Stage2Context& context);
void LeaveStage2Context();

// IPAS2E1IS: stage-2-only entries of the current VMID for the page of `ipa`.
// `level` 0..3 is a hint (FEAT_TTL), or -1 for "any".
void TlbiIpas2e1is(Ipa ipa, Level level_hint);
// IPAS2E1: the same, of this CPU only. Completed by DsbNsh().
void TlbiIpas2e1(Ipa ipa, Level level_hint);
// RIPAS2E1IS: the same over [start, start + size); whole pages. Only if
// HasRangeTlbi(); size at most kMaxRangeTlbiPages pages.
void TlbiRipas2e1is(Ipa start, uint64_t size);
// VMALLE1IS / VMALLE1: all stage-1 and combined entries of the current VMID.
void TlbiVmalle1is();
void TlbiVmalle1();
// VMALLS12E1IS: everything of the current VMID, both stages, walk caches too.
void TlbiVmalls12e1is();
// ALLE1IS: everything of every VMID.
void TlbiAlle1is();
// VALE2IS / VAE2IS: EL2's own entries for the page of `va`: last level only, or
// walk caches too.
void TlbiVale2is(HypVa va);
void TlbiVae2is(HypVa va);
// IC IALLU on this CPU.
void IcIallu();

bool HasRangeTlbi();
// The most pages one TlbiRipas2e1is may name (SCALE 3, NUM 31: 2^21; D8.17.5).
inline constexpr uint64_t kMaxRangeTlbiPages = uint64_t{1} << 21;
// Some CPUs need the whole of a broadcast TLBI + DSB twice (erratum hook).
bool TlbiNeedsRepeat();

// ---- Locks -----------------------------------------------------------------

// While spinning for a lock; and what a lock tells the machine about itself
// (recorders and schedulers hang there; nothing on real hardware). Requested:
// before it takes its ticket.
void LockWait();
void OnLockRequested(const void* lock);
void OnLockAcquired(const void* lock);
void OnLockReleased(const void* lock);

// ---- Guests
// ------------------------------------------------------------------
// GuestState, of each backend, is what it keeps of a vCPU while that does not
// run. It has a member `regs` (GuestRegs). One CPU at a time touches it, but
// for PendGuestInterrupt.

// As a core comes out of reset (PSCI, DEN0022 6.4): EL1, MMU off, interrupts
// masked, x0 = `context`, goes on at `entry`; all else zero or as the
// architecture resets it. `mpidr`: what it reads as its own.
void ResetGuest(GuestState& guest, uint64_t mpidr, uint64_t entry,
                uint64_t context);
// Runs it behind `stage2` on this CPU until EL2 must look at something. No lock
// held. The host's registers are as they were when it returns, all of them, and
// nothing of the guest is in any.
GuestTrap RunGuest(GuestState& guest, const Stage2Context& stage2);
// The guest, when it goes on, takes a synchronous external abort for the data
// access or fetch that `trap` was (Arm ARM D1.3.6), or an undefined
// instruction.
void InjectGuestAbort(GuestState& guest, const GuestTrap& trap);
void InjectGuestUndefined(GuestState& guest);
// An interrupt (kFirstSpi <= intid < kSpiEnd) becomes pending for the guest.
// Any CPU; seen when it is entered next.
void PendGuestInterrupt(GuestState& guest, uint32_t intid);
// Of a guest that waits for an interrupt: 0, if one is pending; else when its
// virtual timer will fire, as the system counter counts, or ~0: it will not.
uint64_t GuestDeadline(const GuestState& guest);

// ---- Hints for checkers ----------------------------------------------------
// Nothing on real hardware.

// `context` names a table that walkers may use from now on / no longer.
void OnStage2Created(const Stage2Context& context, const void* lock);
void OnStage2Destroyed(const Stage2Context& context);
// `page` leaves a stock of table pages, or becomes a root. It should be zero;
// recorders look.
void OnTablePage(PhysAddr page);
// What EL2 says of itself (note.h).
void OnNote(EventKind kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
            uint64_t e, uint64_t f);

// ---- Console ---------------------------------------------------------------

// Raw bytes to EL2's console. Any CPU; lines of different CPUs may mix.
void ConsoleWrite(const char* bytes, size_t size);

}  // namespace machine
}  // namespace holdfast

#include "machine_backend.h"  // IWYU pragma: export

#endif  // HOLDFAST_BASE_MACHINE_H_
