// SPDX-License-Identifier: Apache-2.0
#include "tests/interleave/interleaver.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/shell/test_runner.h"
#include "tests/explore/key.h"
#include "tests/interleave/races.h"

namespace holdfast::interleave {
namespace {

using testing::HasSubstr;
using testing::Not;

using Keys = absl::flat_hash_set<explore::Key>;

const Situation& At(const std::string& name) {
  static const std::vector<Situation> all = Situations(3);
  for (const Situation& situation : all) {
    if (situation.name == name) return situation;
  }
  ADD_FAILURE() << "there is no situation " << name;
  return all.front();
}

// All states that the orders of a race end in.
Keys EndsOf(const Race& race, Options options, Findings* found = nullptr) {
  Keys keys;
  options.check = [&](fuzz::ScriptRun& run) {
    keys.insert(explore::KeyOf(run));
    return std::string();
  };
  const Findings findings = AllOrders(race, options);
  EXPECT_EQ(findings.trouble, "") << findings.script;
  if (found != nullptr) *found = findings;
  return keys;
}

// Of two VMs one gets the page; of two calls one is first.
TEST(Interleaver, TriesBothOrdersOfTwoDonations) {
  const Race race{At("empty").setup,
                  {{"call host_donate_guest 0x40008 0 1"},
                   {"call host_donate_guest 0x40008 1 1"}}};
  EXPECT_EQ(EndsOf(race, {}).size(), 2u);
}

TEST(Interleaver, ACallWithoutLocksHasOneOrder) {
  const Race race{At("empty").setup, {{"call probe"}, {"call probe"}}};
  EXPECT_EQ(AllOrders(race).orders, 1u);
}

// What is left out by sleep sets leads nowhere else.
TEST(Interleaver, LeavesOutNothingThatDiffers) {
  for (const char* name : {"owned", "dying", "loan"}) {
    const Situation& at = At(name);
    uint64_t all_orders = 0;
    uint64_t orders = 0;
    for (const std::string& a : at.hot) {
      for (const std::string& b : at.hot) {
        const Race race{at.setup, {{a, b}, {b}}};
        Findings all;
        Findings some;
        const Keys want = EndsOf(race, {.all_orders = true}, &all);
        EXPECT_EQ(EndsOf(race, {}, &some), want) << a << " / " << b;
        all_orders += all.orders;
        orders += some.orders - some.cut;
      }
    }
    EXPECT_LT(orders, all_orders) << name;
  }
}

// An access comes at each point of a call, not only between its sections.
TEST(Interleaver, AnAccessComesAtEachPoint) {
  const std::string force = "call force_reclaim_guest_page 0x40008 1";
  const auto orders = [&](const char* other) {
    return AllOrders({At("owned").setup, {{force}, {other}}}).orders;
  };
  EXPECT_GT(orders("guest 0x1000.1 write 0 0x22"), 10u);
  EXPECT_LT(orders("call vcpu_put"), 10u);
}

TEST(Interleaver, PreemptionsAreBounded) {
  const Race race{At("owned").setup,
                  {{"call host_share_hyp 0x40009", "call vcpu_put"},
                   {"call host_share_hyp 0x4000a"},
                   {"call force_reclaim_guest_page 0x40008 1"}}};
  uint64_t before = 0;
  for (const unsigned most : {0u, 1u, 2u}) {
    const uint64_t orders = AllOrders(race, {.preemptions = most}).orders;
    EXPECT_GT(orders, before);
    before = orders;
  }
  // Whoever is first, second, third.
  EXPECT_GE(AllOrders(race, {.preemptions = 0}).orders, 6u);
}

// What fails is a script; the simulator does the same with it.
TEST(Interleaver, AFailureIsAScript) {
  // As if it were wrong for the page to end up as the guest's.
  const Check is_wrong = [](fuzz::ScriptRun& run) -> std::string {
    const auto& pages = run.oracle().state().host->pages;
    const auto page = pages.find(0x40008);
    const bool guests =
        page != pages.end() && page->second.host == spec::PageState::kNone;
    return guests ? "it is the guest's" : "";
  };
  const Race race{At("empty").setup,
                  {{"call host_donate_guest 0x40008 0 1"},
                   {"call host_share_hyp 0x40008"}}};
  for (const Findings& found :
       {AllOrders(race, {.check = is_wrong}),
        RandomOrders(race, 100, /*depth=*/2, /*seed=*/1, is_wrong)}) {
    EXPECT_EQ(found.trouble, "it is the guest's");
    EXPECT_THAT(found.script, HasSubstr("start 0 call host_donate_guest"));
    EXPECT_THAT(found.script, HasSubstr("step 0"));

    shell::TestRunner simulator;
    const std::vector<std::string> lines = absl::StrSplit(found.script, '\n');
    EXPECT_EQ(simulator.Run(lines), 0) << simulator.Output();
    EXPECT_THAT(simulator.OutputOf("show page 0x40008"), HasSubstr("GUEST"));

    fuzz::ScriptRun replay;
    for (const std::string& line : lines) EXPECT_EQ(replay.Do(line), "");
    EXPECT_EQ(replay.FullTrouble(), "");
    EXPECT_EQ(is_wrong(replay), found.trouble);
  }
}

// The simplest one that fails is shown: nobody is left who could go on.
TEST(Interleaver, AFailureHasFewPreemptions) {
  const Check is_wrong = [](fuzz::ScriptRun&) { return "always"; };
  const Situation& at = At("owned");
  const Findings found =
      AllOrders({at.setup, {{at.hot[0]}, {at.hot[1]}}}, {.check = is_wrong});
  const size_t second = found.script.find("start 1");
  ASSERT_NE(second, std::string::npos);
  const std::string rest = found.script.substr(second);
  const size_t one = rest.find("step 1");
  const size_t zero = rest.find("step 0");
  ASSERT_NE(one, std::string::npos);
  ASSERT_NE(zero, std::string::npos);
  // One is done before the other moves.
  EXPECT_THAT(rest.substr(std::max(one, zero)),
              Not(HasSubstr(one < zero ? "step 1" : "step 0")));
}

TEST(Interleaver, RandomOrdersAreTheSameEachTime) {
  const Situation& at = At("two");
  const Race race{at.setup, {{at.hot[0], at.hot[3]}, {at.hot[5], at.hot[8]}}};
  const auto ends = [&](uint64_t seed) {
    std::vector<uint64_t> counts;
    Keys keys;
    const Findings found =
        RandomOrders(race, 30, 3, seed, [&](fuzz::ScriptRun& run) {
          keys.insert(explore::KeyOf(run));
          counts.push_back(keys.size());
          return std::string();
        });
    EXPECT_EQ(found.orders, 30u);
    return counts;
  };
  EXPECT_EQ(ends(1), ends(1));
}

}  // namespace
}  // namespace holdfast::interleave
