// SPDX-License-Identifier: Apache-2.0
#include "platforms/aarch64/guest_ids.h"

#include "gtest/gtest.h"

namespace holdfast::aarch64 {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};

// ISS of `mrs x5, s3_0_c0_c<crm>_<op2>`.
constexpr SysregTrap Id(unsigned crm, unsigned op2) {
  return {uint64_t{3} << 20 | uint64_t{op2} << 17 | 5 << 5 |
          uint64_t{crm} << 1 | 1};
}

TEST(GuestIds, TheSyndromeNamesRegisterAndDirection) {
  // mrs x7, id_aa64mmfr2_el1 (3, 0, c0, c7, 2)
  const SysregTrap read = {0x3400ef};
  EXPECT_EQ(read.op0(), 3u);
  EXPECT_EQ(read.op1(), 0u);
  EXPECT_EQ(read.crn(), 0u);
  EXPECT_EQ(read.crm(), 7u);
  EXPECT_EQ(read.op2(), 2u);
  EXPECT_EQ(read.rt(), 7u);
  EXPECT_TRUE(read.is_id_read());
  EXPECT_FALSE(SysregTrap{0x3400ee}.is_id_read()) << "a write";
  EXPECT_FALSE(SysregTrap{0x3004e3}.is_id_read()) << "CRn 1";
}

TEST(GuestIds, WhatAGuestDoesNotGetItIsNotTold) {
  const uint64_t pfr0 = GuestIdValue(Id(4, 0), kAll, true);
  EXPECT_EQ(IdAa64Pfr0El1::Sve::Get(pfr0), 0u);
  EXPECT_EQ(IdAa64Pfr0El1::Mpam::Get(pfr0), 0u);
  EXPECT_EQ(IdAa64Pfr0El1::Ras::Get(pfr0), 0u);
  EXPECT_EQ(pfr0 & 0xffff, 0x11u) << "AArch64 at EL1 and EL0 only";
  const uint64_t pfr1 = GuestIdValue(Id(4, 1), kAll, true);
  EXPECT_EQ(IdAa64Pfr1El1::Sme::Get(pfr1), 0u);
  EXPECT_EQ(IdAa64Pfr1El1::Mte::Get(pfr1), 0u);
  EXPECT_EQ(IdAa64Pfr1El1::Nmi::Get(pfr1), 0u);
  EXPECT_EQ(IdAa64Pfr1El1::Gcs::Get(pfr1), 0u);
  EXPECT_EQ(GuestIdValue(Id(5, 0), kAll, true), 6u) << "no PMU, trace, SPE";
  EXPECT_EQ(IdAa64Mmfr0El1::Fgt::Get(GuestIdValue(Id(7, 0), kAll, true)), 0u);
  EXPECT_EQ(IdAa64Mmfr1El1::Hcx::Get(GuestIdValue(Id(7, 1), kAll, true)), 0u);
  EXPECT_EQ(IdAa64Isar2El1::Mops::Get(GuestIdValue(Id(6, 2), kAll, true)), 0u);
  EXPECT_EQ(IdAa64Isar1El1::Ls64::Get(GuestIdValue(Id(6, 1), kAll, true)), 0u);
  // SVE's and SME's own, AArch32's, and what is not assigned.
  for (unsigned crm = 1; crm < 8; ++crm) {
    for (unsigned op2 = 0; op2 < 8; ++op2) {
      if (crm < 4 || op2 > 2) {
        EXPECT_EQ(GuestIdValue(Id(crm, op2), kAll, true), 0u)
            << crm << " " << op2;
      }
    }
  }
}

TEST(GuestIds, WhatItGetsItIsTold) {
  EXPECT_EQ(GuestIdValue(Id(4, 0), uint64_t{1} << 48, true) >> 48 & 0xf, 1u)
      << "DIT";
  EXPECT_EQ(GuestIdValue(Id(6, 1), uint64_t{1} << 8, true), uint64_t{1} << 8)
      << "pauth";
  EXPECT_EQ(GuestIdValue(Id(6, 1), kAll, false) & 0xff000ff0, 0u)
      << "not of one CPU only";
  EXPECT_EQ(GuestIdValue(Id(6, 2), kAll, false), 0u);
  EXPECT_EQ(GuestIdValue(Id(4, 0), uint64_t{3} << 24, true) >> 24 & 0xf, 3u)
      << "GIC";
  EXPECT_EQ(GuestIdValue(Id(7, 0), 5, true), 5u) << "PARange";
  EXPECT_EQ(GuestIdValue(Id(7, 1), uint64_t{3} << 20, true), uint64_t{3} << 20)
      << "PAN";
}

}  // namespace
}  // namespace holdfast::aarch64
