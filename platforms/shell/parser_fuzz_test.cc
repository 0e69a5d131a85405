// SPDX-License-Identifier: Apache-2.0
//
// The parser takes any line: it makes a command of it or says what is wrong,
// where, in that line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "platforms/shell/number.h"
#include "platforms/shell/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using holdfast::shell::Parse;
  static const holdfast::shell::Names names = {{"vm", 0x1000}, {"max", ~0ull}};
  const std::string line(reinterpret_cast<const char*>(data), size);
  const auto command = Parse(line, {names, 4});
  if (command.has_value()) return 0;
  const holdfast::shell::BadLine& bad = command.error();
  // What is missing would stand behind a blank after the end.
  if (bad.what.empty() || bad.column > line.size() + 2) std::abort();
  // It is the line that is bad, whenever it is read.
  if (Parse(line, {names, 4}).has_value()) std::abort();
  return 0;
}
