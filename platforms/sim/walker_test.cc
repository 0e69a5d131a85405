// SPDX-License-Identifier: Apache-2.0
//
// The MMU on tables made of literals, for each granule.
#include "platforms/sim/walker.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "platforms/sim/machine.h"

namespace holdfast::sim {
namespace {

constexpr CpuFeatures kCpu = {.pa_bits = 48, .fwb = true, .xnx = true};

// Tables in RAM, walked by a guest.
struct Tables {
  Tables(unsigned page_shift, uint64_t vtcr, uint64_t root,
         CpuFeatures features = kCpu)
      : machine({.ram = {{PhysAddr(0x40000000), 0x8000000}},
                 .page_shift = page_shift,
                 .features = features,
                 .print_violations = false}),
        context{.vmid = Vmid(1), .root = PhysAddr(root), .vtcr = vtcr} {}

  void Put(uint64_t pa, uint64_t value) {
    machine.ram().Store(PhysAddr(pa), 8, value);
  }
  // Where a read of `ipa` lands; 0 if it faults.
  uint64_t Pa(uint64_t ipa) {
    const WalkResult walk = machine.WalkTables(context, Ipa(ipa));
    return walk.translation.has_value() ? walk.translation->pa.value() : 0;
  }
  int LevelOf(uint64_t ipa) {
    const WalkResult walk = machine.WalkTables(context, Ipa(ipa));
    return walk.translation.has_value() ? walk.translation->level : -1;
  }
  Fault ReadFault(uint64_t ipa) {
    return machine.GuestRead64(0, context, Ipa(ipa)).error();
  }
  void ExpectFault(uint64_t ipa, FaultKind kind, int level) {
    const auto value = machine.GuestRead64(0, context, Ipa(ipa));
    ASSERT_FALSE(value.has_value());
    EXPECT_EQ(value.error(),
              (Fault{.kind = kind, .level = level, .ipa = Ipa(ipa)}))
        << ToString(value.error());
  }

