// SPDX-License-Identifier: Apache-2.0
#include "tests/random/random_calls.h"

#include <algorithm>

namespace holdfast::random {

using story::Reply;

RandomCalls::RandomCalls(story::Host& host, uint64_t seed, uint64_t first_frame)
    : host_(host), first_(first_frame), random_(seed * 2 + 1) {
  const Reply needs = host.Call(HF_VM_FRAMES_NEEDED, kVcpus);
  vm_frames_ = needs.x1;
  root_frames_ = needs.x2;
  vcpu_frames_ = needs.x3;
}

// xorshift64*: good enough to pick arguments, and the same everywhere.
uint64_t RandomCalls::Random() {
  random_ ^= random_ >> 12;
  random_ ^= random_ << 25;
  random_ ^= random_ >> 27;
  return random_ * 0x2545f4914f6cdd1d >> 16;
}

uint64_t RandomCalls::WildNumber() {
  const uint64_t bit = uint64_t{1} << Below(64);
  switch (Below(6)) {
    case 0:
      return 0;
    case 1:
      return ~uint64_t{0};
    case 2:
      return bit;
    case 3:
      return bit - 1;
    case 4:
      return Below(1024);
    default:
      return Random() << Below(17);
  }
}

uint64_t RandomCalls::WildFrame() {
  switch (Below(10)) {
    case 0:
      return WildNumber();
    case 1:
      return host_.el2_frame();
    case 2:
      return host_.mmio_frame();
    case 3:
      return host_.beyond_ram_frame() + Below(4);
    default:
      return first_ + Below(kFrames);
  }
}

uint64_t RandomCalls::WildHandle() {
  const uint64_t vm = Below(kVms);
  switch (Below(8)) {
    case 0:
      return WildNumber();
    case 1:
      return 0x1000 + Below(256);
    case 2:
      return reserved_count_ > 0 ? reserved_[Below(reserved_count_)] : 0x1000;
    case 3:
      return vms_[vm].handle + Below(3) - 1;
    case 4:
      return vms_[vm].handle | 0x10000;
    default:
      return vms_[vm].handle;
  }
}

int RandomCalls::PickRun(unsigned count, unsigned align) {
  const unsigned start = static_cast<unsigned>(Below(kFrames));
  for (unsigned i = 0; i < kFrames; ++i) {
    const unsigned at = (start + i) % kFrames;
    if ((first_ + at) % align != 0 || at + count > kFrames) continue;
    unsigned run = 0;
    while (run < count && frames_[at + run].use == Use::kFree) ++run;
    if (run == count) return static_cast<int>(at);
  }
  return -1;
}

bool RandomCalls::LoadedOn(unsigned cpu, const Vm& vm) const {
  for (int on : vm.on_cpu) {
    if (on == static_cast<int>(cpu) + 1) return true;
  }
  return false;
}

int RandomCalls::LoadedVm(unsigned cpu) {
  return PickVm([&](const Vm& vm) { return vm.used && LoadedOn(cpu, vm); });
}

bool RandomCalls::Loaded(const Vm& vm) const {
  for (int cpu : vm.on_cpu) {
    if (cpu != 0) return true;
  }
  return false;
}

Reply RandomCalls::Do(size_t row, Want want, uint64_t x1, uint64_t x2,
                      uint64_t x3, uint64_t x4, uint64_t x5) {
  const CallRow& call = kCallRows[row];
  const Reply reply = host_.Call(call.id, x1, x2, x3, x4, x5);
  ++calls_;
  const int64_t result = static_cast<int64_t>(reply.x1);
  bool listed = reply.x0 == 0 && result >= 0;
  if (listed) {
    ++tally_[row].ok;
    ++succeeded_;
  } else {
    for (size_t i = 0; i < call.errors.size() && call.errors[i] != 0; ++i) {
      if (reply.x0 != 0 || result != -int64_t{call.errors[i]}) continue;
      ++tally_[row].errors[i];
      listed = true;
    }
  }
  const bool surprise = !listed || (want == Want::kSuccess && result < 0);
  if (surprise && surprises_++ == 0) {
    first_surprise_ << call.name << '(';
    first_surprise_.Hex(x1) << ", ";
    first_surprise_.Hex(x2) << ", ";
    first_surprise_.Hex(x3) << ", ";
    first_surprise_.Hex(x4) << ") as call " << calls_ << " answered ";
    if (result < 0) {
      first_surprise_ << '-' << static_cast<uint64_t>(-result);
    } else {
      first_surprise_ << static_cast<uint64_t>(result);
    }
    first_surprise_ << (listed ? ", it must succeed" : ", which it never may");
  }
  return reply;
}

// ---- Sensible calls ---------------------------------------------------------

void RandomCalls::Share() {
  const int frame =
      PickFrame([](const Frame& f) { return f.use == Use::kFree; });
  if (frame < 0) return;
  Do(RowOf(HF_HOST_SHARE_HYP), Want::kSuccess, Pfn(frame));
  frames_[static_cast<size_t>(frame)].use = Use::kShared;
}

void RandomCalls::Unshare() {
  const int frame =
      PickFrame([](const Frame& f) { return f.use == Use::kShared; });
  if (frame < 0) return;
  Do(RowOf(HF_HOST_UNSHARE_HYP), Want::kSuccess, Pfn(frame));
  frames_[static_cast<size_t>(frame)].use = Use::kFree;
}

void RandomCalls::Donate(unsigned cpu) {
  if (hops_ == 0) return;
  --hops_;
  const int at = LoadedVm(cpu);
  if (at < 0) return Load(cpu);
  Vm& vm = vms_[static_cast<size_t>(at)];
  if (!vm.is_protected) return Lend(cpu, static_cast<unsigned>(at));
  const int frame =
      PickFrame([](const Frame& f) { return f.use == Use::kFree; });
  if (frame < 0) return Force();
  // Odd VMs use far gfns: each page then needs a table of its own.
  const uint64_t gfn =
      at % 2 == 0 ? vm.next_gfn : vm.next_gfn * 512 % (uint64_t{1} << 20);
  const Reply reply = Do(RowOf(HF_HOST_DONATE_GUEST), Want::kAnything,
                         Pfn(frame), gfn, FewPages(frame));
  const bool taken =
      static_cast<int64_t>(reply.x1) == -HF_EPERM;  // a wild call was first
  if (taken) ++vm.next_gfn;
  if (reply.x0 != 0 || reply.x1 != 0) return;
  vm.next_gfn += at % 2 == 0 ? reply.x2 : 1;
  Donated(static_cast<unsigned>(at), Pfn(frame), gfn, reply.x2);
}

void RandomCalls::Donated(unsigned vm, uint64_t pfn, uint64_t gfn,
                          uint64_t pages) {
  vms_[vm].guest_pages += static_cast<unsigned>(pages);
  for (uint64_t i = 0; i < pages; ++i)
    frames_[pfn - first_ + i] = {Use::kGuest, static_cast<uint8_t>(vm),
                                 gfn + i};
}

void RandomCalls::Forced(uint64_t pfn, uint64_t pages) {
  for (uint64_t i = 0; i < pages; ++i) {
    Frame& frame = frames_[pfn - first_ + i];
    vms_[frame.vm].poisoned_gfn = frame.gfn;
    --vms_[frame.vm].guest_pages;
    frame = {};
  }
}

// One call looks no further than a table's end.
void RandomCalls::Reclaimed(unsigned vm, uint64_t gfn, uint64_t pages) {
  const uint64_t table = host_.page_size() / 8;
  const uint64_t budget =
      std::min((uint64_t{2} << 20) / host_.page_size(), table);
  const uint64_t done = std::min(pages, budget - gfn % budget);
  for (Frame& frame : frames_) {
    if ((frame.use == Use::kGuest || frame.use == Use::kGuestShared) &&
        frame.vm == vm && frame.gfn - gfn < done) {
      --vms_[vm].guest_pages;
      frame = {};
    }
  }
}

// One page mostly; a few at times, all of them of the pool.
uint64_t RandomCalls::FewPages(int frame) {
  if (Below(3) != 0) return 1;
  return std::min<uint64_t>(1 + Below(12),
                            kFrames - static_cast<uint64_t>(frame));
}

void RandomCalls::Force() {
  if (hops_ == 0) return;
  --hops_;
  const int frame =
      PickFrame([](const Frame& f) { return f.use == Use::kGuest; });
  if (frame < 0) return;
  const Reply reply = Do(RowOf(HF_FORCE_RECLAIM_GUEST_PAGE), Want::kSuccess,
                         Pfn(frame), FewPages(frame));
  Forced(Pfn(frame), reply.x2);
}

void RandomCalls::Reclaim() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm([](const Vm& vm) { return vm.used && vm.dying; });
  if (at < 0) return Teardown();
  Vm& vm = vms_[static_cast<size_t>(at)];
  if (!vm.is_protected && vm.guest_pages > 0) return EndLoan(at);
  const int frame = PickFrame([&](const Frame& f) {
    return (f.use == Use::kGuest || f.use == Use::kGuestShared) && f.vm == at;
  });
  if (frame < 0) {
    if (vm.poisoned_gfn != ~uint64_t{0} && !vm.drained && Below(2) == 0) {
      const uint64_t pages = 1 + Below(3);
      Do(RowOf(HF_RECLAIM_DYING_GUEST_PAGE), Want::kSuccess, vm.handle,
         vm.poisoned_gfn, pages);
      Reclaimed(static_cast<unsigned>(at), vm.poisoned_gfn, pages);
      return;
    }
    return vm.drained ? Finalize() : Drain();
  }
  const uint64_t gfn = frames_[static_cast<size_t>(frame)].gfn;
  const uint64_t pages = FewPages(0);
  Do(RowOf(HF_RECLAIM_DYING_GUEST_PAGE), Want::kSuccess, vm.handle, gfn, pages);
  Reclaimed(static_cast<unsigned>(at), gfn, pages);
}

