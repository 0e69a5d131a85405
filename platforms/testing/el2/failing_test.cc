// SPDX-License-Identifier: Apache-2.0
//
// Tests that fail, for the image that shows how that is told.
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

TEST(FailingTest, Passes) { EXPECT_EQ(2 + 2, 4); }

TEST(FailingTest, SaysBothValues) {
  const uint64_t found = 0x40201000;
  SCOPED_TRACE("on the way");
  EXPECT_EQ(found, uint64_t{0x40202000}) << "and a word";
}

TEST(FailingTest, AssertionsEndIt) {
  ASSERT_TRUE(std::vector<int>{1}.empty());
  EXPECT_EQ(1, 2) << "never said";
}

TEST(FailingTest, MatchersSayWhatTheyWant) {
  EXPECT_THAT((std::vector<int>{1, 2}), testing::ElementsAre(1, 3));
}

}  // namespace
}  // namespace holdfast
