// SPDX-License-Identifier: Apache-2.0
#include "tests/world/world.h"

#include <utility>

#include "base/result.h"
#include "gtest/gtest.h"

namespace holdfast::tests {
namespace {

using mem_protect::Region;
using mem_protect::RegionKind;

constexpr uint64_t AlignUp(uint64_t value, uint64_t size) {
  return (value + size - 1) / size * size;
}

std::vector<Region> Regions() {
  return {
      {PhysAddr(kGicBase), 64 << 10, RegionKind::kMmio},
      {PhysAddr(kUartBase), AlignUp(4096, kPageSize), RegionKind::kMmio},
      {PhysAddr(kRamBase), kRamSize, RegionKind::kMemory},
      {PhysAddr(kNoMapBase), kNoMapSize, RegionKind::kNoMap},
      {PhysAddr(kRam2Base), kRam2Size, RegionKind::kMemory},
  };
}

}  // namespace

World::World(const Options& options)
    : board_({.machine = {.cpus = options.cpus,
                          .features = options.features,
                          .adversarial_tlb = options.adversarial_tlb,
                          .record_events = options.record_events,
                          .hooks = options.hooks,
                          .print_violations = options.print_violations,
                          .seed = options.seed,
                          .guest = options.guest,
                          .scheduling_point = options.scheduling_point},
              .regions = Regions(),
              .image = {{Pfn(kImageBase / kPageSize), kImageFrames}}}) {
  next_frame_ = kRamBase / kPageSize;
  EXPECT_TRUE(board_.booted().has_value());
}

World::~World() = default;

namespace {

// An access that is retried for as long as EL2 says that it would work now.
template <class Access>
auto Retried(hyp::Hypervisor& hv, Access access) -> decltype(access()) {
  bool refused = false;
  auto result = sim::Retry(
      access,
      [&](const sim::Fault& fault) {
        refused = hv.HandleHostAbort(HostAbortOf(fault)) !=
                  hyp::HostAbortAction::kRetry;
        return !refused;
      },
      /*limit=*/1000);
  if (!result.has_value() && !refused) {
    ADD_FAILURE() << "an access is retried for ever: "
                  << sim::ToString(result.error());
  }
  return result;
}

unsigned ThisCpu() { return machine::ThisCpu().index; }

}  // namespace

std::optional<uint64_t> World::Load(uint64_t address) {
  auto value = Retried(
      hv(), [&] { return machine().HostRead64(ThisCpu(), Ipa(address)); });
  if (!value.has_value()) return std::nullopt;
  return *value;
}

bool World::Store(uint64_t address, uint64_t value) {
  return Retried(hv(),
                 [&] {
                   return machine().HostWrite64(ThisCpu(), Ipa(address), value);
                 })
      .has_value();
}

bool World::Exec(uint64_t address) {
  return Retried(hv(),
                 [&] { return machine().HostExec(ThisCpu(), Ipa(address)); })
      .has_value();
}

bool World::Fill(uint64_t pfn, uint64_t value) {
  return Retried(hv(),
                 [&] {
                   return machine().HostFillPage(ThisCpu(),
                                                 Ipa(pfn * kPageSize), value);
                 })
      .has_value();
}

bool World::Holds(uint64_t pfn, uint64_t value) {
  const auto same = Retried(hv(), [&] {
    return machine().HostPageIs(ThisCpu(), Ipa(pfn * kPageSize), value);
  });
  return same.has_value() && *same;
}

std::optional<Stage2Context> World::ContextOf(uint64_t handle) {
  SpinlockHolder hold(hv().vms().lock);
  vm_table::Vm* vm = hv().vms().Find(VmHandle(static_cast<uint16_t>(handle)));
  if (vm == nullptr) return std::nullopt;
  return vm->stage2.context();
}

template <class DoAccess>
auto World::AsGuest(uint64_t handle, DoAccess access) -> decltype(access()) {
  return sim::Retry(access, [&](const sim::Fault& fault) {
    guest_faults_[ThisCpu()] = fault;
    const vm_table::Vcpu* vcpu = hv().loaded(ThisCpu());
    return vcpu != nullptr && vcpu->vm().handle().value() == handle &&
           hv().HandleGuestAbort(GuestExitOf(fault)) ==
               hyp::GuestAction::kResume;
  });
}

std::optional<uint64_t> World::GuestLoad(uint64_t handle, uint64_t ipa) {
  const auto context = ContextOf(handle);
  if (!context.has_value()) return std::nullopt;
  const auto value = AsGuest(handle, [&] {
    return machine().GuestRead64(ThisCpu(), *context, Ipa(ipa));
  });
  if (!value.has_value()) return std::nullopt;
  return *value;
}

bool World::GuestStore(uint64_t handle, uint64_t ipa, uint64_t value) {
  const auto context = ContextOf(handle);
  return context.has_value() &&
         AsGuest(handle, [&] {
           return machine().GuestWrite64(ThisCpu(), *context, Ipa(ipa), value);
         }).has_value();
}

bool World::GuestExec(uint64_t handle, uint64_t ipa, bool privileged) {
  const auto context = ContextOf(handle);
  return context.has_value() &&
         AsGuest(handle, [&] {
           return machine().GuestExec(ThisCpu(), *context, Ipa(ipa),
                                      privileged);
         }).has_value();
}

GuestReply World::GuestCall(uint64_t id, uint64_t x1, uint64_t x2,
                            uint64_t x3) {
  GuestReply reply{.regs = {.x = {id, x1, x2, x3}, .pc = kGuestPc}};
  reply.action = hv().HandleGuestCall(reply.regs);
  return reply;
}

uint64_t World::Frames(uint64_t count, uint64_t align) {
  uint64_t first = AlignUp(next_frame_, align);
  const uint64_t image = kImageBase / kPageSize;
  if (first < image + kImageFrames && first + count > image) {
    first = AlignUp(image + kImageFrames, align);
  }
  next_frame_ = first + count;
  EXPECT_LE(next_frame_, board_.carveout().first.value())
      << "the test uses more RAM than there is";
  return first;
}

HostVm World::MakeVm(unsigned vcpus, uint64_t stock, bool is_protected) {
  HostVm vm;
  vm.is_protected = is_protected;
  const Reply needs = Call(HF_VM_FRAMES_NEEDED, vcpus);
  vm.memory_frames = needs.x1;
  vm.root_frames = needs.x2;
  vm.vcpu_frames = needs.x3;
  vm.memory = Frames(vm.memory_frames);
  vm.root = Frames(vm.root_frames, vm.root_frames);
  vm.handle = Call(HF_RESERVE_VM).x1;
  EXPECT_EQ(ToString(Call(HF_INIT_VM, vm.handle, vm.memory, vm.root, vcpus,
                          is_protected ? HF_VM_PROTECTED : 0)),
            "0");
  for (unsigned i = 0; i < vcpus; ++i) {
    vm.run_pages.push_back(Frames(1));
    vm.vcpu_memory.push_back(Frames(vm.vcpu_frames));
    EXPECT_EQ(ToString(Call(HF_HOST_SHARE_HYP, vm.run_pages[i])), "0");
    EXPECT_EQ(ToString(Call(HF_INIT_VCPU, vm.handle, i, vm.vcpu_memory[i],
                            vm.run_pages[i])),
              "0");
  }
  const uint64_t first = stock > 0 ? Frames(stock) : 0;
  for (uint64_t done = 0; done < stock;) {
    const Reply topup =
        Call(HF_TOPUP_VM, vm.handle, first + done, stock - done);
    EXPECT_EQ(ToString(topup), "0");
    if (!topup.ok()) break;
    done += topup.x2;
  }
  return vm;
}

// What a guest borrows, the host takes back leaf by leaf.
void World::UnshareAll(const HostVm& vm) {
  uint64_t from = 0;
  for (;;) {
    std::optional<mem_protect::MemProtect::Stage2::LeafAt> leaf;
    {
      SpinlockHolder hold(hv().vms().lock);
      vm_table::Vm& object =
          *hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
      SpinlockHolder vm_hold(object.stage2.lock);
      Ipa reached;
      leaf = object.stage2.NextLeaf(Ipa(from), ~uint32_t{0}, &reached);
      from = reached.value();
    }
    if (!leaf.has_value()) return;
    const uint64_t pages =
        mem_protect::MemProtect::Granule::Size(leaf->level) / kPageSize;
    EXPECT_EQ(ToString(Call(HF_HOST_UNSHARE_GUEST, vm.handle,
                            Gfn::Of(leaf->ipa).value(), pages)),
              "0");
  }
}

void World::EndVm(const HostVm& vm) {
  Call(HF_VCPU_PUT);
  EXPECT_EQ(ToString(Call(HF_START_TEARDOWN_VM, vm.handle)), "0");
  if (!vm.is_protected) UnshareAll(vm);
  for (uint64_t gfn = 0; gfn != HF_NO_GFN;) {
    const Reply reply = Call(HF_RECLAIM_DYING_GUEST_PAGE, vm.handle, gfn, 1);
    EXPECT_TRUE(reply.ok() || reply.result() == -HF_ENOENT) << ToString(reply);
    gfn = reply.x2;
  }
  Reply drain;
  do {
    drain = Call(HF_DRAIN_VM, vm.handle);
    EXPECT_EQ(ToString(drain), "0");
  } while (drain.ok() && drain.x2 != 0);
  EXPECT_EQ(ToString(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle)), "0");
  for (uint64_t page : vm.run_pages)
    EXPECT_EQ(ToString(Call(HF_HOST_UNSHARE_HYP, page)), "0");
}

}  // namespace holdfast::tests
