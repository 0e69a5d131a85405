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

// Bit n: function n of the vendor service is served (0, 2 to 6).
constexpr uint64_t kGuestFeatures = 0x7d;

constexpr uint64_t kHvcBytes = 4;

void Answer(GuestRegs& regs, int64_t x0) {
  regs.x[0] = static_cast<uint64_t>(x0);
  regs.x[1] = regs.x[2] = regs.x[3] = 0;
}

// C: whole pages in the input range, at least one; not all places taken.
bool AddDevice(vm_table::Vm& vm, uint64_t ipa, uint64_t pages) {
  if (ipa % kPageSize != 0 || pages == 0 || pages > ~uint64_t{0} >> kPageShift)
    return false;
  const vm_table::IpaRange range = {Ipa(ipa), pages << kPageShift};
  if (!vm.stage2.InRange(range.start, range.size)) return false;
  SpinlockHolder hold(vm.stage2.lock);
  if (vm.device_count == vm_table::Vm::kMaxDevices) return false;
  vm.devices[vm.device_count++] = range;
  return true;
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
    case HF_GUEST_MMIO_MAP:
      Answer(regs, regs.x[3] == 0 && AddDevice(vcpu.vm(), regs.x[1], regs.x[2])
                       ? 0
                       : kInvalidParameter);
      return GuestAction::kResume;
    case HF_GUEST_POISON_ABORTS:
      if (!arguments_zero || regs.x[1] > 1) {
        Answer(regs, kInvalidParameter);
      } else {
        vcpu.vm().poison_aborts.store(regs.x[1] == 1,
                                      std::memory_order_relaxed);
        Answer(regs, 0);
      }
      return GuestAction::kResume;
    case HF_GUEST_MEM_SHARE:
    case HF_GUEST_MEM_UNSHARE:
      break;
    default:
      return GuestAction::kExit;
  }

  if (regs.x[3] != 0) {
    Answer(regs, kInvalidParameter);
    return GuestAction::kResume;
  }
  const uint64_t ipa = regs.x[1];
  // Guests of pKVM, which knows no ranges, pass 0 here.
  const uint64_t pages = regs.x[2] == 0 ? 1 : regs.x[2];
  const bool share = id == HF_GUEST_MEM_SHARE;
  const Result<uint64_t> done =
      share ? mem_.GuestShareHost(vcpu.vm(), ipa, pages)
            : mem_.GuestUnshareHost(vcpu.vm(), ipa, pages);
  if (share && !done.has_value() && done.error() == Errno::kEnoent) {
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
  Answer(regs, done.has_value() ? 0 : kInvalidParameter);
  regs.x[1] = done.value_or(0);
  return GuestAction::kResume;
}

GuestAction Hypervisor::HandleGuestAbort(const vm_table::GuestExit& abort) {
  HOLDFAST_CHECK(ThisCpu().loaded != nullptr);
  vm_table::Vcpu& vcpu = *ThisCpu().loaded;
  vcpu.exit = abort;
  // A block is not there for a moment while another CPU splits it
  // (break-before-make); that CPU holds the VM's lock until it is there again.
  if (IsTranslationAbort(abort.esr) &&
      mem_.IsMapped(vcpu.vm(), FaultPage(abort))) {
    return GuestAction::kResume;
  }
  Note(EventKind::kGuestAbort, FaultPage(abort).value(), abort.esr,
       vcpu.vm().handle().value());
  return GuestAction::kExit;
}

}  // namespace holdfast::hyp