  Machine machine;
  Stage2Context context;
};

// ---- 4 KiB ------------------------------------------------------------------

// T0SZ 24 (40 bits), SL0 1 (level 1): two concatenated tables. PS 5.
constexpr uint64_t kVtcr4K = 0x80050058;

struct Walk4K : ::testing::Test, Tables {
  Walk4K() : Tables(12, kVtcr4K, 0x40000000) {
    Put(0x40000000, 0x40004003);          // IPA 0: level-2 table
    Put(0x40000008, 0x80000000 | 0x7d9);  // IPA 1 GiB: block of 1 GiB
    Put(0x40001ff8, 0x40004003);          // last entry of the second root table
    Put(0x40004000, 0x40005003);          // level 3
    Put(0x40004008, 0x40800000 | 0x7d9);  // IPA 2 MiB: block of 2 MiB
    Put(0x40005000, 0x40123000 | 0x7db);  // IPA 0
    Put(0x40005ff8, 0x40124000 | 0x7db);  // IPA 0x1ff000
  }
};

TEST_F(Walk4K, Format) {
  const auto format = Stage2Format::From(kVtcr4K, 12, kCpu);
  ASSERT_TRUE(format.has_value());
  EXPECT_EQ(format->ipa_bits, 40u);
  EXPECT_EQ(format->start_level, 1);
  EXPECT_EQ(format->root_entries, 1024u);
  EXPECT_EQ(format->root_tables(), 2u);
  EXPECT_EQ(format->EffectiveRoot(PhysAddr(0x40003000)), PhysAddr(0x40002000));
}

TEST_F(Walk4K, PagesAndBlocks) {
  EXPECT_EQ(Pa(0x0), 0x40123000u);
  EXPECT_EQ(Pa(0xabc), 0x40123abcu);
  EXPECT_EQ(LevelOf(0x0), 3);
  EXPECT_EQ(Pa(0x1ff008), 0x40124008u);
  EXPECT_EQ(Pa(0x200000), 0x40800000u);
  EXPECT_EQ(Pa(0x3ffff8), 0x409ffff8u);
  EXPECT_EQ(LevelOf(0x200000), 2);
  EXPECT_EQ(Pa(0x40000000), 0x80000000u);
  EXPECT_EQ(Pa(0x7fffffff), 0xbfffffffu);
  EXPECT_EQ(LevelOf(0x40000000), 1);
}

TEST_F(Walk4K, ConcatenatedRoot) {
  EXPECT_EQ(Pa(0xffc0000000), 0x40123000u);
  Put(0x40001000, 0x40004003);  // first entry of the second table: IPA 512 GiB
  EXPECT_EQ(Pa(0x8000000000), 0x40123000u);
}

TEST_F(Walk4K, RootIsAlignedToItsSizeByHardware) {
  context.root = PhysAddr(0x40001000);
  EXPECT_EQ(Pa(0), 0x40123000u);
}

TEST_F(Walk4K, TranslationFaults) {
  ExpectFault(0x1000, FaultKind::kTranslation, 3);
  ExpectFault(0x400000, FaultKind::kTranslation, 2);
  ExpectFault(0x80000000, FaultKind::kTranslation, 1);
  ExpectFault(uint64_t{1} << 40, FaultKind::kTranslation, 0);
  Put(0x40005008, 0x40123000 | 0x7d9);  // 01 at level 3 is reserved
  ExpectFault(0x1000, FaultKind::kTranslation, 3);
  Put(0x40005008, 0x40123000 | 0x7da);  // not valid, whatever else it says
  ExpectFault(0x1000, FaultKind::kTranslation, 3);
}

TEST_F(Walk4K, TableIgnoresSoftwareBits) {
  Put(0x40004000, 0x40005003 | uint64_t{0xff} << 51 | 0x3f << 2);
  EXPECT_EQ(Pa(0x0), 0x40123000u);
  Put(0x40005000, 0x40123000 | 0x7db | uint64_t{0xf} << 55);
  EXPECT_EQ(Pa(0x0), 0x40123000u);
}

TEST_F(Walk4K, AddressSize) {
  context.vtcr = 0x80020058;  // PS 2: 40 bits
  Put(0x40005000, (uint64_t{1} << 40) | 0x7db);
  ExpectFault(0x0, FaultKind::kAddressSize, 3);
  Put(0x40004000, (uint64_t{1} << 40) | 3);
  ExpectFault(0x0, FaultKind::kAddressSize, 2);
  context.root = PhysAddr(uint64_t{1} << 40);
  ExpectFault(0x0, FaultKind::kAddressSize, 0);
}

TEST_F(Walk4K, External) {
  Put(0x40005000, 0x200000000 | 0x7db);  // a page that is no memory
  ExpectFault(0x0, FaultKind::kExternal, 0);
  Put(0x40004000, 0x200000003);  // a table that is no memory
  ExpectFault(0x0, FaultKind::kExternal, 3);
}

TEST_F(Walk4K, Permissions) {
  struct Case {
    uint64_t bits;  // S2AP and XN
    bool read, write, exec_el1, exec_el0;
  };
  const uint64_t xn01 = uint64_t{1} << 53;
  const uint64_t xn10 = uint64_t{2} << 53;
  const uint64_t xn11 = uint64_t{3} << 53;
  for (const Case& c :
       std::vector<Case>{{0xc0, true, true, true, true},
                         {0x40, true, false, true, true},
                         {0x80, false, true, false, false},
                         {0x00, false, false, false, false},
                         {0xc0 | xn01, true, true, false, true},
                         {0xc0 | xn10, true, true, false, false},
                         {0xc0 | xn11, true, true, true, false}}) {
    Put(0x40005000, 0x40123000 | 0x71b | c.bits);
    EXPECT_EQ(machine.GuestRead64(0, context, Ipa(0)).has_value(), c.read)
        << c.bits;
    EXPECT_EQ(machine.GuestWrite64(0, context, Ipa(0), 1).has_value(), c.write)
        << c.bits;
    EXPECT_EQ(machine.GuestExec(0, context, Ipa(0)).has_value(), c.exec_el1)
        << c.bits;
    EXPECT_EQ(machine.GuestExec(0, context, Ipa(0), false).has_value(),
              c.exec_el0)
        << c.bits;
  }
  Put(0x40005000, 0x40123000 | 0x75b);
  EXPECT_EQ(machine.GuestWrite64(0, context, Ipa(8), 1).error(),
            (Fault{.kind = FaultKind::kPermission,
                   .level = 3,
                   .ipa = Ipa(8),
                   .is_write = true}));
  Put(0x40005000, 0x40123000 | 0x75b | xn10);
  EXPECT_EQ(machine.GuestExec(0, context, Ipa(8)).error(),
            (Fault{.kind = FaultKind::kPermission,
                   .level = 3,
                   .ipa = Ipa(8),
                   .is_exec = true}));
}

TEST(WalkerFeatures, WithoutXnxOnlyTheUpperBitCounts) {
  Tables tables(12, kVtcr4K, 0x40000000,
                {.pa_bits = 48, .fwb = true, .xnx = false});
  tables.Put(0x40000000, 0x40004003);
  tables.Put(0x40004000, 0x40005003);
  const uint64_t leaf = 0x40123000 | 0x7db;
  tables.Put(0x40005000, leaf | uint64_t{1} << 53);
  EXPECT_TRUE(tables.machine.GuestExec(0, tables.context, Ipa(0)).has_value());
  EXPECT_TRUE(
      tables.machine.GuestExec(0, tables.context, Ipa(0), false).has_value());
  tables.Put(0x40005000, leaf | uint64_t{3} << 53);
  EXPECT_FALSE(tables.machine.GuestExec(0, tables.context, Ipa(0)).has_value());
  EXPECT_FALSE(
      tables.machine.GuestExec(0, tables.context, Ipa(0), false).has_value());
}

TEST_F(Walk4K, AccessFlagFault) {
  Put(0x40005000, 0x40123000 | 0x3db);
  ExpectFault(0x0, FaultKind::kAccessFlag, 3);
  Put(0x40005000,
      0x40123000 | 0x31b);  // no rights either: the flag comes first
  ExpectFault(0x0, FaultKind::kAccessFlag, 3);
}

TEST(WalkerFeatures, HardwareAccessFlag) {
  CpuFeatures features = kCpu;
  features.hafdbs = true;
  Tables tables(12, kVtcr4K | 1 << 21, 0x40000000, features);
  tables.Put(0x40000000, 0x40004003);
  tables.Put(0x40004000, 0x40005003);
  tables.Put(0x40005000, 0x40123000 | 0x3db);
  EXPECT_TRUE(
      tables.machine.GuestRead64(0, tables.context, Ipa(0)).has_value());
  EXPECT_EQ(tables.machine.ram().Load(PhysAddr(0x40005000), 8),
            0x40123000u | 0x7db);
  // Not without permission, and not without VTCR.HA.
  tables.Put(0x40005000, 0x40123000 | 0x31b);
  EXPECT_EQ(tables.ReadFault(0).kind, FaultKind::kPermission);
  EXPECT_EQ(tables.machine.ram().Load(PhysAddr(0x40005000), 8),
            0x40123000u | 0x31b);
  tables.context.vtcr = kVtcr4K;
  tables.Put(0x40005000, 0x40123000 | 0x3db);
  EXPECT_EQ(tables.ReadFault(0).kind, FaultKind::kAccessFlag);
}

TEST(Walker, FourLevels) {
  // T0SZ 16 (48 bits), SL0 2 (level 0). A block at level 0 does not exist.
  Tables tables(12, 0x80050090, 0x40000000);
  tables.Put(0x40000ff8, 0x40001003);  // last 512 GiB
  tables.Put(0x40001ff8, 0x40002003);
  tables.Put(0x40002ff8, 0x40003003);
  tables.Put(0x40003ff8, 0x40123000 | 0x7db);
  EXPECT_EQ(tables.Pa(0xfffffffff123), 0x40123123u);
  tables.Put(0x40000000, 0x8000000000 | 0x7d9);
  tables.ExpectFault(0x0, FaultKind::kTranslation, 0);
}

TEST(Walker, SmallRoot) {
  // T0SZ 31 (33 bits), SL0 1: eight entries at level 1, aligned to 64 bytes.
  Tables tables(12, 0x8005005f, 0x40000fc0);
  tables.Put(0x40000fc0 + 7 * 8, 0x40000000 | 0x7d9);
  EXPECT_EQ(tables.Pa(0x1c0000008), 0x40000008u);
  tables.ExpectFault(0x200000000, FaultKind::kTranslation, 0);
}

TEST(Walker, VtcrWithoutAWalk) {
  // LPA2; another granule; level 3 of FEAT_TTST; too many and too few bits for
  // SL0.
  for (const uint64_t vtcr :
       std::vector<uint64_t>{0x180050058, 0x80058058, 0x800500d8, 0x80050050,
                             0x80050062, 0x80050018}) {
    EXPECT_FALSE(Stage2Format::From(vtcr, 12, kCpu).has_value())
        << std::hex << vtcr;
    Tables tables(12, vtcr, 0x40000000);
    tables.ExpectFault(0x0, FaultKind::kTranslation, 0);
  }
}

// ---- 16 KiB -----------------------------------------------------------------

TEST(Walker, Granule16K) {
  // T0SZ 24 (40 bits), TG0 2, SL0 1 (level 2): 16 concatenated tables at
  // level 2.
  Tables tables(14, 0x80058000 + 0x58, 0x40040000);
  const auto format = Stage2Format::From(0x80058058, 14, kCpu);
  ASSERT_TRUE(format.has_value());
  EXPECT_EQ(format->start_level, 2);
  EXPECT_EQ(format->root_tables(), 16u);
  tables.Put(0x40040000, 0x40080003);
  tables.Put(0x40080008, 0x40104000 | 0x7db);  // IPA 0x4000
  tables.Put(0x40040008, 0x42000000 | 0x7d9);  // IPA 32 MiB: block
  tables.Put(0x4007fff8, 0x44000000 | 0x7d9);  // the last 32 MiB
  EXPECT_EQ(tables.Pa(0x4010), 0x40104010u);
  EXPECT_EQ(tables.LevelOf(0x4000), 3);
  EXPECT_EQ(tables.Pa(0x2abcde8), 0x42abcde8u);
  EXPECT_EQ(tables.LevelOf(0x2000000), 2);
  EXPECT_EQ(tables.Pa(0xfffe000008), 0x44000008u);
  tables.ExpectFault(0x8000, FaultKind::kTranslation, 3);
}

TEST(Walker, Granule16KHasNoLevel1Block) {
  // T0SZ 16 (48 bits), SL0 2 (level 1): 2^12 entries, two tables.
  Tables tables(14, 0x80058090, 0x40040000);
  tables.Put(0x40040000, 0x7d9);
  tables.ExpectFault(0x0, FaultKind::kTranslation, 1);
  tables.Put(0x40040000, 0x40080003);
  tables.Put(0x40080000, 0x42000000 | 0x7d9);
  EXPECT_EQ(tables.Pa(0x8), 0x42000008u);
}

// ---- 64 KiB -----------------------------------------------------------------

TEST(Walker, Granule64K) {
  // T0SZ 24 (40 bits), TG0 1, SL0 1 (level 2): level 2 has 2^11 entries in use.
  Tables tables(16, 0x80054058, 0x40040000);
  tables.Put(0x40040000, 0x40080003);
  tables.Put(0x40080000 + 8 * 8191, 0x40110000 | 0x7db);  // IPA 0x1fff0000
  tables.Put(0x40040008, 0x40000000 | 0x7d9);             // IPA 512 MiB: block
  EXPECT_EQ(tables.Pa(0x1fffabc8), 0x4011abc8u);
  EXPECT_EQ(tables.LevelOf(0x1fff0000), 3);
  EXPECT_EQ(tables.Pa(0x20000010), 0x40000010u);
  EXPECT_EQ(tables.LevelOf(0x20000000), 2);
}

TEST(Walker, Granule64KWith52Bits) {
  // T0SZ 12 (52 bits), SL0 2 (level 1): 2^10 entries. PS 6: PA bits 51:48 in
  // 15:12.
  CpuFeatures features = kCpu;
  features.pa_bits = 52;
  Tables tables(16, 0x8006408c, 0x40040000, features);
  tables.Put(0x40041ff8, 0x40080003);  // last 4 TiB
  tables.Put(0x40080000 + 8 * 8191, 0x40090003);
  tables.Put(0x40090000 + 8 * 8191, 0x40110000 | 0xa000 | 0x7db);
  EXPECT_EQ(tables.Pa(0xffffffffffff8), 0xa00004011fff8u);
  tables.Put(0x40090000 + 8 * 8191, 0x40110000 | 0x7db);
  EXPECT_EQ(tables.Pa(0xffffffffffff8), 0x4011fff8u);
}

// ---- The test granule -------------------------------------------------------

constexpr uint64_t Tiny(uint64_t pa) { return pa << 7; }

TEST(Walker, TinyGranule) {
  // 13 bits of input: two levels (2, 3), 2^6 = 16 * 4 root entries of 128
  // bytes.
  const uint64_t vtcr = 0x80050000 | (64 - 13);
  const auto format = Stage2Format::From(vtcr, 5, kCpu);
  ASSERT_TRUE(format.has_value());
  EXPECT_EQ(format->start_level, 2);
  EXPECT_EQ(format->root_tables(), 16u);
  Tables tables(5, vtcr, 0x40000200);
  tables.Put(0x40000200, Tiny(0x40000400) | 3);
  tables.Put(0x40000418, Tiny(0x40000820) | 0x7db);  // IPA 0x60
  tables.Put(0x40000208,
             Tiny(0x40000880) | 0x7d9);  // IPA 0x80: block of 128 bytes
  tables.Put(0x400003f8, Tiny(0x40000900) | 0x7d9);  // the last one
  EXPECT_EQ(tables.Pa(0x68), 0x40000828u);
  EXPECT_EQ(tables.LevelOf(0x60), 3);
  EXPECT_EQ(tables.Pa(0xf8), 0x400008f8u);
  EXPECT_EQ(tables.LevelOf(0x80), 2);
  EXPECT_EQ(tables.Pa(0x1ff8), 0x40000978u);
  tables.ExpectFault(0x40, FaultKind::kTranslation, 3);
  tables.ExpectFault(0x2000, FaultKind::kTranslation, 0);
}

TEST(Walker, TinyGranuleLevels) {
  const auto level = [](unsigned ipa_bits) {
    const auto format =
        Stage2Format::From(0x80050000 | (64 - ipa_bits), 5, kCpu);
    return format.has_value() ? format->start_level : -1;
  };
  EXPECT_EQ(level(8), 2);
  EXPECT_EQ(level(13), 2);
  EXPECT_EQ(level(14), 1);
  EXPECT_EQ(level(15), 1);
  EXPECT_EQ(level(16), 0);
  EXPECT_EQ(level(17), 0);
  EXPECT_EQ(level(18), -1);
  EXPECT_EQ(level(7), -1);
}

// ---- Decoding ---------------------------------------------------------------

TEST(Decode, ReservedBits) {
  const Stage2Format format = *Stage2Format::From(kVtcr4K, 12, kCpu);
  EXPECT_FALSE(Decode(format, 0x40123000 | 0x7db, 3).reserved_bits);
  EXPECT_TRUE(
      Decode(format, 0x40123000 | 0x7d3, 3).reserved_bits);  // MemAttr 4
  EXPECT_TRUE(Decode(format, 0x40123000 | 0x7ff, 3)
                  .reserved_bits);  // MemAttr 15 with FWB
  EXPECT_TRUE(Decode(format, 0x40123000 | 0x5db, 3).reserved_bits);  // SH 1
  EXPECT_TRUE(Decode(format, 0x40101000 | 0x7d9, 2)
                  .reserved_bits);  // block, odd address
  EXPECT_FALSE(Decode(format, 0x40005003, 2).reserved_bits);
  EXPECT_TRUE(Decode(format, 0x40005003 | uint64_t{1} << 59, 2).reserved_bits);
  Stage2Format without_fwb = format;
  without_fwb.fwb = false;
  EXPECT_FALSE(Decode(without_fwb, 0x40123000 | 0x7ff, 3).reserved_bits);
  EXPECT_TRUE(Decode(without_fwb, 0x40123000 | 0x7d3, 3).reserved_bits);
}

TEST(Fault, StatusCodes) {
  EXPECT_EQ((Fault{.kind = FaultKind::kTranslation, .level = 2}).StatusCode(),
            0x06);
  EXPECT_EQ((Fault{.kind = FaultKind::kAddressSize, .level = 0}).StatusCode(),
            0x00);
  EXPECT_EQ((Fault{.kind = FaultKind::kAccessFlag, .level = 3}).StatusCode(),
            0x0b);
  EXPECT_EQ((Fault{.kind = FaultKind::kPermission, .level = 3}).StatusCode(),
            0x0f);
  EXPECT_EQ((Fault{.kind = FaultKind::kExternal, .level = 0}).StatusCode(),
            0x10);
  EXPECT_EQ(ToString(Fault{.kind = FaultKind::kPermission,
                           .level = 3,
                           .ipa = Ipa(0x1000),
                           .is_write = true}),
            "permission fault, level 3, write of ipa 0x1000");
}

}  // namespace
}  // namespace holdfast::sim