void RandomCalls::Reserve() {
  if (hops_ == 0) return;
  --hops_;
  if (reserved_count_ >= 8) return Unreserve();
  const Reply reply = Do(RowOf(HF_RESERVE_VM), Want::kSuccess);
  reserved_[reserved_count_++] = reply.x1;
}

void RandomCalls::Unreserve() {
  if (reserved_count_ == 0) return;
  Do(RowOf(HF_UNRESERVE_VM), Want::kSuccess, reserved_[--reserved_count_]);
}

// Takes every slot there is, tries for more, and lets them go.
void RandomCalls::FillSlots() {
  for (int refused = 0; refused < 8;) {
    if (reserved_count_ == reserved_.size()) return;
    const Reply reply = Do(RowOf(HF_RESERVE_VM), Want::kAnything);
    if (static_cast<int64_t>(reply.x1) < 0) {
      ++refused;
    } else {
      reserved_[reserved_count_++] = reply.x1;
    }
  }
  while (reserved_count_ > 4) Unreserve();
}

void RandomCalls::MakeVm() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm([](const Vm& vm) { return !vm.used; });
  if (at < 0) return MakeVcpu();
  if (reserved_count_ == 0) return Reserve();
  const unsigned root_frames = static_cast<unsigned>(root_frames_);
  const unsigned vm_frames = static_cast<unsigned>(vm_frames_);
  const int root = PickRun(root_frames, root_frames);
  if (root < 0) return Force();
  for (unsigned i = 0; i < root_frames; ++i) {
    frames_[static_cast<size_t>(root) + i] = {Use::kVm,
                                              static_cast<uint8_t>(at), 0};
  }
  const int memory = PickRun(vm_frames, 1);
  if (memory < 0) {
    for (unsigned i = 0; i < root_frames; ++i)
      frames_[static_cast<size_t>(root) + i] = {};
    return Force();
  }
  for (unsigned i = 0; i < vm_frames; ++i) {
    frames_[static_cast<size_t>(memory) + i] = {Use::kVm,
                                                static_cast<uint8_t>(at), 0};
  }
  Vm& vm = vms_[static_cast<size_t>(at)];
  vm = {};
  vm.used = true;
  vm.is_protected = at % 4 != 3;
  vm.handle = reserved_[--reserved_count_];
  Do(RowOf(HF_INIT_VM), Want::kSuccess, vm.handle, Pfn(memory), Pfn(root),
     kVcpus, vm.is_protected ? HF_VM_PROTECTED : 0);
}

