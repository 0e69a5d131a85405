// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/picture.h"

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/shell/test_runner.h"

namespace holdfast::shell {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(OwnershipMap, DrawsEachOwnerThatThereIs) {
  const std::string svg =
      OwnershipMap({{.first = 0x100, .count = 200},
                    {.first = 0x1c8, .count = 8, .owner = Owner::kGuest},
                    {.first = 0x1000, .count = 4, .owner = Owner::kEl2}});
  EXPECT_THAT(svg, StartsWith("<svg "));
  EXPECT_THAT(svg, HasSubstr(">GUEST</text>"));
  EXPECT_THAT(svg, HasSubstr(">EL2</text>"));
  EXPECT_THAT(svg, Not(HasSubstr(">HOST+EL2</text>")));
  EXPECT_THAT(svg, HasSubstr("frames 0x100 to 0x1cf, 1 a square"));
  EXPECT_THAT(svg, HasSubstr("frames 0x1000 to 0x1003, 1 a square"));
}

TEST(OwnershipMap, TakesSeveralFramesASquareWhereThereAreMany) {
  const std::string svg =
      OwnershipMap({{.first = 0, .count = 1 << 20},
                    {.first = 1 << 20, .count = 1, .owner = Owner::kGuest}});
  EXPECT_THAT(svg, HasSubstr("65 a square"));
  EXPECT_LT(svg.size(), 200'000u);
}

TEST(Walk, InGraphvizsLanguage) {
  const std::string dot =
      WalkDot("guest 0x1000", {{1, 0x40, 3, "table"}, {2, 0x80, 0, "nothing"}});
  EXPECT_THAT(dot, HasSubstr("label=\"guest 0x1000\""));
  EXPECT_THAT(dot, HasSubstr("n0 -> n1"));
  EXPECT_THAT(dot, HasSubstr("level 2, entry at 0x80"));
}

std::string Picture(const std::string& show) {
  const std::string path = absl::StrCat(testing::TempDir(), "/picture.svg");
  TestRunner runner;
  for (const std::string& line : kMakeVm) runner.Do(line);
  EXPECT_EQ(runner.OutputOf(absl::StrCat("show ", show, " --svg ", path)),
            absl::StrCat("wrote ", path, "\n"));
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Show, WritesPictures) {
  EXPECT_THAT(Picture("pages"), HasSubstr(">HOST+EL2</text>"));
  EXPECT_THAT(Picture("walk host 0x40200000"),
              HasSubstr("the host gave the page to EL2"));
  EXPECT_THAT(Picture("walk guest $vm 0"), HasSubstr("nothing"));
}

}  // namespace
}  // namespace holdfast::shell
