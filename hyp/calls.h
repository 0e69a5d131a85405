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

// Handlers. Each runs on the calling CPU with no lock held, and checks in the
// order its comment gives.
struct Calls {
  // page_calls.cc
  static CallResult ShareHyp(Hypervisor& hv, const Args& args);
  static CallResult UnshareHyp(Hypervisor& hv, const Args& args);
  static CallResult DonateGuest(Hypervisor& hv, const Args& args);
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
  static CallResult VcpuLoad(Hypervisor& hv, const Args& args);
  static CallResult VcpuPut(Hypervisor& hv, const Args& args);
};

struct Call {
  uint32_t id;
  const char* name;
  uint8_t arguments;
  CallResult (*handler)(Hypervisor&, const Args&);
};

inline constexpr std::array kCalls = {
    Call{HF_HOST_SHARE_HYP, "host_share_hyp", 1, &Calls::ShareHyp},
    Call{HF_HOST_UNSHARE_HYP, "host_unshare_hyp", 1, &Calls::UnshareHyp},
    Call{HF_HOST_DONATE_GUEST, "host_donate_guest", 2, &Calls::DonateGuest},
    Call{HF_FORCE_RECLAIM_GUEST_PAGE, "force_reclaim_guest_page", 1,
         &Calls::ForceReclaim},
    Call{HF_RECLAIM_DYING_GUEST_PAGE, "reclaim_dying_guest_page", 2,
         &Calls::ReclaimDying},
    Call{HF_RESERVE_VM, "reserve_vm", 0, &Calls::ReserveVm},
    Call{HF_UNRESERVE_VM, "unreserve_vm", 1, &Calls::UnreserveVm},
    Call{HF_VM_FRAMES_NEEDED, "vm_frames_needed", 1, &Calls::VmFramesNeeded},
    Call{HF_INIT_VM, "init_vm", 5, &Calls::InitVm},
    Call{HF_INIT_VCPU, "init_vcpu", 4, &Calls::InitVcpu},
    Call{HF_TOPUP_VM, "topup_vm", 3, &Calls::TopupVm},
    Call{HF_START_TEARDOWN_VM, "start_teardown_vm", 1, &Calls::StartTeardown},
    Call{HF_DRAIN_VM, "drain_vm", 1, &Calls::DrainVm},
    Call{HF_FINALIZE_TEARDOWN_VM, "finalize_teardown_vm", 1,
         &Calls::FinalizeTeardown},
    Call{HF_VCPU_LOAD, "vcpu_load", 2, &Calls::VcpuLoad},
    Call{HF_VCPU_PUT, "vcpu_put", 0, &Calls::VcpuPut},
};

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
    if (kCalls[i].arguments > std::tuple_size_v<Args>) return false;
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
