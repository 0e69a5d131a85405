// SPDX-License-Identifier: Apache-2.0
//
// The lines of --json: each is an object of the schema that json.cc describes.
#include "nlohmann/json.hpp"

#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/shell/renderer.h"
#include "platforms/shell/test_runner.h"

namespace holdfast::shell {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<json> LinesOf(const std::vector<std::string>& script) {
  TestRunner runner(CheckWhen::kEvery, MakeJsonRenderer());
  runner.Run(script);
  std::istringstream output(runner.Output());
  std::vector<json> lines;
  std::string line;
  while (std::getline(output, line)) {
    lines.push_back(json::parse(line));
    EXPECT_EQ(lines.back()["schema"], 1);
    EXPECT_EQ(lines.back()["file"], "test.hf");
  }
  return lines;
}

TEST(Json, ACall) {
  const auto lines = LinesOf({"", "call host_share_hyp 0x40000"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0], json::parse(R"json({
    "schema": 1, "file": "test.hf", "line": 2,
    "command": "call host_share_hyp 0x40000", "kind": "call", "cpu": 0,
    "what": "host_share_hyp(0x40000)", "result": "0",
    "x0": "0x0", "x1": "0x0", "x2": "0x0", "x3": "0x0", "errno": null,
    "changes": ["page 0x40000: HOST -> HOST+EL2"]})json"));
}

TEST(Json, AnErrorHasItsName) {
  const auto lines = LinesOf({"call vcpu_put", "expect -EINVAL"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["errno"], "EINVAL");
  EXPECT_EQ(lines[0]["x1"], "0xffffffffffffffea");
  EXPECT_EQ(lines[0]["result"], "-EINVAL");
}

TEST(Json, EveryKind) {
  const auto lines = LinesOf(AfterMakeVm({
      "hvc 1",
      "host write 0x40000000 7",
      "host read 0x40000000",
      "host read 0x40200000",
      "expect abort external",
      "fill @0x40000000 1",
      "compare @0x40000000 1",
      "compare @0x40000000 2",
      "expect differs",
      "guest $vm call features",
      "guest $vm read 0x80000",
      "expect exit data-abort",
      "start 1 call host_share_hyp @0x40000000",
      "join 1",
      "show locks",
      "call nothing",
  }));
  std::vector<std::string> kinds;
  for (const json& line : lines) {
    kinds.push_back(line["kind"]);
    if (line["kind"] == "text" || line["kind"] == "bad-line") continue;
    for (const char* field : {"cpu", "what", "result", "changes"})
      EXPECT_TRUE(line.contains(field)) << line;
  }
  kinds.erase(kinds.begin(), kinds.begin() + std::ssize(kMakeVm));
  EXPECT_THAT(kinds, ElementsAre("registers", "done", "value", "abort", "done",
                                 "same", "differs", "guest-call", "exit",
                                 "stopped", "call", "text", "bad-line"));
}

TEST(Json, ABadLine) {
  const auto lines = LinesOf({"call nothing"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["kind"], "bad-line");
  EXPECT_EQ(lines[0]["column"], 6);
  EXPECT_THAT(lines[0]["what"], HasSubstr("nothing"));
  EXPECT_THAT(lines[0]["right"], HasSubstr("host_share_hyp"));
}

TEST(Json, AFailure) {
  const auto lines = LinesOf({"call vcpu_put", "expect 0"});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["kind"], "failure");
  EXPECT_EQ(lines[1]["status"], 1);
  EXPECT_EQ(lines[1]["line"], 2);
}

TEST(Json, BytesThatAreNoText) {
  const auto lines = LinesOf({"echo \xff"});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["kind"], "text");
}

}  // namespace
}  // namespace holdfast::shell
