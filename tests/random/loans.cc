// SPDX-License-Identifier: Apache-2.0
//
// The random calls on non-protected guests, and those that guests make or
// cause.
#include "tests/random/random_calls.h"

namespace holdfast::random {

using story::Reply;

namespace {

bool Good(const Reply& reply) {
  return reply.x0 == 0 && static_cast<int64_t>(reply.x1) >= 0;
}

// Rights that every CPU can express: without FEAT_XNX both levels execute or
// none does.
uint64_t SomeRights(uint64_t random) {
  const uint64_t execute = (random & 4) != 0 ? HF_PROT_PX | HF_PROT_UX : 0;
  return (random & (HF_PROT_W | HF_PROT_R)) | execute;
}

}  // namespace

void RandomCalls::Lent(unsigned vm, unsigned frame, uint64_t gfn) {
  for (Loan& loan : loans_) {
    if (loan.used) continue;
    loan = {true, static_cast<uint8_t>(vm), static_cast<uint16_t>(frame), gfn};
    break;
  }
  frames_[frame].use = Use::kLent;
  ++vms_[vm].guest_pages;
}

void RandomCalls::Ended(Loan& loan) {
  loan.used = false;
  --vms_[loan.vm].guest_pages;
  for (const Loan& other : loans_) {
    if (other.used && other.frame == loan.frame) return;
  }
  frames_[loan.frame] = {};
}

void RandomCalls::Lend(unsigned cpu, unsigned at) {
  unsigned loans = 0;
  for (const Loan& loan : loans_) loans += loan.used;
  if (loans + 4 > kLoans) return EndLoan(-1);
  // One in three to a second guest, or to the same at another place.
  const bool again = Below(3) == 0;
  const int frame = PickFrame([&](const Frame& f) {
    return f.use == (again ? Use::kLent : Use::kFree);
  });
  if (frame < 0) return Tune(cpu);
  Vm& vm = vms_[at];
  const uint64_t gfn =
      Below(4) == 0 ? vm.next_gfn * 512 % (uint64_t{1} << 20) : vm.next_gfn;
  ++vm.next_gfn;
  if (Good(Do(RowOf(HF_HOST_SHARE_GUEST), Want::kAnything, Pfn(frame), gfn, 1,
              SomeRights(Random())))) {
    Lent(at, static_cast<unsigned>(frame), gfn);
  }
}

// Of one VM, or (-1) of any.
void RandomCalls::EndLoan(int vm) {
  const int at =
      PickLoan([&](const Loan& loan) { return vm < 0 || loan.vm == vm; });
  if (at < 0) return;
  Loan& loan = loans_[static_cast<size_t>(at)];
  Do(RowOf(HF_HOST_UNSHARE_GUEST), Want::kSuccess, vms_[loan.vm].handle,
     loan.gfn, 1);
  Ended(loan);
}

void RandomCalls::Tune(unsigned cpu) {
  const int at = PickLoan([](const Loan&) { return true; });
  if (at < 0) return;
  const Loan& loan = loans_[static_cast<size_t>(at)];
  const Vm& vm = vms_[loan.vm];
  switch (Below(5)) {
    case 0:
      Do(RowOf(HF_HOST_WRPROTECT_GUEST), Want::kSuccess, vm.handle, loan.gfn,
         1);
      return;
    case 1:
      Do(RowOf(HF_HOST_TEST_CLEAR_YOUNG_GUEST), Want::kSuccess, vm.handle,
         loan.gfn, 1, Below(2));
      return;
    case 2:
      Do(RowOf(HF_TLB_FLUSH_VMID), Want::kSuccess, vm.handle);
      return;
    case 3:
      if (LoadedOn(cpu, vm)) {
        Do(RowOf(HF_HOST_RELAX_PERMS_GUEST), Want::kSuccess, loan.gfn,
           SomeRights(Random()));
      }
      return;
    default:
      if (LoadedOn(cpu, vm))
        Do(RowOf(HF_HOST_MKYOUNG_GUEST), Want::kSuccess, loan.gfn);
      return;
  }
}

// The guest that is loaded here lets the host use a page of its own, or ends
// that.
void RandomCalls::GuestShare(unsigned cpu) {
  if (!host_.has_guests()) return;
  const int vm = LoadedVm(cpu);
  const int at = PickFrame([&](const Frame& f) {
    return (f.use == Use::kGuest || f.use == Use::kGuestShared) && f.vm == vm;
  });
  if (vm < 0 || at < 0) return;
  Frame& frame = frames_[static_cast<size_t>(at)];
  const bool share = frame.use == Use::kGuest;
  const uint64_t x0 =
      host_.GuestCall(share ? HF_GUEST_MEM_SHARE : HF_GUEST_MEM_UNSHARE,
                      frame.gfn * host_.page_size());
  if (x0 == 0) {
    frame.use = share ? Use::kGuestShared : Use::kGuest;
  } else if (surprises_++ == 0) {
    first_surprise_ << "the guest call on frame ";
    first_surprise_.Hex(Pfn(at)) << " was refused";
  }
}

// A guest stops at a gfn that was taken from it, and the host asks why.
void RandomCalls::Poison(unsigned cpu) {
  const int at = LoadedVm(cpu);
  if (!host_.has_guests() || at < 0) return;
  const uint64_t gfn = vms_[static_cast<size_t>(at)].poisoned_gfn;
  if (gfn == ~uint64_t{0}) return;
  if (host_.GuestTouch(gfn * host_.page_size())) return;
  Do(RowOf(HF_VCPU_IN_POISON_FAULT), Want::kSuccess);
}

void RandomCalls::WildLoan(unsigned cpu, size_t row) {
  const uint32_t id = kCallRows[row].id;
  uint64_t handle = WildHandle();
  uint64_t gfn = Below(2) == 0 ? WildNumber() : Below(32);
  // A page, a block (of 4 KiB pages), and less likely sizes.
  uint64_t pages = Below(2) == 0 ? 1 : Below(2) == 0 ? 512 : WildNumber();
  if (const int lender = PickLoan([&](const Loan& loan) {
        return pages != 512 || loan.gfn % 512 == 0;
      });
      lender >= 0 && Below(4) != 0) {
    const Loan& loan = loans_[static_cast<size_t>(lender)];
    handle = vms_[loan.vm].handle;
    if (Below(2) == 0) gfn = loan.gfn;
  }
  const uint64_t prot = Below(4) == 0 ? WildNumber() : SomeRights(Random());
  switch (id) {
    case HF_HOST_SHARE_GUEST: {
      const int frame = PickFrame([](const Frame&) { return true; });
      uint64_t pfn = Below(8) == 0 ? WildNumber() : Pfn(frame);
      const bool ours = pfn >= first_ && pfn < first_ + kFrames;
      if (!ours && pfn >= host_.first_ram_frame() &&
          pfn < host_.beyond_ram_frame()) {
        pfn = host_.el2_frame();
      }
      if (pages == 512 && pfn % 512 == 0) pages = 511;  // the whole pool
      unsigned loans = 0;
      for (const Loan& loan : loans_) loans += loan.used;
      if (loans == kLoans) return;
      const int vm = LoadedVm(cpu);
      if (Good(Do(row, Want::kAnything, pfn, gfn, pages, prot)) && vm >= 0 &&
          ours) {
        Lent(static_cast<unsigned>(vm), static_cast<unsigned>(pfn - first_),
             gfn);
      }
      return;
    }
    case HF_HOST_UNSHARE_GUEST: {
      if (!Good(Do(row, Want::kAnything, handle, gfn, pages))) return;
      for (Loan& loan : loans_) {
        if (loan.used && vms_[loan.vm].handle == handle && loan.gfn == gfn)
          Ended(loan);
      }
      return;
    }
    case HF_HOST_RELAX_PERMS_GUEST:
      Do(row, Want::kAnything, gfn, prot);
      return;
    case HF_HOST_MKYOUNG_GUEST:
      Do(row, Want::kAnything, gfn);
      return;
    default:
      Do(row, Want::kAnything, handle, gfn, pages, Below(2));
      return;
  }
}

}  // namespace holdfast::random
