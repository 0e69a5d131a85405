// SPDX-License-Identifier: Apache-2.0
//
// What the hypervisor says of itself, and how a host chooses its aborts.
#include <array>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "hyp/calls.h"
#include "hyp/hypervisor.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using mem_protect::MemProtect;
using tests::Reply;
using tests::World;

class ProbeTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }
  World world_{World::Options{.cpus = 2}};
};

// DEN0028 6.2: the UUID's bytes, least significant first in each register.
TEST_F(ProbeTest, UidIsTheUuidOfTheHeader) {
  std::ifstream header("hyp/abi.h");
  std::stringstream text;
  text << header.rdbuf();
  const std::string abi = text.str();
  // The comment above HF_UID_0: 8-4-4-4-12 hex digits.
  const size_t line = abi.find("#define HF_UID_0");
  ASSERT_NE(line, std::string::npos);
  const size_t end = abi.rfind(" */", line);
  ASSERT_NE(end, std::string::npos);
  const std::string uuid = abi.substr(end - 36, 36);
  std::array<uint8_t, 16> bytes{};
  size_t digits = 0;
  for (char c : uuid) {
    if (c == '-') continue;
    ASSERT_TRUE(std::isxdigit(c)) << uuid;
    ASSERT_LT(digits, 32u);
    const unsigned value =
        static_cast<unsigned>(std::stoi(std::string(1, c), nullptr, 16));
    bytes[digits / 2] = static_cast<uint8_t>(bytes[digits / 2] << 4 | value);
    ++digits;
  }
  ASSERT_EQ(digits, 32u) << uuid;

  const Reply reply = world_.Call(HF_SMCCC_UID, 1, 2, 3);
  const uint64_t x[] = {reply.x0, reply.x1, reply.x2, reply.x3};
  for (size_t i = 0; i < 16; ++i) {
    EXPECT_EQ(x[i / 4] >> 8 * (i % 4) & 0xff, bytes[i]) << "byte " << i;
  }
  for (uint64_t word : x) EXPECT_EQ(word >> 32, 0u);
  // Random, variant 1 (RFC 4122), and not what says "nobody".
  EXPECT_EQ(bytes[6] >> 4, 4);
  EXPECT_EQ(bytes[8] >> 6, 2);
  EXPECT_NE(reply.x0, 0xffff'ffffu);
}

TEST_F(ProbeTest, RevisionIsTheAbis) {
  const Reply reply = world_.Call(HF_SMCCC_REVISION, 7, 7, 7);
  EXPECT_EQ(reply.x0, HF_ABI_MAJOR);
  EXPECT_EQ(reply.x1, HF_ABI_MINOR);
  EXPECT_EQ(reply.x2, 0u);
  EXPECT_EQ(reply.x3, 0u);
}

TEST_F(ProbeTest, ProbeSaysVersionFeaturesAndSizes) {
  const Reply reply = world_.Call(HF_PROBE, 7, 7, 7);
  EXPECT_EQ(reply.x0, 0u);
  EXPECT_EQ(reply.x1, HF_ABI_MAJOR << 16 | HF_ABI_MINOR);
  EXPECT_EQ(reply.x2, HF_FEATURE_PROTECTED_VMS | HF_FEATURE_NON_PROTECTED_VMS |
                          HF_FEATURE_FORCE_RECLAIM);
  EXPECT_EQ(reply.x3 & 0xffff'ffff, kPageSize);
  const uint64_t block = reply.x3 >> 32;
  EXPECT_EQ(block, MemProtect::kBlockPages * kPageSize);
  if (kPageShift == 12) EXPECT_EQ(block, 2u << 20);
  if (kPageShift > 12) EXPECT_EQ(block, 0u) << "no blocks";
}

// Only the ids themselves: 32-bit calls of the vendor service's own range.
TEST_F(ProbeTest, NeighboursOfTheProbesAreNotServed) {
  for (uint64_t id :
       {uint64_t{0x8600FF00}, uint64_t{0x8600FF02}, uint64_t{0x8600FF04},
        uint64_t{0xC600FF01}, uint64_t{0xC600FF03}, uint64_t{0x8400FF01},
        HF_SMCCC_UID | uint64_t{1} << 32, HF_SMCCC_UID | uint64_t{1} << 16}) {
    const Reply reply = world_.Call(id, 7, 7, 7);
    EXPECT_EQ(static_cast<int64_t>(reply.x0), HF_NOT_SUPPORTED)
        << std::hex << id;
    EXPECT_EQ(reply.x1, 0u);
    EXPECT_EQ(reply.x2, 0u);
    EXPECT_EQ(reply.x3, 0u);
  }
}

class AbortStyleTest : public ProbeTest {
 protected:
  HostAbortAction Abort() {
    HostAbort abort;
    abort.ipa = Ipa(tests::kImageBase);
    abort.kind = mem_protect::FaultKind::kTranslation;
    return world_.hv().HandleHostAbort(abort);
  }
  std::string Style(uint64_t style) {
    return tests::ToString(world_.Call(HF_SET_ABORT_STYLE, style));
  }
};

TEST_F(AbortStyleTest, D10_09_HostChoosesItsAborts) {
  EXPECT_EQ(Abort(), HostAbortAction::kInjectExternal);
  EXPECT_EQ(Style(HF_ABORT_TRANSLATION), "0") << "it was external";
  EXPECT_EQ(Abort(), HostAbortAction::kInjectTranslation);
  {
    sim::OnCpu other(world_.machine(), 1);
    EXPECT_EQ(Abort(), HostAbortAction::kInjectTranslation) << "on every CPU";
  }
  EXPECT_EQ(Style(HF_ABORT_TRANSLATION), "1");
  // What is the host's is still mapped.
  HostAbort abort;
  abort.ipa = Ipa(tests::kRamBase);
  abort.kind = mem_protect::FaultKind::kTranslation;
  EXPECT_EQ(world_.hv().HandleHostAbort(abort), HostAbortAction::kRetry);
  // An address that cannot be resolved: in the style, too.
  EXPECT_EQ(world_.hv().HandleHostAbort({}),
            HostAbortAction::kInjectTranslation);
  EXPECT_EQ(Style(HF_ABORT_EXTERNAL), "1");
  EXPECT_EQ(Abort(), HostAbortAction::kInjectExternal);
}

TEST_F(AbortStyleTest, UnknownStylesChangeNothing) {
  for (uint64_t style : {uint64_t{2}, uint64_t{1} << 32, ~uint64_t{0}}) {
    EXPECT_EQ(Style(style), "-EINVAL");
    EXPECT_EQ(Abort(), HostAbortAction::kInjectExternal);
  }
}

}  // namespace
}  // namespace holdfast::hyp