void RandomCalls::MakeVcpu() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm([](const Vm& vm) {
    return vm.used && !vm.dying && !(vm.has_vcpu[0] && vm.has_vcpu[1]);
  });
  if (at < 0) return Topup();
  const int run =
      PickFrame([](const Frame& f) { return f.use == Use::kShared; });
  if (run < 0) return Share();
  const int memory = PickRun(static_cast<unsigned>(vcpu_frames_), 1);
  if (memory < 0) return Force();
  Vm& vm = vms_[static_cast<size_t>(at)];
  const unsigned index = vm.has_vcpu[0] ? 1 : 0;
  Do(RowOf(HF_INIT_VCPU), Want::kSuccess, vm.handle, index, Pfn(memory),
     Pfn(run));
  vm.has_vcpu[index] = true;
  frames_[static_cast<size_t>(run)] = {Use::kRunPage, static_cast<uint8_t>(at),
                                       0};
  for (unsigned i = 0; i < vcpu_frames_; ++i) {
    frames_[static_cast<size_t>(memory) + i] = {Use::kVcpu,
                                                static_cast<uint8_t>(at), 0};
  }
}

void RandomCalls::Topup() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm([](const Vm& vm) { return vm.used && !vm.dying; });
  if (at < 0) return MakeVm();
  const unsigned count = static_cast<unsigned>(1 + Below(6));
  const int run = PickRun(count, 1);
  if (run < 0) return Force();
  const Reply reply = Do(RowOf(HF_TOPUP_VM), Want::kSuccess,
                         vms_[static_cast<size_t>(at)].handle, Pfn(run), count);
  for (uint64_t i = 0; i < reply.x2; ++i) {
    frames_[static_cast<size_t>(run) + i] = {Use::kStock,
                                             static_cast<uint8_t>(at), 0};
  }
}

