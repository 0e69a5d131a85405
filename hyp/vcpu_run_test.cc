// SPDX-License-Identifier: Apache-2.0
//
// vcpu_run, with a guest whose program is the test's.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "hyp/syndrome.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using machine::GuestState;
using tests::HostVm;
using tests::World;

constexpr uint64_t kPc = HF_GUEST_ENTRY;
constexpr uint64_t kPsciCpuOn = 0xc400'0003, kPsciCpuOff = 0x8400'0002,
                   kPsciAffinityInfo = 0xc400'0004,
                   kPsciSystemOff = 0x8400'0008, kPsciVersion = 0x8400'0000,
                   kPsciFeatures = 0x8400'000a, kPsciSuspend = 0xc400'0001;

GuestTrap Sync(uint64_t ec, uint64_t iss = 0) {
  return {.stop = GuestStop::kSync, .esr = EsrOf(ec, iss)};
}
// ISS of a data abort with ISV, as the Arm ARM lays it out.
uint64_t Iss(unsigned log2_bytes, bool sign, unsigned rt, bool wide, bool write,
             uint64_t status = kFaultTranslationLevel3) {
  return uint64_t{1} << 24 | uint64_t{log2_bytes} << 22 | uint64_t{sign} << 21 |
         uint64_t{rt} << 16 | uint64_t{wide} << 15 | uint64_t{write} << 6 |
         status;
}

class VcpuRunTest : public testing::Test {
 protected:
  // What the guest does, an entry at a time; when all is done, interrupts come.
  using Turn = std::function<GuestTrap(GuestState&)>;

  GuestTrap Play(unsigned, const Stage2Context& stage2, GuestState& guest) {
    ran_in_ = stage2;
    if (turns_.empty()) return {};
    const Turn turn = turns_.front();
    turns_.erase(turns_.begin());
    return turn(guest);
  }
  void Then(Turn turn) { turns_.push_back(std::move(turn)); }
  // The guest makes a call.
  void ThenCall(std::vector<uint64_t> x) {
    Then([x](GuestState& guest) {
      for (size_t i = 0; i < x.size(); ++i) guest.regs.x[i] = x[i];
      guest.regs.pc += 4;
      return Sync(kEcHvc64);
    });
  }
  // It accesses `address`, as `iss` says.
  void ThenAbort(uint64_t address, uint64_t iss,
                 uint64_t ec = kEcDataAbortLower) {
    Then([=](GuestState&) {
      GuestTrap trap = Sync(ec, iss);
      // A VA that has the last 12 bits in common, and nothing else.
      trap.far = (address ^ 0x5000'0000'f000) + 0x1'0000'0000;
      trap.hpfar = HpfarOf(Ipa(address & ~uint64_t{0xfff}));
      return trap;
    });
  }
  void ThenLook(std::function<void(GuestState&)> look) {
    Then([look](GuestState& guest) {
      look(guest);
      return GuestTrap{};
    });
  }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3));
  }
  // Runs it, and what the run page says must agree with the result.
  uint64_t Run() {
    const tests::Reply reply = world_.Call(HF_VCPU_RUN);
    EXPECT_EQ(reply.x0, 0u);
    EXPECT_EQ(reply.x1, Page().exit);
    EXPECT_EQ(reply.x2, 0u);
    EXPECT_EQ(reply.x3, 0u);
    return reply.x1;
  }
  hf_run_page& PageOf(const HostVm& vm, unsigned vcpu = 0) {
    return *static_cast<hf_run_page*>(
        machine::PhysToVirt(PhysAddr(vm.run_pages[vcpu] * kPageSize)));
  }
  hf_run_page& Page() { return PageOf(*on_); }
  GuestState& State() {
    return world_.hv().loaded(machine::ThisCpu().index)->guest;
  }
  void Load(const HostVm& vm, unsigned vcpu = 0) {
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, vcpu), "0");
    on_ = &vm;
  }

  World world_{World::Options{
      .cpus = 2,
      .guest = [this](unsigned cpu, const Stage2Context& stage2,
                      GuestState& guest) { return Play(cpu, stage2, guest); }}};
  HostVm vm_ = world_.MakeVm(3);
  HostVm open_ = world_.MakeVm(1, 16, /*is_protected=*/false);
  const HostVm* on_ = &vm_;
  std::vector<Turn> turns_;
  Stage2Context ran_in_;
};

