// SPDX-License-Identifier: Apache-2.0
#include "mem_protect/guest_entry.h"

#include <string>

#include "gtest/gtest.h"
#include "pgtable/annotation.h"
#include "pgtable/attr.h"

namespace holdfast::mem_protect {
namespace {

using Pte = pgtable::Pte<pgtable::BuildGranule>;

std::string What(Pte pte, Level level = kPageLevel) {
  return GuestEntry::Of(pte, level)
      .Match([](GuestEntry::Absent) { return std::string("absent"); },
             [](GuestEntry::Poisoned) { return std::string("poisoned"); },
             [](const GuestEntry::Mapped& mapped) {
               return std::string(PageStateName(mapped.state)) + " at " +
                      std::to_string(mapped.page.value() >> kPageShift) +
                      ", level " + std::to_string(mapped.level.value());
             });
}

Pte Leaf(PageState state, Level level = kPageLevel) {
  const CpuFeatures features;
  const auto attr =
      pgtable::Stage2Attr::For(pgtable::kGuestMemory,
                               pgtable::MemStyle::kFromProt, features)
          ->WithSoftware(static_cast<unsigned>(state));
  return Pte::Leaf(Pfn(uint64_t{512} * 512).address(), level, attr);
}

TEST(GuestEntry, EmptyIsAbsent) { EXPECT_EQ(What(Pte::Empty()), "absent"); }

TEST(GuestEntry, LeafCarriesPageStateAndLevel) {
  EXPECT_EQ(What(Leaf(PageState::kOwned)), "owned at 262144, level 3");
  EXPECT_EQ(What(Leaf(PageState::kSharedOwned)),
            "shared, owned at 262144, level 3");
  EXPECT_EQ(What(Leaf(PageState::kSharedBorrowed)),
            "borrowed at 262144, level 3");
  EXPECT_EQ(What(Leaf(PageState::kOwned, Level(2)), Level(2)),
            "owned at 262144, level 2");
}

// The software bits of an invalid entry read as OWNED: poison must be seen
// first.
TEST(GuestEntry, PoisonIsNoPageWhateverItsSoftwareBits) {
  EXPECT_EQ(What(Pte::Annotated(pgtable::Annotation::Poison())), "poisoned");
  for (unsigned software = 0; software < 4; ++software) {
    EXPECT_EQ(What(Pte(pgtable::Annotation::Poison().raw() | uint64_t{software}
                                                                 << 55)),
              "poisoned");
  }
}

// A table is asked about one page; what links tables maps none.
TEST(GuestEntry, TableIsAbsent) {
  EXPECT_EQ(What(Pte::Table(PhysAddr(0x4000'0000), 1), Level(2)), "absent");
}

}  // namespace
}  // namespace holdfast::mem_protect
