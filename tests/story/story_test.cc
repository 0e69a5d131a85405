// SPDX-License-Identifier: Apache-2.0
//
// The demo's story on the simulated machine, from the same source as on QEMU.
#include "tests/story/story.h"

#include "gtest/gtest.h"
#include "tests/world/story_host.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

TEST(Story, EndsWell) {
  World world;
  StoryHost host(world);
  EXPECT_EQ(story::Tell(host, {.race_rounds = 400}), 0u) << host.transcript();
  EXPECT_NE(host.transcript().find("EL2 held fast"), std::string::npos)
      << host.transcript();
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::tests
