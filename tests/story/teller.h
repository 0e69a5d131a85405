// SPDX-License-Identifier: Apache-2.0
//
// Tells a story on a console: numbered steps, each call with its result beside
// the expected one, and a map of who owns the pages. The map is not only drawn:
// each page on it is read by the host, and that must work exactly where the map
// says that it may.
#ifndef HOLDFAST_TESTS_STORY_TELLER_H_
#define HOLDFAST_TESTS_STORY_TELLER_H_

#include <cstdint>

#include "tests/story/host.h"
#include "tests/story/text.h"

namespace holdfast::story {

enum class Owner : uint8_t { kHost, kShared, kEl2, kGuest };

class Teller {
 public:
  explicit Teller(Host& host) : host_(host) {}

  Host& host() { return host_; }

  void Title(const char* text);
  void Step(const char* text);

  // A page that maps show, by a letter.
  void Name(char letter, const char* what, uint64_t pfn);
  // From here on the map says, and checks, that it is `owner`'s.
  void Owns(char letter, Owner owner);
  void AllOwnedBy(Owner owner);  // but EL2's code
  // What the guest has at `gfn` from here on: a page, or poison.
  void GuestHas(uint64_t gfn, char letter);
  void GuestIsPoisonedAt(uint64_t gfn);
  void GuestEnds();
  void Map();

  // A call that must be served and answer `want` in x1 (0 or a negative errno).
  void Call(const char* what, const Reply& reply, int64_t want);
  // A call that must not be served: x0 = -1 and zero in x1..x3.
  void Unserved(const char* what, const Reply& reply);
  // Anything else that was looked at: what was found, and whether it is right.
  void Check(const char* what, const char* found, bool right);
  void Number(const char* what, uint64_t found, bool right);
  // Says something only if it is wrong.
  void Quietly(bool right, const char* what);

  // The last line. Returns how many checks were wrong.
  unsigned Verdict();

 private:
  struct Page {
    char letter = 0;
    const char* what = nullptr;
    uint64_t pfn = 0;
    Owner owner = Owner::kHost;
  };

  enum class Colour : uint8_t { kNone, kBold, kGreen, kRed, kBlue, kYellow };
  const char* Paint(Colour colour) const;
  template <class Cell>
  void Row(const char* edge, Cell cell);
  void DrawMap();
  void Legend();
  void DrawGuest();
  void Line(const char* what, const char* found, bool right,
            const char* wanted);

  Host& host_;
  struct GuestPage {
    uint64_t gfn = 0;
    char letter = 0;  // 0: poison
  };
  Page pages_[16];
  GuestPage guest_[4];
  unsigned guest_count_ = 0;
  unsigned page_count_ = 0;
  unsigned steps_ = 0;
  unsigned checks_ = 0;
  unsigned wrong_ = 0;
};

}  // namespace holdfast::story

#endif  // HOLDFAST_TESTS_STORY_TELLER_H_
