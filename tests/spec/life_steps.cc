// SPDX-License-Identifier: Apache-2.0
//
// The life of a VM.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "tests/spec/call_steps.h"
#include "tests/spec/transitions.h"

namespace holdfast::spec {
namespace {

constexpr uint64_t kFirstHandle = 0x1000;
constexpr uint64_t kSlots = 255;

}  // namespace

// C: a free slot (ENOMEM); the first is taken.
Outcome ReserveVm(Run& run, const Arguments&) {
  Run::Section section(run);
  const auto& slots = run.table().slots;
  for (uint64_t handle = kFirstHandle; handle < kFirstHandle + kSlots;
       ++handle) {
    if (slots.contains(handle)) continue;
    run.TableToChange().slots[handle].state = SlotState::kReserved;
    return Ok(handle);
  }
  return Failed(HF_ENOMEM);
}

namespace {

bool IsReserved(Run& run, uint64_t handle) {
  const auto at = run.table().slots.find(handle);
  return at != run.table().slots.end() &&
         at->second.state == SlotState::kReserved;
}

}  // namespace

// C: reserved (EINVAL).
Outcome UnreserveVm(Run& run, const Arguments& x) {
  if (!IsHandle(x[0])) return Failed(HF_EINVAL);
  Run::Section section(run);
  if (!IsReserved(run, x[0])) return Failed(HF_EINVAL);
  run.TableToChange().slots.erase(x[0]);
  return Ok();
}

// C: 1..HF_MAX_VCPUS (EINVAL).
Outcome FramesNeeded(Run& run, const Arguments& x) {
  if (x[0] == 0 || x[0] > HF_MAX_VCPUS) return Failed(HF_EINVAL);
  return Ok(run.layout().VmFrames(x[0]), run.layout().root_pages,
            run.layout().VcpuFrames());
}

// C: a reserved handle, vCPUs, flags, frames, an aligned root (EINVAL); memory
// to give (DonateHypError; ENOMEM). The slot is "initialising" meanwhile.
Outcome InitVm(Run& run, const Arguments& x) {
  const auto [handle, memory, root, vcpus, flags] = x;
  const Layout& layout = run.layout();
  if (!IsHandle(handle)) return Failed(HF_EINVAL);
  {
    Run::Section section(run);
    if (!IsReserved(run, handle)) return Failed(HF_EINVAL);
    run.TableToChange().slots[handle].state = SlotState::kInitialising;
  }
  int error = 0;
  Frames ranges[2];
  if (vcpus == 0 || vcpus > HF_MAX_VCPUS ||
      (flags & ~uint64_t{HF_VM_PROTECTED}) != 0 || !layout.IsPfn(memory) ||
      !layout.IsPfn(root) || root % layout.root_pages != 0) {
    error = HF_EINVAL;
  } else {
    ranges[0] = {memory, layout.VmFrames(vcpus)};
    ranges[1] = {root, layout.root_pages};
    Run::Section section(run);
    error = DonateHypError(run, ranges);
    if (error == 0 && run.OutOfTables(2, ranges[0].count + ranges[1].count))
      error = HF_ENOMEM;
    if (error == 0) {
      for (const Frames& range : ranges) DonateHyp(run, range);
    }
  }
  Run::Section section(run);
  Slot& slot = run.TableToChange().slots[handle];
  if (error != 0) {
    slot.state = SlotState::kReserved;
    return Failed(error);
  }
  slot = {.state = SlotState::kLive,
          .is_protected = (flags & HF_VM_PROTECTED) != 0,
          .vcpu_count = static_cast<uint32_t>(vcpus),
          .memory = ranges[0],
          .root = ranges[1],
          .references = 0,
          .vcpus = {}};
  return Ok();
}

// C: a VM (ENOENT), not dying, an index that it has and that is free, frames
// (EINVAL); memory to give (DonateHypError); a run page shared with EL2
// (EINVAL, EPERM) that is nobody's yet (EBUSY).
Outcome InitVcpu(Run& run, const Arguments& x) {
  const auto [handle, index, memory, run_page, x5] = x;
  const Layout& layout = run.layout();
  if (!IsHandle(handle)) return Failed(HF_ENOENT);
  Run::Section section(run);
  const Slot* slot = VmOf(run, handle);
  if (slot == nullptr) return Failed(HF_ENOENT);
  if (slot->state == SlotState::kDying || index >= slot->vcpu_count ||
      slot->vcpus.contains(static_cast<uint32_t>(index)) ||
      !layout.IsPfn(memory) || !layout.IsPfn(run_page)) {
    return Failed(HF_EINVAL);
  }
  const Frames frames{memory, layout.VcpuFrames()};
  if (int e = DonateHypError(run, {&frames, 1}); e != 0) return Failed(e);
  if (int e = PinError(run, run_page); e != 0) return Failed(e);
  if (PageOf(run, run_page).count != 0) return Failed(HF_EBUSY);
  if (run.OutOfTables(2, frames.count + 1)) return Failed(HF_ENOMEM);
  DonateHyp(run, frames);
  Pin(run, run_page);
  Vcpu vcpu;
  vcpu.memory = frames;
  vcpu.run_page = run_page;
  run.TableToChange().slots[handle].vcpus[static_cast<uint32_t>(index)] = vcpu;
  return Ok();
}

// C: a VM (ENOENT), not dying; frames, at least one (EINVAL); of what fits the
// budget: memory to give (DonateHypError; ENOMEM). x2: how many.
Outcome TopupVm(Run& run, const Arguments& x) {
  const auto [handle, pfn, pages, x4, x5] = x;
  if (!IsHandle(handle)) return Failed(HF_ENOENT);
  std::optional<Reference> reference;
  {
    Run::Section section(run);
    const Slot* slot = VmOf(run, handle);
    if (slot == nullptr) return Failed(HF_ENOENT);
    if (slot->state == SlotState::kDying) return Failed(HF_EINVAL);
    reference.emplace(run, handle);
  }
  const Frames chunk{pfn, std::min(pages, Layout::Budget())};
  if (!run.layout().IsPfn(pfn)) return Failed(HF_EINVAL);
  {
    Run::Section section(run);
    if (int e = DonateHypError(run, {&chunk, 1}); e != 0) return Failed(e);
    if (run.OutOfTables(1, chunk.count)) return Failed(HF_ENOMEM);
    DonateHyp(run, chunk);
  }
  Run::Section section(run);
  Vm& vm = run.VmToChange(handle);
  for (uint64_t i = 0; i < chunk.count; ++i) vm.stock.insert(pfn + i);
  vm.stock_frames += chunk.count;
  return Ok(0, chunk.count);
}

// C: a VM (EINVAL); unreferenced (EBUSY); not dying yet (EINVAL).
Outcome StartTeardown(Run& run, const Arguments& x) {
  if (!IsHandle(x[0])) return Failed(HF_EINVAL);
  Run::Section section(run);
  const Slot* slot = VmOf(run, x[0]);
  if (slot == nullptr) return Failed(HF_EINVAL);
  if (slot->references != 0) return Failed(HF_EBUSY);
  if (slot->state == SlotState::kDying) return Failed(HF_EINVAL);
  run.TableToChange().slots[x[0]].state = SlotState::kDying;
  return Ok();
}

namespace {

// A drain that is under way: it moves tables to stock, stock and vCPUs to the
// host, as many as fit; the contract says neither in which order nor under
// which sequence of locks. Between their sections frames are nobody's.
class Drain {
 public:
  Drain(Run& run, uint64_t handle) : run_(run), handle_(handle) {}

