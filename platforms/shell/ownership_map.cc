// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "platforms/shell/picture.h"

namespace holdfast::shell {
namespace {

constexpr uint64_t kColumns = 128;
constexpr uint64_t kMostRows = 128;
constexpr uint64_t kSquare = 6;  // pixels
constexpr uint64_t kLeft = 100;
constexpr uint64_t kTextHeight = 20;

const char* ColourOf(Owner owner) {
  switch (owner) {
    case Owner::kNotRam:
      return "#ffffff";
    case Owner::kHost:
      return "#dcead2";
    case Owner::kHostEl2:
      return "#f6c744";
    case Owner::kHostFfa:
      return "#b9a0d9";
    case Owner::kHostGuest:
      return "#6fb7b7";
    case Owner::kEl2:
      return "#d9822b";
    case Owner::kGuest:
      return "#3b6fb6";
    case Owner::kGuestHost:
      return "#8fb4e8";
    case Owner::kBroken:
      break;
  }
  return "#d01010";
}

// RAM without a gap.
struct Stretch {
  uint64_t first = 0;
  uint64_t count = 0;
  std::vector<OwnerRun> runs;
};

std::vector<Stretch> StretchesOf(const std::vector<OwnerRun>& runs) {
  std::vector<Stretch> stretches;
  for (const OwnerRun& run : runs) {
    if (stretches.empty() ||
        stretches.back().first + stretches.back().count != run.first) {
      stretches.push_back({run.first, 0, {}});
    }
    stretches.back().count += run.count;
    stretches.back().runs.push_back(run);
  }
  return stretches;
}

void Rectangle(uint64_t x, uint64_t y, uint64_t squares, Owner owner,
               std::string* svg) {
  absl::StrAppendFormat(
      svg, "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"%s\"/>\n",
      x, y, squares * kSquare, kSquare, ColourOf(owner));
}

void Text(uint64_t x, uint64_t y, const std::string& text, std::string* svg) {
  absl::StrAppendFormat(svg, "<text x=\"%u\" y=\"%u\">%s</text>\n", x, y, text);
}

// The owner of each square.
std::vector<Owner> SquaresOf(const Stretch& stretch, uint64_t frames_each) {
  std::vector<Owner> squares((stretch.count + frames_each - 1) / frames_each,
                             Owner::kHost);
  for (const OwnerRun& run : stretch.runs) {
    if (run.owner == Owner::kHost) continue;
    const uint64_t first = (run.first - stretch.first) / frames_each;
    const uint64_t last =
        (run.first + run.count - 1 - stretch.first) / frames_each;
    std::fill(squares.begin() + static_cast<int64_t>(first),
              squares.begin() + static_cast<int64_t>(last) + 1, run.owner);
  }
  return squares;
}

// Returns the y below it.
uint64_t Draw(const Stretch& stretch, uint64_t y, std::string* svg) {
  const uint64_t frames_each = std::max<uint64_t>(
      1, (stretch.count + kColumns * kMostRows - 1) / (kColumns * kMostRows));
  const std::vector<Owner> squares = SquaresOf(stretch, frames_each);
  Text(kLeft, y + 14,
       absl::StrFormat("frames %#x to %#x, %u a square", stretch.first,
                       stretch.first + stretch.count - 1, frames_each),
       svg);
  y += kTextHeight;
  for (uint64_t row = 0; row * kColumns < squares.size(); ++row) {
    const uint64_t end =
        std::min<uint64_t>(squares.size(), (row + 1) * kColumns);
    if (row % 4 == 0) {
      Text(4, y + kSquare,
           absl::StrFormat("%#x", stretch.first + row * kColumns * frames_each),
           svg);
    }
    for (uint64_t i = row * kColumns; i < end;) {
      uint64_t same = i;
      while (same < end && squares[same] == squares[i]) ++same;
      Rectangle(kLeft + i % kColumns * kSquare, y, same - i, squares[i], svg);
      i = same;
    }
    y += kSquare;
  }
  return y + kTextHeight / 2;
}

uint64_t DrawLegend(const std::vector<OwnerRun>& runs, uint64_t y,
                    std::string* svg) {
  uint64_t x = kLeft;
  for (const Owner owner : kOwners) {
    const bool used =
        std::any_of(runs.begin(), runs.end(),
                    [&](const auto& run) { return run.owner == owner; });
    if (!used) continue;
    Rectangle(x, y, 2, owner, svg);
    Text(x + 18, y + kSquare + 1, OwnerName(owner), svg);
    x += 110;
  }
  return y + kTextHeight;
}

}  // namespace

std::string OwnershipMap(const std::vector<OwnerRun>& runs) {
  std::string body;
  uint64_t y = DrawLegend(runs, kTextHeight / 2, &body);
  for (const Stretch& stretch : StretchesOf(runs)) y = Draw(stretch, y, &body);
  return absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
      "font-family=\"monospace\" font-size=\"11\">\n%s</svg>\n",
      kLeft + kColumns * kSquare + 10, y, body);
}

}  // namespace holdfast::shell
