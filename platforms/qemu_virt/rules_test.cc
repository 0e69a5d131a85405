// SPDX-License-Identifier: Apache-2.0
//
// The board's rules that are arithmetic: exceptions put into the host, its
// SMCs, its redistributors and the console it shares. Bits are numbered here as
// the Arm ARM and the GIC architecture number them, not by the names under
// test.
#include <array>
#include <set>
#include <span>

#include "gtest/gtest.h"
#include "pgtable/geometry.h"
#include "pgtable/hyp_table.h"
#include "platforms/aarch64/cpu_id.h"
#include "platforms/aarch64/exception_entry.h"
#include "platforms/qemu_virt/pl011.h"
#include "platforms/qemu_virt/redistributor_registers.h"
#include "platforms/qemu_virt/siphash.h"
#include "platforms/qemu_virt/smc_filter.h"

namespace holdfast::qemu_virt {
namespace {

using namespace aarch64;  // NOLINT(google-build-using-namespace)

constexpr uint64_t Bit(unsigned n) { return uint64_t{1} << n; }

// ---- Exceptions -------------------------------------------------------------

constexpr uint64_t kEl0t = 0, kEl1t = 4, kEl1h = 5, kAArch32User = 0x10;
constexpr uint64_t kMasked = Bit(9) | Bit(8) | Bit(7) | Bit(6);
constexpr uint64_t kNzcv = uint64_t{0xf} << 28;
constexpr uint64_t kTco = Bit(25), kDit = Bit(24), kPan = Bit(22);
constexpr uint64_t kAllInt = Bit(13), kSsbs = Bit(12);
constexpr uint64_t kSpan = Bit(23), kDssbs = Bit(44), kSpintmask = Bit(62);

TEST(ExceptionEntryTest, Vectors) {
  EXPECT_EQ(VectorOffset(kEl1t), 0x000u);
  EXPECT_EQ(VectorOffset(kEl1h | kNzcv | kMasked), 0x200u);
  EXPECT_EQ(VectorOffset(kEl0t | kNzcv), 0x400u);
  EXPECT_EQ(VectorOffset(kAArch32User), 0x600u);
  EXPECT_EQ(VectorOffset(kAArch32User | 0xf), 0x600u);
}

TEST(ExceptionEntryTest, PlainPstate) {
  // Whatever the interrupted code had: masked, EL1h, and the flags it had.
  for (const uint64_t mode : {kEl0t, kEl1t, kEl1h, kAArch32User}) {
    EXPECT_EQ(HandlerPstate(mode, 0, {}), kEl1h | kMasked);
    EXPECT_EQ(HandlerPstate(mode | kNzcv, 0, {}), kEl1h | kMasked | kNzcv);
    EXPECT_EQ(HandlerPstate(mode | kDit, 0, {}), kEl1h | kMasked | kDit);
  }
  // SS 21, IL 20, BTYPE 11:10, UAO 23 and the rest are gone.
  EXPECT_EQ(HandlerPstate(~uint64_t{0}, 0, {}), kEl1h | kMasked | kNzcv | kDit);
}

TEST(ExceptionEntryTest, Pan) {
  const PstateExtensions pan = {.pan = true};
  EXPECT_EQ(HandlerPstate(kEl1h, 0, pan), kEl1h | kMasked | kPan);
  EXPECT_EQ(HandlerPstate(kEl1h, kSpan, pan), kEl1h | kMasked);
  EXPECT_EQ(HandlerPstate(kEl1h | kPan, kSpan, pan), kEl1h | kMasked | kPan);
  EXPECT_EQ(HandlerPstate(kEl1h | kPan, 0, {}), kEl1h | kMasked);
}

TEST(ExceptionEntryTest, SsbsTcoAllint) {
  EXPECT_EQ(HandlerPstate(kEl1h, kDssbs, {.ssbs = true}),
            kEl1h | kMasked | kSsbs);
  EXPECT_EQ(HandlerPstate(kEl1h | kSsbs, 0, {.ssbs = true}), kEl1h | kMasked);
  EXPECT_EQ(HandlerPstate(kEl1h, kDssbs, {}), kEl1h | kMasked);
  EXPECT_EQ(HandlerPstate(kEl1h, 0, {.mte = true}), kEl1h | kMasked | kTco);
  EXPECT_EQ(HandlerPstate(kEl1h, 0, {.nmi = true}), kEl1h | kMasked | kAllInt);
  EXPECT_EQ(HandlerPstate(kEl1h, kSpintmask, {.nmi = true}), kEl1h | kMasked);
}

constexpr uint64_t kIl = Bit(25), kFnv = Bit(10), kWnr = Bit(6), kCm = Bit(8);
constexpr uint64_t Ec(uint64_t ec) { return ec << 26; }

TEST(ExceptionEntryTest, ExternalAbort) {
  // Data: from EL1 0x25, from EL0 0x24.
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x24) | kIl | 0x07, kEl1h),
            Ec(0x25) | kIl | 0x10);
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x24) | kIl | 0x07, kEl0t),
            Ec(0x24) | kIl | 0x10);
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x24) | kWnr | kCm | kFnv, kAArch32User),
            Ec(0x24) | kIl | kWnr | kCm | kFnv | 0x10);
  // Fetches: 0x21 and 0x20. WnR and CM are not theirs.
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x20) | kWnr | kCm | 0x0f, kEl1h),
            Ec(0x21) | kIl | 0x10);
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x20) | kFnv, kEl0t),
            Ec(0x20) | kIl | kFnv | 0x10);
  // ISV and its register number, S1PTW and the status of stage 2 stay at EL2.
  EXPECT_EQ(ExternalAbortSyndrome(Ec(0x24) | 0x1ff'ffff, kEl1h),
            Ec(0x25) | kIl | kFnv | kCm | kWnr | 0x10);
}

