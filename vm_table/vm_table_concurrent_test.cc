// SPDX-License-Identifier: Apache-2.0
//
// The table between CPUs that run at once. Each round ends one race, and the
// rounds start together.
#include <array>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "platforms/sim/machine.h"
#include "vm_table/test_table.h"
#include "vm_table/vm_table.h"

namespace holdfast::vm_table {
namespace {

// Two CPUs load one vCPU: one of them gets it.
TEST(VmTableConcurrentTest, AVcpuIsLoadedOnce) {
  constexpr unsigned kRounds = 500;
  sim::Machine machine(TestMachine(2));
  TestTable table;
  VmPointer vm;
  std::unique_ptr<Vcpu> vcpu;
  {
    sim::OnCpu on_cpu(machine, 0);
    vm = table.AddVm(1);
    vcpu = std::make_unique<Vcpu>(*vm, 0, FrameRange{}, Pfn());
    table.PublishVcpu(*vcpu);
  }
  std::barrier together(2);
  std::array<std::array<bool, kRounds>, 2> won{};
  machine.RunOnAllCpus([&](unsigned cpu) {
    for (unsigned round = 0; round < kRounds; ++round) {
      together.arrive_and_wait();
      const Result<LoadedVcpu> loaded = table.Load(vm->handle(), 0);
      won[cpu][round] = loaded.has_value();
      if (!loaded.has_value()) EXPECT_EQ(loaded.error(), Errno::kEbusy);
      // Put only after both have tried.
      together.arrive_and_wait();
      if (loaded.has_value()) table.Put(*loaded->vcpu);
    }
  });
  for (unsigned round = 0; round < kRounds; ++round) {
    EXPECT_NE(won[0][round], won[1][round]) << round;
  }
  sim::OnCpu on_cpu(machine, 0);
  EXPECT_EQ(table.References(*vm), 0u);
}

// A load against the start of the teardown: one of them comes first, and the
// other is told. A vCPU of a dying VM is never loaded.
TEST(VmTableConcurrentTest, LoadedOrDyingNeverBoth) {
  constexpr unsigned kRounds = 500;
  sim::Machine machine(TestMachine(2));
  TestTable table;
  VmPointer vm;
  std::unique_ptr<Vcpu> vcpu;
  const auto make = [&] {
    vm = table.AddVm(1);
    vcpu = std::make_unique<Vcpu>(*vm, 0, FrameRange{}, Pfn());
    table.PublishVcpu(*vcpu);
  };
  std::barrier together(2);
  std::atomic<bool> loads{false};
  std::atomic<bool> dies{false};
  machine.RunParallel({
      [&] {
        for (unsigned round = 0; round < kRounds; ++round) {
          make();
          together.arrive_and_wait();
          const Result<LoadedVcpu> loaded = table.Load(vm->handle(), 0);
          if (!loaded.has_value()) EXPECT_EQ(loaded.error(), Errno::kEinval);
          loads = loaded.has_value();
          together.arrive_and_wait();
          EXPECT_NE(loads, dies) << round;
          EXPECT_EQ(table.IsDying(*vm), dies);
          if (loaded.has_value()) {
            table.Put(*vcpu);
            EXPECT_TRUE(table.StartTeardown(vm->handle()).has_value());
          }
          uint32_t budget = 1;
          EXPECT_EQ(table.TakeVcpu(*vm, &budget), vcpu.get());
          table.Remove(*vm);
        }
      },
      [&] {
        for (unsigned round = 0; round < kRounds; ++round) {
          together.arrive_and_wait();
          const Status status = table.StartTeardown(VmHandle(0x1000));
          if (!status.has_value()) EXPECT_EQ(status.error(), Errno::kEbusy);
          dies = status.has_value();
          together.arrive_and_wait();
        }
      },
  });
}

// References come and go on all CPUs; none is lost, and none held up for ever.
TEST(VmTableConcurrentTest, ReferencesAreCounted) {
  constexpr unsigned kRounds = 500;
  sim::Machine machine(TestMachine(4));
  TestTable table;
  VmPointer vm;
  {
    sim::OnCpu on_cpu(machine, 0);
    vm = table.AddVm(1);
  }
  std::barrier together(4);
  machine.RunOnAllCpus([&](unsigned) {
    together.arrive_and_wait();
    for (unsigned round = 0; round < kRounds; ++round) {
      const VmRef first = table.Reference(*vm);
      const VmRef second = table.Reference(*vm);
      EXPECT_EQ(table.StartTeardown(vm->handle()).error(), Errno::kEbusy);
    }
  });
  sim::OnCpu on_cpu(machine, 0);
  EXPECT_EQ(table.References(*vm), 0u);
  EXPECT_TRUE(table.StartTeardown(vm->handle()).has_value());
}

// All CPUs reserve at once: each slot goes to one of them.
TEST(VmTableConcurrentTest, ASlotIsReservedOnce) {
  sim::Machine machine(TestMachine(4));
  TestTable table;
  std::array<std::atomic<unsigned>, kVmSlots> owners{};
  std::barrier together(4);
  machine.RunOnAllCpus([&](unsigned) {
    together.arrive_and_wait();
    for (;;) {
      const Result<VmHandle> handle = table.Reserve();
      if (!handle.has_value()) break;
      ++owners[handle->value() - kFirstHandle];
    }
  });
  for (uint32_t i = 0; i < kVmSlots; ++i) EXPECT_EQ(owners[i], 1u) << i;
}

}  // namespace
}  // namespace holdfast::vm_table
