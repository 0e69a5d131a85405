// SPDX-License-Identifier: Apache-2.0
//
// What a guest asks of EL2, and what its traps become.
#include <optional>

#include "base/check.h"
#include "base/machine.h"
#include "base/note.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "hyp/syndrome.h"

namespace holdfast::hyp {
namespace {

constexpr int64_t kInvalidParameter = HF_GUEST_INVALID_PARAMETER;

// Bit n: function n of the vendor service is served (0, 2, 3, 4).
constexpr uint64_t kGuestFeatures = 0x1d;

constexpr uint64_t kHvcBytes = 4;

void Answer(GuestRegs& regs, int64_t x0) {
  regs.x = {static_cast<uint64_t>(x0), 0, 0, 0};
}

}  // namespace

GuestAction Hypervisor::HandleGuestCall(GuestRegs& regs) {
  HOLDFAST_CHECK(ThisCpu().loaded != nullptr);  // else no guest would run
  vm_table::Vcpu& vcpu = *ThisCpu().loaded;
  const uint64_t id = regs.x[0];
  const bool arguments_zero = regs.x[2] == 0 && regs.x[3] == 0;
  Note(EventKind::kGuestCall, id, regs.x[1], vcpu.vm().handle().value());
  vcpu.exit = {.esr = EsrOf(kEcHvc64, 0)};
  if (!vcpu.vm().is_protected()) return GuestAction::kExit;

  switch (id) {
    case HF_GUEST_FEATURES:
      Answer(regs, kGuestFeatures);
      return GuestAction::kResume;
    case HF_GUEST_MEMINFO:
      Answer(regs, arguments_zero && regs.x[1] == 0
                       ? static_cast<int64_t>(kPageSize)
                       : kInvalidParameter);
      return GuestAction::kResume;
    case HF_GUEST_MEM_SHARE:
    case HF_GUEST_MEM_UNSHARE:
      break;
    default:
      return GuestAction::kExit;
  }

  if (!arguments_zero) {
    Answer(regs, kInvalidParameter);
    return GuestAction::kResume;
  }
  const uint64_t ipa = regs.x[1];
  const bool share = id == HF_GUEST_MEM_SHARE;
  const Status status = share ? mem_.GuestShareHost(vcpu.vm(), ipa)
                              : mem_.GuestUnshareHost(vcpu.vm(), ipa);
  if (share && !status.has_value() && status.error() == Errno::kEnoent) {
    // The page is not there yet. The host sees what it would have seen had the
    // guest stored to it: it brings the page, and the guest, none the wiser,
    // makes the call again.
    vcpu.exit = {
        .esr = EsrOf(kEcDataAbortLower, kEsrWnr | kFaultTranslationLevel3),
        .far = 0,
        .hpfar = HpfarOf(Ipa(ipa))};
    regs.pc -= kHvcBytes;
    return GuestAction::kExit;
  }
  Answer(regs, status.has_value() ? 0 : kInvalidParameter);
  return GuestAction::kResume;
}

GuestAction Hypervisor::HandleGuestAbort(const vm_table::GuestExit& abort) {
  HOLDFAST_CHECK(ThisCpu().loaded != nullptr);
  vm_table::Vcpu& vcpu = *ThisCpu().loaded;
  vcpu.exit = abort;
  Note(EventKind::kGuestAbort, FaultPage(abort).value(), abort.esr,
       vcpu.vm().handle().value());
  return GuestAction::kExit;
}

}  // namespace holdfast::hyp
