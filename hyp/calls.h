// SPDX-License-Identifier: Apache-2.0
//
// The hypercall table: closed, known at compile time, one row a call. The
// handlers are in page_calls.cc and life_cycle.cc.
#ifndef HOLDFAST_HYP_CALLS_H_
#define HOLDFAST_HYP_CALLS_H_

#include <array>
#include <cstdint>
#include <span>

#include "hyp/abi.h"
#include "hyp/hypervisor.h"

namespace holdfast::hyp {

// Arguments as the host passed them: x1..x5. Nothing is checked yet.
using Args = std::array<uint64_t, 5>;

// Handlers. Each runs on the calling CPU with no lock held, after the
// dispatcher has seen to what the call needs, and checks in the order its
// comment gives.
struct Calls {
  // page_calls.cc
  static CallResult ShareHyp(Hypervisor& hv, const Args& args);
  static CallResult UnshareHyp(Hypervisor& hv, const Args& args);
  static CallResult DonateGuest(Hypervisor& hv, const Args& args);
  static CallResult ShareGuest(Hypervisor& hv, const Args& args);
  static CallResult UnshareGuest(Hypervisor& hv, const Args& args);
  static CallResult RelaxPermsGuest(Hypervisor& hv, const Args& args);
  static CallResult WrprotectGuest(Hypervisor& hv, const Args& args);
  static CallResult TestClearYoungGuest(Hypervisor& hv, const Args& args);
  static CallResult MkyoungGuest(Hypervisor& hv, const Args& args);
  static CallResult TlbFlushVmid(Hypervisor& hv, const Args& args);
  static CallResult ForceReclaim(Hypervisor& hv, const Args& args);
  static CallResult ReclaimDying(Hypervisor& hv, const Args& args);

  // life_cycle.cc
  static CallResult ReserveVm(Hypervisor& hv, const Args& args);
  static CallResult UnreserveVm(Hypervisor& hv, const Args& args);
  static CallResult VmFramesNeeded(Hypervisor& hv, const Args& args);
  static CallResult InitVm(Hypervisor& hv, const Args& args);
  static CallResult InitVcpu(Hypervisor& hv, const Args& args);
  static CallResult TopupVm(Hypervisor& hv, const Args& args);
  static CallResult StartTeardown(Hypervisor& hv, const Args& args);
  static CallResult DrainVm(Hypervisor& hv, const Args& args);
  static CallResult FinalizeTeardown(Hypervisor& hv, const Args& args);

  // vcpu_calls.cc
  static CallResult VcpuLoad(Hypervisor& hv, const Args& args);
  static CallResult VcpuPut(Hypervisor& hv, const Args& args);
  static CallResult VcpuInPoisonFault(Hypervisor& hv, const Args& args);

  // vcpu_run.cc
  static CallResult VcpuRun(Hypervisor& hv, const Args& args);

  // probe.cc
  static CallResult Probe(Hypervisor& hv, const Args& args);
  static CallResult SetAbortStyle(Hypervisor& hv, const Args& args);
};

// What must be loaded on the calling CPU. EINVAL if it is not, before anything
// else is looked at.
enum class Needs : uint8_t {
  kNothing,
  kVcpu,              // any vCPU
  kProtectedVcpu,     // one of a protected VM
  kNonProtectedVcpu,  // one of a non-protected VM
};

struct Call {
  uint32_t id;
  const char* name;
  Needs needs;
  // Names of x1, x2, ...; null where there are no more.
  std::array<const char*, std::tuple_size_v<Args>> fields;
  CallResult (*handler)(Hypervisor&, const Args&);

