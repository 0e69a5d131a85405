// SPDX-License-Identifier: Apache-2.0
// Every library that BUILD files name links and works, under sanitizers too.

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/container/btree_map.h"
#include "absl/container/fixed_array.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/random/bit_gen_ref.h"
#include "absl/random/distributions.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/toolchain/tests/el2_headers.h"

ABSL_FLAG(int, pages, 4, "pages to map");

namespace holdfast {
namespace {

TEST(Host, El2CodeRuns) {
  const std::array<std::uint64_t, 2> words = {40, 2};
  EXPECT_EQ(*SumOf(words), 42u);
  EXPECT_FALSE(SumOf({}).has_value());
}

TEST(Host, TestsHaveExceptions) {
  EXPECT_THROW(throw std::runtime_error("x"), std::runtime_error);
}

TEST(Host, AbseilLinks) {
  absl::flat_hash_map<std::string, int> map = {{"a", 1}};
  absl::flat_hash_set<std::uint64_t> set = {1, 2, 3};
  absl::btree_map<int, int> tree = {{2, 1}, {1, 2}};
  absl::InlinedVector<int, 4> inlined = {1, 2};
  absl::FixedArray<int> fixed(3);
  EXPECT_THAT(map, testing::ElementsAre(testing::Pair("a", 1)));
  EXPECT_THAT(set, testing::UnorderedElementsAre(1, 2, 3));
  EXPECT_EQ(tree.begin()->first, 1);
  EXPECT_EQ(inlined.size() + fixed.size(), 5u);

  absl::BitGen gen;
  absl::BitGenRef ref(gen);
  EXPECT_LT(absl::Uniform(ref, 0, 10), 10);
  EXPECT_NE(absl::HashOf(1), absl::HashOf(2));

  const absl::StatusOr<int> bad = absl::NotFoundError("gone");
  EXPECT_EQ(bad.status().message(), "gone");
  EXPECT_EQ(absl::StrCat("a", 1), absl::StrFormat("a%d", 1));
  EXPECT_EQ(absl::FormatDuration(absl::Seconds(3)), "3s");
  EXPECT_EQ(absl::GetFlag(FLAGS_pages), 4);
  const auto one = [] { return 1; };
  EXPECT_EQ(absl::FunctionRef<int()>(one)(), 1);
  bool cleaned = false;
  {
    absl::Cleanup cleanup = [&] { cleaned = true; };
  }
  EXPECT_TRUE(cleaned);
}

}  // namespace
}  // namespace holdfast
