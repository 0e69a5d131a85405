// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace holdfast {
namespace {

// The ABI has Linux's numbers, and so has this machine.
static_assert(static_cast<int>(Errno::kEperm) == EPERM);
static_assert(static_cast<int>(Errno::kEnoent) == ENOENT);
static_assert(static_cast<int>(Errno::kE2big) == E2BIG);
static_assert(static_cast<int>(Errno::kEagain) == EAGAIN);
static_assert(static_cast<int>(Errno::kEnomem) == ENOMEM);
static_assert(static_cast<int>(Errno::kEfault) == EFAULT);
static_assert(static_cast<int>(Errno::kEbusy) == EBUSY);
static_assert(static_cast<int>(Errno::kEexist) == EEXIST);
static_assert(static_cast<int>(Errno::kEnodev) == ENODEV);
static_assert(static_cast<int>(Errno::kEinval) == EINVAL);
static_assert(static_cast<int>(Errno::kErange) == ERANGE);
static_assert(static_cast<int>(Errno::kEopnotsupp) == EOPNOTSUPP);
static_assert(static_cast<int>(Errno::kEhwpoison) == EHWPOISON);

TEST(ErrnoTest, HasNames) {
  EXPECT_STREQ(ErrnoName(Errno::kEperm), "EPERM");
  EXPECT_STREQ(ErrnoName(Errno::kE2big), "E2BIG");
  EXPECT_STREQ(ErrnoName(Errno::kEhwpoison), "EHWPOISON");
  EXPECT_STREQ(ErrnoName(static_cast<Errno>(9999)), "E?");
}

Status StatusOf(bool good) {
  if (!good) return Error(Errno::kEbusy);
  return {};
}

Result<int> Half(int value) {
  if (value % 2 != 0) return Error(Errno::kEinval);
  return value / 2;
}

Result<std::string> TryBoth(bool good, int* reached) {
  *reached = 1;
  HOLDFAST_TRY(StatusOf(good));
  *reached = 2;
  return std::string("done");
}

TEST(ResultTest, TryReturnsTheErrorAndElseGoesOn) {
  int reached = 0;
  const Result<std::string> good = TryBoth(true, &reached);
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(*good, "done");
  EXPECT_EQ(reached, 2);
  const Result<std::string> bad = TryBoth(false, &reached);
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error(), Errno::kEbusy);
  EXPECT_EQ(reached, 1);
}

Result<int> Quarter(int value) {
  // Twice in a scope: each has a name of its own.
  HOLDFAST_TRY_ASSIGN(const int half, Half(value));
  HOLDFAST_TRY_ASSIGN(int quarter, Half(half));
  return quarter;
}

TEST(ResultTest, TryAssignBindsTheValue) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(6).error(), Errno::kEinval);
  EXPECT_EQ(Quarter(1).error(), Errno::kEinval);
}

Result<int> Unwrap(Result<std::unique_ptr<int>> result) {
  HOLDFAST_TRY_ASSIGN(const std::unique_ptr<int> pointer, std::move(result));
  return *pointer;
}

TEST(ResultTest, TryAssignMoves) {
  EXPECT_EQ(Unwrap(std::make_unique<int>(7)).value(), 7);
  EXPECT_EQ(Unwrap(Error(Errno::kEnomem)).error(), Errno::kEnomem);
}

Status TryCounted(int* evaluations) {
  HOLDFAST_TRY((++*evaluations, StatusOf(false)));
  return {};
}

TEST(ResultTest, TryEvaluatesOnce) {
  int evaluations = 0;
  EXPECT_FALSE(TryCounted(&evaluations).has_value());
  EXPECT_EQ(evaluations, 1);
}

}  // namespace
}  // namespace holdfast
