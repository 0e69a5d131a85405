// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/guest_program.h"

#include <cstddef>
#include <cstdlib>

#include "absl/strings/str_split.h"

namespace holdfast::spec {
namespace {

using Kind = GuestStep::Kind;

struct Form {
  const char* word;
  Kind kind;
  size_t least;  // numbers
  size_t most;
};
constexpr Form kForms[] = {
    {"read", Kind::kRead, 1, 2},     {"write", Kind::kWrite, 1, 2},
    {"exec", Kind::kExec, 1, 1},     {"hvc", Kind::kHvc, 1, 4},
    {"hvc1", Kind::kHvc1, 1, 4},     {"smc", Kind::kSmc, 1, 4},
    {"wfi", Kind::kWfi, 0, 1},       {"wfe", Kind::kWfe, 0, 0},
    {"sgi", Kind::kSgi, 1, 1},       {"msr", Kind::kMsr, 1, 1},
    {"ack", Kind::kAck, 0, 0},       {"interrupt", Kind::kInterrupt, 0, 0},
    {"serror", Kind::kSError, 0, 0},
};

std::optional<GuestStep> ParseStep(const std::string& text) {
  const std::vector<std::string> words =
      absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty()) return std::nullopt;
  for (const Form& form : kForms) {
    if (words[0] != form.word) continue;
    GuestStep step{.kind = form.kind};
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "signed") {
        step.is_signed = true;
      } else if (words[i] == "wide") {
        step.is_wide = true;
      } else if (words[i] == "walk") {
        step.is_walk = true;
      } else {
        char* end = nullptr;
        step.numbers.push_back(std::strtoull(words[i].c_str(), &end, 0));
        if (*end != '\0') return std::nullopt;
      }
    }
    if (step.numbers.size() < form.least || step.numbers.size() > form.most)
      return std::nullopt;
    return step;
  }
  return std::nullopt;
}

}  // namespace

std::optional<GuestProgram> ParseGuestProgram(const std::string& text) {
  GuestProgram program;
  const std::vector<std::string> steps =
      absl::StrSplit(text, ';', absl::SkipWhitespace());
  for (const std::string& words : steps) {
    const std::optional<GuestStep> step = ParseStep(words);
    if (!step.has_value()) return std::nullopt;
    program.push_back(*step);
  }
  return program;
}

}  // namespace holdfast::spec
