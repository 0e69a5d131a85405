/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
 *
 * The hypercall ABI between a host kernel and EL2. C11 and C++.
 *
 * Convention (SMCCC 1.2, DEN0028, fast 64-bit calls, vendor hypervisor
 * service): HVC #0 with x0 = function id, x1..x5 = arguments. On return x0 = 0,
 * x1 = result (a value, or a negative errno), x2, x3 = more results, zero
 * unless a call says otherwise. x4..x17 are preserved. An id that is not below
 * gives x0 = HF_NOT_SUPPORTED and zero in x1..x3.
 *
 * Memory is named by frame number (pfn: physical, gfn: guest), of the granule
 * EL2 was built with (HF_PROBE tells). A call that takes nr_pages says what it
 * accepts. Calls that say "pages done", and reclaim_dying_guest_page and
 * drain_vm, do as much as fits the time a call may take and say how far they
 * came: call again for the rest.
 *
 * What each call checks, in which order, and every error: docs/abi.md.
 */
#ifndef HOLDFAST_HYP_ABI_H_
#define HOLDFAST_HYP_ABI_H_

#include <stdint.h>

/* clang-format off */

/* fast | 64-bit | vendor hypervisor | 0x100 */
#define HF_CALL_BASE 0xC6000100u
#define HF_CALL(number) (HF_CALL_BASE + (number))

/* x0 for ids nobody serves (SMCCC NOT_SUPPORTED). */
#define HF_NOT_SUPPORTED (-1)

/*                                                  arguments, results */
/* Pages between host and hypervisor. */
#define HF_HOST_SHARE_HYP               HF_CALL(0x00u) /* pfn */
#define HF_HOST_UNSHARE_HYP             HF_CALL(0x01u) /* pfn */

/* Pages between host and guest. "p": needs a vCPU of a protected VM loaded on
 * this CPU; "n": of a non-protected one. */
/* p: pfn, gfn, nr_pages; x2 = pages done. ENOMEM: x2 = frames of stock that are
 * missing, 0 if it is EL2's own tables that ran out */
#define HF_HOST_DONATE_GUEST            HF_CALL(0x02u)
/* n: pfn, gfn, nr_pages, prot; nr_pages is 1 or a block's. ENOMEM as above */
#define HF_HOST_SHARE_GUEST             HF_CALL(0x03u)
#define HF_HOST_UNSHARE_GUEST           HF_CALL(0x04u) /* handle, gfn, nr_pages */
#define HF_HOST_RELAX_PERMS_GUEST       HF_CALL(0x05u) /* n: gfn, prot */
#define HF_HOST_WRPROTECT_GUEST         HF_CALL(0x06u) /* handle, gfn, nr_pages */
/* handle, gfn, nr_pages, mkold; x1 = 1 if it was accessed */
#define HF_HOST_TEST_CLEAR_YOUNG_GUEST  HF_CALL(0x07u)
#define HF_HOST_MKYOUNG_GUEST           HF_CALL(0x08u) /* n: gfn */
#define HF_TLB_FLUSH_VMID               HF_CALL(0x09u) /* handle */
#define HF_FORCE_RECLAIM_GUEST_PAGE     HF_CALL(0x0eu) /* pfn, nr_pages; x2 = pages done */
/* handle, gfn, nr_pages; x2 = next gfn that may hold a page, HF_NO_GFN if none;
 * set on success and on ENOENT */
#define HF_RECLAIM_DYING_GUEST_PAGE     HF_CALL(0x0fu)

/* Life of a VM. */
#define HF_RESERVE_VM                   HF_CALL(0x10u) /* x1 = handle */
#define HF_UNRESERVE_VM                 HF_CALL(0x11u) /* handle */
/* nr_vcpus; x1 = frames of VM memory, x2 = frames of stage-2 root (aligned to
 * their size), x3 = frames per vCPU */
#define HF_VM_FRAMES_NEEDED             HF_CALL(0x12u)
#define HF_INIT_VM                      HF_CALL(0x13u) /* handle, vm_pfn, root_pfn, nr_vcpus, flags */
#define HF_INIT_VCPU                    HF_CALL(0x14u) /* handle, index, vcpu_pfn, run_pfn */
#define HF_TOPUP_VM                     HF_CALL(0x15u) /* handle, pfn, nr_pages; x2 = pages done */
#define HF_START_TEARDOWN_VM            HF_CALL(0x16u) /* handle */
/* handle; x2 = frames and vCPUs still to come back: again until 0; x3 = frames
 * that came back. EBUSY: x2 = pages the guest still has */