  // One section's part of it.
  void Step() {
    if (run_.HoldsVm(handle_)) PruneAndPop();
    if (run_.HoldsTable()) TakeVcpus();
    if (run_.HoldsHost()) Give();
    if (run_.HoldsVm(handle_) && run_.HoldsTable()) {
      left_ = run_.vm(handle_).stock_frames +
              run_.table().slots.at(handle_).vcpus.size();
    }
  }
  uint64_t left() const { return left_; }
  uint64_t returned() const { return returned_; }

  void Check() {
    for (uint64_t pfn : in_hand_) {
      run_.Wrong(absl::StrFormat(
          "drain took frame %#x from the VM and gave it to nobody", pfn));
    }
    for (uint64_t pfn : pinned_) {
      run_.Wrong(absl::StrFormat("drain left run page %#x pinned", pfn));
    }
    if (left_ != 0 && returned_ == 0 && !progress_)
      run_.Wrong("drain came no further");
    if (returned_ > 2 * Layout::Budget()) run_.Wrong("drain took too long");
  }

 private:
  // Poison goes with the tables; nothing else can be in them.
  void PruneAndPop() {
    const Vm& found = run_.found_vm(handle_);
    Vm& vm = run_.VmToChange(handle_);
    for (auto at = vm.entries.begin(); at != vm.entries.end();) {
      if (at->second.poisoned && !found.entries.contains(at->first)) {
        at = vm.entries.erase(at);
        progress_ = true;
      } else {
        ++at;
      }
    }
    DropEmptyTables(vm);
    for (auto at = vm.stock.begin(); at != vm.stock.end();) {
      if (found.stock.contains(*at)) {
        ++at;
        continue;
      }
      in_hand_.insert(*at);
      --vm.stock_frames;
      at = vm.stock.erase(at);
    }
  }
  void TakeVcpus() {
    const auto& found = run_.found_table().slots;
    const auto now = found.find(handle_);
    if (now == found.end()) return;
    auto& vcpus = run_.TableToChange().slots[handle_].vcpus;
    for (auto at = vcpus.begin(); at != vcpus.end();) {
      if (now->second.vcpus.contains(at->first)) {
        ++at;
        continue;
      }
      if (at->second.loaded) run_.Wrong("drain took a vCPU that is loaded");
      const Frames& memory = at->second.memory;
      for (uint64_t p = memory.first; p < memory.end(); ++p) in_hand_.insert(p);
      pinned_.insert(at->second.run_page);
      at = vcpus.erase(at);
    }
  }
  void Give() {
    for (auto at = in_hand_.begin(); at != in_hand_.end();) {
      if (run_.layout().At(run_.found_host(), *at) == PageOf(run_, *at)) {
        ++at;
        continue;
      }
      GiveBack(run_, *at);
      ++returned_;
      at = in_hand_.erase(at);
    }
    for (auto at = pinned_.begin(); at != pinned_.end();) {
      if (run_.layout().At(run_.found_host(), *at) == PageOf(run_, *at)) {
        ++at;
        continue;
      }
      Unpin(run_, *at);
      at = pinned_.erase(at);
    }
  }

