// SPDX-License-Identifier: Apache-2.0
//
// Scripts out of a fuzzer's bytes: first a machine, then what its CPUs do. It
// looks at the oracle's state, so that handles, frames and gfns are mostly ones
// that mean something, or lie right beside one that does. Any bytes are a
// script.
#ifndef HOLDFAST_TESTS_FUZZ_COMPOSER_H_
#define HOLDFAST_TESTS_FUZZ_COMPOSER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "hyp/calls.h"
#include "tests/fuzz/script_run.h"

namespace holdfast::fuzz {

class Composer {
 public:
  Composer(const uint8_t* data, size_t size, ScriptRun& run);

  // The next line, given what the ones before came to; nothing: the end.
  std::optional<std::string> Next();

 private:
  bool done() const { return at_ >= size_; }
  uint8_t Byte() { return done() ? 0 : data_[at_++]; }
  uint64_t Wide();
  uint64_t Below(uint64_t limit) { return Byte() % limit; }

  void Machine();
  void MakeVm(bool is_protected);
  void EndVm();
  void CallLine();
  // Has a vCPU of such a VM loaded, if there is none yet.
  void Prepare(hyp::Needs needs);
  std::string GuestLine();
  std::string OnCpu(const std::string& line) const;

  uint64_t Argument(const char* field);
  uint64_t SomeHandle();
  uint64_t SomeGfn();
  uint64_t SomePfn();
  // A run of the host's own frames in the pool.
  uint64_t FreeFrames(uint64_t count, uint64_t align);
  uint64_t Nonsense();

  const uint8_t* const data_;
  const size_t size_;
  size_t at_ = 0;
  ScriptRun& run_;
  std::deque<std::string> queue_;
  unsigned cpu_ = 0;
  uint64_t pool_ = 0;  // first frame that the host plays with
};

}  // namespace holdfast::fuzz

#endif  // HOLDFAST_TESTS_FUZZ_COMPOSER_H_
