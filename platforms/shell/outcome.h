// SPDX-License-Identifier: Apache-2.0
//
// What came of a command, as a value: what `expect` compares and the renderers
// (text.h, json.h) write down.
#ifndef HOLDFAST_PLATFORMS_SHELL_OUTCOME_H_
#define HOLDFAST_PLATFORMS_SHELL_OUTCOME_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/world/board.h"

namespace holdfast::shell {

struct Outcome {
  enum class Kind : uint8_t {
    kNothing,    // there is nothing to say
    kText,       // lines for people
    kCall,       // `reply`; `tries` of them
    kRegisters,  // `reply`, raw
    kGuestCall,  // `reply`: the guest's x0..x3
    kValue,      // `value` was read
    kDone,       // written, filled
    kSame,       // compare: all of it is that byte
    kDiffers,    // compare: it is not
    kAbort,      // the host got an abort: `reason`
    kExit,       // the guest left: `reason`
    kStopped,    // a started command is at a scheduling point: `text`
  };
  Kind kind = Kind::kNothing;
  unsigned cpu = 0;
  // "host_share_hyp(0x40010)", "host read 0x40010000".
  std::string what = {};
  tests::Reply reply = {};
  uint64_t tries = 1;
  uint64_t value = 0;
  std::string reason = {};  // one word
  std::string detail = {};  // more of it, for people
  std::vector<std::string> text = {};
  // What is different now: a line each.
  std::vector<std::string> changes = {};

  // "0", "-EPERM", "done", "differs", ...: what is after "=".
  std::string ResultText() const;
  // Whether a script must say that it expects this.
  bool IsError() const;
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_OUTCOME_H_
