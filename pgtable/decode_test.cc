// SPDX-License-Identifier: Apache-2.0
//
// What the decoder says of descriptors that the libraries make; and that each
// of the 64 bits is in exactly one field, whatever the descriptor.
#include "pgtable/decode.h"

#include <cstdint>
#include <string>

#include "absl/random/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/annotation.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"
#include "pgtable/pte.h"

namespace holdfast::pgtable {
namespace {

using testing::HasSubstr;

constexpr CpuFeatures kCpu = {.pa_bits = 48, .fwb = false, .xnx = true};
constexpr DecodeOptions kHyp = {
    .stage = Stage::kHyp, .level = 3, .page_shift = 12};

Stage2Attr Attr(Prot prot) {
  return *Stage2Attr::For(prot, MemStyle::kFromProt, kCpu);
}

TEST(Decode, AGuestsPage) {
  const auto pte = Pte<Granule4K>::Leaf(PhysAddr(0x4030'0000), kPageLevel,
                                        Attr(kGuestMemory).WithSoftware(1));
  EXPECT_EQ(Summary(pte.raw(), {}), "page 0x40300000 rwx shared, owned");
  const std::string text = DecodeText(pte.raw(), {});
  EXPECT_THAT(text, HasSubstr("stage 2, level 3: a page at 0x40300000\n"));
  EXPECT_THAT(text, HasSubstr("47:12  address"));
  EXPECT_THAT(text, HasSubstr("state: shared, owned\n"));
  EXPECT_THAT(text, HasSubstr("execute at EL1 and EL0\n"));
  EXPECT_THAT(text, HasSubstr("inner shareable\n"));
}

TEST(Decode, Rights) {
  const auto summary = [](Prot prot) {
    return Summary(
        Pte<Granule4K>::Leaf(PhysAddr(0x1000), kPageLevel, Attr(prot)).raw(),
        {.stage = Stage::kHostStage2, .level = 3, .page_shift = 12});
  };
  EXPECT_EQ(summary({.r = true}), "page 0x1000 r--");
  EXPECT_EQ(summary({.r = true, .w = true}), "page 0x1000 rw-");
  EXPECT_EQ(summary({.r = true, .px = true}), "page 0x1000 r-x (x at EL1)");
  EXPECT_EQ(summary({.r = true, .ux = true}), "page 0x1000 r-x (x at EL0)");
}

TEST(Decode, ABlock) {
  const auto pte =
      Pte<Granule4K>::Leaf(PhysAddr(0x4020'0000), Level(2), Attr(kGuestMemory));
  EXPECT_EQ(Summary(pte.raw(),
                    {.stage = Stage::kStage2, .level = 2, .page_shift = 12}),
            "block 0x40200000 rwx owned");
}

TEST(Decode, ATableOfEachGranule) {
  const auto text = [](auto pte, unsigned shift) {
    return Summary(pte.raw(),
                   {.stage = Stage::kStage2, .level = 2, .page_shift = shift});
  };
  EXPECT_EQ(text(Pte<Granule4K>::Table(PhysAddr(0x1000), 512), 12),
            "table 0x1000, 512 in use");
  EXPECT_EQ(text(Pte<Granule16K>::Table(PhysAddr(0x4000), 2048), 14),
            "table 0x4000, 2048 in use");
  EXPECT_EQ(
      text(Pte<Granule64K>::Table(PhysAddr(uint64_t{0xf} << 48), 8192), 16),
      "table 0xf000000000000, 8192 in use");
}

TEST(Decode, EL2sOwnPages) {
  const auto summary = [](Prot prot) {
    return Summary(Pte<Granule4K>::HypLeaf(PhysAddr(0x1000), kPageLevel,
                                           *HypAttr::For(prot))
                       .raw(),
                   kHyp);
  };
  EXPECT_EQ(summary(kHypText), "page 0x1000 r-x");
  EXPECT_EQ(summary(kHypData), "page 0x1000 rw-");
  EXPECT_EQ(summary(kHypRodata), "page 0x1000 r--");
  const std::string device =
      DecodeText(Pte<Granule4K>::HypLeaf(PhysAddr(0x1000), kPageLevel,
                                         *HypAttr::For(kHypDevice))
                     .raw(),
                 kHyp);
  EXPECT_THAT(device, HasSubstr("device nGnRE"));
  EXPECT_THAT(device, HasSubstr("read and write"));
}

TEST(Decode, Annotations) {
  EXPECT_EQ(Summary(Annotation::HostDonationToHyp().raw(), {}),
            "the host gave the page to EL2");
  const auto guest =
      Annotation::HostDonationToGuest(VmHandle(0x1003), Gfn(0x80));
  EXPECT_EQ(Summary(guest.raw(), {}),
            "the host gave the page to VM 0x1003, gfn 0x80");
  EXPECT_THAT(DecodeText(guest.raw(), {}), HasSubstr("59:20  gfn"));
  EXPECT_THAT(Summary(Annotation::Poison().raw(), {}), HasSubstr("poison"));
  EXPECT_EQ(Summary(0, {}), "nothing");
}

TEST(Decode, WhatTheArchitectureReserves) {
  EXPECT_EQ(Summary(1, {}), "reserved");
  EXPECT_EQ(Summary(1, {.stage = Stage::kStage2, .level = 0, .page_shift = 12}),
            "reserved");
}

TEST(Decode, EveryBitIsInOneField) {
  absl::BitGen random;
  for (int i = 0; i < 20'000; ++i) {
    uint64_t raw = absl::Uniform<uint64_t>(random);
    if (i % 4 == 0) raw = uint64_t{2} << 60 | (raw & 0xffff'fffe);
    if (i % 97 == 0) raw = 0;
    DecodeOptions options;
    options.level = i % 4;
    for (const unsigned shift : {12u, 14u, 16u}) {
      for (const Stage stage :
           {Stage::kStage2, Stage::kHostStage2, Stage::kHyp}) {
        options.page_shift = shift;
        options.stage = stage;
        uint64_t whole = 0;
        uint64_t covered = 0;
        for (const DecodedField& field : Decode(raw, options).fields) {
          ASSERT_GE(field.high, field.low);
          const unsigned width = field.high - field.low + 1;
          const uint64_t mask =
              width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
          ASSERT_EQ(covered & mask << field.low, 0u)
              << DecodeText(raw, options);
          covered |= mask << field.low;
          whole |= field.value << field.low;
        }
        ASSERT_EQ(covered, ~uint64_t{0}) << DecodeText(raw, options);
        ASSERT_EQ(whole, raw) << DecodeText(raw, options);
      }
    }
  }
}

}  // namespace
}  // namespace holdfast::pgtable
