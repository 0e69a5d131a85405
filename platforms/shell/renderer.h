// SPDX-License-Identifier: Apache-2.0
//
// How what happened is written down: as text for people (text.cc) or as lines
// of JSON for programs (json.cc). Knows no machine.
#ifndef HOLDFAST_PLATFORMS_SHELL_RENDERER_H_
#define HOLDFAST_PLATFORMS_SHELL_RENDERER_H_

#include <memory>
#include <string>

#include "platforms/shell/outcome.h"
#include "platforms/shell/parsed.h"

namespace holdfast::shell {

// Where a line is: a file (or "stdin") and a number from 1.
struct Place {
  std::string file;
  size_t line = 0;
};
// "life.hf:12".
std::string ToString(const Place& place);

// What ends a script, and its exit status.
enum class Failure : uint8_t {
  kExpectation = 1,
  kBadLine = 2,
  kTrouble = 3,  // EL2 panicked, an invariant is broken
};

class Renderer {
 public:
  virtual ~Renderer() = default;
  // The text to be written, with its newlines; "" for nothing. `line` is the
  // command as it was given.
  virtual std::string Of(const Place& place, const std::string& line,
                         const Outcome& outcome) = 0;
  virtual std::string OfBadLine(const Place& place, const std::string& line,
                                const BadLine& bad) = 0;
  virtual std::string OfFailure(const Place& place, const std::string& line,
                                Failure failure, const std::string& what) = 0;
};

std::unique_ptr<Renderer> MakeTextRenderer();
std::unique_ptr<Renderer> MakeJsonRenderer();

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_RENDERER_H_