void RandomCalls::Teardown() {
  const int at =
      PickVm([&](const Vm& vm) { return vm.used && !vm.dying && !Loaded(vm); });
  if (at < 0) return;
  Do(RowOf(HF_START_TEARDOWN_VM), Want::kSuccess,
     vms_[static_cast<size_t>(at)].handle);
  vms_[static_cast<size_t>(at)].dying = true;
}

// What a drain that left nothing gave back.
void RandomCalls::DoDrain(unsigned at, Reply reply) {
  if (reply.x0 != 0 || reply.x1 != 0 || reply.x2 != 0) return;
  vms_[at].drained = true;
  for (Frame& frame : frames_) {
    if (frame.vm != at) continue;
    if (frame.use == Use::kStock || frame.use == Use::kVcpu) frame = {};
    if (frame.use == Use::kRunPage) frame = {Use::kShared, 0, 0};
  }
}

void RandomCalls::Drain() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm(
      [](const Vm& vm) { return vm.used && vm.dying && vm.guest_pages == 0; });
  if (at < 0) return Reclaim();
  DoDrain(static_cast<unsigned>(at), Do(RowOf(HF_DRAIN_VM), Want::kSuccess,
                                        vms_[static_cast<size_t>(at)].handle));
}

void RandomCalls::Finalize() {
  if (hops_ == 0) return;
  --hops_;
  const int at = PickVm([](const Vm& vm) { return vm.used && vm.drained; });
  if (at < 0) return Drain();
  Do(RowOf(HF_FINALIZE_TEARDOWN_VM), Want::kSuccess,
     vms_[static_cast<size_t>(at)].handle);
  Finalized(static_cast<unsigned>(at));
}

