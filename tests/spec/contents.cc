// SPDX-License-Identifier: Apache-2.0
#include "tests/spec/contents.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_format.h"

namespace holdfast::spec {

std::string WriterName(Writer writer) {
  if (writer == kHostWrote) return "the host";
  if (writer == kHypWrote) return "EL2";
  return absl::StrFormat("the guest of VM %#x", writer);
}

void Contents::LetIn(uint64_t pfn, Writer who) {
  const auto at = pages_.find(pfn);
  if (at != pages_.end()) at->second.know.insert(who);
}

absl::btree_set<Writer> Contents::LetInTo(uint64_t pfn,
                                          const State& state) const {
  absl::btree_set<Writer> in;
  if (layout_.At(*state.host, pfn).host != PageState::kNone)
    in.insert(kHostWrote);
  for (const auto& [handle, vm] : state.vms) {
    for (const auto& [gfn, entry] : vm->entries) {
      if (!entry.poisoned && pfn >= entry.pfn &&
          pfn - entry.pfn < PagesAt(entry.level)) {
        in.insert(handle);
        break;
      }
    }
  }
  return in;
}

Contents::Content& Contents::Of(uint64_t pfn, const State& state) {
  const auto [at, is_new] = pages_.try_emplace(pfn);
  if (is_new) at->second.know = LetInTo(pfn, state);
  return at->second;
}

void Contents::PagesChanged(const std::vector<uint64_t>& changed,
                            const Host& before, const Host& after) {
  for (uint64_t pfn : changed) {
    const Page was = layout_.At(before, pfn);
    const Page is = layout_.At(after, pfn);
    if (is.host == was.host && is.hyp == was.hyp) continue;
    if (was.host == PageState::kNone && is.host == PageState::kOwned) {
      // From a guest that had it alone, or from EL2: zeroed.
      Content& content = pages_[pfn] = Content();
      content.writer = kHypWrote;
      content.all_may_know = true;
      content.zero = true;
    } else if (is.hyp == PageState::kOwned) {
      (pages_[pfn] = Content()).writer = kHypWrote;
    } else if (is.host != PageState::kNone) {
      LetIn(pfn, kHostWrote);
    }
    // A donation to a guest: LeavesChanged sees it.
  }
}

void Contents::LeavesChanged(uint64_t handle, const Vm& before,
                             const Vm& after) {
  for (const auto& [gfn, entry] : after.entries) {
    if (entry.poisoned) continue;
    const auto was = before.entries.find(gfn);
    if (was != before.entries.end() && was->second == entry) continue;
    for (uint64_t i = 0; i < PagesAt(entry.level); ++i)
      LetIn(entry.pfn + i, handle);
  }
}

void Contents::Wrote(Writer writer, uint64_t address, uint64_t value,
                     const State& state) {
  const uint64_t pfn = address >> kPageShift;
  Content& content = Of(pfn, state);
  content.writer = writer;
  content.all_may_know = false;
  content.know = LetInTo(pfn, state);
  content.know.insert(writer);
  Content::Word& word = content.words[address & ~uint64_t{7}];
  constexpr size_t kKept = 4;
  if (word.before.size() == kKept) word.before.erase(word.before.begin());
  word.before.push_back(word.value);
  word.value = value;
}

std::string Contents::Read(Writer reader, uint64_t address, uint64_t value,
                           const State& state, bool earlier) {
  const uint64_t pfn = address >> kPageShift;
  const Content& content = Of(pfn, state);
  if (!content.all_may_know && !content.know.contains(reader)) {
    return absl::StrFormat(
        "%s read %#x at %#x: %s wrote this page last and let it in neither "
        "before nor since",
        WriterName(reader), value, address, WriterName(content.writer));
  }
  const auto word = content.words.find(address & ~uint64_t{7});
  std::optional<uint64_t> want;
  if (word != content.words.end()) {
    want = word->second.value;
    const std::vector<uint64_t>& before = word->second.before;
    if (earlier &&
        std::find(before.begin(), before.end(), value) != before.end()) {
      return "";
    }
  } else if (content.zero) {
    want = 0;
  }
  if (want.has_value() && *want != value) {
    return absl::StrFormat("%s read %#x at %#x, which holds %#x",
                           WriterName(reader), value, address, *want);
  }
  return "";
}

}  // namespace holdfast::spec