TEST(ExceptionEntryTest, Undefined) { EXPECT_EQ(UndefinedSyndrome(), kIl); }

// ---- SMCs -------------------------------------------------------------------

// Everything firmware may be asked, by number.
const std::set<uint64_t> kAllowed = {
    0x8000'0000, 0x8000'0001,               // SMCCC discovery
    0x8400'0000,                            // PSCI_VERSION
    0x8400'0001, 0xc400'0001,               // CPU_SUSPEND
    0x8400'0002,                            // CPU_OFF
    0x8400'0003, 0xc400'0003,               // CPU_ON
    0x8400'0004, 0xc400'0004,               // AFFINITY_INFO
    0x8400'0006,                            // MIGRATE_INFO_TYPE
    0x8400'0008, 0x8400'0009, 0x8400'000a,  // OFF, RESET, FEATURES
    0x8400'000e, 0xc400'000e,               // SYSTEM_SUSPEND
    0x8400'0012, 0xc400'0012,               // SYSTEM_RESET2
};

TEST(SmcFilterTest, AllowsTheListAndNothingElse) {
  // All owners, fast and yielding, both widths, with the numbers round ours.
  for (uint64_t top = 0; top < 0x100; ++top) {
    for (uint64_t low = 0; low < 0x200; ++low) {
      const uint64_t id = top << 24 | low;
      EXPECT_EQ(AllowedSmc(id, 0).has_value(), kAllowed.contains(id))
          << std::hex << id;
    }
  }
  for (const uint64_t id : kAllowed) {
    EXPECT_EQ(AllowedSmc(id, 0), id);
    for (unsigned bit = 16; bit < 32; ++bit) {
      const bool hint = bit == 16;
      EXPECT_EQ(AllowedSmc(id ^ Bit(bit), 0).has_value(),
                hint || kAllowed.contains(id ^ Bit(bit)))
          << std::hex << id << " bit " << bit;
    }
  }
}

TEST(SmcFilterTest, Sdei) {
  for (uint64_t id = 0xc400'0020; id < 0xc400'0040; ++id)
    EXPECT_FALSE(AllowedSmc(id, 0).has_value());
}