void RandomCalls::Finalized(unsigned at) {
  vms_[at].used = false;
  for (Frame& frame : frames_) {
    if (frame.vm == at && frame.use == Use::kVm) frame = {};
  }
}

void RandomCalls::Load(unsigned cpu) {
  if (hops_ == 0) return;
  --hops_;
  Put(cpu);
  const int at = PickVm([](const Vm& vm) {
    for (unsigned i = 0; i < kVcpus; ++i) {
      if (vm.used && !vm.dying && vm.has_vcpu[i] && vm.on_cpu[i] == 0)
        return true;
    }
    return false;
  });
  if (at < 0) return MakeVm();
  Vm& vm = vms_[static_cast<size_t>(at)];
  for (unsigned i = 0; i < kVcpus; ++i) {
    if (!vm.has_vcpu[i] || vm.on_cpu[i] != 0) continue;
    Do(RowOf(HF_VCPU_LOAD), Want::kSuccess, vm.handle, i);
    vm.on_cpu[i] = static_cast<int>(cpu) + 1;
    return;
  }
}

void RandomCalls::Put(unsigned cpu) {
  for (Vm& vm : vms_) {
    for (int& on : vm.on_cpu) {
      if (on != static_cast<int>(cpu) + 1) continue;
      Do(RowOf(HF_VCPU_PUT), Want::kSuccess);
      on = 0;
    }
  }
}

void RandomCalls::Sensible(unsigned cpu) {
  switch (Below(32)) {
    case 0:
      return Share();
    case 1:
      return Unshare();
    case 2:
      return Reserve();
    case 3:
      return Unreserve();
    case 4:
      return MakeVm();
    case 5:
      return MakeVcpu();
    case 6:
      return Topup();
    case 7:
      return Below(8) == 0 ? Teardown() : Topup();
    case 8:
      return Reclaim();
    case 9:
      return Reclaim();
    case 10:
      return Drain();
    case 11:
      return Finalize();
    case 12:
      return Load(cpu);
    case 13:
      return Put(cpu);
    case 14:
    case 15:
    case 16:
    case 17:
      return Force();
    case 18: {
      Do(RowOf(HF_VM_FRAMES_NEEDED), Want::kSuccess, 1 + Below(HF_MAX_VCPUS));
      return;
    }
    case 19:
      return Below(64) == 0 ? FillSlots() : Share();
    case 20:
      Do(RowOf(HF_PROBE), Want::kSuccess);
      Do(RowOf(HF_SET_ABORT_STYLE), Want::kSuccess, Below(2));
      return;
    case 21:
      return EndLoan(-1);
    case 22:
    case 23:
      return Tune(cpu);
    case 24:
      return GuestShare(cpu);
    case 25:
      return Poison(cpu);
    default:
      return Donate(cpu);
  }
}

// ---- Wild calls
// -------------------------------------------------------------- What succeeds
// by luck must be remembered like the rest.

