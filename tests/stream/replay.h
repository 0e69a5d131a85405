// SPDX-License-Identifier: Apache-2.0
//
// A stream, call by call, against the executable specification (tests/spec).
// Calls and aborts of the host are checked when nothing of another CPU's was
// under way meanwhile; the rest is skipped, counted, and taken as it came out.
// Guests' own calls are too, and what a host is told of a guest's exit.
#ifndef HOLDFAST_TESTS_STREAM_REPLAY_H_
#define HOLDFAST_TESTS_STREAM_REPLAY_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu_local.h"
#include "platforms/stream/event.h"
#include "tests/spec/abstraction.h"
#include "tests/spec/state.h"
#include "tests/stream/stream_concrete.h"

namespace holdfast::stream {

class Replay {
 public:
  struct Wrong {
    uint64_t event = 0;  // the call's last
    std::string what;
  };

  void Feed(const Event& event);

  uint64_t checked() const { return checked_; }
  uint64_t skipped() const { return skipped_; }
  const std::vector<Wrong>& wrong() const { return wrong_; }
  // Why nothing was checked, or "".
  std::string Unfit() const { return concrete_.Unfit(); }

 private:
  // From a CPU's first event at EL2 to its return.
  struct Entry {
    bool open = false;
    bool alone = true;
    bool put = false;  // a vCPU, with no call
    std::optional<Event> call;
    spec::State before;
  };

  void Open(unsigned cpu);
  void Close(const Event& event);
  void CheckCall(const Entry& entry, const Event& exit);
  void CheckAbort(const Entry& entry, const Event& abort);
  bool OthersOpen(unsigned cpu) const;
  void Report(const Event& event, const std::string& what);

  StreamConcrete concrete_;
  std::unique_ptr<spec::Abstraction> abstraction_;  // once booted
  spec::State state_;
  std::array<Entry, kMaxCpus> entries_;
  uint64_t checked_ = 0;
  uint64_t skipped_ = 0;
  std::vector<Wrong> wrong_;
};

}  // namespace holdfast::stream

#endif  // HOLDFAST_TESTS_STREAM_REPLAY_H_
