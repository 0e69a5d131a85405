// SPDX-License-Identifier: Apache-2.0
#include "base/event_ring.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace holdfast {
namespace {

TEST(EventRingTest, StartsEmpty) {
  const EventRing ring;
  for (unsigned i = 0; i < EventRing::kEvents; ++i) {
    EXPECT_EQ(ring.Back(i).kind, EventKind::kNone) << i;
  }
}

TEST(EventRingTest, KeepsOrderAndArguments) {
  EventRing ring;
  ring.Record(EventKind::kCallEnter, 1, 2, 3);
  ring.Record(EventKind::kSmc, 4);
  EXPECT_EQ(ring.Back(0).kind, EventKind::kSmc);
  EXPECT_EQ(ring.Back(0).sequence, 1u);
  EXPECT_EQ(ring.Back(0).a, 4u);
  EXPECT_EQ(ring.Back(0).b, 0u);
  EXPECT_EQ(ring.Back(0).c, 0u);
  EXPECT_EQ(ring.Back(1).kind, EventKind::kCallEnter);
  EXPECT_EQ(ring.Back(1).sequence, 0u);
  EXPECT_EQ(ring.Back(1).a, 1u);
  EXPECT_EQ(ring.Back(1).b, 2u);
  EXPECT_EQ(ring.Back(1).c, 3u);
  EXPECT_EQ(ring.Back(2).kind, EventKind::kNone);
}

// After any number of events the ring has the last kEvents of them.
TEST(EventRingTest, WrapsAround) {
  EventRing ring;
  for (uint64_t recorded = 1; recorded <= 3 * EventRing::kEvents + 5;
       ++recorded) {
    ring.Record(EventKind::kPageState, recorded);
    for (unsigned back = 0; back < EventRing::kEvents; ++back) {
      if (back >= recorded) {
        ASSERT_EQ(ring.Back(back).kind, EventKind::kNone);
        continue;
      }
      ASSERT_EQ(ring.Back(back).a, recorded - back);
      ASSERT_EQ(ring.Back(back).sequence, recorded - back - 1);
    }
  }
}

TEST(EventKindTest, EachHasAName) {
  for (EventKind kind = EventKind::kNone; kind <= EventKind::kVcpu;
       kind = static_cast<EventKind>(static_cast<uint32_t>(kind) + 1)) {
    EXPECT_NE(std::string(EventKindName(kind)), "?");
  }
  EXPECT_STREQ(EventKindName(static_cast<EventKind>(9999)), "?");
}

TEST(EventRingTest, ClearForgetsAll) {
  EventRing ring;
  for (unsigned i = 0; i < EventRing::kEvents + 3; ++i) {
    ring.Record(EventKind::kPageState, i);
  }
  ring.Clear();
  for (unsigned i = 0; i < EventRing::kEvents; ++i) {
    EXPECT_EQ(ring.Back(i).kind, EventKind::kNone);
  }
  ring.Record(EventKind::kSmc, 7);
  EXPECT_EQ(ring.Back(0).sequence, 0u);
  EXPECT_EQ(ring.Back(0).a, 7u);
  EXPECT_EQ(ring.Back(1).kind, EventKind::kNone);
}

}  // namespace
}  // namespace holdfast
