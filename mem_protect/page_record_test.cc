// SPDX-License-Identifier: Apache-2.0
#include "mem_protect/page_record.h"

#include <cstring>

#include "gtest/gtest.h"
#include "test_machine.h"

namespace holdfast::mem_protect {
namespace {

constexpr PageState kAll[] = {PageState::kOwned, PageState::kSharedOwned,
                              PageState::kSharedBorrowed, PageState::kNoPage};

TEST(PageRecord, ZeroesSayThatThePageIsTheHosts) {
  PageRecord record;
  // Records live in zeroed memory that no constructor runs over.
  std::memset(static_cast<void*>(&record), 0, sizeof(record));
  EXPECT_EQ(record.host(), PageState::kOwned);
  EXPECT_EQ(record.hyp(), PageState::kNoPage);
  EXPECT_EQ(record.count(), 0u);
}

// Each field keeps its value whatever is written to the others.
TEST(PageRecord, FieldsAreApart) {
  for (PageState host : kAll) {
    for (PageState hyp : kAll) {
      for (uint32_t count : {0u, 1u, 7u}) {
        PageRecord record;
        for (uint32_t i = 0; i < count; ++i) record.Increment();
        record.set_hyp(hyp);
        record.set_host(host);
        EXPECT_EQ(record.host(), host);
        EXPECT_EQ(record.hyp(), hyp);
        EXPECT_EQ(record.count(), count);
        for (uint32_t i = 0; i < count; ++i) record.Decrement();
        record.set_host(PageState::kOwned);
        EXPECT_EQ(record.hyp(), hyp);
        EXPECT_EQ(record.count(), 0u);
      }
    }
  }
}

class PageRecordDeathTest : public testing::Test {
 protected:
  sim::Machine machine_{{.ram = {{PhysAddr(0x4000'0000), kPageSize}}}};
  sim::OnCpu on_cpu_{machine_, 0};
};

TEST_F(PageRecordDeathTest, CountStopsAtBothEnds) {
  PageRecord record;
  EXPECT_DEATH(record.Decrement(), "count");
  // 2^28 increments take too long: the count is the word's upper bits.
  const uint32_t full = PageRecord::kMaxCount << 4;
  std::memcpy(static_cast<void*>(&record), &full, sizeof(full));
  ASSERT_EQ(record.count(), PageRecord::kMaxCount);
  EXPECT_DEATH(record.Increment(), "count");
  record.Decrement();
  record.Increment();
  EXPECT_EQ(record.host(), PageState::kOwned)
      << "the count ran into the states";
}

TEST(PageStateName, EachHasItsOwn) {
  for (PageState a : kAll) {
    EXPECT_STRNE(PageStateName(a), "?");
    for (PageState b : kAll) {
      if (a != b) EXPECT_STRNE(PageStateName(a), PageStateName(b));
    }
  }
}

}  // namespace
}  // namespace holdfast::mem_protect
