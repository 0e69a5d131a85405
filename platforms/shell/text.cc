// SPDX-License-Identifier: Apache-2.0
//
// The transcript for people.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/shell/number.h"
#include "platforms/shell/renderer.h"

namespace holdfast::shell {
namespace {

std::string Indented(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines)
    absl::StrAppend(&text, "    ", line, "\n");
  return text;
}

// "host_share_hyp(0x40010) = 0", and x2, x3 if they say something.
std::string ResultLine(const Outcome& outcome) {
  std::string line = absl::StrCat(outcome.what, " = ", outcome.ResultText());
  if (outcome.kind == Outcome::Kind::kCall) {
    if (outcome.reply.x2 != 0)
      absl::StrAppend(&line, "  x2=", Show(outcome.reply.x2));
    if (outcome.reply.x3 != 0)
      absl::StrAppend(&line, "  x3=", Show(outcome.reply.x3));
    if (outcome.tries > 1)
      absl::StrAppend(&line, "  (", outcome.tries, " calls)");
  }
  if (!outcome.detail.empty())
    absl::StrAppend(&line, " (", outcome.detail, ")");
  return line;
}

class TextRenderer final : public Renderer {
 public:
  std::string Of(const Place&, const std::string&,
                 const Outcome& outcome) override {
    const std::string who =
        outcome.cpu == 0 ? "" : absl::StrCat("cpu", outcome.cpu, ": ");
    const std::string changes = Indented(outcome.changes);
    switch (outcome.kind) {
      case Outcome::Kind::kNothing:
        return changes;
      case Outcome::Kind::kText: {
        std::string text;
        for (const std::string& line : outcome.text)
          absl::StrAppend(&text, line, "\n");
        return text;
      }
      case Outcome::Kind::kRegisters:
        return absl::StrFormat("%s%s: x0=%#x x1=%#x x2=%#x x3=%#x\n%s", who,
                               outcome.what, outcome.reply.x0, outcome.reply.x1,
                               outcome.reply.x2, outcome.reply.x3, changes);
      case Outcome::Kind::kStopped:
        return absl::StrCat("cpu", outcome.cpu, ": ", outcome.what, " ",
                            outcome.reason, ": ", outcome.detail, "\n",
                            changes);
      case Outcome::Kind::kExit:
        return absl::StrCat(who, ResultLine(outcome), "\n", changes,
                            "    the guest has left; resume goes on\n");
      default:
        return absl::StrCat(who, ResultLine(outcome), "\n", changes);
    }
  }

  std::string OfBadLine(const Place& place, const std::string& line,
                        const BadLine& bad) override {
    std::string text = absl::StrCat(ToString(place), ": ", bad.what, "\n");
    if (bad.column > 0) {
      absl::StrAppend(&text, "    ", line, "\n    ",
                      std::string(bad.column - 1, ' '), "^\n");
    }
    absl::StrAppend(&text, "    right: ", bad.right, "\n");
    return text;
  }

  std::string OfFailure(const Place& place, const std::string&, Failure,
                        const std::string& what) override {
    return absl::StrCat(ToString(place), ": ", what, "\n");
  }
};

}  // namespace

std::string ToString(const Place& place) {
  return place.line == 0 ? place.file
                         : absl::StrCat(place.file, ":", place.line);
}

std::unique_ptr<Renderer> MakeTextRenderer() {
  return std::make_unique<TextRenderer>();
}

}  // namespace holdfast::shell
