// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/completion.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "platforms/shell/owner.h"
#include "platforms/shell/syntax.h"

namespace holdfast::shell {
namespace {

using Words = std::vector<std::string>;

Words Commands() {
  Words words;
  for (const Syntax& syntax : kSyntax) words.push_back(syntax.word);
  return words;
}

// `before`: what follows "call": its name, then fields.
Words AfterCall(const Words& before) {
  if (before.empty()) return CallNames();
  const hyp::Call* call = CallNamed(before[0]);
  if (call == nullptr) return {};
  Words fields;
  for (unsigned i = 0; i < call->arguments(); ++i) {
    const std::string field = absl::StrCat(call->fields[i], "=");
    const bool given = std::any_of(
        before.begin() + 1, before.end(),
        [&](const auto& word) { return absl::StartsWith(word, field); });
    if (!given) fields.push_back(field);
  }
  return fields;
}

Words AfterGuest(const Words& before) {
  switch (before.size()) {
    case 1:
      return {"call", "exec", "read", "write"};
    case 2: {
      if (before[1] != "call") return {};
      Words calls;
      for (const GuestCall& call : kGuestCalls) calls.push_back(call.name);
      return calls;
    }
    default:
      return {};
  }
}

Words AfterExpect(const Words& before) {
  if (before.empty()) {
    return {"-EAGAIN", "-EBUSY",  "-EFAULT", "-EINVAL", "-ENOENT",   "-ENOMEM",
            "-EPERM",  "-ERANGE", "0",       "abort",   "differs",   "done",
            "exit",    "page",    "same",    "value",   "not-served"};
  }
  if (before[0] == "abort" && before.size() == 1)
    return {"external", "permission", "translation"};
  if (before[0] == "exit" && before.size() == 1)
    return {"data-abort", "hvc", "instruction-abort"};
  if (before[0] == "page" && before.size() == 2) {
    Words owners;
    for (const Owner owner : kOwners) owners.push_back(OwnerName(owner));
    return owners;
  }
  return {};
}

Words AfterShow(const Words& before) {
  if (before.empty()) {
    return {"cpu",   "diff", "events", "locks", "page", "pages",
            "stock", "tlb",  "vm",     "vms",   "walk"};
  }
  if (before[0] == "walk" && before.size() == 1)
    return {"guest", "host", "hyp"};
  if (before[0] == "pages" || before[0] == "walk") return {"--svg"};
  return {};
}

// What may follow the words `before`.
Words After(const Words& before) {
  if (before.empty()) return Commands();
  const std::string& command = before[0];
  const Words rest(before.begin() + 1, before.end());
  if (command == "call") return AfterCall(rest);
  if (command == "finish" || (command == "let" && rest.size() >= 2)) {
    const Words call(rest.begin() + (command == "let" ? 2 : 0), rest.end());
    if (call.empty()) return {"call"};
    return AfterCall(Words(call.begin() + 1, call.end()));
  }
  if (command == "let") return rest.size() == 1 ? Words{"="} : Words{};
  if (command == "on" || command == "start") {
    if (rest.empty()) return {};
    return After(Words(rest.begin() + 1, rest.end()));
  }
  if (command == "guest") return AfterGuest(rest);
  if (command == "expect") return AfterExpect(rest);
  if (command == "show") return AfterShow(rest);
  if (command == "host" && rest.empty()) return {"exec", "read", "write"};
  if (command == "join" && rest.empty()) return {"all"};
  if (command == "record" && rest.empty())
    return {"casemate", "chrome", "events"};
  if (command == "ram" && rest.size() == 2) return {"nomap"};
  if (command == "machine") {
    return {"block=", "granule=16k",     "granule=4k", "granule=64k",
            "ipa=",   "tlb=adversarial", "tlb=plain",  "seed="};
  }
  if (command == "help" && rest.empty()) {
    Words topics = Commands();
    for (const std::string& name : CallNames()) topics.push_back(name);
    return topics;
  }
  return {};
}

}  // namespace

std::vector<std::string> Complete(const std::string& before,
                                  const Names& names) {
  std::istringstream stream(before);
  Words words{std::istream_iterator<std::string>(stream), {}};
  std::string start;
  if (!words.empty() && before.back() != ' ' && before.back() != '\t') {
    start = words.back();
    words.pop_back();
  }
  Words fits;
  // A name may stand wherever a number may: "$v", "pfn=$v", "@$v".
  const size_t dollar = start.rfind('$');
  if (dollar != std::string::npos) {
    for (const auto& [name, value] : names) {
      const std::string whole = absl::StrCat(start.substr(0, dollar + 1), name);
      if (absl::StartsWith(whole, start)) fits.push_back(whole);
    }
    return fits;
  }
  for (const std::string& word : After(words)) {
    if (absl::StartsWith(word, start)) fits.push_back(word);
  }
  std::sort(fits.begin(), fits.end());
  return fits;
}

}  // namespace holdfast::shell
