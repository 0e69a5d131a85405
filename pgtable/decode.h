// SPDX-License-Identifier: Apache-2.0
//
// What a descriptor says, for people: field by field, or in a few words. The
// values come from Pte and Annotation, the same that EL2 reads them with. Host
// programs only; knows no tables and no owners.
#ifndef HOLDFAST_PGTABLE_DECODE_H_
#define HOLDFAST_PGTABLE_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::pgtable {

enum class Stage : uint8_t {
  kStage2,      // a guest's: software bits hold the state of a page
  kHostStage2,  // the host's: states are kept elsewhere
  kHyp,         // EL2's own stage 1
};

struct DecodeOptions {
  Stage stage = Stage::kStage2;
  int level = 3;             // of the table it is in: 0..3
  unsigned page_shift = 12;  // 12, 14, 16, or 5 for the test granule
};

// A field: its bits, its value, and what that means.
struct DecodedField {
  unsigned high = 0;
  unsigned low = 0;
  std::string name;
  uint64_t value = 0;
  std::string meaning;
};

struct Decoded {
  std::string what;  // "a page", "a table", "an annotation: ...", ...
  std::vector<DecodedField> fields;  // from bit 63 down; all 64 bits
};

Decoded Decode(uint64_t raw, const DecodeOptions& options);

// "page 0x40201000 rwx owned", "table 0x40203000, 2 entries", "poison", ...
std::string Summary(uint64_t raw, const DecodeOptions& options);

// Decode() as text, a line a field.
std::string DecodeText(uint64_t raw, const DecodeOptions& options);

}  // namespace holdfast::pgtable

#endif  // HOLDFAST_PGTABLE_DECODE_H_
