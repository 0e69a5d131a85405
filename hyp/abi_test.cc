// SPDX-License-Identifier: Apache-2.0
//
// The ABI header is frozen: numbers that a host was built with must not move.
// It is C11 too (abi_c11.c).
#include "hyp/abi.h"

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/result.h"
#include "gtest/gtest.h"
#include "hyp/calls.h"
#include "mem_protect/mem_protect.h"
#include "vm_table/vm.h"

namespace holdfast::hyp {
namespace {

// The ABI as text, one line a name.
std::string AbiAsText() {
  std::string text;
  for (const Call& call : kCalls) {
    const std::vector<const char*> fields(
        call.fields.begin(), call.fields.begin() + call.arguments());
    absl::StrAppendFormat(&text, "%#x %s(%s)\n", call.id, call.name,
                          absl::StrJoin(fields, ", "));
  }
#define NUMBER(name) absl::StrAppendFormat(&text, #name " %#x\n", name)
  NUMBER(HF_SMCCC_UID);
  NUMBER(HF_SMCCC_REVISION);
  NUMBER(HF_UID_0);
  NUMBER(HF_UID_1);
  NUMBER(HF_UID_2);
  NUMBER(HF_UID_3);
  NUMBER(HF_ABI_MAJOR);
  NUMBER(HF_ABI_MINOR);
  NUMBER(HF_FEATURE_PROTECTED_VMS);
  NUMBER(HF_FEATURE_NON_PROTECTED_VMS);
  NUMBER(HF_FEATURE_FORCE_RECLAIM);
  NUMBER(HF_VM_PROTECTED);
  NUMBER(HF_PROT_PX);
  NUMBER(HF_PROT_UX);
  NUMBER(HF_PROT_W);
  NUMBER(HF_PROT_R);
  NUMBER(HF_ABORT_EXTERNAL);
  NUMBER(HF_ABORT_TRANSLATION);
  NUMBER(HF_NO_GFN);
  NUMBER(HF_MAX_VCPUS);
  NUMBER(HF_GUEST_FEATURES);
  NUMBER(HF_GUEST_MEMINFO);
  NUMBER(HF_GUEST_MEM_SHARE);
  NUMBER(HF_GUEST_MEM_UNSHARE);
  NUMBER(HF_GUEST_MMIO_MAP);
  NUMBER(HF_GUEST_POISON_ABORTS);
  NUMBER(HF_GUEST_ENTRY);
  NUMBER(HF_EXIT_INTERRUPT);
  NUMBER(HF_EXIT_FAULT);
  NUMBER(HF_EXIT_MMIO);
  NUMBER(HF_EXIT_CALL);
  NUMBER(HF_EXIT_WAIT);
  NUMBER(HF_EXIT_CPU_ON);
  NUMBER(HF_EXIT_OFF);
  NUMBER(HF_EXIT_SYSTEM_OFF);
  NUMBER(HF_EXIT_SYSTEM_RESET);
  NUMBER(HF_EXIT_SERROR);
  NUMBER(HF_EXIT_KICK);
  NUMBER(HF_ACCESS_WRITE);
  NUMBER(HF_ACCESS_FETCH);
  NUMBER(HF_ACCESS_WALK);
  NUMBER(HF_ACCESS_PERMISSION);
  NUMBER(HF_MAX_INTERRUPTS);
  NUMBER(HF_FIRST_SPI);
  NUMBER(HF_SPI_END);
#define FIELD(name)                                          \
  absl::StrAppendFormat(&text, "hf_run_page." #name " %d\n", \
                        offsetof(hf_run_page, name))
  FIELD(exit);
  FIELD(syndrome);
  FIELD(ipa);
  FIELD(value);
  FIELD(x);
  FIELD(answered);
  FIELD(mmio_value);
  FIELD(result);
  FIELD(interrupts);
  FIELD(intid);
#undef FIELD
#undef NUMBER
  absl::StrAppendFormat(&text, "HF_GUEST_INVALID_PARAMETER %d\n",
                        HF_GUEST_INVALID_PARAMETER);
  absl::StrAppendFormat(&text, "HF_NOT_SUPPORTED %d\n", HF_NOT_SUPPORTED);
  return text;
}

TEST(Abi, IsAsReleased) {
  std::ifstream file("hyp/testdata/abi.golden");
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(AbiAsText(), golden.str())
      << "A number, name or field of the ABI differs from hyp/testdata/"
         "abi.golden. Hosts are built with these: docs/abi.md, \"What may "
         "change\", says what is allowed. If the change is meant, raise "
         "HF_ABI_MAJOR or HF_ABI_MINOR and put the text above there.";
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
