// SPDX-License-Identifier: Apache-2.0
//
// Each cell of the life of a VM: a handle is brought into the state, the call
// is made, and its answer and the state after it are as the cell says.
#include "hyp/life_cycle_matrix.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "hyp/abi.h"
#include "test_text.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using life_cycle_matrix::kRows;
using life_cycle_matrix::kStates;
using tests::HostVm;
using tests::Reply;
using tests::World;

constexpr uint64_t kGfn = 7;

class Cell {
 public:
  explicit Cell(const std::string& state) {
    if (state == "free" || state == "reserved") {
      vm_.handle = world_.Call(HF_RESERVE_VM).x1;
      if (state == "free") world_.Call(HF_UNRESERVE_VM, vm_.handle);
      return;
    }
    vm_ = MakeVm();
    if (state == "live") return;
    world_.Call(HF_VCPU_LOAD, vm_.handle, 0);
    if (state == "loaded") return;
    if (state == "dying, in use")
      world_.Call(HF_HOST_DONATE_GUEST, world_.Frames(1), kGfn, 1);
    world_.Call(HF_VCPU_PUT);
    world_.Call(HF_START_TEARDOWN_VM, vm_.handle);
    if (state == "drained") Drain();
  }

  std::string Do(const std::string& call) {
    const uint64_t handle = vm_.handle;
    if (call == "unreserve_vm") return Said(HF_UNRESERVE_VM, handle);
    if (call == "init_vm") {
      const Reply needs = world_.Call(HF_VM_FRAMES_NEEDED, 2);
      return Said(HF_INIT_VM, handle, world_.Frames(needs.x1),
                  world_.Frames(needs.x2, needs.x2), 2, HF_VM_PROTECTED);
    }
    if (call == "init_vcpu of vCPU 1") return InitVcpu(1);
    if (call == "init_vcpu of vCPU 0") return InitVcpu(0);
    if (call == "topup_vm")
      return Said(HF_TOPUP_VM, handle, world_.Frames(1), 1);
    if (call == "vcpu_load of vCPU 0") return Said(HF_VCPU_LOAD, handle, 0);
    if (call == "vcpu_load of vCPU 1") return Said(HF_VCPU_LOAD, handle, 1);
    if (call == "vcpu_put") return Said(HF_VCPU_PUT);
    if (call == "host_donate_guest")
      return Said(HF_HOST_DONATE_GUEST, world_.Frames(1), kGfn, 1);
    if (call == "start_teardown_vm") return Said(HF_START_TEARDOWN_VM, handle);
    if (call == "reclaim_dying_guest_page")
      return Said(HF_RECLAIM_DYING_GUEST_PAGE, handle, kGfn, 1);
    if (call == "drain_vm, until nothing is left") return ToString(Drain());
    if (call == "finalize_teardown_vm")
      return Said(HF_FINALIZE_TEARDOWN_VM, handle);
    return "no such call";
  }

  // Ends what there is to end, so it is asked last.
  std::string State() {
    {
      vm_table::VmTable& vms = world_.hv().vms();
      SpinlockHolder hold(vms.lock);
      if (vm_table::Vm* vm =
              vms.Find(VmHandle(static_cast<uint16_t>(vm_.handle)))) {
        if (!vms.IsDying(*vm)) {
          return world_.hv().loaded(0) != nullptr ? "loaded" : "live";
        }
        SpinlockHolder vm_hold(vm->stage2.lock);
        if (vm->guest_pages != 0) return "dying, in use";
        return vm->stock_frames + vms.VcpusAlive(*vm) == 0 ? "drained"
                                                           : "dying";
      }
    }
    return world_.Call(HF_UNRESERVE_VM, vm_.handle).ok() ? "reserved" : "free";
  }

  std::string Trouble() { return world_.Trouble(); }

 private:
  // Two vCPUs, of which the first is initialised.
  HostVm MakeVm() {
    HostVm vm;
    vm.handle = world_.Call(HF_RESERVE_VM).x1;
    const Reply needs = world_.Call(HF_VM_FRAMES_NEEDED, 2);
    vm.vcpu_frames = needs.x3;
    EXPECT_EQ(Said(HF_INIT_VM, vm.handle, world_.Frames(needs.x1),
                   world_.Frames(needs.x2, needs.x2), 2, HF_VM_PROTECTED),
              "0");
    vm_ = vm;
    EXPECT_EQ(InitVcpu(0), "0");
    EXPECT_EQ(Said(HF_TOPUP_VM, vm.handle, world_.Frames(8), 8), "0");
    return vm;
  }

  std::string InitVcpu(uint64_t index) {
    const uint64_t run_page = world_.Frames(1);
    world_.Call(HF_HOST_SHARE_HYP, run_page);
    return Said(HF_INIT_VCPU, vm_.handle, index,
                world_.Frames(world_.Call(HF_VM_FRAMES_NEEDED, 2).x3),
                run_page);
  }
  Reply Drain() {
    Reply reply;
    do {
      reply = world_.Call(HF_DRAIN_VM, vm_.handle);
    } while (reply.ok() && reply.x2 != 0);
    return reply;
  }
  template <class... Args>
  std::string Said(Args... args) {
    return ToString(world_.Call(args...));
  }

  World world_;
  HostVm vm_;
};

TEST(LifeCycleMatrix, EveryCallInEveryState) {
  for (size_t column = 0; column < kStates.size(); ++column) {
    for (const auto& row : kRows) {
      SCOPED_TRACE(absl::StrCat(row.call, " when ", kStates[column].name));
      const std::string cell = row.cells[column];
      const size_t arrow = cell.find('>');
      const std::string result = cell.substr(0, arrow);
      const std::string after = arrow == std::string::npos
                                    ? kStates[column].name
                                    : cell.substr(arrow + 1);
      Cell at(kStates[column].name);
      EXPECT_EQ(at.Do(row.call),
                result == "0" ? result : absl::StrCat("-", result));
      EXPECT_EQ(at.Trouble(), "");
      EXPECT_EQ(at.State(), after);
    }
  }
}

}  // namespace
}  // namespace holdfast::hyp
