// SPDX-License-Identifier: Apache-2.0
//
// vCPUs on CPUs, what a guest asks for, what its aborts become; and aborts of
// the host.
#include "tests/spec/call_steps.h"
#include "tests/spec/transitions.h"

namespace holdfast::spec {
namespace {

// ESR_EL2 (Arm ARM D19.2.37): class 31:26, IL 25, WnR 6, fault status 5:0.
constexpr uint64_t kHvc64 = 0x16;
constexpr uint64_t kInstructionAbort = 0x20;
constexpr uint64_t kDataAbort = 0x24;
constexpr uint64_t kWrite6 = uint64_t{1} << 6;
constexpr uint64_t kTranslationLevel3 = 0x07;

constexpr uint64_t Esr(uint64_t exception_class, uint64_t rest) {
  return exception_class << 26 | uint64_t{1} << 25 | rest;
}

// A translation fault of any level: 0b0001xx, and 0b101011 for level -1.
bool IsTranslationFault(uint64_t esr) {
  const uint64_t exception_class = esr >> 26 & 0x3f;
  if (exception_class != kInstructionAbort && exception_class != kDataAbort)
    return false;
  const uint64_t status = esr & 0x3f;
  return (status >= 4 && status <= 7) || status == 0x2b;
}

// HPFAR_EL2 43:4 are IPA 51:12 (D19.2.58).
uint64_t FaultIpa(const Exit& exit) {
  return (exit.hpfar >> 4 & ((uint64_t{1} << 40) - 1)) << 12 & ~(kPageSize - 1);
}

Vcpu& Loaded(Run& run) {
  return run.TableToChange()
      .slots[run.cpu.loaded->handle]
      .vcpus[run.cpu.loaded->index];
}

void Put(Run& run) {
  Run::Section section(run);
  Vcpu& vcpu = Loaded(run);
  vcpu.loaded = false;
  vcpu.exit = run.cpu.exit;
  --run.TableToChange().slots[run.cpu.loaded->handle].references;
  run.cpu = Cpu();
}

}  // namespace

// C: nothing is loaded here (EBUSY); a VM (ENOENT), not dying, an index it has
// (EINVAL); a vCPU that was made (ENOENT) and is loaded nowhere (EBUSY).
Outcome VcpuLoad(Run& run, const Arguments& x) {
  const auto [handle, index, x3, x4, x5] = x;
  if (run.cpu.loaded.has_value()) return Failed(HF_EBUSY);
  if (!IsHandle(handle)) return Failed(HF_ENOENT);
  Run::Section section(run);
  const Slot* slot = VmOf(run, handle);
  if (slot == nullptr) return Failed(HF_ENOENT);
  if (slot->state == SlotState::kDying || index >= slot->vcpu_count)
    return Failed(HF_EINVAL);
  const auto at = slot->vcpus.find(static_cast<uint32_t>(index));
  if (at == slot->vcpus.end()) return Failed(HF_ENOENT);
  if (at->second.loaded) return Failed(HF_EBUSY);
  run.cpu = {LoadedVcpu{handle, at->first}, at->second.exit};
  Vcpu& vcpu = Loaded(run);
  vcpu.loaded = true;
  vcpu.exit = Exit();
  ++run.TableToChange().slots[handle].references;
  return Ok();
}

Outcome VcpuPut(Run& run, const Arguments&) {
  Put(run);
  return Ok();
}

void CpuOff(Run& run) {
  if (run.cpu.loaded.has_value()) Put(run);
}

// C: its last exit is a stage-2 translation fault (EINVAL); the address is a
// guest's (ERANGE); it has a table of pages (EINVAL).
Outcome InPoisonFault(Run& run, const Arguments&) {
  if (!IsTranslationFault(run.cpu.exit.esr)) return Failed(HF_EINVAL);
  const uint64_t handle = run.cpu.loaded->handle;
  const uint64_t gfn = FaultIpa(run.cpu.exit) >> kPageShift;
  Run::Section section(run);
  if (!run.layout().IsGfn(gfn)) return Failed(HF_ERANGE);
  const Vm& vm = run.vm(handle);
  const EntryAt at = Find(vm, gfn);
  if (at.entry != nullptr && at.entry->poisoned) return Ok(1);
  if (!vm.tables.contains({3, gfn & ~(PagesAt(2) - 1)}))
    return Failed(HF_EINVAL);
  return Ok(0);
}

// ---- Guests ----------------------------------------------------------------

namespace {

GuestOutcome Answer(int64_t x0, uint64_t pc) {
  return {true, {static_cast<uint64_t>(x0), 0, 0, 0}, pc};
}

// Pages of the guest's become its alone, or shared with the host: as many as
// are in the other state, one after the other; it gives how many, or the first
// one's error. C: pages (EINVAL), all the guest's (ERANGE); there (EHWPOISON,
// ENOENT), in that state (EPERM).
struct Changed {
  int error = 0;
  uint64_t pages = 0;
};
Changed MemChange(Run& run, uint64_t ipa, uint64_t pages, bool share) {
  if (ipa % kPageSize != 0) return {HF_EINVAL};
  const PageState from = share ? PageState::kOwned : PageState::kShared;
  const PageState to = share ? PageState::kShared : PageState::kOwned;
  const uint64_t handle = run.cpu.loaded->handle;
  const uint64_t gfn = ipa >> kPageShift;
  if (int e = GfnError(run.layout(), gfn, pages); e != 0) return {e};
  Run::Section section(run);
  const uint64_t most = MostPages(gfn, pages);
  uint64_t done = 0;
  for (; done < most; ++done) {
    const EntryAt at = Find(run.vm(handle), gfn + done);
    int error = LeafError(at);
    if (error == 0 && at.entry->state != from) error = HF_EPERM;
    if (error == 0) continue;
    if (done == 0) return {error};
    break;
  }
  for (uint64_t i = 0; i < done;) {
    const uint64_t step = StepInto(run, handle, gfn + i, done - i);
    GuestEntry& entry = run.VmToChange(handle).entries[gfn + i];
    entry.state = to;
    for (uint64_t page = 0; page < step; ++page, ++i) {
      SetPage(run, entry.pfn + page,
              share ? Page{PageState::kBorrowed, PageState::kNone, 0, {}}
                    : Page{PageState::kNone, PageState::kNone, 0,
                           Owner::Guest(handle, gfn + i)});
    }
  }
  return {0, done};
}

// C: not as many as there is room for, 16.
bool AddDevice(Run& run, const Device& device) {
  const uint64_t handle = run.cpu.loaded->handle;
  Run::Section section(run);
  if (run.vm(handle).devices.size() >= 16) return false;
  run.VmToChange(handle).devices.push_back(device);
  return true;
}

}  // namespace

GuestOutcome GuestCall(Run& run, const std::array<uint64_t, 4>& x,
                       uint64_t pc) {
  const GuestOutcome exits{false, x, pc};
  run.cpu.exit = {.esr = Esr(kHvc64, 0)};
  if (!run.loaded_is_protected()) return exits;
  const bool no_more = x[2] == 0 && x[3] == 0;
  switch (x[0]) {
    case HF_GUEST_FEATURES:
      return Answer(0x7d, pc);
    case HF_GUEST_MEMINFO:
      return Answer(x[1] == 0 && no_more ? int64_t{kPageSize}
                                         : HF_GUEST_INVALID_PARAMETER,
                    pc);
    case HF_GUEST_MMIO_MAP: {
      const uint64_t limit = uint64_t{1} << run.layout().ipa_bits;
      const bool fits = x[1] % kPageSize == 0 && x[2] != 0 && x[3] == 0 &&
                        x[1] < limit && x[2] <= (limit - x[1]) / kPageSize;
      return Answer(fits && AddDevice(run, {x[1], x[2] * kPageSize})
                        ? 0
                        : HF_GUEST_INVALID_PARAMETER,
                    pc);
    }
    case HF_GUEST_POISON_ABORTS: {
      const bool good = no_more && x[1] <= 1;
      if (good && run.knows_guests())
        run.guests()[run.cpu.loaded->handle].poison_aborts = x[1] == 1;
      return Answer(good ? 0 : HF_GUEST_INVALID_PARAMETER, pc);
    }
    case HF_GUEST_MEM_SHARE:
    case HF_GUEST_MEM_UNSHARE: {
      const bool share = x[0] == HF_GUEST_MEM_SHARE;
      const uint64_t pages = x[2] == 0 ? 1 : x[2];
      const Changed changed =
          x[3] == 0 ? MemChange(run, x[1], pages, share) : Changed{HF_EINVAL};
      if (changed.error == 0) return {true, {0, changed.pages, 0, 0}, pc};
      if (!share || changed.error != HF_ENOENT)
        return Answer(HF_GUEST_INVALID_PARAMETER, pc);
      // As if the guest had stored to the page, and stopped there.
      run.cpu.exit = {.esr = Esr(kDataAbort, kWrite6 | kTranslationLevel3),
                      .far = 0,
                      .hpfar = x[1] >> 12 << 4};
      return {false, x, pc - 4};
    }
    default:
      return exits;
  }
}

// It has the page: another CPU had taken it apart for a moment. It tries again.
GuestOutcome GuestAbort(Run& run, const Exit& exit) {
  run.cpu.exit = exit;
  if (!IsTranslationFault(exit.esr)) return {};
  Run::Section section(run);
  const EntryAt at =
      Find(run.vm(run.cpu.loaded->handle), FaultIpa(exit) >> kPageShift);
  return {LeafError(at) == 0, {}, 0};
}

// ---- The host's aborts -----------------------------------------------------

// It may have the page: it tries again, and finds it mapped. It may not, or
// nobody can say: it takes an abort, in the style that it asked for.
HostAbortAnswer HostAbort(Run& run, const HostAbortCase& abort,
                          HostAbortAnswer found) {
  const HostAbortAnswer inject = run.style == HF_ABORT_TRANSLATION
                                     ? HostAbortAnswer::kInjectTranslation
                                     : HostAbortAnswer::kInjectExternal;
  // A host's rights never change, so trying again cures no other fault.
  if (!abort.ipa.has_value() || !abort.is_translation) return inject;
  // A page that a region partly fills is the region's; but NOMAP bytes make
  // NOMAP of all of it. (HPFAR tells the page only.)
  const uint64_t first = *abort.ipa & ~(kPageSize - 1);
  const Layout& layout = run.layout();
  const Region* region = nullptr;
  for (uint64_t address : {*abort.ipa, first, first + kPageSize - 1}) {
    const Region* part = layout.Find(address);
    if (part == nullptr) continue;
    if (part->kind == Region::Kind::kNoMap) return inject;
    region = part;  // devices and memory share no page
  }
  if (region == nullptr) return inject;
  if (first >> layout.ipa_bits != 0) return inject;
  Run::Section section(run);
  if (region->IsRam() &&
      PageOf(run, first >> kPageShift).host == PageState::kNone) {
    return inject;
  }
  if (found == inject && run.TablesLow(1, 1)) return inject;
  return HostAbortAnswer::kRetry;
}

// ---- The hypervisor itself -------------------------------------------------

Outcome HostCall(Run& run, uint64_t id, const Arguments& x) {
  // What must be loaded comes before all else.
  const auto needs = [&](std::optional<bool> is_protected) {
    if (!run.cpu.loaded.has_value()) return false;
    return !is_protected.has_value() ||
           run.loaded_is_protected() == *is_protected;
  };
  const auto with = [&](bool met, auto step) {
    return met ? step(run, x) : Failed(HF_EINVAL);
  };
  switch (id) {
    case HF_HOST_SHARE_HYP:
      return ShareHyp(run, x);
    case HF_HOST_UNSHARE_HYP:
      return UnshareHyp(run, x);
    case HF_HOST_DONATE_GUEST:
      return with(needs(true), DonateGuest);
    case HF_HOST_SHARE_GUEST:
      return with(needs(false), ShareGuest);
    case HF_HOST_UNSHARE_GUEST:
      return UnshareGuest(run, x);
    case HF_HOST_RELAX_PERMS_GUEST:
      return with(needs(false), RelaxPerms);
    case HF_HOST_WRPROTECT_GUEST:
      return WriteProtect(run, x);
    case HF_HOST_TEST_CLEAR_YOUNG_GUEST:
      return TestClearYoung(run, x);
    case HF_HOST_MKYOUNG_GUEST:
      return with(needs(false), MakeYoung);
    case HF_TLB_FLUSH_VMID:
      return FlushVmid(run, x);
    case HF_FORCE_RECLAIM_GUEST_PAGE:
      return ForceReclaim(run, x);
    case HF_RECLAIM_DYING_GUEST_PAGE:
      return ReclaimDying(run, x);
    case HF_RESERVE_VM:
      return ReserveVm(run, x);
    case HF_UNRESERVE_VM:
      return UnreserveVm(run, x);
    case HF_VM_FRAMES_NEEDED:
      return FramesNeeded(run, x);
    case HF_INIT_VM:
      return InitVm(run, x);
    case HF_INIT_VCPU:
      return InitVcpu(run, x);
    case HF_TOPUP_VM:
      return TopupVm(run, x);
    case HF_START_TEARDOWN_VM:
      return StartTeardown(run, x);
    case HF_DRAIN_VM:
      return DrainVm(run, x);
    case HF_FINALIZE_TEARDOWN_VM:
      return FinalizeTeardown(run, x);
    case HF_VCPU_LOAD:
      return VcpuLoad(run, x);
    case HF_VCPU_PUT:
      return with(needs({}), VcpuPut);
    // Of a vCPU that is loaded: guest_steps.cc.
    case HF_VCPU_RUN:
      return Failed(HF_EINVAL);
    case HF_VCPU_IN_POISON_FAULT:
      return with(needs({}), InPoisonFault);
    case HF_PROBE: {
      constexpr uint64_t kBlock = kBlockPages << kPageShift;
      return Ok(HF_ABI_MAJOR << 16 | HF_ABI_MINOR,
                HF_FEATURE_PROTECTED_VMS | HF_FEATURE_NON_PROTECTED_VMS |
                    HF_FEATURE_FORCE_RECLAIM,
                kPageSize | kBlock << 32);
    }
    case HF_SET_ABORT_STYLE: {
      if (x[0] > HF_ABORT_TRANSLATION) return Failed(HF_EINVAL);
      const uint64_t was = run.style;
      run.style = x[0];
      return Ok(was);
    }
    case HF_SMCCC_UID:
      return {HF_UID_0, HF_UID_1, HF_UID_2, HF_UID_3};
    case HF_SMCCC_REVISION:
      return {HF_ABI_MAJOR, HF_ABI_MINOR, 0, 0};
    default:
      return {static_cast<uint64_t>(int64_t{HF_NOT_SUPPORTED}), 0, 0, 0};
  }
}

}  // namespace holdfast::spec