void RandomCalls::Wild(unsigned cpu) {
  const size_t row = Below(kCallCount);
  const uint64_t id = kCallRows[row].id;
  const int live = PickVm([](const Vm& vm) { return vm.used; });
  const auto index_of = [&](uint64_t pfn) -> int {
    return pfn >= first_ && pfn < first_ + kFrames
               ? static_cast<int>(pfn - first_)
               : -1;
  };
  const auto good = [](const Reply& reply) {
    return reply.x0 == 0 && static_cast<int64_t>(reply.x1) >= 0;
  };
  const auto vm_of = [&](uint64_t handle) -> int {
    for (unsigned i = 0; i < kVms; ++i) {
      if (vms_[i].used && vms_[i].handle == handle) return static_cast<int>(i);
    }
    return -1;
  };
  const auto mark = [&](uint64_t pfn, uint64_t count, Use use, int vm) {
    for (uint64_t i = 0; i < count; ++i) {
      const int at = index_of(pfn + i);
      if (at >= 0)
        frames_[static_cast<size_t>(at)] = {use, static_cast<uint8_t>(vm), 0};
    }
  };
  // RAM of the host outside the pool is spared: what a wild call did to it
  // would be remembered nowhere.
  uint64_t pfn = WildFrame();
  if (index_of(pfn) < 0 && pfn >= host_.first_ram_frame() &&
      pfn < host_.beyond_ram_frame()) {
    pfn = host_.el2_frame();
  }
  const uint64_t handle = WildHandle();
  const auto few = [&](uint64_t at) {
    if (Below(8) == 0) return Below(2) * ~uint64_t{0};  // none, or no number
    const int index = index_of(at);
    return index < 0 ? 1 + Below(3) : FewPages(index);
  };

  switch (id) {
    case HF_HOST_SHARE_HYP: {
      if (good(Do(row, Want::kAnything, pfn))) mark(pfn, 1, Use::kShared, 0);
      return;
    }
    case HF_HOST_UNSHARE_HYP: {
      if (Below(4) == 0) {
        const int run =
            PickFrame([](const Frame& f) { return f.use == Use::kRunPage; });
        if (run >= 0) pfn = Pfn(run);
      }
      if (good(Do(row, Want::kAnything, pfn))) mark(pfn, 1, Use::kFree, 0);
      return;
    }
    case HF_HOST_DONATE_GUEST: {
      uint64_t gfn = Below(2) == 0 ? WildNumber() : Below(32);
      // One in four on the VM's poisoned or used gfns.
      const int at = LoadedVm(cpu);
      if (at >= 0 && Below(4) == 0)
        gfn = vms_[static_cast<size_t>(at)].poisoned_gfn;
      const int free_frame =
          PickFrame([](const Frame& f) { return f.use == Use::kFree; });
      if (Below(2) == 0 && free_frame >= 0) pfn = Pfn(free_frame);
      const Reply reply = Do(row, Want::kAnything, pfn, gfn, few(pfn));
      if (good(reply) && at >= 0)
        Donated(static_cast<unsigned>(at), pfn, gfn, reply.x2);
      return;
    }
    case HF_FORCE_RECLAIM_GUEST_PAGE: {
      const Reply reply = Do(row, Want::kAnything, pfn, few(pfn));
      if (good(reply)) Forced(pfn, reply.x2);
      return;
    }
    case HF_RECLAIM_DYING_GUEST_PAGE: {
      uint64_t gfn = Below(2) == 0 ? WildNumber() : Below(64);
      uint64_t target = handle;
      if (const int loan =
              PickLoan([&](const Loan& l) { return vms_[l.vm].dying; });
          loan >= 0) {  // rare, so not left to chance
        target = vms_[loans_[static_cast<size_t>(loan)].vm].handle;
        gfn = loans_[static_cast<size_t>(loan)].gfn;
      }
      const uint64_t pages = Below(4) == 0 ? WildNumber() : 1 + Below(4);
      const Reply reply = Do(row, Want::kAnything, target, gfn, pages);
      if (good(reply))
        Reclaimed(static_cast<unsigned>(vm_of(target)), gfn, pages);
      return;
    }
    case HF_RESERVE_VM: {
      if (reserved_count_ + 8 >= reserved_.size()) return;
      const Reply reply = Do(row, Want::kAnything, WildNumber());
      if (good(reply)) reserved_[reserved_count_++] = reply.x1;
      return;
    }
    case HF_UNRESERVE_VM: {
      if (!good(Do(row, Want::kAnything, handle))) return;
      for (unsigned i = 0; i < reserved_count_; ++i) {
        if (reserved_[i] != handle) continue;
        reserved_[i] = reserved_[--reserved_count_];
        break;
      }
      return;
    }
    case HF_VM_FRAMES_NEEDED: {
      Do(row, Want::kAnything, WildNumber());
      return;
    }
    case HF_INIT_VM: {
      // One argument is off, each in its turn: nothing of this can succeed.
      const uint64_t target =
          reserved_count_ > 0 ? reserved_[Below(reserved_count_)] : handle;
      const int run = PickRun(4, 4);
      const uint64_t base = run >= 0 ? Pfn(run) : pfn;
      const int taken =
          PickFrame([](const Frame& f) { return f.use != Use::kFree; });
      switch (Below(7)) {
        case 0:
          if (live < 0) return;
          Do(row, Want::kAnything, vms_[static_cast<size_t>(live)].handle, base,
             base + 2, 1, 1);
          return;
        case 1:
          Do(row, Want::kAnything, target, base, base + 2, 0, 1);
          return;
        case 2:
          Do(row, Want::kAnything, target, base, base + 2,
             HF_MAX_VCPUS + 1 + Below(9), 1);
          return;
        case 3:
          Do(row, Want::kAnything, target, base, base + 2, 1,
             2 + WildNumber() * 4);
          return;
        case 4:
          Do(row, Want::kAnything, target, base, base, 1, 1);
          return;  // overlap
        case 5:
          if (taken >= 0) {
            Do(row, Want::kAnything, target, Pfn(taken), base, 1, 1);
            return;
          }
          [[fallthrough]];
        default:
          Do(row, Want::kAnything, target, host_.el2_frame(), base, 1, 1);
          return;
      }
    }
    case HF_INIT_VCPU: {
      const uint64_t target =
          live >= 0 ? vms_[static_cast<size_t>(live)].handle : handle;
      const int free_frame =
          PickFrame([](const Frame& f) { return f.use == Use::kFree; });
      const int shared =
          PickFrame([](const Frame& f) { return f.use == Use::kShared; });
      const int pinned =
          PickFrame([](const Frame& f) { return f.use == Use::kRunPage; });
      const uint64_t memory = free_frame >= 0 ? Pfn(free_frame) : pfn;
      const uint64_t run = shared >= 0 ? Pfn(shared) : pfn;
      switch (Below(5)) {
        case 0:
          Do(row, Want::kAnything, 0x10ff + Below(3), 0, memory, run);
          return;
        case 1:
          Do(row, Want::kAnything, target, kVcpus + WildNumber() % 1000, memory,
             run);
          return;
        case 2:
          Do(row, Want::kAnything, target, Below(kVcpus), host_.el2_frame(),
             run);
          return;
        case 3:
          if (pinned >= 0)
            Do(row, Want::kAnything, target, Below(kVcpus), memory,
               Pfn(pinned));
          return;
        default:
          Do(row, Want::kAnything, target, Below(kVcpus), memory,
             host_.el2_frame());
          return;
      }
    }
    case HF_TOPUP_VM: {
      const uint64_t count = Below(3) == 0 ? WildNumber() : Below(3);
      const uint64_t target = live >= 0 && Below(2) == 0
                                  ? vms_[static_cast<size_t>(live)].handle
                                  : handle;
      const Reply reply = Do(row, Want::kAnything, target, pfn, count);
      if (good(reply)) mark(pfn, reply.x2, Use::kStock, vm_of(target));
      return;
    }
    case HF_START_TEARDOWN_VM: {
      // Live VMs that could die of it are spared, or none would grow old.
      const int at = vm_of(handle);
      if (at >= 0 && !vms_[static_cast<size_t>(at)].dying &&
          !Loaded(vms_[static_cast<size_t>(at)])) {
        return;
      }
      Do(row, Want::kAnything, handle);
      return;
    }
    case HF_DRAIN_VM: {
      const int full = PickVm([](const Vm& vm) {
        return vm.used && vm.dying && vm.guest_pages > 0;
      });
      if (full >= 0) {  // rare, so not left to chance
        Do(row, Want::kAnything, vms_[static_cast<size_t>(full)].handle);
        return;
      }
      const Reply reply = Do(row, Want::kAnything, handle);
      if (const int at = vm_of(handle); at >= 0)
        DoDrain(static_cast<unsigned>(at), reply);
      return;
    }
    case HF_FINALIZE_TEARDOWN_VM: {
      const int at = vm_of(handle);
      // A dying VM that was never given anything needs no draining.
      if (good(Do(row, Want::kAnything, handle)) && at >= 0)
        Finalized(static_cast<unsigned>(at));
      return;
    }
    case HF_VCPU_LOAD: {
      const uint64_t index = Below(3) == 0 ? WildNumber() : Below(kVcpus);
      if (Below(2) == 0) Put(cpu);
      if (!good(Do(row, Want::kAnything, handle, index))) return;
      if (const int at = vm_of(handle); at >= 0) {
        vms_[static_cast<size_t>(at)].on_cpu[index] = static_cast<int>(cpu) + 1;
      } else {
        Do(RowOf(HF_VCPU_PUT),
           Want::kAnything);  // another CPU's VM: let go at once
      }
      return;
    }
    case HF_HOST_SHARE_GUEST:
    case HF_HOST_UNSHARE_GUEST:
    case HF_HOST_RELAX_PERMS_GUEST:
    case HF_HOST_WRPROTECT_GUEST:
    case HF_HOST_TEST_CLEAR_YOUNG_GUEST:
    case HF_HOST_MKYOUNG_GUEST:
    case HF_TLB_FLUSH_VMID:
      return WildLoan(cpu, row);
    case HF_VCPU_IN_POISON_FAULT:
    case HF_PROBE:
    case HF_SET_ABORT_STYLE:
      Do(row, Want::kAnything, WildNumber());
      return;
    default: {
      if (!good(Do(row, Want::kAnything))) return;
      for (Vm& vm : vms_) {
        for (int& on : vm.on_cpu) {
          if (on == static_cast<int>(cpu) + 1) on = 0;
        }
      }
      return;
    }
  }
}

