// SPDX-License-Identifier: Apache-2.0
//
// Descriptors, attributes and annotations, bit for bit against constants from
// the specification.
#include "pgtable/pte.h"

#include <string>

#include "gtest/gtest.h"
#include "pgtable/annotation.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"

namespace holdfast::pgtable {
namespace {

constexpr CpuFeatures kFwb = {.pa_bits = 48, .fwb = true, .xnx = true};
constexpr CpuFeatures kOld = {.pa_bits = 48, .fwb = false, .xnx = false};

constexpr uint64_t GuestBits(Prot prot, const CpuFeatures& cpu) {
  return Stage2Attr::For(prot, MemStyle::kFromProt, cpu)->bits();
}
constexpr uint64_t HostBits(Prot prot, const CpuFeatures& cpu) {
  return Stage2Attr::For(prot, MemStyle::kAsStage1, cpu)->bits();
}

// ---- Attributes -------------------------------------------------------------

TEST(Stage2AttrTest, EncodingsOfTheNamedKinds) {
  // AF, SH 3, S2AP RW, MemAttr; XN 0.
  EXPECT_EQ(GuestBits(kGuestMemory, kFwb), 0x7D8u);
  EXPECT_EQ(GuestBits(kGuestMemory, kOld), 0x7FCu);
  EXPECT_EQ(HostBits(kHostMemory, kFwb), 0x7DCu);
  EXPECT_EQ(HostBits(kHostMemory, kOld), 0x7FCu);
  // XN 2: no execution.
  EXPECT_EQ(HostBits(kHostMmio, kFwb), 0x0040'0000'0000'07DCu);
  EXPECT_EQ(HostBits(kHostMmio, kOld), 0x0040'0000'0000'07FCu);
}

TEST(Stage2AttrTest, MemoryTypes) {
  EXPECT_EQ(GuestBits({.r = true, .type = MemType::kNormalNc}, kFwb) >> 2 & 0xF,
            5u);
  EXPECT_EQ(GuestBits({.r = true, .type = MemType::kNormalNc}, kOld) >> 2 & 0xF,
            5u);
  EXPECT_EQ(GuestBits({.r = true, .type = MemType::kDevice}, kFwb) >> 2 & 0xF,
            1u);
  EXPECT_EQ(GuestBits({.r = true, .type = MemType::kDevice}, kOld) >> 2 & 0xF,
            1u);
}

TEST(Stage2AttrTest, ReadAndWriteAreSeparateBits) {
  EXPECT_EQ(GuestBits({}, kFwb) >> 6 & 3, 0u);
  EXPECT_EQ(GuestBits({.r = true}, kFwb) >> 6 & 3, 1u);
  EXPECT_EQ(GuestBits({.w = true}, kFwb) >> 6 & 3, 2u);
}

TEST(Stage2AttrTest, ExecuteNever) {
  const auto xn = [](bool px, bool ux) {
    return GuestBits({.r = true, .px = px, .ux = ux}, kFwb) >> 53 & 3;
  };
  EXPECT_EQ(xn(true, true), 0u);
  EXPECT_EQ(xn(false, true), 1u);
  EXPECT_EQ(xn(false, false), 2u);
  EXPECT_EQ(xn(true, false), 3u);
}

// All 16 by all 16 rights: what is there stays, what is added is there, and no
// other bit changes.
TEST(Stage2AttrTest, RightsAddUp) {
  const auto prot = [](unsigned bits) {
    return Prot{.r = (bits & 1) != 0,
                .w = (bits & 2) != 0,
                .px = (bits & 4) != 0,
                .ux = (bits & 8) != 0};
  };
  const auto attr = [&](unsigned bits) {
    return *Stage2Attr::For(prot(bits), MemStyle::kFromProt, kFwb);
  };
  constexpr uint64_t kOther =
      uint64_t{3} << 55 | 0x1234'5678'9003 | uint64_t{1} << 51;
  for (unsigned had = 0; had < 16; ++had) {
    EXPECT_EQ(attr(had).executable(), had >= 4);
    for (unsigned more = 0; more < 16; ++more) {
      // The flag and the memory type come from the leaf, not from what is
      // added.
      const uint64_t old = (attr(had).bits() & ~uint64_t{0x43C}) | kOther;
      const uint64_t want =
          (attr(had | more).bits() & ~uint64_t{0x43C}) | kOther;
      EXPECT_EQ(attr(more).RightsAddedTo(old), want) << had << " " << more;
    }
  }
}

// Every combination against the rules said in another way.
TEST(Stage2AttrTest, RefusesExactlyWhatTheRulesSay) {
  for (unsigned i = 0; i < 16 * 3 * 2 * 2; ++i) {
    const Prot prot = {.r = (i & 1) != 0,
                       .w = (i & 2) != 0,
                       .px = (i & 4) != 0,
                       .ux = (i & 8) != 0,
                       .type = static_cast<MemType>(i / 16 % 3)};
    const CpuFeatures cpu = {.xnx = i / 48 % 2 != 0};
    const MemStyle style =
        i / 96 != 0 ? MemStyle::kAsStage1 : MemStyle::kFromProt;
    bool legal = true;
    if (prot.type == MemType::kDevice && (prot.px || prot.ux)) legal = false;
    if (prot.type == MemType::kNormalNc && (prot.px || prot.ux)) legal = false;
    if (!cpu.xnx && prot.px != prot.ux) legal = false;
    const auto attr = Stage2Attr::For(prot, style, cpu);
    ASSERT_EQ(attr.has_value(), legal) << i;
    if (!legal) {
      EXPECT_EQ(attr.error(), Errno::kEinval);
    }
  }
}

TEST(Stage2AttrTest, SoftwareBitsAre56And55) {
  const Stage2Attr attr =
      *Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kFwb);
  EXPECT_EQ(attr.WithSoftware(1).bits() ^ attr.bits(), uint64_t{1} << 55);
  EXPECT_EQ(attr.WithSoftware(2).bits() ^ attr.bits(), uint64_t{1} << 56);
  EXPECT_EQ(attr.WithSoftware(3).WithSoftware(0), attr);
  EXPECT_DEATH(attr.WithSoftware(4), "two_bits");
}

TEST(HypAttrTest, EncodingsOfTheNamedKinds) {
  // AF, SH 3, AP, AttrIndx, XN at 54.
  EXPECT_EQ(HypAttr::For(kHypData)->bits(), 0x0040'0000'0000'0740u);
  EXPECT_EQ(HypAttr::For(kHypText)->bits(), 0x0000'0000'0000'07C0u);
  EXPECT_EQ(HypAttr::For(kHypRodata)->bits(), 0x0040'0000'0000'07C0u);
  EXPECT_EQ(HypAttr::For(kHypDevice)->bits(), 0x0040'0000'0000'0750u);
}

TEST(HypAttrTest, RefusesExactlyWhatTheRulesSay) {
  for (unsigned i = 0; i < 16 * 3; ++i) {
    const Prot prot = {.r = (i & 1) != 0,
                       .w = (i & 2) != 0,
                       .px = (i & 4) != 0,
                       .ux = (i & 8) != 0,
                       .type = static_cast<MemType>(i / 16)};
    const bool legal = prot.r && !(prot.w && prot.px) &&
                       !(prot.px && prot.type == MemType::kDevice) &&
                       prot.type != MemType::kNormalNc;
    const auto attr = HypAttr::For(prot);
    ASSERT_EQ(attr.has_value(), legal) << i;
    if (!legal) {
      EXPECT_EQ(attr.error(), Errno::kEinval);
      continue;
    }
    Prot same = prot;
    same.ux = !same.ux;
    EXPECT_EQ(*HypAttr::For(same), *attr);
  }
}

// ---- Annotations ------------------------------------------------------------

TEST(AnnotationTest, EncodingsOfTheSpecification) {
  EXPECT_EQ(Annotation::Poison().raw(), 0x3000'0000'0000'0000u);
  EXPECT_EQ(Annotation::HostDonationToHyp().raw(), 0x2000'0000'0000'0002u);
  // 2<<60 | gfn<<20 | handle<<4 | 2<<1
  EXPECT_EQ(
      Annotation::HostDonationToGuest(VmHandle(0x1000), Gfn(0x12345)).raw(),
      0x2000'0012'3451'0004u);
  EXPECT_EQ(
      Annotation::HostDonationToGuest(VmHandle(0xFFFF), Gfn(0xFF'FFFF'FFFF))
          .raw(),
      0x2FFF'FFFF'FFFF'FFF4u);
  EXPECT_EQ(Annotation::HostDonationToGuest(VmHandle(0), Gfn(0)).raw(),
            0x2000'0000'0000'0004u);
}

TEST(AnnotationTest, RoundTrip) {
  const Annotation a =
      Annotation::HostDonationToGuest(VmHandle(0x10FE), Gfn(0x80'0000'0001));
  EXPECT_EQ(a.type(), AnnotationType::kHostDonation);
  EXPECT_EQ(a.owner(), ComponentId::kGuest);
  EXPECT_EQ(a.handle(), VmHandle(0x10FE));
  EXPECT_EQ(a.gfn(), Gfn(0x80'0000'0001));
  EXPECT_TRUE(a.OwnedByGuest());
  EXPECT_FALSE(a.IsPoison());
  EXPECT_EQ(Annotation::HostDonationToHyp().owner(), ComponentId::kHyp);
  EXPECT_FALSE(Annotation::HostDonationToHyp().OwnedByGuest());
  EXPECT_TRUE(Annotation::Poison().IsPoison());
  EXPECT_FALSE(Annotation::Poison().OwnedByGuest());
}

TEST(AnnotationTest, CountsUpWithThePage) {
  const Annotation a = Annotation::HostDonationToGuest(VmHandle(7), Gfn(100));
  EXPECT_EQ(a.At(0), a);
  EXPECT_EQ(a.At(511), Annotation::HostDonationToGuest(VmHandle(7), Gfn(611)));
  EXPECT_EQ(Annotation::HostDonationToHyp().At(9),
            Annotation::HostDonationToHyp());
  EXPECT_EQ(Annotation::Poison().At(9), Annotation::Poison());
}

TEST(AnnotationTest, PartsAreChecked) {
  EXPECT_EQ(Annotation::FromParts(0, 2).error(), Errno::kEinval);
  EXPECT_EQ(Annotation::FromParts(1, 2).error(), Errno::kEinval);
  EXPECT_EQ(Annotation::FromParts(16, 2).error(), Errno::kEinval);
  EXPECT_EQ(Annotation::FromParts(2, 1).error(), Errno::kEinval);
  EXPECT_EQ(Annotation::FromParts(2, uint64_t{1} << 60).error(),
            Errno::kEinval);
  EXPECT_EQ(Annotation::FromParts(2, uint64_t{1} << 63).error(),
            Errno::kEinval);
  EXPECT_EQ(*Annotation::FromParts(2, 2), Annotation::HostDonationToHyp());
  EXPECT_EQ(*Annotation::FromParts(3, 0), Annotation::Poison());
  EXPECT_EQ(Annotation::FromParts(15, uint64_t{1} << 59)->raw(),
            0xF800'0000'0000'0000u);
}

TEST(AnnotationDeathTest, TheGfnMustFit) {
  EXPECT_DEATH(
      Annotation::HostDonationToGuest(VmHandle(1), Gfn(uint64_t{1} << 40)),
      "kGfnBits");
  const Annotation last = Annotation::HostDonationToGuest(
      VmHandle(1), Gfn((uint64_t{1} << 40) - 1));
  EXPECT_DEATH(last.At(1), "kGfnBits");
}

// ---- Descriptors ------------------------------------------------------------

TEST(PteTest, LeavesBitForBit) {
  const Stage2Attr guest =
      *Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kFwb);
  const Stage2Attr mmio =
      *Stage2Attr::For(kHostMmio, MemStyle::kAsStage1, kFwb);
  EXPECT_EQ(
      Pte<Granule4K>::Leaf(PhysAddr(0x1234'5678'9000), Level(3), guest).raw(),
      0x0000'1234'5678'97DBu);
  EXPECT_EQ(Pte<Granule4K>::Leaf(PhysAddr(0x8020'0000), Level(2),
                                 guest.WithSoftware(1))
                .raw(),
            0x0080'0000'8020'07D9u);
  EXPECT_EQ(Pte<Granule4K>::Leaf(PhysAddr(0x4000'0000), Level(1), mmio).raw(),
            0x0040'0000'4000'07DDu);
  EXPECT_EQ(
      Pte<Granule16K>::Leaf(PhysAddr(0x1234'5678'8000), Level(3), guest).raw(),
      0x0000'1234'5678'87DBu);
  EXPECT_EQ(Pte<Granule16K>::Leaf(PhysAddr(0x0200'0000), Level(2), guest).raw(),
            0x0200'07D9u);
  EXPECT_EQ(
      Pte<Granule64K>::Leaf(PhysAddr(0x1234'5678'0000), Level(3), guest).raw(),
      0x0000'1234'5678'07DBu);
  // PA 51:48 stand in bits 15:12.
  EXPECT_EQ(Pte<Granule64K>::Leaf(PhysAddr(0xA'1234'5678'0000), Level(3), guest)
                .raw(),
            0x0000'1234'5678'A7DBu);
  // The test granule's frame number starts at bit 12: (0x12340 >> 5) << 12.
  EXPECT_EQ(Pte<GranuleTiny>::Leaf(PhysAddr(0x12340), Level(3), guest).raw(),
            0x91'A7DBu);
  const HypAttr data = *HypAttr::For(kHypData);
  EXPECT_EQ(
      Pte<Granule4K>::HypLeaf(PhysAddr(0x4020'1000), Level(3), data).raw(),
      0x0040'0000'4020'1743u);
}

TEST(PteTest, TablesBitForBit) {
  EXPECT_EQ(Pte<Granule4K>::Table(PhysAddr(0x4000'1000), 0).raw(),
            0x4000'1003u);
  // 512 = 8 << 6: bits 51 and up hold the high part.
  EXPECT_EQ(Pte<Granule4K>::Table(PhysAddr(0x4000'1000), 512).raw(),
            0x0040'0000'4000'1003u);
  EXPECT_EQ(Pte<Granule4K>::Table(PhysAddr(0x4000'1000), 511).raw(),
            0x0038'0000'4000'10FFu);
  EXPECT_EQ(Pte<Granule64K>::Table(PhysAddr(0xF'0000'4001'0000), 8192).raw(),
            0x0400'0000'4001'F003u);
  EXPECT_EQ(Pte<GranuleTiny>::Table(PhysAddr(0x20), 4).raw(), 0x1013u);
}

TEST(PteTest, AnnotationsAreTheEntry) {
  const Annotation a =
      Annotation::HostDonationToGuest(VmHandle(0x1001), Gfn(5));
  EXPECT_EQ(Pte<Granule4K>::Annotated(a).raw(), 0x2000'0000'0051'0014u);
  EXPECT_EQ(*Pte<Granule4K>::Annotated(a).annotation(), a);
  EXPECT_EQ(Pte<Granule4K>::Empty().annotation().error(), Errno::kEinval);
  EXPECT_EQ(Pte<Granule4K>(3).annotation().error(), Errno::kEinval);
}

template <class G>
class PteTypedTest : public testing::Test {};
using Granules = testing::Types<Granule4K, Granule16K, Granule64K, GranuleTiny>;
TYPED_TEST_SUITE(PteTypedTest, Granules);

TYPED_TEST(PteTypedTest, KindsByLevel) {
  using G = TypeParam;
  for (int l = -1; l <= 3; ++l) {
    const Level level(static_cast<int8_t>(l));
    EXPECT_EQ(Pte<G>(0).kind(level), PteKind::kEmpty);
    EXPECT_EQ(Pte<G>::Annotated(Annotation::Poison()).kind(level),
              PteKind::kAnnotation);
    EXPECT_EQ(Pte<G>(2).kind(level), PteKind::kAnnotation);
    EXPECT_EQ(Pte<G>(3).kind(level), l == 3 ? PteKind::kLeaf : PteKind::kTable);
    EXPECT_EQ(Pte<G>(1).kind(level),
              G::BlockAllowed(level) ? PteKind::kLeaf : PteKind::kReserved);
  }
}

TYPED_TEST(PteTypedTest, AddressesRoundTripAtEveryBit) {
  using G = TypeParam;
  const unsigned top = G::kPageShift == 16  ? 52
                       : G::kPageShift < 12 ? 36 + G::kPageShift
                                            : 48;
  const Stage2Attr attr =
      Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kOld)->WithSoftware(3);
  for (unsigned bit = G::kPageShift; bit < top; ++bit) {
    const PhysAddr pa(uint64_t{1} << bit);
    const Pte<G> page = Pte<G>::Leaf(pa, Level(3), attr);
    EXPECT_EQ(page.address(), pa) << bit;
    EXPECT_EQ(page.software(), 3u);
    EXPECT_EQ(page.raw() & 0xFFF, 0x7FFu)
        << "address bits on top of attributes, bit " << bit;
    EXPECT_EQ(page.raw() >> 48, attr.bits() >> 48);
    EXPECT_EQ(Pte<G>::Table(pa, G::kEntries).address(), pa) << bit;
    EXPECT_EQ(Pte<G>::Table(pa, G::kEntries).count(), G::kEntries) << bit;
  }
}

TYPED_TEST(PteTypedTest, CountsRoundTrip) {
  using G = TypeParam;
  const PhysAddr pa(
      uint64_t{0x5555'5555'5555} & ~(G::kPageSize - 1) &
      ((uint64_t{1} << (36 + (G::kPageShift < 12 ? 5 : 12))) - 1));
  for (unsigned count = 0; count <= G::kEntries; ++count) {
    const Pte<G> pte = Pte<G>::Table(pa, count);
    ASSERT_EQ(pte.count(), count);
    ASSERT_EQ(pte.address(), pa);
    // Only bits that hardware ignores in a table descriptor.
    ASSERT_EQ((pte.raw() ^ Pte<G>::Table(pa, 0).raw()) &
                  ~uint64_t{0x07F8'0000'0000'00FC},
              0u);
    ASSERT_EQ(Pte<G>::Table(pa, 1).WithCount(count), pte);
  }
  EXPECT_DEATH(Pte<G>::Table(pa, G::kEntries + 1), "kEntries");
  EXPECT_DEATH(Pte<G>::Table(pa, 0).WithCount(0u - 1), "kEntries");
}

TYPED_TEST(PteTypedTest, SoftwareBitsLeaveTheRestAlone) {
  using G = TypeParam;
  const Stage2Attr attr =
      *Stage2Attr::For(kHostMmio, MemStyle::kAsStage1, kFwb);
  const Pte<G> pte = Pte<G>::Leaf(PhysAddr(G::kPageSize), Level(3), attr);
  for (unsigned software = 0; software < 4; ++software) {
    EXPECT_EQ(pte.WithSoftware(software).software(), software);
    EXPECT_EQ(pte.WithSoftware(software),
              Pte<G>::Leaf(PhysAddr(G::kPageSize), Level(3),
                           attr.WithSoftware(software)));
    EXPECT_EQ(pte.WithSoftware(3).WithSoftware(software).WithSoftware(0), pte);
  }
}

TYPED_TEST(PteTypedTest, RightsAndAgeAreBitsOfTheirOwn) {
  using G = TypeParam;
  const Stage2Attr all =
      Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kFwb)->WithSoftware(1);
  const Stage2Attr none =
      Stage2Attr::For({}, MemStyle::kFromProt, kFwb)->WithSoftware(1);
  const PhysAddr pa(G::kPageSize);
  const Pte<G> pte = Pte<G>::Leaf(pa, Level(3), all);
  EXPECT_TRUE(pte.accessed());
  EXPECT_EQ(pte.WithAccessed(false).raw(), pte.raw() & ~(uint64_t{1} << 10));
  EXPECT_FALSE(pte.WithAccessed(false).accessed());
  EXPECT_EQ(pte.WithAccessed(false).WithAccessed(true), pte);
  EXPECT_EQ(pte.WithAccessed(true), pte);
  EXPECT_EQ(pte.WithoutWrite().raw(), pte.raw() & ~(uint64_t{1} << 7));
  EXPECT_EQ(pte.WithoutWrite().WithRights(all), pte);
  EXPECT_EQ(pte.WithoutWrite().WithRights(none), pte.WithoutWrite());
  // The software bits, the address and the flag of the leaf are its own.
  EXPECT_EQ(Pte<G>::Leaf(pa, Level(3), none).WithRights(all.WithSoftware(2)),
            pte);
  EXPECT_FALSE(
      pte.WithAccessed(false).WithRights(all.WithSoftware(0)).accessed());
}

TYPED_TEST(PteTypedTest, ImpossibleDescriptorsAreBugs) {
  using G = TypeParam;
  const Stage2Attr attr =
      *Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kFwb);
  EXPECT_DEATH(Pte<G>::Leaf(PhysAddr(G::kPageSize / 2), Level(3), attr),
               "IsAligned");
  EXPECT_DEATH(Pte<G>::Leaf(PhysAddr(G::kPageSize), Level(2), attr),
               "IsAligned");
  EXPECT_DEATH(Pte<G>::Leaf(PhysAddr(0), Level(0), attr), "BlockAllowed");
  EXPECT_DEATH(Pte<G>::Leaf(PhysAddr(uint64_t{1} << 52), Level(3), attr),
               "Mask|52");
  EXPECT_DEATH(Pte<G>::Table(PhysAddr(8), 0), "kAddressMask");
}

}  // namespace
}  // namespace holdfast::pgtable
