// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/syntax.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hyp/abi.h"

namespace holdfast::shell {
namespace {

// Levenshtein's distance.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t corner = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t cost = corner + (a[i - 1] == b[j - 1] ? 0 : 1);
      corner = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, cost});
    }
  }
  return row[b.size()];
}

std::vector<std::string> HelpOnAll() {
  std::vector<std::string> lines;
  for (const Syntax& syntax : kSyntax) {
    lines.push_back(syntax.usage);
    lines.push_back(absl::StrCat("    ", syntax.help));
  }
  lines.push_back("");
  lines.push_back(
      "Numbers are 12, 0x40, $NAME, or @ADDRESS for the frame of an address.");
  lines.push_back("Calls (help NAME says more):");
  for (const hyp::Call& call : hyp::kCalls)
    lines.push_back(absl::StrCat("    ", CallUsage(call)));
  return lines;
}

}  // namespace

const std::array<GuestCall, 4> kGuestCalls = {
    GuestCall{"features", HF_GUEST_FEATURES, false},
    GuestCall{"meminfo", HF_GUEST_MEMINFO, false},
    GuestCall{"mem_share", HF_GUEST_MEM_SHARE, true},
    GuestCall{"mem_unshare", HF_GUEST_MEM_UNSHARE, true},
};

const Syntax* SyntaxOf(const std::string& word) {
  for (const Syntax& syntax : kSyntax) {
    if (word == syntax.word) return &syntax;
  }
  return nullptr;
}

std::string Nearest(const std::string& word,
                    const std::vector<std::string>& list) {
  std::string best;
  size_t least = word.size() / 3 + 2;
  for (const std::string& candidate : list) {
    const size_t distance = Distance(word, candidate);
    if (distance >= least) continue;
    least = distance;
    best = candidate;
  }
  return best;
}

const hyp::Call* CallNamed(const std::string& name) {
  for (const hyp::Call& call : hyp::kCalls) {
    if (name == call.name) return &call;
  }
  return nullptr;
}

std::vector<std::string> CallNames() {
  std::vector<std::string> names;
  for (const hyp::Call& call : hyp::kCalls) names.push_back(call.name);
  return names;
}

std::string CallUsage(const hyp::Call& call) {
  std::string usage = call.name;
  for (unsigned i = 0; i < call.arguments(); ++i)
    absl::StrAppend(&usage, " ", call.fields[i], "=N");
  return usage;
}

const char* NeedsText(hyp::Needs needs) {
  switch (needs) {
    case hyp::Needs::kNothing:
      return "";
    case hyp::Needs::kVcpu:
      return "a vCPU";
    case hyp::Needs::kProtectedVcpu:
      return "a vCPU of a protected VM";
    case hyp::Needs::kNonProtectedVcpu:
      return "a vCPU of a non-protected VM";
  }
  return "";
}

const GuestCall* GuestCallNamed(const std::string& name) {
  for (const GuestCall& call : kGuestCalls) {
    if (name == call.name) return &call;
  }
  return nullptr;
}

std::optional<std::vector<std::string>> HelpOn(const std::string& topic) {
  if (topic.empty()) return HelpOnAll();
  if (const Syntax* syntax = SyntaxOf(topic)) {
    return std::vector<std::string>{syntax->usage,
                                    absl::StrCat("    ", syntax->help)};
  }
  if (const hyp::Call* call = CallNamed(topic)) {
    std::vector<std::string> lines = {
        absl::StrFormat("call %s", CallUsage(*call)),
        absl::StrFormat("    function id %#x", call->id)};
    if (call->needs != hyp::Needs::kNothing) {
      lines.push_back(absl::StrFormat("    needs %s loaded on its CPU",
                                      NeedsText(call->needs)));
    }
    return lines;
  }
  return std::nullopt;
}

}  // namespace holdfast::shell
