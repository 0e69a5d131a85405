// SPDX-License-Identifier: Apache-2.0
//
// bazel run //pgtable:decode -- [--level=N] [--granule=4k|16k|64k]
//     [--stage=2|host|hyp] DESCRIPTOR...
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "pgtable/decode.h"

namespace holdfast::pgtable {
namespace {

constexpr char kUsage[] =
    R"(usage: decode [--level=0..3] [--granule=4k|16k|64k] [--stage=2|host|hyp] DESCRIPTOR...

Says what a descriptor means, field by field. DESCRIPTOR is a number, as 0x... or
decimal.

  --level    of the table that the descriptor is in (default: 3, pages)
  --granule  the page size (default: 4k)
  --stage    2: a guest's stage 2 (default); host: the host's stage 2; hyp: EL2's
             own stage 1
)";

int Usage(const std::string& what) {
  std::cerr << "decode: " << what << "\n" << kUsage;
  return 2;
}

bool Number(const std::string& text, uint64_t* number) {
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    return absl::SimpleHexAtoi(text, number);
  return absl::SimpleAtoi(text, number);
}

bool SetLevel(const std::string& value, DecodeOptions* options) {
  return absl::SimpleAtoi(value, &options->level) && options->level >= 0 &&
         options->level <= 3;
}

bool SetGranule(const std::string& value, DecodeOptions* options) {
  options->page_shift = value == "4k" ? 12 : value == "16k" ? 14 : 16;
  return value == "4k" || value == "16k" || value == "64k";
}

bool SetStage(const std::string& value, DecodeOptions* options) {
  options->stage = value == "2"      ? Stage::kStage2
                   : value == "host" ? Stage::kHostStage2
                                     : Stage::kHyp;
  return value == "2" || value == "host" || value == "hyp";
}

struct Option {
  const char* name;
  bool (*set)(const std::string& value, DecodeOptions* options);
};
constexpr Option kOptions[] = {{"--level=", &SetLevel},
                               {"--granule=", &SetGranule},
                               {"--stage=", &SetStage}};

// False: no option has that name, or not that value.
bool TakeOption(const std::string& argument, DecodeOptions* options) {
  for (const Option& option : kOptions) {
    absl::string_view value = argument;
    if (absl::ConsumePrefix(&value, option.name))
      return option.set(std::string(value), options);
  }
  return false;
}

int Main(const std::vector<std::string>& arguments) {
  DecodeOptions options;
  std::vector<uint64_t> descriptors;
  for (const std::string& argument : arguments) {
    uint64_t raw = 0;
    if (argument == "--help") {
      std::cout << kUsage;
      return 0;
    }
    if (argument.compare(0, 2, "--") == 0) {
      if (!TakeOption(argument, &options))
        return Usage("'" + argument + "' is no option");
    } else if (Number(argument, &raw)) {
      descriptors.push_back(raw);
    } else {
      return Usage("'" + argument + "' is no descriptor");
    }
  }
  if (descriptors.empty()) return Usage("no descriptor");
  for (const uint64_t raw : descriptors) std::cout << DecodeText(raw, options);
  return 0;
}

}  // namespace
}  // namespace holdfast::pgtable

int main(int argc, char** argv) {
  return holdfast::pgtable::Main({argv + 1, argv + argc});
}
