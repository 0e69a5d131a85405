// SPDX-License-Identifier: Apache-2.0
//
// bazel run //tests/fuzz:shrink -- INPUT
//   A script for the simulator that fails as the fuzzer's input does (a file
//   that libFuzzer left), as short as it gets. For an input that does not fail,
//   all of it.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/composer.h"
#include "tests/fuzz/script_run.h"
#include "tests/fuzz/shrink.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: shrink INPUT\n");
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", argv[1]);
    return 2;
  }
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::string trouble;
  holdfast::fuzz::Lines lines = holdfast::fuzz::LinesOf(
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &trouble);
  if (!trouble.empty()) lines = holdfast::fuzz::Shrink(lines);
  std::printf("# SPDX-License-Identifier: Apache-2.0\n%s",
              holdfast::fuzz::ScriptOf(lines).c_str());
  return 0;
}