  constexpr unsigned arguments() const {
    unsigned count = 0;
    while (count < fields.size() && fields[count] != nullptr) ++count;
    return count;
  }
};

// clang-format off
inline constexpr std::array kCalls = {
    Call{HF_HOST_SHARE_HYP, "host_share_hyp", Needs::kNothing,
         {"pfn"}, &Calls::ShareHyp},
    Call{HF_HOST_UNSHARE_HYP, "host_unshare_hyp", Needs::kNothing,
         {"pfn"}, &Calls::UnshareHyp},
    Call{HF_HOST_DONATE_GUEST, "host_donate_guest", Needs::kProtectedVcpu,
         {"pfn", "gfn", "nr_pages"}, &Calls::DonateGuest},
    Call{HF_HOST_SHARE_GUEST, "host_share_guest", Needs::kNonProtectedVcpu,
         {"pfn", "gfn", "nr_pages", "prot"}, &Calls::ShareGuest},
    Call{HF_HOST_UNSHARE_GUEST, "host_unshare_guest", Needs::kNothing,
         {"handle", "gfn", "nr_pages"}, &Calls::UnshareGuest},
    Call{HF_HOST_RELAX_PERMS_GUEST, "host_relax_perms_guest",
         Needs::kNonProtectedVcpu, {"gfn", "prot"}, &Calls::RelaxPermsGuest},
    Call{HF_HOST_WRPROTECT_GUEST, "host_wrprotect_guest", Needs::kNothing,
         {"handle", "gfn", "nr_pages"}, &Calls::WrprotectGuest},
    Call{HF_HOST_TEST_CLEAR_YOUNG_GUEST, "host_test_clear_young_guest",
         Needs::kNothing, {"handle", "gfn", "nr_pages", "mkold"},
         &Calls::TestClearYoungGuest},
    Call{HF_HOST_MKYOUNG_GUEST, "host_mkyoung_guest", Needs::kNonProtectedVcpu,
         {"gfn"}, &Calls::MkyoungGuest},
    Call{HF_TLB_FLUSH_VMID, "tlb_flush_vmid", Needs::kNothing,
         {"handle"}, &Calls::TlbFlushVmid},
    Call{HF_FORCE_RECLAIM_GUEST_PAGE, "force_reclaim_guest_page",
         Needs::kNothing, {"pfn", "nr_pages"}, &Calls::ForceReclaim},
    Call{HF_RECLAIM_DYING_GUEST_PAGE, "reclaim_dying_guest_page",
         Needs::kNothing, {"handle", "gfn", "nr_pages"}, &Calls::ReclaimDying},

    Call{HF_RESERVE_VM, "reserve_vm", Needs::kNothing,
         {}, &Calls::ReserveVm},
    Call{HF_UNRESERVE_VM, "unreserve_vm", Needs::kNothing,
         {"handle"}, &Calls::UnreserveVm},
    Call{HF_VM_FRAMES_NEEDED, "vm_frames_needed", Needs::kNothing,
         {"nr_vcpus"}, &Calls::VmFramesNeeded},
    Call{HF_INIT_VM, "init_vm", Needs::kNothing,
         {"handle", "vm_pfn", "root_pfn", "nr_vcpus", "flags"}, &Calls::InitVm},
    Call{HF_INIT_VCPU, "init_vcpu", Needs::kNothing,
         {"handle", "index", "vcpu_pfn", "run_pfn"}, &Calls::InitVcpu},
    Call{HF_TOPUP_VM, "topup_vm", Needs::kNothing,
         {"handle", "pfn", "nr_pages"}, &Calls::TopupVm},
    Call{HF_START_TEARDOWN_VM, "start_teardown_vm", Needs::kNothing,
         {"handle"}, &Calls::StartTeardown},
    Call{HF_DRAIN_VM, "drain_vm", Needs::kNothing,
         {"handle"}, &Calls::DrainVm},
    Call{HF_FINALIZE_TEARDOWN_VM, "finalize_teardown_vm", Needs::kNothing,
         {"handle"}, &Calls::FinalizeTeardown},

    Call{HF_VCPU_LOAD, "vcpu_load", Needs::kNothing,
         {"handle", "index"}, &Calls::VcpuLoad},
    Call{HF_VCPU_PUT, "vcpu_put", Needs::kVcpu,
         {}, &Calls::VcpuPut},
    Call{HF_VCPU_IN_POISON_FAULT, "vcpu_in_poison_fault", Needs::kVcpu,
         {}, &Calls::VcpuInPoisonFault},

    Call{HF_VCPU_RUN, "vcpu_run", Needs::kVcpu,
         {}, &Calls::VcpuRun},

    Call{HF_PROBE, "probe", Needs::kNothing,
         {}, &Calls::Probe},
    Call{HF_SET_ABORT_STYLE, "set_abort_style", Needs::kNothing,
         {"style"}, &Calls::SetAbortStyle},
};
// clang-format on

namespace internal {

constexpr uint32_t kNumbers = 0x40;

// Row of each number from HF_CALL_BASE on, or kNoRow.
constexpr uint8_t kNoRow = 0xff;
constexpr std::array<uint8_t, kNumbers> MakeRows() {
  std::array<uint8_t, kNumbers> rows{};
  for (uint8_t& row : rows) row = kNoRow;
  for (size_t i = 0; i < kCalls.size(); ++i)
    rows[kCalls[i].id - HF_CALL_BASE] = static_cast<uint8_t>(i);
  return rows;
}
inline constexpr std::array<uint8_t, kNumbers> kRows = MakeRows();

constexpr bool TableIsSound() {
  for (size_t i = 0; i < kCalls.size(); ++i) {
    // Each id has its own row (a second user of a number would have taken it).
    if (kRows[kCalls[i].id - HF_CALL_BASE] != i) return false;
  }
  return true;
}
static_assert(TableIsSound());

}  // namespace internal

// The row of a function id, or null. All 64 bits count: an id with anything in
// the upper half is nobody's.
constexpr const Call* FindCall(uint64_t id) {
  const uint64_t number = id - HF_CALL_BASE;
  if (number >= internal::kNumbers ||
      internal::kRows[number] == internal::kNoRow)
    return nullptr;
  return &kCalls[internal::kRows[number]];
}

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_CALLS_H_
