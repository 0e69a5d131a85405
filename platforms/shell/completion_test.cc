// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/completion.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast::shell {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

std::vector<std::string> At(const std::string& before) {
  return Complete(before, {{"vm", 1}, {"vm2", 2}, {"page", 3}});
}

TEST(Completion, OfCommands) {
  EXPECT_THAT(At("sn"), ElementsAre("snapshot"));
  EXPECT_THAT(At(""), Contains("call"));
  EXPECT_THAT(At("nothing"), IsEmpty());
}

TEST(Completion, OfCallsAndTheirFields) {
  EXPECT_THAT(At("call host_share"),
              ElementsAre("host_share_guest", "host_share_hyp"));
  EXPECT_THAT(At("call host_donate_guest "),
              ElementsAre("gfn=", "nr_pages=", "pfn="));
  EXPECT_THAT(At("call host_donate_guest pfn=1 "),
              ElementsAre("gfn=", "nr_pages="));
  EXPECT_THAT(At("call nothing "), IsEmpty());
  EXPECT_THAT(At("let x = "), ElementsAre("call"));
  EXPECT_THAT(At("let x = call reserve"), ElementsAre("reserve_vm"));
  EXPECT_THAT(At("finish call dr"), ElementsAre("drain_vm"));
}

TEST(Completion, OfNames) {
  EXPECT_THAT(At("call drain_vm $v"), ElementsAre("$vm", "$vm2"));
  EXPECT_THAT(At("call drain_vm handle=$v"),
              ElementsAre("handle=$vm", "handle=$vm2"));
  EXPECT_THAT(At("show page @$p"), ElementsAre("@$page"));
}

TEST(Completion, BehindACpu) {
  EXPECT_THAT(At("on 1 ca"), ElementsAre("call"));
  EXPECT_THAT(At("start 1 call vcpu_p"), ElementsAre("vcpu_put"));
  EXPECT_THAT(At("on "), IsEmpty());
}

TEST(Completion, OfTheRest) {
  EXPECT_THAT(At("guest $vm "), ElementsAre("call", "exec", "read", "write"));
  EXPECT_THAT(At("guest $vm call mem_"),
              ElementsAre("mem_share", "mem_unshare"));
  EXPECT_THAT(At("expect -EP"), ElementsAre("-EPERM"));
  EXPECT_THAT(At("expect page 1 HOST+"),
              ElementsAre("HOST+EL2", "HOST+FFA", "HOST+GUEST"));
  EXPECT_THAT(At("show wa"), ElementsAre("walk"));
  EXPECT_THAT(At("show walk h"), ElementsAre("host", "hyp"));
  EXPECT_THAT(At("join "), ElementsAre("all"));
  EXPECT_THAT(At("record "), ElementsAre("casemate", "chrome", "events"));
  EXPECT_THAT(At("machine gr"), SizeIs(3));
  EXPECT_THAT(At("help force"), ElementsAre("force_reclaim_guest_page"));
  EXPECT_THAT(At("echo "), IsEmpty());
}

}  // namespace
}  // namespace holdfast::shell
