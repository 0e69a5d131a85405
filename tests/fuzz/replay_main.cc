// SPDX-License-Identifier: Apache-2.0
//
// replay SCRIPT...: each script on a board of its own, every call held against
// the executable specification.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/fuzz/script_run.h"

int main(int argc, char** argv) {
  int status = 0;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 2;
    }
    holdfast::fuzz::ScriptRun run;
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      std::string wrong = run.Do(line);
      if (wrong.empty()) wrong = run.Trouble();
      if (wrong.empty()) continue;
      std::fprintf(stderr, "%s:%d: %s\n%s\n", argv[i], number, line.c_str(),
                   wrong.c_str());
      status = 1;
      break;
    }
    if (const std::string trouble = run.FullTrouble(); !trouble.empty()) {
      std::fprintf(stderr, "%s:\n%s\n", argv[i], trouble.c_str());
      status = 1;
    }
    if (!run.booted()) {
      std::fprintf(stderr, "%s does nothing\n", argv[i]);
      status = 1;
    }
  }
  return status;
}
