// SPDX-License-Identifier: Apache-2.0
//
// What is in pages, and who may know: each page carries who wrote it last, the
// words that were written, and who has come to know them: by writing, by being
// let in, or by being given the page. What EL2 zeroed, everybody may know.
#ifndef HOLDFAST_TESTS_SPEC_CONTENTS_H_
#define HOLDFAST_TESTS_SPEC_CONTENTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "tests/spec/layout.h"
#include "tests/spec/state.h"

namespace holdfast::spec {

// Who has contents: the host, EL2, or the guest of a handle.
using Writer = uint64_t;
inline constexpr Writer kHostWrote = 0;
inline constexpr Writer kHypWrote = 1;
std::string WriterName(Writer writer);

class Contents {
 public:
  explicit Contents(const Layout& layout) : layout_(layout) {}

  // The host's pages `changed` between two states: what they hold, and who may
  // know it, follows from how they changed.
  void PagesChanged(const std::vector<uint64_t>& changed, const Host& before,
                    const Host& after);
  // What a guest's table says changed: leaves that it had not before let it in.
  void LeavesChanged(uint64_t handle, const Vm& before, const Vm& after);
  // Knows nothing any more: each page is what it is, and who has it knows.
  void Forget() { pages_.clear(); }

  // `writer` stored a word. Who else is let in to the page, by `state`, sees
  // it.
  void Wrote(Writer writer, uint64_t address, uint64_t value,
             const State& state);
  // What is wrong with `reader` having read this, or "". `earlier`: it may have
  // been a while ago, but not before the page became what it is.
  std::string Read(Writer reader, uint64_t address, uint64_t value,
                   const State& state, bool earlier = false);

 private:
  struct Content {
    Writer writer = kHostWrote;
    bool all_may_know = false;
    absl::btree_set<Writer> know;
    // All words are zero, but those below. Otherwise other words are unknown.
    bool zero = false;
    struct Word {
      uint64_t value = 0;
      std::vector<uint64_t> before;  // a few
    };
    absl::flat_hash_map<uint64_t, Word> words;
  };

  // A page nobody has asked about: who is let in to it knows it.
  Content& Of(uint64_t pfn, const State& state);
  void LetIn(uint64_t pfn, Writer who);
  absl::btree_set<Writer> LetInTo(uint64_t pfn, const State& state) const;

  const Layout& layout_;
  absl::flat_hash_map<uint64_t, Content> pages_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_CONTENTS_H_