#define HF_DRAIN_VM                     HF_CALL(0x17u)
/* handle. EBUSY: x2 = pages and frames that have not come back; 0: somebody
 * still uses the VM */
#define HF_FINALIZE_TEARDOWN_VM         HF_CALL(0x18u)

/* vCPUs. */
#define HF_VCPU_LOAD                    HF_CALL(0x20u) /* handle, index */
#define HF_VCPU_PUT                     HF_CALL(0x21u)
/* needs a loaded vCPU; answers what its run page asked for and runs it until it
 * needs the host; x1 = HF_EXIT_..., which the run page says more of */
#define HF_VCPU_RUN                     HF_CALL(0x23u)
/* needs a loaded vCPU; x1 = 1 if what it last stopped at is a poisoned gfn */
#define HF_VCPU_IN_POISON_FAULT         HF_CALL(0x22u)

/* The hypervisor itself. */
/* x1 = ABI version (HF_ABI_MAJOR << 16 | HF_ABI_MINOR), x2 = HF_FEATURE_...,
 * x3 = bytes of a page | bytes of a block << 32 (0: no blocks) */
#define HF_PROBE                        HF_CALL(0x30u)
/* style: one of HF_ABORT_...; x1 = what it was */
#define HF_SET_ABORT_STYLE              HF_CALL(0x31u)

/* SMCCC's own probes of a vendor hypervisor service (DEN0028 6.2). Their
 * results are in x0..x3, 32 bits each. */
#define HF_SMCCC_UID                    0x8600FF01u /* x0..x3 = HF_UID_0..3 */
#define HF_SMCCC_REVISION               0x8600FF03u /* x0 = HF_ABI_MAJOR, x1 = HF_ABI_MINOR */

/* 1c0d5d6e-8a4b-4b3e-9f27-486f6c646661 */
#define HF_UID_0 0x6e5d0d1cu
#define HF_UID_1 0x3e4b4b8au
#define HF_UID_2 0x6f48279fu
#define HF_UID_3 0x6166646cu

/* A new call or result: minor. Anything a host would have to change for: major. */
#define HF_ABI_MAJOR 2u
#define HF_ABI_MINOR 0u

/* Features (x2 of HF_PROBE). */
#define HF_FEATURE_PROTECTED_VMS     (1u << 0)
#define HF_FEATURE_NON_PROTECTED_VMS (1u << 1)
#define HF_FEATURE_FORCE_RECLAIM     (1u << 2)

/* Flags of HF_INIT_VM. */
#define HF_VM_PROTECTED 1u

/* Permissions (prot): any of these. */
#define HF_PROT_PX (1u << 0) /* execute at EL1 */
#define HF_PROT_UX (1u << 1) /* execute at EL0 */
#define HF_PROT_W  (1u << 2)
#define HF_PROT_R  (1u << 3)

/* What a host takes for an access that it may not make (HF_SET_ABORT_STYLE). */
#define HF_ABORT_EXTERNAL    0u /* a synchronous external abort (DFSC 0x10) */
#define HF_ABORT_TRANSLATION 1u /* the fault as EL2 took it, with S1PTW set */

/* x2 of HF_RECLAIM_DYING_GUEST_PAGE: no further page. */
#define HF_NO_GFN (~0ull)

/* vCPUs one VM can have. */
#define HF_MAX_VCPUS 512u

/* ---- Running a vCPU ---- */

/* Why a vCPU stopped (x1 of HF_VCPU_RUN, and `exit` of the run page). */
#define HF_EXIT_INTERRUPT 0u /* an interrupt of the host's is pending */
/* an access at stage 2: `ipa` (its page), `syndrome`. Bring the page, or not */
#define HF_EXIT_FAULT     1u
/* an access to a device: `ipa` (the byte), `syndrome`, `value` (of a store).
 * `answered` = 1 completes it, with `mmio_value` for a load; 0: it is made again */
