// SPDX-License-Identifier: Apache-2.0
//
// What EL2 remembers of each page of RAM: 4 bytes.
//
//   31                                   4   3  2   1  0
//  +--------------------------------------+------+------+
//  | count: pins, or guest mappings       | hyp  | host |
//  +--------------------------------------+------+------+
//                                          state^3  state
//
// The hyp state is kept as its complement, so that a zeroed record says what is
// true of all RAM at boot: the host owns it, the hypervisor has no part in it.
// Pins exist only while the host shares the page with the hypervisor, mappings
// only while it shares it with guests; so one count serves both.
// A guest's state is not here but in its leaf; poison is a property of a gfn.
#ifndef HOLDFAST_MEM_PROTECT_PAGE_RECORD_H_
#define HOLDFAST_MEM_PROTECT_PAGE_RECORD_H_

#include <cstdint>

#include "base/check.h"

namespace holdfast::mem_protect {

// A component's relation to a page. Two bits hold all of them.
enum class PageState : uint8_t {
  kOwned = 0,           // it owns the page, nobody else may touch it
  kSharedOwned = 1,     // it owns the page and let somebody else in
  kSharedBorrowed = 2,  // it may touch the page, another owns it
  kNoPage = 3,          // it has no part in the page
};

constexpr const char* PageStateName(PageState state) {
  switch (state) {
    case PageState::kOwned:
      return "owned";
    case PageState::kSharedOwned:
      return "shared, owned";
    case PageState::kSharedBorrowed:
      return "borrowed";
    case PageState::kNoPage:
      return "no page";
  }
  return "?";
}

class PageRecord {
 public:
  static constexpr uint32_t kMaxCount = (uint32_t{1} << 28) - 1;

  constexpr PageState host() const { return static_cast<PageState>(word_ & 3); }
  constexpr PageState hyp() const {
    return static_cast<PageState>(((word_ >> 2) & 3) ^ 3);
  }
  constexpr uint32_t count() const { return word_ >> 4; }
  constexpr bool Is(PageState host, PageState hyp) const {
    return (word_ & 15) == (static_cast<uint32_t>(host) |
                            (static_cast<uint32_t>(hyp) ^ 3) << 2);
  }

  constexpr void set_host(PageState state) {
    word_ = (word_ & ~uint32_t{3}) | static_cast<uint32_t>(state);
  }
  constexpr void set_hyp(PageState state) {
    word_ =
        (word_ & ~uint32_t{0xc}) | ((static_cast<uint32_t>(state) ^ 3) << 2);
  }
  constexpr void Increment() {
    HOLDFAST_CHECK(count() < kMaxCount);
    word_ += 16;
  }
  constexpr void Decrement() {
    HOLDFAST_CHECK(count() > 0);
    word_ -= 16;
  }

 private:
  uint32_t word_ = 0;
};
static_assert(sizeof(PageRecord) == 4);
static_assert(PageRecord().host() == PageState::kOwned);
static_assert(PageRecord().hyp() == PageState::kNoPage);

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_PAGE_RECORD_H_
