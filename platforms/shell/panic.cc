// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/panic.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>

namespace holdfast::shell {
namespace {

constexpr int kPanicStatus = 3;

// Read by the signal handler, which may not call anything that allocates.
char panic_place[256];

void Write(const char* text) {
  // Nobody is left who could see to a failure.
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, text, std::strlen(text));
}

// The machine's Panic() has said what and where in EL2, then aborted.
void OnAbort(int) {
  Write(panic_place);
  Write(": EL2 panicked in this line\n");
  _exit(kPanicStatus);
}

}  // namespace

void CatchPanics() { std::signal(SIGABRT, OnAbort); }

void SetPanicPlace(const std::string& place) {
  const size_t size = std::min(place.size(), sizeof(panic_place) - 1);
  std::memcpy(panic_place, place.data(), size);
  panic_place[size] = '\0';
}

}  // namespace holdfast::shell
