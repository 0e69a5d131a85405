// SPDX-License-Identifier: Apache-2.0
//
// What the loaded vCPU last stopped at: the question whether its gfn is
// poisoned, which tells the host nothing of any other gfn.
#include <cstdint>
#include <string>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "hyp/syndrome.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using tests::HostVm;
using tests::World;
using vm_table::GuestExit;

constexpr uint64_t kGfns = uint64_t{1} << (tests::kPaBits - kPageShift);

class PoisonFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0");
    poisoned_ = Give(6);
    Give(7);
    ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, poisoned_, 1), "0");
  }
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4));
  }
  uint64_t Give(uint64_t gfn) {
    const uint64_t page = world_.Frames(1);
    EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
    return page;
  }
  std::string Ask() { return Call(HF_VCPU_IN_POISON_FAULT); }
  bool Touch(uint64_t gfn) {
    return world_.GuestLoad(vm_.handle, gfn * kPageSize).has_value();
  }
  std::string AfterExit(const GuestExit& exit) {
    static_cast<void>(world_.hv().HandleGuestAbort(exit));
    return Ask();
  }
  static GuestExit Fault(uint64_t ec, uint64_t status, uint64_t gfn) {
    return {.esr = EsrOf(ec, status),
            .far = 0,
            .hpfar = HpfarOf(Ipa(gfn * kPageSize))};
  }

  World world_{World::Options{.cpus = 2}};
  HostVm vm_ = world_.MakeVm(2);
  uint64_t poisoned_ = 0;
};

TEST_F(PoisonFaultTest, TellsPoisonFromAMissingPage) {
  EXPECT_EQ(Ask(), "-EINVAL") << "it never stopped";
  EXPECT_FALSE(Touch(6));
  EXPECT_EQ(Ask(), "1");
  EXPECT_EQ(Ask(), "1") << "asking changes nothing";
  EXPECT_FALSE(world_.GuestStore(vm_.handle, 6 * kPageSize + 8, 1));
  EXPECT_EQ(Ask(), "1");
  EXPECT_FALSE(world_.GuestExec(vm_.handle, 6 * kPageSize));
  EXPECT_EQ(Ask(), "1");
  EXPECT_FALSE(Touch(8));
  EXPECT_EQ(Ask(), "0") << "absent";
  EXPECT_FALSE(Touch(kGfns - 1));
  EXPECT_EQ(Ask(), "-EINVAL") << "not even a table there";
  Give(8);
  EXPECT_EQ(Ask(), "-EINVAL");
  EXPECT_FALSE(Touch(9));
  Give(9);
  EXPECT_EQ(Ask(), "0") << "it raced, the page is there now";
  // The page that was taken lives on elsewhere: the gfn stays poisoned.
  EXPECT_EQ(Call(HF_HOST_DONATE_GUEST, poisoned_, 10, 1), "0");
  EXPECT_TRUE(Touch(10));
  EXPECT_FALSE(Touch(6));
  EXPECT_EQ(Ask(), "1");
}

TEST_F(PoisonFaultTest, OnlyOfTheVcpuThatIsLoadedHere) {
  EXPECT_FALSE(Touch(6));
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Ask(), "-EINVAL") << "nothing is loaded";
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 1), "0");
    EXPECT_EQ(Ask(), "-EINVAL") << "the other vCPU's fault";
    EXPECT_FALSE(Touch(8));
    EXPECT_EQ(Ask(), "0");
    ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  }
  EXPECT_EQ(Ask(), "1") << "its own last fault";
  // It goes with the vCPU.
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  EXPECT_EQ(Ask(), "-EINVAL");
  {
    sim::OnCpu other(world_.machine(), 1);
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 0), "0");
    EXPECT_EQ(Ask(), "1");
    ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  }
  // The arguments of the call name nothing.
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm_.handle, 1), "0");
  EXPECT_EQ(Call(HF_VCPU_IN_POISON_FAULT, 6, 6 * kPageSize, vm_.handle), "0");
}

// Only a stage-2 translation fault of a lower EL is a fault at a gfn without a
// page.
TEST_F(PoisonFaultTest, OnlyTranslationFaults) {
  for (uint64_t ec : {kEcInstructionAbortLower, kEcDataAbortLower}) {
    for (uint64_t level = 0; level < 4; ++level) {
      EXPECT_EQ(AfterExit(Fault(ec, 0x04 + level, 6)), "1") << level;
      EXPECT_EQ(AfterExit(Fault(ec, 0x00 + level, 6)), "-EINVAL") << "size";
      EXPECT_EQ(AfterExit(Fault(ec, 0x08 + level, 6)), "-EINVAL") << "flag";
      EXPECT_EQ(AfterExit(Fault(ec, 0x0c + level, 6)), "-EINVAL") << "rights";
    }
    EXPECT_EQ(AfterExit(Fault(ec, 0x2b, 6)), "1") << "level -1";
    EXPECT_EQ(AfterExit(Fault(ec, 0x10, 6)), "-EINVAL") << "external";
    EXPECT_EQ(AfterExit(Fault(ec, 0x21, 6)), "-EINVAL") << "alignment";
  }
  for (uint64_t ec : {uint64_t{0}, uint64_t{0x16}, uint64_t{0x21},
                      uint64_t{0x25}, uint64_t{0x3f}}) {
    EXPECT_EQ(AfterExit(Fault(ec, 0x07, 6)), "-EINVAL") << ec;
  }
  // A call in between is the last exit.
  EXPECT_EQ(AfterExit(Fault(kEcDataAbortLower, 0x07, 6)), "1");
  world_.GuestCall(HF_GUEST_FEATURES);
  EXPECT_EQ(Ask(), "-EINVAL");
}

// HPFAR_EL2 speaks of 4 KiB, whatever the granule, and has other fields.
TEST_F(PoisonFaultTest, AddressesAreEl2sOwn) {
  GuestExit exit = Fault(kEcDataAbortLower, 0x07, 6);
  exit.far = ~uint64_t{0};
  EXPECT_EQ(AfterExit(exit), "1") << "FAR is a virtual address";
  exit.hpfar |= uint64_t{1} << 63 | 0xf;  // NS and RES0
  EXPECT_EQ(AfterExit(exit), "1");
  exit.hpfar = HpfarOf(Ipa(7 * kPageSize - 4096));
  EXPECT_EQ(AfterExit(exit), "1") << "the last 4 KiB of the page";
  exit.hpfar = HpfarOf(Ipa(kGfns * kPageSize));
  EXPECT_EQ(AfterExit(exit), "-ERANGE");
  exit.hpfar = ~uint64_t{0};
  EXPECT_EQ(AfterExit(exit), "-ERANGE");
}

TEST_F(PoisonFaultTest, NonProtectedGuestsHaveNoPoison) {
  const HostVm open = world_.MakeVm(1, 16, /*is_protected=*/false);
  ASSERT_EQ(Call(HF_VCPU_PUT), "0");
  ASSERT_EQ(Call(HF_VCPU_LOAD, open.handle, 0), "0");
  EXPECT_EQ(Call(HF_HOST_SHARE_GUEST, world_.Frames(1), 3, 1, HF_PROT_R), "0");
  EXPECT_FALSE(world_.GuestLoad(open.handle, 4 * kPageSize).has_value());
  EXPECT_EQ(Ask(), "0");
  EXPECT_FALSE(world_.GuestStore(open.handle, 3 * kPageSize, 1));
  EXPECT_EQ(Ask(), "-EINVAL") << "a permission fault";
}

}  // namespace
}  // namespace holdfast::hyp
