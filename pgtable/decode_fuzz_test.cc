// SPDX-License-Identifier: Apache-2.0
//
// Any word decodes at any level, stage and page size: its fields are all 64
// bits, from the top down, and put together again they are the word.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "pgtable/decode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::pgtable;
  uint64_t raw = 0;
  if (size < sizeof(raw) + 1) return 0;
  std::memcpy(&raw, data, sizeof(raw));
  const uint8_t how = data[sizeof(raw)];
  constexpr unsigned kShifts[] = {12, 14, 16, 5};
  constexpr Stage kStages[] = {Stage::kStage2, Stage::kHostStage2, Stage::kHyp};
  const DecodeOptions options{.stage = kStages[(how >> 4) % 3],
                              .level = how & 3,
                              .page_shift = kShifts[how >> 2 & 3]};
  const Decoded decoded = Decode(raw, options);
  uint64_t again = 0;
  int below = 63;
  for (const DecodedField& field : decoded.fields) {
    if (field.high != static_cast<unsigned>(below) || field.low > field.high)
      std::abort();
    again |= field.value << field.low;
    below = static_cast<int>(field.low) - 1;
  }
  if (below != -1 || again != raw || decoded.what.empty()) std::abort();
  if (Summary(raw, options).empty() || DecodeText(raw, options).empty())
    std::abort();
  return 0;
}
