// SPDX-License-Identifier: Apache-2.0
#include "tests/story/teller.h"

#include "hyp/abi.h"

namespace holdfast::story {
namespace {

// Column of a call's result.
constexpr size_t kResultColumn = 52;

const char* ErrnoText(int64_t x1) {
  switch (-x1) {
    case HF_EPERM:
      return "-EPERM";
    case HF_ENOENT:
      return "-ENOENT";
    case HF_E2BIG:
      return "-E2BIG";
    case HF_EAGAIN:
      return "-EAGAIN";
    case HF_ENOMEM:
      return "-ENOMEM";
    case HF_EFAULT:
      return "-EFAULT";
    case HF_EBUSY:
      return "-EBUSY";
    case HF_EINVAL:
      return "-EINVAL";
    case HF_ERANGE:
      return "-ERANGE";
    case HF_EHWPOISON:
      return "-EHWPOISON";
    default:
      return nullptr;
  }
}

// x1 as a person reads it.
Text ResultText(int64_t x1) {
  Text text;
  if (const char* name = ErrnoText(x1); name != nullptr) {
    text << name;
  } else if (x1 < 0) {
    text << '-' << static_cast<uint64_t>(-x1);
  } else {
    text << static_cast<uint64_t>(x1);
  }
  return text;
}

const char* OwnerText(Owner owner) {
  switch (owner) {
    case Owner::kHost:
      return "HOST";
    case Owner::kShared:
      return "HOST+EL2";
    case Owner::kEl2:
      return "EL2";
    case Owner::kGuest:
      return "GUEST";
  }
  return "?";
}

bool HostMayRead(Owner owner) {
  return owner == Owner::kHost || owner == Owner::kShared;
}

}  // namespace

const char* Teller::Paint(Colour colour) const {
  if (!host_.colour()) return "";
  switch (colour) {
    case Colour::kNone:
      return "\033[0m";
    case Colour::kBold:
      return "\033[1m";
    case Colour::kGreen:
      return "\033[32m";
    case Colour::kRed:
      return "\033[1;31m";
    case Colour::kBlue:
      return "\033[36m";
    case Colour::kYellow:
      return "\033[33m";
  }
  return "";
}

void Teller::Title(const char* text) {
  Text line;
  line << "\n"
       << Paint(Colour::kBold) << text << Paint(Colour::kNone) << "\n"
       << "on " << host_.machine() << ", " << host_.cpus() << " CPUs\n";
  host_.Print(line.c_str());
}

void Teller::Step(const char* text) {
  Text line;
  line << "\n"
       << Paint(Colour::kBold) << ++steps_ << ". " << text
       << Paint(Colour::kNone) << "\n";
  host_.Print(line.c_str());
}

void Teller::Name(char letter, const char* what, uint64_t pfn) {
  if (page_count_ < 16)
    pages_[page_count_++] = {letter, what, pfn, Owner::kHost};
}

void Teller::Owns(char letter, Owner owner) {
  for (unsigned i = 0; i < page_count_; ++i) {
    if (pages_[i].letter == letter) pages_[i].owner = owner;
  }
}

void Teller::AllOwnedBy(Owner owner) {
  for (unsigned i = 0; i < page_count_; ++i) {
    if (pages_[i].letter != 'E') pages_[i].owner = owner;
  }
}

void Teller::GuestHas(uint64_t gfn, char letter) {
  for (unsigned i = 0; i < guest_count_; ++i) {
    if (guest_[i].gfn == gfn) {
      guest_[i].letter = letter;
      return;
    }
  }
  if (guest_count_ < 4) guest_[guest_count_++] = {gfn, letter};
}

void Teller::GuestIsPoisonedAt(uint64_t gfn) { GuestHas(gfn, 0); }

void Teller::GuestEnds() { guest_count_ = 0; }

// A row of the map, a cell a page.
template <class Cell>
void Teller::Row(const char* edge, Cell cell) {
  Text line;
  line << "    " << edge;
  for (unsigned i = 0; i < page_count_; ++i) {
    cell(line, pages_[i]);
    line << edge;
  }
  line << "\n";
  host_.Print(line.c_str());
}

void Teller::DrawMap() {
  const auto rule = [](Text& line, const Page&) { line << "----------"; };
  Row("+", rule);
  Row("|", [](Text& line, const Page& page) {
    line << "    " << page.letter << "     ";
  });
  Row("|", [this](Text& line, const Page& page) {
    const char* owner = OwnerText(page.owner);
    const size_t width = __builtin_strlen(owner);
    const size_t left = (10 - width) / 2;
    for (size_t n = 0; n < left; ++n) line << ' ';
    const Colour colour = page.owner == Owner::kEl2     ? Colour::kYellow
                          : page.owner == Owner::kGuest ? Colour::kBlue
                                                        : Colour::kGreen;
    line << Paint(colour) << owner << Paint(Colour::kNone);
    for (size_t n = left + width; n < 10; ++n) line << ' ';
  });
  Row("+", rule);
}

void Teller::DrawGuest() {
  if (guest_count_ == 0) return;
  Text line;
  line << "    the guest's table:";
  for (unsigned i = 0; i < guest_count_; ++i) {
    line << "  gfn ";
    line.Hex(guest_[i].gfn) << " = ";
    if (guest_[i].letter != 0) {
      line << Paint(Colour::kBlue) << guest_[i].letter;
    } else {
      line << Paint(Colour::kRed) << "poison";
    }
    line << Paint(Colour::kNone);
  }
  line << "\n";
  host_.Print(line.c_str());
}

void Teller::Legend() {
  for (unsigned i = 0; i < page_count_; ++i) {
    Text line;
    line << "      " << pages_[i].letter << "  " << pages_[i].what
         << ", frame ";
    line.Hex(pages_[i].pfn) << "\n";
    host_.Print(line.c_str());
  }
  host_.Print("    (the host reads each page to see that the map is true)\n");
}

void Teller::Map() {
  DrawMap();
  DrawGuest();
  if (steps_ == 1) Legend();
  for (unsigned i = 0; i < page_count_; ++i) {
    const Page& page = pages_[i];
    ++checks_;
    const Access access = host_.Load(page.pfn * host_.page_size());
    if (access.done == HostMayRead(page.owner)) continue;
    ++wrong_;
    Text line;
    line << "    " << Paint(Colour::kRed) << "WRONG" << Paint(Colour::kNone)
         << ": the host " << (access.done ? "can" : "cannot") << " read "
         << page.letter << ", which is " << OwnerText(page.owner) << "'s\n";
    host_.Print(line.c_str());
  }
}

void Teller::Line(const char* what, const char* found, bool right,
                  const char* wanted) {
  ++checks_;
  Text line;
  line << "    " << what;
  line.Column(kResultColumn);
  line << " = " << Paint(right ? Colour::kGreen : Colour::kRed) << found
       << Paint(Colour::kNone);
  if (!right) {
    ++wrong_;
    line << "   WRONG";
    if (wanted != nullptr) line << ", expected " << wanted;
  }
  line << "\n";
  host_.Print(line.c_str());
}

void Teller::Call(const char* what, const Reply& reply, int64_t want) {
  const int64_t x1 = static_cast<int64_t>(reply.x1);
  if (reply.x0 != 0) {
    Line(what, "not served", false, ResultText(want).c_str());
    return;
  }
  Line(what, ResultText(x1).c_str(), x1 == want, ResultText(want).c_str());
}

void Teller::Unserved(const char* what, const Reply& reply) {
  const bool right = reply.x0 == ~uint64_t{0} && reply.x1 == 0 &&
                     reply.x2 == 0 && reply.x3 == 0;
  Line(what, right ? "not supported, registers zero" : "served", right,
       "not supported");
}

void Teller::Check(const char* what, const char* found, bool right) {
  Line(what, found, right, nullptr);
}

void Teller::Number(const char* what, uint64_t found, bool right) {
  Text text;
  text << found;
  Line(what, text.c_str(), right, nullptr);
}

void Teller::Quietly(bool right, const char* what) {
  ++checks_;
  if (right) return;
  ++wrong_;
  Text line;
  line << "    " << Paint(Colour::kRed) << "WRONG" << Paint(Colour::kNone)
       << ": " << what << " does not hold\n";
  host_.Print(line.c_str());
}

unsigned Teller::Verdict() {
  Text line;
  line << "\n" << Paint(Colour::kBold) << "Verdict: ";
  if (wrong_ == 0) {
    line << Paint(Colour::kGreen) << "EL2 held fast." << Paint(Colour::kNone)
         << " All " << checks_ << " checks came out as expected.\n";
  } else {
    line << Paint(Colour::kRed) << wrong_ << " of " << checks_
         << " checks came out wrong." << Paint(Colour::kNone)
         << " Look for WRONG above.\n";
  }
  host_.Print(line.c_str());
  return wrong_;
}

}  // namespace holdfast::story
