// SPDX-License-Identifier: Apache-2.0
//
// The ABI header is frozen: numbers that a host was built with must not move.
// It is C11 too (abi_c11.c).
#include "hyp/abi.h"

#include <cstdint>
#include <set>

#include "base/result.h"
#include "gtest/gtest.h"
#include "hyp/calls.h"
#include "mem_protect/mem_protect.h"
#include "vm_table/vm.h"

namespace holdfast::hyp {
namespace {

TEST(Abi, NumbersAreFrozen) {
  struct Number {
    uint32_t id;
    uint32_t value;
  };
  constexpr Number kFrozen[] = {
      {HF_HOST_SHARE_HYP, 0xC6000100},
      {HF_HOST_UNSHARE_HYP, 0xC6000101},
      {HF_HOST_DONATE_GUEST, 0xC6000102},
      {HF_FORCE_RECLAIM_GUEST_PAGE, 0xC600010E},
      {HF_RECLAIM_DYING_GUEST_PAGE, 0xC600010F},
      {HF_RESERVE_VM, 0xC6000110},
      {HF_UNRESERVE_VM, 0xC6000111},
      {HF_VM_FRAMES_NEEDED, 0xC6000112},
      {HF_INIT_VM, 0xC6000113},
      {HF_INIT_VCPU, 0xC6000114},
      {HF_TOPUP_VM, 0xC6000115},
      {HF_START_TEARDOWN_VM, 0xC6000116},
      {HF_DRAIN_VM, 0xC6000117},
      {HF_FINALIZE_TEARDOWN_VM, 0xC6000118},
      {HF_VCPU_LOAD, 0xC6000120},
      {HF_VCPU_PUT, 0xC6000121},
  };
  for (const Number& number : kFrozen) {
    EXPECT_EQ(number.id, number.value);
    EXPECT_NE(FindCall(number.id), nullptr) << std::hex << number.id;
  }
  EXPECT_EQ(HF_NOT_SUPPORTED, -1);
  EXPECT_EQ(HF_VM_PROTECTED, 1u);
}

// Fast, 64-bit, vendor hypervisor service (SMCCC 1.2, 2.5); bit 16, the SVE
// hint, clear.
TEST(Abi, IdsAreSmcccVendorHypCalls) {
  for (const Call& call : kCalls) {
    EXPECT_EQ(call.id >> 24, 0xC6u) << call.name;
    EXPECT_EQ(call.id & 0x00ff'0000u, 0u) << call.name;
  }
}

TEST(Abi, ErrnosAreEl2s) {
  EXPECT_EQ(HF_EPERM, static_cast<int>(Errno::kEperm));
  EXPECT_EQ(HF_ENOENT, static_cast<int>(Errno::kEnoent));
  EXPECT_EQ(HF_E2BIG, static_cast<int>(Errno::kE2big));
  EXPECT_EQ(HF_EAGAIN, static_cast<int>(Errno::kEagain));
  EXPECT_EQ(HF_ENOMEM, static_cast<int>(Errno::kEnomem));
  EXPECT_EQ(HF_EFAULT, static_cast<int>(Errno::kEfault));
  EXPECT_EQ(HF_EBUSY, static_cast<int>(Errno::kEbusy));
  EXPECT_EQ(HF_EINVAL, static_cast<int>(Errno::kEinval));
  EXPECT_EQ(HF_ERANGE, static_cast<int>(Errno::kErange));
  EXPECT_EQ(HF_EHWPOISON, static_cast<int>(Errno::kEhwpoison));
  EXPECT_EQ(HF_NO_GFN, mem_protect::kNoGfn);
  EXPECT_EQ(HF_MAX_VCPUS, vm_table::kMaxVcpus);
}

}  // namespace
}  // namespace holdfast::hyp
