// SPDX-License-Identifier: Apache-2.0
//
// replay SCRIPT...: each script on a board of its own, every call held against
// the executable specification.
// replay --anew SCRIPT: prints it with what is to be expected now (frames that
// were EL2's may be the host's after a change of its memory).
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/fuzz/script_run.h"
#include "tests/fuzz/shrink.h"

namespace {

int Anew(const char* path) {
  std::ifstream file(path);
  if (!file) return 2;
  holdfast::fuzz::Lines lines;
  for (std::string line; std::getline(file, line);) {
    if (line.find("expect ") == std::string::npos && line[0] != '#')
      lines.push_back(line);
  }
  std::printf("# SPDX-License-Identifier: Apache-2.0\n%s",
              holdfast::fuzz::ScriptOf(lines).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--anew") return Anew(argv[2]);
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