TEST(SmcFilterTest, SveHintIsNotPartOfTheName) {
  EXPECT_EQ(AllowedSmc(0xc401'0003, 0), 0xc400'0003u);
}

TEST(SmcFilterTest, E15_E16_NoImmediateAndNoUpperHalf) {
  for (const uint64_t id : kAllowed) {
    for (unsigned bit = 0; bit < 16; ++bit)
      EXPECT_FALSE(AllowedSmc(id, Bit(bit)).has_value());
    for (unsigned bit = 32; bit < 64; ++bit)
      EXPECT_FALSE(AllowedSmc(id | Bit(bit), 0).has_value());
  }
}

TEST(SmcFilterTest, Arguments) {
  constexpr uint64_t kWide = 0x1234'5678'9abc'def0;
  EXPECT_EQ(SmcArgument(0xc400'0003, kWide), kWide);
  EXPECT_EQ(SmcArgument(0x8400'0003, kWide), 0x9abc'def0u);
}

// ---- Redistributors ---------------------------------------------------------

TEST(RedistributorTest, ReadsAndWritesNothingElse) {
  const std::set<uint64_t> readable = {0x00, 0x04, 0x08, 0x0c, 0x10, 0x14};
  const std::set<uint64_t> writable = {0x00, 0x10, 0x14};
  for (uint64_t offset = 0; offset < 0x1'0000; offset += 4) {
    EXPECT_EQ(gicr::ReadableBits(offset) != 0,
              readable.contains(offset) || offset >= 0xffd0)
        << std::hex << offset;
    EXPECT_EQ(gicr::WritableBits(offset) != 0, writable.contains(offset))
        << std::hex << offset;
  }
  EXPECT_EQ(gicr::ReadableBits(0x1'0000), 0u);
}

TEST(RedistributorTest, NoLpis) {
  EXPECT_EQ(gicr::ReadableBits(0x00), ~1u);  // EnableLPIs
  EXPECT_EQ(gicr::WritableBits(0x00), ~1u);
  // PLPIS 0, VLPIS 1, DirectLPI 3. The affinity in the upper half stays.
  EXPECT_EQ(gicr::ReadableBits(0x08), ~0xbu);
  EXPECT_EQ(gicr::ReadableBits(0x0c), ~0u);
  // SETLPIR, CLRLPIR, PROPBASER, PENDBASER, INVLPIR, INVALLR, SYNCR.
  for (const uint64_t offset : {0x40, 0x44, 0x48, 0x4c, 0x70, 0x74, 0x78, 0x7c,
                                0xa0, 0xa4, 0xb0, 0xb4, 0xc0}) {
    EXPECT_EQ(gicr::ReadableBits(offset), 0u);
    EXPECT_EQ(gicr::WritableBits(offset), 0u);
  }
}

// ---- Console ---------------------------------------------------------------

TEST(Pl011Test, WritesWhileThereIsRoom) {
  uint32_t registers[16] = {};
  Pl011Write(reinterpret_cast<uint64_t>(registers), "ab", 2);
  EXPECT_EQ(registers[0], uint32_t{'b'});
}

// A host that has stopped the transmitter cannot hold EL2: TXFF (FR, offset
// 0x18, bit 5) stays set.
TEST(Pl011Test, GivesUpOnFullFifo) {
  uint32_t registers[16] = {};
  registers[0x18 / 4] = Bit(5);
  Pl011Write(reinterpret_cast<uint64_t>(registers), "ab", 2);
  EXPECT_EQ(registers[0], 0u);
}

// ---- Geometry ---------------------------------------------------------------

// Whatever a CPU says of itself, pgtable/ takes it: none of its checks fails.
template <class G>
void TakesEveryPaRange() {
  for (uint64_t range = 0; range < 16; ++range) {
    const unsigned bits = aarch64::PaBits(range, 48);
    EXPECT_GE(pgtable::HypStartLevel<G>(bits).value(), 0);
    EXPECT_EQ(pgtable::ShapeFor<G>(bits).ipa_bits, bits);
  }
}
TEST(GeometryTest, TakesEveryPaRange) {
  TakesEveryPaRange<pgtable::Granule4K>();
  TakesEveryPaRange<pgtable::Granule16K>();
  TakesEveryPaRange<pgtable::Granule64K>();
}

// ---- Secrets ----------------------------------------------------------------

// Of the test vectors of its authors (key 0, 1 .. 15, message 0, 1 ..), those
// of whole words.
TEST(SipHashTest, PublishedVectors) {
  constexpr std::array<uint64_t, 2> kKey = {0x0706050403020100,
                                            0x0f0e0d0c0b0a0908};
  constexpr std::array<uint64_t, 2> kMessage = kKey;
  const std::span<const uint64_t> message = kMessage;
  EXPECT_EQ(SipHash(kKey, {}), 0x726fdb47dd0e0e31);
  EXPECT_EQ(SipHash(kKey, message.first(1)), 0x93f5f5799a932462);
  EXPECT_EQ(SipHash(kKey, message.first(2)), 0x3f2acc7f57c29bdb);
}

}  // namespace
}  // namespace holdfast::qemu_virt