TEST_F(VcpuRunTest, NeedsALoadedVcpu) {
  EXPECT_EQ(Call(HF_VCPU_RUN), "-EINVAL");
}

TEST_F(VcpuRunTest, FirstCoreBeginsWhereNobodyChose) {
  Load(vm_);
  ThenLook([&](GuestState& guest) {
    EXPECT_EQ(guest.regs.pc, kPc);
    for (uint64_t x : guest.regs.x) EXPECT_EQ(x, 0u);
    EXPECT_EQ(guest.mpidr, uint64_t{1} << 31);
    guest.regs.x[7] = 77;
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  const Stage2Context& own = world_.hv().loaded(0)->vm().stage2.context();
  EXPECT_EQ(ran_in_.vttbr(), own.vttbr());
  // It goes on where it was.
  ThenLook([&](GuestState& guest) { EXPECT_EQ(guest.regs.x[7], 77u); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
}

TEST_F(VcpuRunTest, RunPageTellsNothingButTheExit) {
  Load(vm_);
  for (uint64_t i = 0; i < sizeof(hf_run_page) / 8; ++i)
    reinterpret_cast<uint64_t*>(&Page())[i] = 0;
  for (unsigned i = 0; i < 8; ++i)
    reinterpret_cast<uint64_t*>(&Page())[i] = ~uint64_t{0};
  Page().reserved0[55] = 5;
  Then([](GuestState& guest) {
    guest.regs.x.fill(0x5ec4e7);
    return GuestTrap{};
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  for (uint64_t i = 0; i < sizeof(hf_run_page) / 8; ++i)
    EXPECT_EQ(reinterpret_cast<uint64_t*>(&Page())[i], 0u) << i;
}

TEST_F(VcpuRunTest, MissingPageIsToldAndTheGuestNoneTheWiser) {
  Load(vm_);
  ThenAbort(0x8000'1238, Iss(3, false, 5, true, true));
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_EQ(Page().ipa, 0x8000'1000u);
  EXPECT_EQ(Page().syndrome, HF_ACCESS_WRITE);
  EXPECT_EQ(Page().value, 0u) << "a store to memory is nobody's business";
  Page().answered = 1;  // which it cannot
  Page().mmio_value = 99;
  ThenLook([&](GuestState& guest) {
    EXPECT_EQ(guest.regs.pc, kPc);
    EXPECT_EQ(guest.regs.x[5], 0u);
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);

  ThenAbort(0x8000'2000, 0x0f, kEcInstructionAbortLower);
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_EQ(Page().syndrome, HF_ACCESS_FETCH | HF_ACCESS_PERMISSION);
  ThenAbort(0x8000'2000, 0x07 | kEsrS1ptw);
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_EQ(Page().syndrome, uint64_t{HF_ACCESS_WALK});
}

TEST_F(VcpuRunTest, DevicesAreWhereTheGuestSaysTheyAre) {
  Load(vm_);
  ThenCall({HF_GUEST_MMIO_MAP, 0x1000'0000, 2, 0});
  ThenAbort(0x1000'1ff8, Iss(3, false, 5, true, true));
  ASSERT_EQ(Run(), HF_EXIT_MMIO);
  ThenAbort(0x1000'2000, Iss(3, false, 5, true, true));
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  ThenAbort(0x0fff'fff8, Iss(3, false, 5, true, true));
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  // What no single register is moved by is not decoded.
  ThenAbort(0x1000'0000, kFaultTranslationLevel3);
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
}

TEST_F(VcpuRunTest, StoreToADeviceTellsThatRegister) {
  Load(open_);
  Then([](GuestState& guest) {
    guest.regs.x[5] = 0x1122'3344'5566'7788;
    return GuestTrap{};
  });
  Run();
  const uint64_t values[] = {0x88, 0x7788, 0x5566'7788, 0x1122'3344'5566'7788};
  for (unsigned size = 0; size < 4; ++size) {
    ThenAbort(0x0900'0010, Iss(size, false, 5, true, true));
    ASSERT_EQ(Run(), HF_EXIT_MMIO);
    EXPECT_EQ(Page().ipa, 0x0900'0010u);
    EXPECT_EQ(Page().value, values[size]);
    EXPECT_EQ(Page().syndrome & HF_ACCESS_WRITE, 1u);
    EXPECT_EQ(HF_ACCESS_BYTES(Page().syndrome), 1u << size);
  }
  ThenAbort(0x0900'0010, Iss(3, false, 31, true, true));
  ASSERT_EQ(Run(), HF_EXIT_MMIO);
  EXPECT_EQ(Page().value, 0u) << "XZR";
  // Answered: it goes on behind the store. Not answered: it does it again.
  Page().answered = 1;
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.pc, kPc + 4); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  Page().answered = 0;
  ThenAbort(0x0900'0010, Iss(3, false, 5, true, true));
  ASSERT_EQ(Run(), HF_EXIT_MMIO);
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.pc, kPc + 4); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
}

TEST_F(VcpuRunTest, LoadFromADeviceIsExtendedAsTheInstructionWants) {
  struct Row {
    unsigned size;
    bool sign, wide;
    uint64_t given, wanted;
  };
  Load(open_);
  for (const Row& row : {Row{0, false, false, 0xabcd'ef81, 0x81},
                         Row{0, true, false, 0x81, 0xffff'ff81},
                         Row{0, true, true, 0x81, 0xffff'ffff'ffff'ff81},
                         Row{0, true, true, 0x71, 0x71},
                         Row{1, true, true, 0x8001, 0xffff'ffff'ffff'8001},
                         Row{2, false, false, 0x1'8000'0001, 0x8000'0001},
                         Row{2, true, true, 0x8000'0001, 0xffff'ffff'8000'0001},
                         Row{3, false, true, ~uint64_t{0}, ~uint64_t{0}}}) {
    ThenAbort(0x0900'0000, Iss(row.size, row.sign, 9, row.wide, false));
    ASSERT_EQ(Run(), HF_EXIT_MMIO);
    EXPECT_EQ(Page().value, 0u);
    Page().answered = 1;
    Page().mmio_value = row.given;
    ThenLook(
        [&](GuestState& guest) { EXPECT_EQ(guest.regs.x[9], row.wanted); });
    EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
    Page().answered = 0;
  }
  // A load into XZR changes nothing.
  ThenAbort(0x0900'0000, Iss(3, false, 31, true, false));
  ASSERT_EQ(Run(), HF_EXIT_MMIO);
  Page().answered = 1;
  Page().mmio_value = 0xbad;
  ThenLook([](GuestState& guest) {
    for (uint64_t x : guest.regs.x) EXPECT_NE(x, 0xbadu);
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
}

TEST_F(VcpuRunTest, CallIsAnsweredInFourRegisters) {
  Load(vm_);
  ThenCall({0x1234, 1, 2, 3, 4, 5});
  ASSERT_EQ(Run(), HF_EXIT_CALL);
  for (unsigned i = 0; i < 4; ++i)
    EXPECT_EQ(Page().x[i], (std::vector<uint64_t>{0x1234, 1, 2, 3}[i]));
  Page().answered = 1;
  for (unsigned i = 0; i < 4; ++i) Page().result[i] = 10 + i;
  ThenLook([](GuestState& guest) {
    for (unsigned i = 0; i < 4; ++i) EXPECT_EQ(guest.regs.x[i], 10 + i);
    EXPECT_EQ(guest.regs.x[4], 4u);
    EXPECT_EQ(guest.regs.pc, kPc + 4);
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  // Answered once is answered.
  ThenLook([](GuestState& guest) { guest.regs.x[0] = 5; });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.x[0], 5u); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  Page().answered = 0;
  ThenCall({0x1234});
  ASSERT_EQ(Run(), HF_EXIT_CALL);
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.x[0], ~uint64_t{0}); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
}

TEST_F(VcpuRunTest, BadRunPageChangesNothing) {
  Load(vm_);
  ThenCall({0x1234});
  ASSERT_EQ(Run(), HF_EXIT_CALL);
  const auto refused = [&] {
    EXPECT_EQ(Call(HF_VCPU_RUN), "-EINVAL");
    EXPECT_EQ(Page().exit, uint64_t{HF_EXIT_CALL});
    EXPECT_EQ(State().regs.x[0], 0x1234u);
    for (const auto& word : State().pending) EXPECT_EQ(word.load(), 0u);
  };
  Page().answered = 2;
  refused();
  Page().answered = 1;
  Page().interrupts = HF_MAX_INTERRUPTS + 1;
  refused();
  Page().interrupts = 2;
  Page().intid[0] = 40;
  for (const uint32_t bad : {0u, 15u, 27u, 31u, 288u, 1020u, 8192u, ~0u}) {
    Page().intid[1] = bad;
    refused();
  }
  Page().intid[1] = 287;
  Page().result[0] = 6;
  ThenLook([](GuestState& guest) {
    EXPECT_EQ(guest.regs.x[0], 6u);
    EXPECT_EQ(guest.pending[0].load(), uint64_t{1} << 40);
    EXPECT_EQ(guest.pending[4].load(), uint64_t{1} << (287 - 256));
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
}

TEST_F(VcpuRunTest, WaitsOnlyIfThereIsSomethingToWaitFor) {
  Load(vm_);
  Then([](GuestState& guest) {
    guest.deadline = 12345;
    return Sync(kEcWfx);
  });
  ASSERT_EQ(Run(), HF_EXIT_WAIT);
  EXPECT_EQ(Page().value, 12345u);
  EXPECT_EQ(State().regs.pc, kPc + 4);
  // WFE is for another core: it may run on at once.
  Then([](GuestState&) { return Sync(kEcWfx, 1); });
  ASSERT_EQ(Run(), HF_EXIT_WAIT);
  EXPECT_EQ(Page().value, 0u);
  EXPECT_EQ(State().regs.pc, kPc + 8);
  // An interrupt is pending: WFI is a NOP.
  Page().interrupts = 1;
  Page().intid[0] = 32;
  Then([](GuestState&) { return Sync(kEcWfx); });
  ThenCall({0x99});
  EXPECT_EQ(Run(), HF_EXIT_CALL);
  EXPECT_EQ(State().regs.pc, kPc + 16);
  Page().interrupts = 0;
  ThenCall({kPsciSuspend, 0, 0, 0});
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  EXPECT_EQ(State().regs.x[0], 0u);
}

TEST_F(VcpuRunTest, SmcAndOtherImmediatesAreNobodys) {
  Load(vm_);
  Then([](GuestState& guest) {
    guest.regs.x[0] = kPsciVersion;
    return Sync(kEcSmc64);
  });
  ThenLook([](GuestState& guest) {
    EXPECT_EQ(guest.regs.x[0], ~uint64_t{0});
    EXPECT_EQ(guest.regs.pc, kPc + 4) << "a trapped SMC returns to itself";
  });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  Then([](GuestState& guest) {
    guest.regs.x[0] = HF_GUEST_MEMINFO;
    return Sync(kEcHvc64, 1);
  });
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.x[0], ~uint64_t{0}); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  // What EL2 knows nothing of is undefined.
  Then([](GuestState&) { return Sync(0x3c); });
  ThenLook([](GuestState& guest) { EXPECT_TRUE(guest.undefined_injected); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  Then([](GuestState&) { return GuestTrap{.stop = GuestStop::kSError}; });
  EXPECT_EQ(Run(), HF_EXIT_SERROR);
}

TEST_F(VcpuRunTest, CoresAreTurnedOnByTheGuestAlone) {
  Load(vm_, 1);
  on_ = nullptr;
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_OFF});
  EXPECT_EQ(PageOf(vm_, 1).exit, uint64_t{HF_EXIT_OFF});
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");

  Load(vm_);
  ThenCall({kPsciAffinityInfo, 1, 0, 0});
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.x[0], 1u) << "off"; });
  Run();
  ThenCall({kPsciCpuOn, 1, 0x8000'4000, 0xc0});
  ASSERT_EQ(Run(), HF_EXIT_CPU_ON);
  EXPECT_EQ(Page().value, 1u);
  struct Row {
    std::vector<uint64_t> x;
    int64_t result;
  };
  for (const Row& row :
       {Row{{kPsciAffinityInfo, 1, 0}, 2}, Row{{kPsciAffinityInfo, 0, 0}, 0},
        Row{{kPsciAffinityInfo, 1, 1}, -2}, Row{{kPsciAffinityInfo, 3, 0}, -2},
        Row{{kPsciCpuOn, 1, 0, 0}, -5}, Row{{kPsciCpuOn, 0, 0, 0}, -4},
        Row{{kPsciCpuOn, 3, 0, 0}, -2},
        Row{{kPsciCpuOn, ~uint64_t{0}, 0, 0}, -2},
        Row{{kPsciVersion}, 0x1'0001}, Row{{kPsciFeatures, kPsciCpuOn}, 0},
        Row{{kPsciFeatures, 0x8400'000e}, -1}, Row{{0x8000'0000}, 0x1'0002}}) {
    ThenCall(row.x);
    ThenLook([&](GuestState& guest) {
      EXPECT_EQ(static_cast<int64_t>(guest.regs.x[0]), row.result)
          << std::hex << row.x[0];
    });
    EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  }
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");

  ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 1), "0");
  ThenLook([](GuestState& guest) {
    EXPECT_EQ(guest.regs.pc, 0x8000'4000u);
    EXPECT_EQ(guest.regs.x[0], 0xc0u);
    EXPECT_EQ(guest.mpidr, uint64_t{1} << 31 | 1);
  });
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_INTERRUPT});
  ThenCall({kPsciCpuOff});
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_OFF});
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_OFF});
}

// ISS of `msr ICC_SGI1R_EL1, x5`, as the Arm ARM lays it out.
constexpr uint64_t kSgiIss =
    uint64_t{3} << 20 | 5 << 17 | 12 << 10 | 5 << 5 | 11 << 1;

TEST_F(VcpuRunTest, CoresInterruptEachOther) {
  Load(vm_);
  const auto send = [&](uint64_t value) {
    Then([value](GuestState& guest) {
      guest.regs.x[5] = value;
      return Sync(kEcSysreg, kSgiIss);
    });
    return Run();
  };
  vm_table::VmTable& vms = world_.hv().vms();
  const auto pending = [&](unsigned vcpu) {
    SpinlockHolder hold(vms.lock);
    vm_table::Vm& vm = *vms.Find(VmHandle(static_cast<uint16_t>(vm_.handle)));
    return vms.VcpuAt(vm, vcpu)->guest.pending[0].exchange(0);
  };
  // SGI 3 to vCPU 1 and to one that there is not.
  ASSERT_EQ(send(uint64_t{3} << 24 | 1 << 1 | 1 << 9), HF_EXIT_KICK);
  EXPECT_EQ(Page().x[0], 2u);
  EXPECT_EQ(Page().value, 0u) << "not which SGI it is";
  EXPECT_EQ(pending(1), 1u << 3);
  EXPECT_EQ(pending(0) | pending(2), 0u);
  EXPECT_EQ(State().regs.pc, kPc + 4);
  // To all others.
  ASSERT_EQ(send(uint64_t{15} << 24 | uint64_t{1} << 40), HF_EXIT_KICK);
  EXPECT_EQ(Page().x[0], 6u);
  EXPECT_EQ(Page().value, 1u);
  EXPECT_EQ(pending(0), 0u);
  EXPECT_EQ(pending(1) & pending(2), 1u << 15);
  // To itself, to nobody, and to other affinities: nobody is to be woken.
  for (const uint64_t value :
       {uint64_t{1}, uint64_t{0}, uint64_t{1} << 1 | uint64_t{1} << 16,
        uint64_t{1} << 1 | uint64_t{1} << 32,
        uint64_t{1} << 1 | uint64_t{1} << 44,
        uint64_t{1} << 1 | uint64_t{1} << 48})
    EXPECT_EQ(send(value), HF_EXIT_INTERRUPT) << std::hex << value;
  EXPECT_EQ(pending(0), 1u);
  EXPECT_EQ(pending(1) | pending(2), 0u);
  // Of XZR; a read, and another register, are undefined.
  Then([](GuestState&) { return Sync(kEcSysreg, kSgiIss | 31 << 5); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  EXPECT_FALSE(State().undefined_injected);
  for (const uint64_t iss :
       {kSgiIss | 1, kSgiIss ^ 1 << 1, kSgiIss ^ 1 << 17}) {
    Then([iss](GuestState&) { return Sync(kEcSysreg, iss); });
    EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
    EXPECT_TRUE(State().undefined_injected) << std::hex << iss;
    State().undefined_injected = false;
  }
}

TEST_F(VcpuRunTest, SystemOffEndsAllCores) {
  Load(vm_);
  ThenCall({kPsciSystemOff});
  EXPECT_EQ(Run(), HF_EXIT_SYSTEM_OFF);
  EXPECT_EQ(Run(), HF_EXIT_SYSTEM_OFF);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 1), "0");
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_SYSTEM_OFF});
}

// ... wherever they are just then, and whatever they do.
TEST_F(VcpuRunTest, SystemOffIsSeenAtTheNextTrap) {
  Load(vm_);
  Then([](GuestState& guest) {
    guest.regs.x[0] = HF_GUEST_MEMINFO;
    return Sync(kEcHvc64);
  });
  turns_.insert(turns_.begin(), [&](GuestState& guest) {
    world_.hv().loaded(0)->vm().ended.store(vm_table::Vm::Ended::kReset);
    guest.regs.x[0] = HF_GUEST_MEMINFO;
    return Sync(kEcHvc64);
  });
  EXPECT_EQ(Run(), HF_EXIT_SYSTEM_RESET);
  EXPECT_EQ(turns_.size(), 1u);
}

TEST_F(VcpuRunTest, Psci32TakesTheLowerHalfOfRegisters) {
  constexpr uint64_t kJunk = 0xdead'0000'0000'0000;
  Load(vm_);
  ThenCall({kJunk | 0x8400'0003, kJunk | 1, kJunk | 0x8000'8000, kJunk | 7});
  ASSERT_EQ(Run(), HF_EXIT_CPU_ON);
  EXPECT_EQ(Page().value, 1u);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 1), "0");
  ThenLook([](GuestState& guest) {
    EXPECT_EQ(guest.regs.pc, 0x8000'8000u);
    EXPECT_EQ(guest.regs.x[0], 7u);
  });
  EXPECT_EQ(world_.Call(HF_VCPU_RUN).x1, uint64_t{HF_EXIT_INTERRUPT});
}

TEST_F(VcpuRunTest, SharingAMissingPageStopsAsAStoreWould) {
  Load(vm_);
  ThenCall({HF_GUEST_MEM_SHARE, 0x8000'3000, 0, 0});
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_EQ(Page().ipa, 0x8000'3000u);
  EXPECT_EQ(Page().syndrome, uint64_t{HF_ACCESS_WRITE});
  EXPECT_EQ(State().regs.pc, kPc) << "the call is made again";
  const uint64_t pfn = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, pfn, 0x8000'3000 / kPageSize, 1), "0");
  ThenCall({HF_GUEST_MEM_SHARE, 0x8000'3000, 0, 0});
  ThenLook([](GuestState& guest) { EXPECT_EQ(guest.regs.x[0], 0u); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  EXPECT_TRUE(world_.Load(pfn * kPageSize).has_value());
}

TEST_F(VcpuRunTest, PoisonStopsAGuestOrAbortsIt) {
  constexpr uint64_t kIpa = 0x8000'3000;
  Load(vm_);
  const uint64_t pfn = world_.Frames(1);
  ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, pfn, kIpa / kPageSize, 1), "0");
  ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, pfn, 1), "0");
  const uint64_t iss = Iss(3, false, 5, true, false);
  ThenAbort(kIpa, iss);
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_EQ(Call(HF_VCPU_IN_POISON_FAULT), "1");
  EXPECT_FALSE(State().abort_injected);
  // What it stopped at last is what counts.
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  EXPECT_EQ(Call(HF_VCPU_IN_POISON_FAULT), "-EINVAL");

  ThenCall({HF_GUEST_POISON_ABORTS, 1, 0, 0});
  ThenAbort(kIpa, iss);
  ThenLook([](GuestState& guest) { EXPECT_TRUE(guest.abort_injected); });
  EXPECT_EQ(Run(), HF_EXIT_INTERRUPT);
  State().abort_injected = false;
  // Only of poison.
  ThenAbort(kIpa + kPageSize, iss);
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  ThenAbort(kIpa, Iss(3, false, 5, true, false, /*status=*/0x0f));
  ASSERT_EQ(Run(), HF_EXIT_FAULT);
  EXPECT_FALSE(State().abort_injected);
}

}  // namespace
}  // namespace holdfast::hyp
