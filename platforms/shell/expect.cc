// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/expect.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "platforms/shell/number.h"
#include "platforms/shell/owner.h"

namespace holdfast::shell {
namespace {

std::string Differs(const std::string& expected, const std::string& is) {
  if (expected == is) return "";
  return absl::StrCat("expected ", expected, ", but it is ", is);
}

// What came of it as a number, if it is one.
std::optional<uint64_t> NumberIn(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::kValue:
      return outcome.value;
    case Outcome::Kind::kCall:
      if (outcome.reply.x0 == 0) return outcome.reply.x1;
      return std::nullopt;
    case Outcome::Kind::kGuestCall:
    case Outcome::Kind::kRegisters:
      return outcome.reply.x0;
    default:
      return std::nullopt;
  }
}

std::string CompareNumber(const Outcome& outcome, uint64_t value) {
  const auto number = NumberIn(outcome);
  if (number.has_value() && *number == value) return "";
  return Differs(Show(value), outcome.kind == Outcome::Kind::kRegisters
                                  ? absl::StrCat("x0 = ", Show(*number))
                                  : outcome.ResultText());
}

}  // namespace

Parsed<std::string> Compare(Session& session, unsigned cpu,
                            const ExpectCommand& expect) {
  using Kind = ExpectCommand::Kind;
  if (expect.kind == Kind::kPage) {
    HOLDFAST_TRY(session.Boot());
    tests::Board& board = session.board();
    const unsigned bits = board.mem().features().pa_bits - kPageShift;
    const Owner owner = expect.pfn >> bits != 0
                            ? Owner::kNotRam
                            : OwnerOf(board.mem().RecordOf(Pfn(expect.pfn)));
    const std::string difference =
        Differs(OwnerName(expect.owner), OwnerName(owner));
    if (difference.empty()) return difference;
    return absl::StrCat("page ", Show(expect.pfn), ": ", difference);
  }
  const Outcome* const last = session.last(cpu);
  if (last == nullptr) {
    return Bad(0, absl::StrCat("CPU ", cpu, " has done nothing yet"),
               "expect after a call or an access");
  }
  std::string difference;
  switch (expect.kind) {
    case Kind::kResult:
      difference = expect.text.empty()
                       ? CompareNumber(*last, expect.value)
                       : Differs(expect.text, last->ResultText());
      break;
    case Kind::kValue:
      difference = CompareNumber(*last, expect.value);
      break;
    case Kind::kAbort:
      difference =
          Differs(absl::StrCat("abort ", expect.text), last->ResultText());
      break;
    case Kind::kExit:
      difference =
          Differs(absl::StrCat("exit ", expect.text), last->ResultText());
      break;
    case Kind::kPage:
      break;
  }
  if (difference.empty() && expect.x2.has_value()) {
    difference = Differs(absl::StrCat("x2 = ", Show(*expect.x2)),
                         absl::StrCat("x2 = ", Show(last->reply.x2)));
  }
  if (difference.empty()) return difference;
  return absl::StrCat(last->what, ": ", difference);
}

}  // namespace holdfast::shell
