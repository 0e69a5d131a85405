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
 * EL2 was built with. A range call (nr_pages) does as much as fits its budget:
 * x1 = 0 and x2 = pages done; call again for the rest. It fails only if it did
 * nothing at all.
 */
#ifndef HOLDFAST_HYP_ABI_H_
#define HOLDFAST_HYP_ABI_H_

#define HF_CALL_BASE                                       \
  0xC6000100u /* fast | 64-bit | vendor hypervisor | 0x100 \
               */
#define HF_CALL(number) (HF_CALL_BASE + (number))

/* x0 for ids nobody serves (SMCCC NOT_SUPPORTED). */
#define HF_NOT_SUPPORTED (-1)

/* Pages between host and hypervisor. */
#define HF_HOST_SHARE_HYP HF_CALL(0x00u)   /* pfn */
#define HF_HOST_UNSHARE_HYP HF_CALL(0x01u) /* pfn */

/* Pages between host and guest. */
#define HF_HOST_DONATE_GUEST                           \
  HF_CALL(0x02u) /* pfn, gfn; needs a loaded vCPU of a \
protected VM. ENOMEM: x2 = frames of stock that are missing */
#define HF_FORCE_RECLAIM_GUEST_PAGE HF_CALL(0x0eu) /* pfn */
#define HF_RECLAIM_DYING_GUEST_PAGE                 \
  HF_CALL(0x0fu) /* handle, gfn; x2 = next gfn that \
may hold a page, HF_NO_GFN if none; set on success and on ENOENT */

/* Life of a VM. */
#define HF_RESERVE_VM HF_CALL(0x10u)   /* x1 = handle */
#define HF_UNRESERVE_VM HF_CALL(0x11u) /* handle */
#define HF_VM_FRAMES_NEEDED                             \
  HF_CALL(0x12u) /* nr_vcpus; x1 = frames of VM memory, \
x2 = frames of stage-2 root (aligned to their size), x3 = frames per vCPU */
#define HF_INIT_VM \
  HF_CALL(0x13u) /* handle, vm_pfn, root_pfn, nr_vcpus, flags */
#define HF_INIT_VCPU HF_CALL(0x14u) /* handle, index, vcpu_pfn, run_pfn */
#define HF_TOPUP_VM                                        \
  HF_CALL(0x15u) /* handle, pfn, nr_pages; x2 = pages done \
                  */
#define HF_START_TEARDOWN_VM HF_CALL(0x16u) /* handle */
#define HF_DRAIN_VM                                                          \
  HF_CALL(0x17u) /* handle; x2 = frames and vCPUs still to come              \
back: again until 0; x3 = frames that came back. EBUSY: x2 = pages the guest \
still has */
#define HF_FINALIZE_TEARDOWN_VM                   \
  HF_CALL(0x18u) /* handle. EBUSY: x2 = pages and \
frames that have not come back */

/* vCPUs. */
#define HF_VCPU_LOAD HF_CALL(0x20u) /* handle, index */
#define HF_VCPU_PUT HF_CALL(0x21u)

/* Flags of HF_INIT_VM. */
#define HF_VM_PROTECTED 1u

/* x2 of HF_RECLAIM_DYING_GUEST_PAGE: no further page. */
#define HF_NO_GFN (~0ull)

/* vCPUs one VM can have. */
#define HF_MAX_VCPUS 512u

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

#endif /* HOLDFAST_HYP_ABI_H_ */