  Run& run_;
  const uint64_t handle_;
  absl::btree_set<uint64_t> in_hand_;
  absl::btree_set<uint64_t> pinned_;
  uint64_t left_ = 0;
  uint64_t returned_ = 0;
  bool progress_ = false;
};

}  // namespace

// C: a dying VM (EINVAL) without pages (EBUSY, and how many). x2: what is left,
// x3: frames that came back.
Outcome DrainVm(Run& run, const Arguments& x) {
  const uint64_t handle = x[0];
  if (!IsHandle(handle)) return Failed(HF_EINVAL);
  std::optional<Reference> reference;
  {
    Run::Section section(run);
    const Slot* slot = VmOf(run, handle);
    if (slot == nullptr || slot->state != SlotState::kDying)
      return Failed(HF_EINVAL);
    reference.emplace(run, handle);
  }
  Drain drain(run, handle);
  {
    Run::Section section(run);
    if (run.vm(handle).pages != 0)
      return Failed(HF_EBUSY, run.vm(handle).pages);
    drain.Step();
  }
  // The last section is that of the reference.
  while (run.SectionsLeft() > 1) {
    Run::Section section(run);
    drain.Step();
  }
  drain.Check();
  return Ok(0, drain.left(), drain.returned());
}

// C: a VM (EINVAL); unreferenced (EBUSY, x2 = 0); dying (EINVAL); with no page,
// stock, table or vCPU left (EBUSY, and how many).
Outcome FinalizeTeardown(Run& run, const Arguments& x) {
  const uint64_t handle = x[0];
  if (!IsHandle(handle)) return Failed(HF_EINVAL);
  Frames memory;
  Frames root;
  {
    Run::Section section(run);
    const Slot* slot = VmOf(run, handle);
    if (slot == nullptr) return Failed(HF_EINVAL);
    if (slot->references != 0) return Failed(HF_EBUSY);
    if (slot->state != SlotState::kDying) return Failed(HF_EINVAL);
    const Vm& vm = run.vm(handle);
    const uint64_t left = vm.pages + vm.stock_frames + slot->vcpus.size();
    if (left != 0) return Failed(HF_EBUSY, left);
    memory = slot->memory;
    root = slot->root;
    run.TableToChange().slots.erase(handle);
  }
  for (const Frames& frames : {memory, root}) {
    Run::Section section(run);
    for (uint64_t pfn = frames.first; pfn < frames.end(); ++pfn)
      GiveBack(run, pfn);
  }
  return Ok();
}

}  // namespace holdfast::spec
