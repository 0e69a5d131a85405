// SPDX-License-Identifier: Apache-2.0
//
// The component: one object from which all state of EL2 hangs, and the entries
// a platform calls from its trap vectors. It decides which call is served when;
// what becomes of a page is mem_protect's business.
#ifndef HOLDFAST_HYP_HYPERVISOR_H_
#define HOLDFAST_HYP_HYPERVISOR_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/guest.h"
#include "base/result.h"
#include "mem_protect/mem_protect.h"
#include "vm_table/vm_table.h"

namespace holdfast::hyp {

// Page steps one call may do, since EL2 is not preemptible: as many as zero
// 2 MiB, but of small pages no more than 512, and of large ones no fewer than
// 16.
inline constexpr uint32_t kBudget = std::clamp<uint32_t>(
    static_cast<uint32_t>((uint64_t{2} << 20) / kPageSize), 16, 512);

struct Call;

// A host's registers x0..x3 as a trap found them, and x4, x5 that calls read.
// The dispatcher writes x0..x3; the platform saves and restores the rest.
struct HostRegs {
  std::array<uint64_t, 6> x{};
};

// A host access that stage 2 refused.
struct HostAbort {
  // Page of the faulting IPA (HPFAR_EL2), if the syndrome says that it is valid
  // or it could be translated; nothing if it could not be resolved.
  std::optional<Ipa> ipa;
  mem_protect::FaultKind kind = mem_protect::FaultKind::kOther;
  uint64_t syndrome = 0;  // ESR_EL2, for the record
};

using holdfast::GuestRegs;
// Those of a guest that made a call: x0..x3, and where it goes on.
inline GuestRegs GuestCallRegs(const std::array<uint64_t, 4>& x, uint64_t pc) {
  GuestRegs regs;
  std::copy_n(x.begin(), x.size(), regs.x.begin());
  regs.pc = pc;
  return regs;
}

// What becomes of a guest that trapped.
enum class GuestAction : uint8_t {
  kResume,  // it runs on, with the registers it has now
  kExit,    // the host runs; Vcpu::exit says why
};

// What becomes of it.
enum class HostAbortAction : uint8_t {
  kRetry,              // it would work now
  kInjectExternal,     // the host takes a synchronous external abort
  kInjectTranslation,  // the host takes the fault as it was, with S1PTW set
};

// What a call answers: x1 (a value or a negative errno), x2, x3.
struct CallResult {
  int64_t x1 = 0;
  uint64_t x2 = 0;
  uint64_t x3 = 0;
};

inline CallResult Failed(Errno error, uint64_t x2 = 0) {
  return {-static_cast<int64_t>(error), x2};
}
// 0 or the error.
inline CallResult ResultOf(const Status& status) {
  return status.has_value() ? CallResult{} : Failed(status.error());
}

class Hypervisor {
 public:
  using BootInfo = mem_protect::MemProtect::Config;

  Hypervisor() = default;
  Hypervisor(const Hypervisor&) = delete;
  Hypervisor& operator=(const Hypervisor&) = delete;

  // Once, on the boot CPU, before the host runs. Errors: MemProtect::Init.
  Status Init(const BootInfo& boot) { return mem_.Init(boot); }

  // For VTTBR_EL2 and VTCR_EL2 of every CPU while the host runs.
  const Stage2Context& host_context() const { return mem_.host_context(); }

  // An HVC #0 of the host on this CPU. No lock held. Never panics, whatever the
  // registers hold.
  void HandleHostCall(HostRegs& regs);

  // A stage-2 abort of the host on this CPU. No lock held.
  HostAbortAction HandleHostAbort(const HostAbort& abort);

  // An HVC #0 of the vCPU that is loaded on this CPU, which goes on behind it.
  // No lock held. Calls that nobody here serves, and all of a non-protected
  // guest's, exit to the host with the registers as they are.
  GuestAction HandleGuestCall(GuestRegs& regs);

  // An instruction or data abort of the vCPU that is loaded on this CPU, with
  // EL2's own fault registers. It exits to the host. No lock held.
  GuestAction HandleGuestAbort(const vm_table::GuestExit& abort);

  // The host takes this CPU down or suspends it: what is loaded here is put.
  void OnCpuOff();

  // For the platform, and for tests and debuggers that look inside.
  mem_protect::MemProtect& mem() { return mem_; }
  vm_table::VmTable& vms() { return vms_; }
  // The vCPU loaded on a CPU, or null.
  vm_table::Vcpu* loaded(unsigned cpu) const { return cpus_[cpu].loaded; }

 private:
  friend struct Calls;     // the handlers (calls.h)
  friend class Inspector;  // of checkers, in tests/

  // Touched by its own CPU only.
  struct alignas(64) PerCpu {
    vm_table::Vcpu* loaded = nullptr;
  };
  // A call that is in the table, whole: registers in, registers out.
  void Serve(const Call& call, HostRegs& regs);

  PerCpu& ThisCpu() { return cpus_[machine::ThisCpu().index]; }

  mem_protect::MemProtect mem_;
  vm_table::VmTable vms_;
  std::array<PerCpu, kMaxCpus> cpus_;
  // What a host takes for an access it may not make (HF_SET_ABORT_STYLE).
  std::atomic<bool> abort_as_translation_ = false;
};

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_HYPERVISOR_H_
