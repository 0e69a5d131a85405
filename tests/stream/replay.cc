// SPDX-License-Identifier: Apache-2.0
#include "tests/stream/replay.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hyp/abi.h"
#include "platforms/stream/text.h"
#include "tests/spec/run.h"
#include "tests/spec/steps.h"

namespace holdfast::stream {
namespace {

// The parts that calls lock are known whole, so a call is one section.
spec::Run RunOf(const spec::Layout& layout, unsigned cpu,
                const spec::State& before, const spec::State& after,
                const spec::Outcome& found) {
  spec::Run::Input input;
  input.layout = &layout;
  input.cpu = cpu;
  input.sections.push_back(spec::WholeSection(before, after));
  input.whole = true;
  input.cpu_before = before.cpus[cpu];
  if (const auto& loaded = before.cpus[cpu].loaded; loaded.has_value()) {
    const auto slot = before.table->slots.find(loaded->handle);
    input.loaded_is_protected =
        slot != before.table->slots.end() && slot->second.is_protected;
  }
  input.style_before = before.abort_style;
  input.found = found;
  return spec::Run(std::move(input));
}

}  // namespace

bool Replay::OthersOpen(unsigned cpu) const {
  for (unsigned i = 0; i < kMaxCpus; ++i) {
    if (i != cpu && entries_[i].open) return true;
  }
  return false;
}

void Replay::Feed(const Event& event) {
  // Boot ends when a host runs behind stage 2.
  if (event.type == EventType::kHostStage2) {
    if (abstraction_ == nullptr && concrete_.Unfit().empty()) {
      abstraction_ =
          std::make_unique<spec::Abstraction>(concrete_, kMaxCpus, &state_);
    }
    return;
  }
  if (abstraction_ == nullptr) {
    concrete_.Feed(event);
    return;
  }
  switch (event.type) {
    case EventType::kHardwareAf:  // by a walker, at any time
    case EventType::kViolation:
      concrete_.Feed(event);
      return;
    default:
      break;
  }
  Entry& entry = entries_[event.cpu];
  if (event.type == EventType::kCallEnter && entry.open) {
    // What was open ended in a way that the stream does not tell.
    entry.call.reset();
    Close(event);
  }
  if (!entry.open) Open(event.cpu);
  concrete_.Feed(event);
  switch (event.type) {
    case EventType::kCallEnter:
      entry.call = event;
      break;
    case EventType::kCallExit:
    case EventType::kHostAbort:
    case EventType::kSmc:
      Close(event);
      break;
    case EventType::kGuestAbort:
      // Within vcpu_run it is not the end.
      if (!entry.call.has_value()) Close(event);
      break;
    case EventType::kVcpu:
      entry.put = !entry.call.has_value();
      break;
    case EventType::kUnlock:
      // A CPU that goes off puts its vCPU, after the SMC.
      if (entry.put) Close(event);
      break;
    default:
      break;
  }
}

void Replay::Open(unsigned cpu) {
  Entry& entry = entries_[cpu];
  entry.open = true;
  entry.put = false;
  entry.call.reset();
  entry.alone = !OthersOpen(cpu);
  if (entry.alone) {
    entry.before = state_;
    return;
  }
  for (Entry& other : entries_) {
    if (other.open) other.alone = false;
  }
}

void Replay::Close(const Event& event) {
  Entry& entry = entries_[event.cpu];
  entry.open = false;
  const bool at_rest = !OthersOpen(event.cpu);
  if (at_rest) {
    abstraction_->ReadAll(&state_);
    for (const std::string& what : abstraction_->wrong()) Report(event, what);
    abstraction_->wrong().clear();
  }
  const bool is_call = entry.call.has_value();
  const bool is_abort = !is_call && event.type == EventType::kHostAbort;
  if (!is_call && !is_abort) return;
  if (!entry.alone) {
    ++skipped_;
    if (is_call && entry.call->a == HF_SET_ABORT_STYLE &&
        static_cast<int64_t>(event.b) >= 0) {
      state_.abort_style = entry.call->b;
    }
    return;
  }
  if (is_call) {
    CheckCall(entry, event);
  } else {
    CheckAbort(entry, event);
  }
}

void Replay::Report(const Event& event, const std::string& what) {
  wrong_.push_back({event.seq, what});
}

void Replay::CheckCall(const Entry& entry, const Event& exit) {
  const Event& call = *entry.call;
  // What a guest did meanwhile, and where it stopped, is not in the stream.
  if (call.a == HF_VCPU_IN_POISON_FAULT || call.a == HF_VCPU_RUN) {
    ++skipped_;
    return;
  }
  ++checked_;
  spec::Run run = RunOf(concrete_.layout(), exit.cpu, entry.before, state_,
                        {exit.e, exit.b, exit.c, exit.d});
  const spec::Outcome expected =
      spec::HostCall(run, call.a, {call.b, call.c, call.d, call.e, call.f});
  state_.abort_style = run.style;
  const std::string wrong =
      run.Finish(expected, state_.cpus[exit.cpu], std::nullopt);
  if (!wrong.empty()) Report(exit, absl::StrCat(ToString(call), "\n", wrong));
}

void Replay::CheckAbort(const Entry& entry, const Event& abort) {
  ++checked_;
  spec::Run run =
      RunOf(concrete_.layout(), abort.cpu, entry.before, state_, {});
  spec::HostAbortCase input;
  if (abort.d != 0) input.ipa = abort.a;
  // Fault status codes 4 to 7 are translation faults of a level, 0x2b that of
  // level -1 (D19.2, ESR_EL2).
  const uint64_t status = abort.b & 0x3f;
  input.is_translation = status >> 2 == 1 || status == 0x2b;
  const auto found = static_cast<spec::HostAbortAnswer>(abort.c);
  const spec::HostAbortAnswer expected = spec::HostAbort(run, input, found);
  if (expected != found) {
    run.Wrong(absl::StrFormat(
        "  answer (0: try again, 1, 2: take an abort): expected %d, found %d",
        static_cast<int>(expected), static_cast<int>(found)));
  }
  const std::string wrong =
      run.Finish({}, state_.cpus[abort.cpu], std::nullopt);
  if (!wrong.empty()) Report(abort, wrong);
}

}  // namespace holdfast::stream
