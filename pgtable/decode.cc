// SPDX-License-Identifier: Apache-2.0
#include "pgtable/decode.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "pgtable/annotation.h"
#include "pgtable/geometry.h"
#include "pgtable/pte.h"

namespace holdfast::pgtable {
namespace {

uint64_t Bits(uint64_t raw, unsigned high, unsigned low) {
  const uint64_t up = raw >> low;
  const unsigned width = high - low + 1;
  return width == 64 ? up : up & ((uint64_t{1} << width) - 1);
}

const char* Yes(uint64_t bit, const char* yes, const char* no) {
  return bit != 0 ? yes : no;
}

// Collects fields from bit 63 down; what lies between two named ones is
// "ignored" or "must be zero".
class Fields {
 public:
  Fields(uint64_t raw, std::vector<DecodedField>* out)
      : raw_(raw), out_(*out) {}

  uint64_t Add(unsigned high, unsigned low, std::string name,
               std::string meaning) {
    const uint64_t value = Bits(raw_, high, low);
    out_.push_back({high, low, std::move(name), value, std::move(meaning)});
    return value;
  }
  void Rest(unsigned high, unsigned low, const char* rule) {
    Add(high, low, rule, Bits(raw_, high, low) == 0 ? "" : "not zero!");
  }

 private:
  const uint64_t raw_;
  std::vector<DecodedField>& out_;
};

// ---- Attributes -------------------------------------------------------------

const char* StageText(Stage stage) {
  switch (stage) {
    case Stage::kStage2:
      return "stage 2";
    case Stage::kHostStage2:
      return "stage 2 of the host";
    case Stage::kHyp:
      break;
  }
  return "stage 1 of EL2";
}

const char* StateText(unsigned software) {
  constexpr const char* kStates[] = {"owned", "shared, owned", "borrowed",
                                     "no page"};
  return kStates[software & 3];
}

const char* MemAttrText(uint64_t attr) {
  switch (attr) {
    case 1:
      return "device nGnRE";
    case 5:
      return "normal, non-cacheable";
    case 6:
      return "normal, write-back (with FWB)";
    case 7:
      return "as stage 1 says (with FWB)";
    case 0xf:
      return "normal, write-back; or as stage 1 says";
    default:
      return "none that Holdfast writes";
  }
}

const char* ShText(uint64_t sh) {
  constexpr const char* kNames[] = {"non-shareable", "reserved",
                                    "outer shareable", "inner shareable"};
  return kNames[sh & 3];
}

const char* XnText(uint64_t xn) {
  constexpr const char* kNames[] = {"execute at EL1 and EL0",
                                    "execute at EL0 only", "never execute",
                                    "execute at EL1 only"};
  return kNames[xn & 3];
}

const char* ApText(uint64_t ap) {
  return (ap & 1) == 0   ? "none that Holdfast writes (AP[1] is RES1)"
         : (ap & 2) != 0 ? "read only"
                         : "read and write";
}

// "rwx", "r-x at EL1", "rw-".
std::string Stage2Rights(uint64_t raw) {
  std::string rights;
  rights += Bits(raw, 6, 6) != 0 ? 'r' : '-';
  rights += Bits(raw, 7, 7) != 0 ? 'w' : '-';
  const uint64_t xn = Bits(raw, 54, 53);
  rights += xn == 2 ? '-' : 'x';
  if (xn == 1) rights += " (x at EL0)";
  if (xn == 3) rights += " (x at EL1)";
  return rights;
}

std::string HypRights(uint64_t raw) {
  std::string rights = "r";
  rights += Bits(raw, 7, 7) == 0 ? 'w' : '-';
  rights += Bits(raw, 54, 54) == 0 ? 'x' : '-';
  return rights;
}

// ---- Kinds of descriptor ----------------------------------------------------

std::string AnnotationText(const Annotation& annotation) {
  switch (annotation.type()) {
    case AnnotationType::kPoison:
      return "poison: the page was taken back by force";
    case AnnotationType::kLocked:
      return "locked (Holdfast never stores this)";
    case AnnotationType::kHostDonation:
      break;
    default:
      return "of a type Holdfast does not know";
  }
  switch (annotation.owner()) {
    case ComponentId::kHyp:
      return "the host gave the page to EL2";
    case ComponentId::kGuest:
      return absl::StrFormat("the host gave the page to VM %#x, gfn %#x",
                             annotation.handle().value(),
                             annotation.gfn().value());
    case ComponentId::kNobody:
      return "the page is on its way back to the host";
    default:
      return "a donation to whom Holdfast does not know";
  }
}

void AnnotationFields(const Annotation& annotation, Fields* fields) {
  const bool donation = annotation.type() == AnnotationType::kHostDonation;
  constexpr const char* kTypes[] = {"none", "locked", "host donation",
                                    "poison"};
  const auto type = static_cast<unsigned>(annotation.type());
  fields->Add(63, 60, "type", type < 4 ? kTypes[type] : "unknown");
  if (!donation) {
    fields->Rest(59, 1, "payload");
  } else {
    constexpr const char* kOwners[] = {"host", "EL2", "guest"};
    const auto owner = static_cast<unsigned>(annotation.owner());
    const bool guest = annotation.OwnedByGuest();
    fields->Add(59, 20, "gfn", guest ? "where the guest has it" : "");
    fields->Add(19, 4, "handle", guest ? "which VM" : "");
    fields->Add(3, 1, "owner", owner < 3 ? kOwners[owner] : "nobody");
  }
  fields->Add(0, 0, "valid", "no: hardware ignores all other bits");
}

template <class G>
std::string AddressText(Pte<G> pte) {
  return absl::StrFormat("%#x", pte.address().value());
}

// The address field, and on 64 KiB the high bits below it; down to `low`.
template <class G>
void AddressFields(Pte<G> pte, unsigned low, Fields* fields) {
  constexpr unsigned kShift = G::kPageShift < 12 ? 12 : G::kPageShift;
  fields->Add(47, kShift, "address", AddressText(pte));
  if (G::kPageShift == 16) {
    fields->Add(15, 12, "address 51:48", "");
  } else if (kShift > 12) {
    fields->Rest(kShift - 1, 12, "zero");
  }
  if (low < 12) fields->Rest(11, low, "ignored");
}

template <class G>
void TableFields(Pte<G> pte, Fields* fields) {
  fields->Rest(63, 59, "table attributes");
  fields->Add(58, 51, "count, high",
              absl::StrCat("the table has ", pte.count(), " entries in use"));
  fields->Rest(50, 48, "zero");
  AddressFields(pte, 8, fields);
  fields->Add(7, 2, "count, low", "");
  fields->Add(1, 1, "type", "table");
  fields->Add(0, 0, "valid", "yes");
}

template <class G>
void LeafFields(Pte<G> pte, Stage stage, bool page, Fields* fields) {
  const uint64_t raw = pte.raw();
  fields->Rest(63, 59, "ignored");
  if (stage != Stage::kHyp) {
    fields->Rest(58, 57, "software");
    fields->Add(56, 55, "software",
                stage == Stage::kStage2
                    ? absl::StrCat("state: ", StateText(pte.software()))
                    : "");
    fields->Add(54, 53, "XN", XnText(Bits(raw, 54, 53)));
    fields->Rest(52, 48, "zero");
  } else {
    fields->Rest(58, 55, "software");
    fields->Add(54, 54, "XN",
                Yes(Bits(raw, 54, 54), "never execute", "execute"));
    fields->Rest(53, 48, "zero");
  }
  AddressFields(pte, 12, fields);
  fields->Rest(11, 11, "zero");
  fields->Add(10, 10, "AF",
              Yes(Bits(raw, 10, 10), "accessed", "not accessed: faults"));
  fields->Add(9, 8, "SH", ShText(Bits(raw, 9, 8)));
  if (stage != Stage::kHyp) {
    fields->Add(7, 7, "S2AP write", Yes(Bits(raw, 7, 7), "writable", "no"));
    fields->Add(6, 6, "S2AP read", Yes(Bits(raw, 6, 6), "readable", "no"));
    fields->Add(5, 2, "MemAttr", MemAttrText(Bits(raw, 5, 2)));
  } else {
    fields->Add(7, 6, "AP", ApText(Bits(raw, 7, 6)));
    fields->Rest(5, 5, "zero");
    const uint64_t index = Bits(raw, 4, 2);
    fields->Add(4, 2, "AttrIndx",
                index == 0   ? "normal, write-back"
                : index == 4 ? "device nGnRE"
                             : "none that Holdfast writes");
  }
  fields->Add(1, 1, "type", page ? "page" : "block");
  fields->Add(0, 0, "valid", "yes");
}

template <class G>
Decoded DecodeAs(uint64_t raw, const DecodeOptions& options) {
  const Pte<G> pte(raw);
  const Level level(static_cast<int8_t>(options.level));
  const bool page = level == kPageLevel;
  Decoded decoded;
  Fields fields(raw, &decoded.fields);
  switch (pte.kind(level)) {
    case PteKind::kEmpty:
      decoded.what = "nothing";
      fields.Rest(63, 0, "zero");
      break;
    case PteKind::kAnnotation: {
      const Annotation annotation = Annotation::FromRaw(raw);
      decoded.what =
          absl::StrCat("an annotation: ", AnnotationText(annotation));
      AnnotationFields(annotation, &fields);
      break;
    }
    case PteKind::kTable:
      decoded.what = absl::StrFormat("a table of level %d at %#x",
                                     options.level + 1, pte.address().value());
      TableFields(pte, &fields);
      break;
    case PteKind::kLeaf:
      decoded.what = absl::StrFormat("a %s at %#x", page ? "page" : "block",
                                     pte.address().value());
      LeafFields(pte, options.stage, page, &fields);
      break;
    case PteKind::kReserved:
      decoded.what = "reserved: no descriptor of this level is like that";
      fields.Add(63, 2, "", "");
      fields.Add(1, 1, "type",
                 page ? "must be 1" : "must be 1: no blocks here");
      fields.Add(0, 0, "valid", "yes");
      break;
  }
  return decoded;
}

template <class G>
std::string SummaryAs(uint64_t raw, const DecodeOptions& options) {
  const Pte<G> pte(raw);
  const Level level(static_cast<int8_t>(options.level));
  switch (pte.kind(level)) {
    case PteKind::kEmpty:
      return "nothing";
    case PteKind::kAnnotation:
      return AnnotationText(Annotation::FromRaw(raw));
    case PteKind::kTable:
      return absl::StrFormat("table %#x, %u in use", pte.address().value(),
                             pte.count());
    case PteKind::kReserved:
      return "reserved";
    case PteKind::kLeaf:
      break;
  }
  std::string text = absl::StrFormat(
      "%s %#x %s", level == kPageLevel ? "page" : "block",
      pte.address().value(),
      options.stage == Stage::kHyp ? HypRights(raw) : Stage2Rights(raw));
  if (options.stage == Stage::kStage2)
    absl::StrAppend(&text, " ", StateText(pte.software()));
  if (Bits(raw, 10, 10) == 0) absl::StrAppend(&text, " old");
  return text;
}

// Calls `function.operator()<G>()` for the granule asked for.
template <class Function>
auto ForGranule(unsigned page_shift, Function function) {
  switch (page_shift) {
    case 14:
      return function.template operator()<Granule16K>();
    case 16:
      return function.template operator()<Granule64K>();
    case 5:
      return function.template operator()<GranuleTiny>();
    default:
      return function.template operator()<Granule4K>();
  }
}

}  // namespace

Decoded Decode(uint64_t raw, const DecodeOptions& options) {
  return ForGranule(options.page_shift,
                    [&]<class G>() { return DecodeAs<G>(raw, options); });
}

std::string Summary(uint64_t raw, const DecodeOptions& options) {
  return ForGranule(options.page_shift,
                    [&]<class G>() { return SummaryAs<G>(raw, options); });
}

std::string DecodeText(uint64_t raw, const DecodeOptions& options) {
  const Decoded decoded = Decode(raw, options);
  std::string text =
      absl::StrFormat("%#018x, %s, level %d: %s\n", raw,
                      StageText(options.stage), options.level, decoded.what);
  for (const DecodedField& field : decoded.fields) {
    const std::string bits = field.high == field.low
                                 ? absl::StrCat(field.low)
                                 : absl::StrCat(field.high, ":", field.low);
    absl::StrAppendFormat(&text, "  %5s  %-16s %-14s %s", bits, field.name,
                          absl::StrFormat("%#x", field.value), field.meaning);
    while (text.back() == ' ') text.pop_back();
    text += '\n';
  }
  return text;
}

}  // namespace holdfast::pgtable
