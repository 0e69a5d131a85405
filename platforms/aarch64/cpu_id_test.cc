// SPDX-License-Identifier: Apache-2.0
#include "platforms/aarch64/cpu_id.h"

#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace holdfast::aarch64 {
namespace {

constexpr unsigned kMaxPa = 48;

// Field by field as the Arm ARM numbers bits, not by the accessors under test.
constexpr uint64_t At(unsigned bit, uint64_t value) { return value << bit; }

// A CPU that has everything.
CpuId Everything() {
  CpuId id;
  id.midr = 0x410fd4f0;  // in no errata table
  id.mmfr0 = 5 | At(20, 1) | At(24, 0) | At(28, 0);
  id.mmfr1 = 2 | At(4, 2) | At(28, 1);
  id.mmfr2 = At(40, 1) | At(48, 1);
  id.isar0 = At(56, 2);
  id.isar1 = At(8, 3);
  id.pfr1 = 1;
  id.ctr = 4 | At(14, 3) | At(16, 4) | At(29, 1);  // 64-byte lines, PIPT, DIC
  return id;
}

CpuProfile Profile(const CpuId& id) { return ProfileOf(id, 12, kMaxPa); }

TEST(CpuIdTest, ReadsFields) {
  const CpuProfile all = Profile(Everything());
  EXPECT_EQ(all.features.pa_bits, 48u);
  EXPECT_TRUE(all.features.fwb && all.features.xnx && all.features.vmid16 &&
              all.features.hafdbs && all.features.dic);
  EXPECT_TRUE(all.granule && all.range_tlbi && all.ttl && all.bti && all.pauth);
  EXPECT_EQ(all.caches.dcache_line, 64u);
  EXPECT_EQ(all.caches.icache_line, 64u);
  EXPECT_TRUE(all.caches.icache_pipt);
  EXPECT_EQ(all.errata, Errata{});

  const CpuProfile none = Profile(CpuId{});
  EXPECT_EQ(none.features.pa_bits, 32u);
  EXPECT_FALSE(none.features.fwb || none.features.xnx || none.features.vmid16 ||
               none.features.hafdbs || none.features.dic);
  EXPECT_TRUE(none.granule);  // 0 is a yes for 4 KiB
  EXPECT_FALSE(none.range_tlbi || none.ttl || none.caches.icache_pipt);
  EXPECT_FALSE(none.bti || none.pauth);
  EXPECT_EQ(none.caches.dcache_line, 4u);
}

// The algorithms of FEAT_PAuth have a field each.
TEST(CpuIdTest, AnyAlgorithmSignsReturnAddresses) {
  EXPECT_TRUE(Profile(CpuId{.isar1 = At(4, 1)}).pauth);
  EXPECT_TRUE(Profile(CpuId{.isar1 = At(8, 1)}).pauth);
  EXPECT_TRUE(Profile(CpuId{.isar2 = At(12, 1)}).pauth);
  // Their generic halves sign no address.
  EXPECT_FALSE(Profile(CpuId{.isar1 = At(24, 1) | At(28, 1)}).pauth);
  EXPECT_FALSE(Profile(CpuId{.isar2 = At(8, 1)}).pauth);
}

TEST(CpuIdTest, PaBitsOfEveryRange) {
  const unsigned expected[16] = {32, 36, 40, 42, 44, 48, 48, 48,
                                 48, 48, 48, 48, 48, 48, 48, 48};
  for (unsigned range = 0; range < 16; ++range) {
    EXPECT_EQ(PaBits(range, kMaxPa), expected[range]) << range;
    EXPECT_EQ(PaBits(range | ~uint64_t{0xf}, 40),
              std::min(expected[range], 40u));
  }
}

TEST(CpuIdTest, Granules) {
  struct Row {
    unsigned shift, stage1_bit, stage2_bit;
    bool zero_is_yes;
  };
  for (const Row& row :
       {Row{12, 28, 40, true}, Row{14, 20, 32, false}, Row{16, 24, 36, true}}) {
    // Other granules' fields say the opposite, and must not count.
    uint64_t others = At(20, row.zero_is_yes ? 1 : 0);
    for (const unsigned bit : {24u, 28u}) {
      if (bit != row.stage1_bit) others |= At(bit, 0xf);
    }
    const uint64_t yes = others | At(row.stage1_bit, row.zero_is_yes ? 0 : 1);
    const uint64_t no = others | At(row.stage1_bit, row.zero_is_yes ? 0xf : 0);
    EXPECT_TRUE(HasGranule(yes, row.shift)) << row.shift;
    EXPECT_FALSE(HasGranule(no, row.shift)) << row.shift;
    EXPECT_TRUE(HasGranule(others | At(row.stage1_bit, 2), row.shift));
    EXPECT_FALSE(HasGranule(yes | At(row.stage2_bit, 1), row.shift));
    EXPECT_TRUE(HasGranule(yes | At(row.stage2_bit, 2), row.shift));
    EXPECT_TRUE(HasGranule(yes | At(row.stage2_bit, 3), row.shift));
    EXPECT_FALSE(HasGranule(no | At(row.stage2_bit, 2), row.shift));
  }
  EXPECT_FALSE(HasGranule(At(20, 1), 5));  // the test granule: no CPU has it
}

// What one CPU may have less of than another.
struct Difference {
  std::string lacks;
  std::function<void(CpuId&)> remove;
};
std::vector<Difference> Differences() {
  return {
      {"pages of this size", [](CpuId& id) { id.mmfr0 |= At(28, 0xf); }},
      {"physical address bits", [](CpuId& id) { id.mmfr0 &= ~0xful; }},
      {"FEAT_S2FWB", [](CpuId& id) { id.mmfr2 &= ~At(40, 0xf); }},
      {"FEAT_XNX", [](CpuId& id) { id.mmfr1 &= ~At(28, 0xf); }},
      {"16-bit VMIDs", [](CpuId& id) { id.mmfr1 &= ~At(4, 0xf); }},
      {"FEAT_HAFDBS", [](CpuId& id) { id.mmfr1 &= ~0xful; }},
      {"CTR_EL0.DIC", [](CpuId& id) { id.ctr &= ~At(29, 1); }},
      {"FEAT_TLBIRANGE", [](CpuId& id) { id.isar0 = At(56, 1); }},
      {"FEAT_TTL", [](CpuId& id) { id.mmfr2 &= ~At(48, 0xf); }},
      {"FEAT_BTI", [](CpuId& id) { id.pfr1 = 0; }},
      {"FEAT_PAuth", [](CpuId& id) { id.isar1 = 0; }},
      {"data cache lines as long",
       [](CpuId& id) { id.ctr = (id.ctr & ~At(16, 0xf)) | At(16, 3); }},
      {"instruction cache lines as long",
       [](CpuId& id) { id.ctr = (id.ctr & ~0xful) | 3; }},
      {"a PIPT instruction cache",
       [](CpuId& id) { id.ctr = (id.ctr & ~At(14, 3)) | At(14, 2); }},
      {"TLBs that need one TLBI only",
       [](CpuId& id) { id.midr = 0x411fd460; }},  // Cortex-A510 r1p0
      {"AT instructions that do not speculate",
       [](CpuId& id) { id.midr = 0x411fd072; }},  // Cortex-A57 r1p2
  };
}

TEST(CpuIdTest, CpuThatLacksOneThingIsRefusedForIt) {
  const CpuProfile machine = Profile(Everything());
  EXPECT_EQ(WhatCpuLacks(machine, machine), nullptr);
  for (const Difference& difference : Differences()) {
    CpuId id = Everything();
    difference.remove(id);
    const char* const lacks = WhatCpuLacks(Profile(id), machine);
    ASSERT_NE(lacks, nullptr) << difference.lacks;
    EXPECT_EQ(lacks, difference.lacks);
    // The other way round, that CPU's machine takes one that has it all.
    EXPECT_EQ(WhatCpuLacks(machine, Profile(id)), nullptr) << difference.lacks;
  }
}

TEST(CpuIdTest, MachineHasOnlyWhatAllCpusHave) {
  const CpuProfile all = Profile(Everything());
  for (const Difference& difference : Differences()) {
    CpuId id = Everything();
    difference.remove(id);
    const CpuProfile less = Profile(id);
    for (const CpuProfile& both : {Together(all, less), Together(less, all)}) {
      EXPECT_EQ(WhatCpuLacks(all, both), nullptr) << difference.lacks;
      EXPECT_EQ(WhatCpuLacks(less, both), nullptr) << difference.lacks;
      // And it has no less than that.
      EXPECT_EQ(WhatCpuLacks(both, less), nullptr) << difference.lacks;
    }
  }
}

TEST(CpuIdTest, ErrataAddUp) {
  CpuProfile a55, a57;
  a55.errata = ErrataFor(0x412fd050);
  a57.errata = ErrataFor(0x411fd072);
  EXPECT_TRUE(a55.errata.repeat_tlbi);
  EXPECT_FALSE(a57.errata.repeat_tlbi);
  EXPECT_TRUE(a57.errata.speculative_at);
  EXPECT_EQ(Together(a55, a57).errata,
            (Errata{.repeat_tlbi = true, .speculative_at = true}));
}

}  // namespace
}  // namespace holdfast::aarch64