#define HF_EXIT_MMIO      2u
/* a call that EL2 does not serve: `x`. `answered` = 1: x0..x3 become `result`; 0:
 * x0 = -1 */
#define HF_EXIT_CALL      3u
/* it waits for an interrupt: `value` is when its timer fires, or ~0. 0: it spins,
 * and others may run first */
#define HF_EXIT_WAIT      4u
#define HF_EXIT_CPU_ON    5u /* it turned on vCPU `value`: run that one too */
#define HF_EXIT_OFF       6u /* this vCPU is off, until another turns it on */
#define HF_EXIT_SYSTEM_OFF   7u /* PSCI: the whole VM. None of its vCPUs */
#define HF_EXIT_SYSTEM_RESET 8u /* runs any more; make it anew, if at all */
/* it interrupts others: bit n of `x` (256 bits) is vCPU n; `value` = 1: all others */
#define HF_EXIT_KICK      10u
#define HF_EXIT_SERROR    9u /* a system error arrived while it ran */

/* `syndrome` of HF_EXIT_FAULT and HF_EXIT_MMIO. */
#define HF_ACCESS_WRITE   (1u << 0)
#define HF_ACCESS_FETCH   (1u << 1)
#define HF_ACCESS_WALK    (1u << 2) /* by the guest's own tables */
#define HF_ACCESS_PERMISSION (1u << 3) /* something is there, but not for that */
#define HF_ACCESS_BYTES(syndrome) (((syndrome) >> 8) & 0xfu) /* HF_EXIT_MMIO */

#define HF_MAX_INTERRUPTS 16u
/* Interrupts that a host may inject: SPIs. */
#define HF_FIRST_SPI 32u
#define HF_SPI_END   288u

/* The page that a host shares with EL2 for a vCPU: all that the two tell each
 * other of it. EL2 reads each field once. */
struct hf_run_page {
  /* EL2 writes all of these when the vCPU stops; what an exit has no use for is 0. */
  uint64_t exit;
  uint64_t syndrome;
  uint64_t ipa;
  uint64_t value;
  uint64_t x[4];
  uint64_t reserved0[56];
  /* The host, before it runs the vCPU again. */
  uint64_t answered; /* 1: the device access or call is answered; else 0 */
  uint64_t mmio_value;
  uint64_t result[4];
  uint64_t interrupts; /* how many of: */
  uint32_t intid[HF_MAX_INTERRUPTS];
  uint64_t reserved1[49];
};

/* Where vCPU 0 begins: at EL1, MMU off, interrupts masked, x0 = 0. The others are
 * off until the guest turns them on (PSCI CPU_ON), where that says. */
#define HF_GUEST_ENTRY 0x80000000u

/* Calls of a guest: HVC #0, x0 = function id, x1..x3 = arguments; results in
 * x0..x3. Only a protected guest's are served. */
#define HF_GUEST_FEATURES    0x86000000u /* x0 = one bit for each number served */
#define HF_GUEST_MEMINFO     0xC6000002u /* 0, 0, 0; x0 = bytes of a page */
/* ipa, nr_pages (0 counts as 1), 0; x1 = pages done: again for the rest */
#define HF_GUEST_MEM_SHARE   0xC6000003u
#define HF_GUEST_MEM_UNSHARE 0xC6000004u
/* The pages from ipa on are devices: an access to one that is not there goes to
 * the host as HF_EXIT_MMIO. All else is memory. */
#define HF_GUEST_MMIO_MAP    0xC6000005u /* ipa, nr_pages, 0 */
/* 1: where the guest meets poison, it takes a synchronous external abort. */
#define HF_GUEST_POISON_ABORTS 0xC6000006u /* 0 or 1, 0, 0 */
#define HF_GUEST_INVALID_PARAMETER (-3)

/* Results in x1, negated. Linux's numbers. */
#define HF_EPERM 1
#define HF_ENOENT 2
#define HF_E2BIG 7
#define HF_EAGAIN 11
#define HF_ENOMEM 12
#define HF_EFAULT 14
#define HF_EBUSY 16
#define HF_EINVAL 22
#define HF_ERANGE 34
#define HF_EHWPOISON 133

/* clang-format on */

#endif /* HOLDFAST_HYP_ABI_H_ */