void RandomCalls::Step(unsigned cpu) {
  hops_ = 8;
  if (Below(2) == 0) {
    Sensible(cpu);
  } else {
    Wild(cpu);
  }
}

unsigned RandomCalls::Finish(unsigned cpu) {
  Put(cpu);
  while (reserved_count_ > 0) Unreserve();
  for (unsigned at = 0; at < kVms; ++at) {
    Vm& vm = vms_[at];
    if (!vm.used) continue;
    if (!vm.dying) Do(RowOf(HF_START_TEARDOWN_VM), Want::kSuccess, vm.handle);
    vm.dying = true;
    while (!vm.is_protected && vm.guest_pages > 0)
      EndLoan(static_cast<int>(at));
    for (Frame& frame : frames_) {
      if (frame.use != Use::kGuest && frame.use != Use::kGuestShared) continue;
      if (frame.vm != at) continue;
      Do(RowOf(HF_RECLAIM_DYING_GUEST_PAGE), Want::kSuccess, vm.handle,
         frame.gfn, 1);
      frame = {};
    }
    Reply drain;
    do {
      drain = Do(RowOf(HF_DRAIN_VM), Want::kSuccess, vm.handle);
    } while (drain.x1 == 0 && drain.x2 != 0);
    DoDrain(at, drain);
    Do(RowOf(HF_FINALIZE_TEARDOWN_VM), Want::kSuccess, vm.handle);
    Finalized(at);
  }
  unsigned lost = 0;
  for (unsigned i = 0; i < kFrames; ++i) {
    if (frames_[i].use == Use::kShared) {
      Do(RowOf(HF_HOST_UNSHARE_HYP), Want::kSuccess, first_ + i);
    }
    if (!host_.Load((first_ + i) * host_.page_size()).done) ++lost;
  }
  return lost;
}

}  // namespace holdfast::random
