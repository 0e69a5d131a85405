// SPDX-License-Identifier: Apache-2.0
//
// Random calls on this machine: whatever the arguments, EL2 lives and answers
// what the ABI lists; at the end every page is the host's again.
#include "platforms/qemu_virt/payload/qemu_host.h"
#include "tests/random/random_calls.h"
#include "tests/story/text.h"

namespace holdfast::payload {
namespace {

using random::kCallCount;
using random::kCallRows;
using random::RandomCalls;

constexpr uint64_t kCalls = 10'000;

alignas(RandomCalls) unsigned char g_calls[sizeof(RandomCalls)];

void PrintTally(const RandomCalls& calls) {
  for (size_t i = 0; i < kCallCount; ++i) {
    story::Text line;
    line << "  " << kCallRows[i].name;
    line.Column(28) << "ok " << calls.tally()[i].ok;
    for (size_t e = 0; kCallRows[i].errors[e] != 0; ++e) {
      line << "  -" << uint64_t{kCallRows[i].errors[e]} << ' '
           << calls.tally()[i].errors[e];
    }
    line << "\n";
    Print(line.c_str());
  }
}

}  // namespace

int PayloadMain() {
  QemuHost host;
  const uint64_t pool = host.Frames(RandomCalls::kFrames, 16);
  RandomCalls& calls =
      *new (g_calls) RandomCalls(host, /*seed=*/20261123, pool);
  while (calls.calls() < kCalls) calls.Step(/*cpu=*/0);
  unsigned misplaced = 0;
  for (unsigned i = 0; i < RandomCalls::kFrames; ++i) {
    if (host.Load((pool + i) * kPageSize).done != calls.HostMayRead(i)) {
      ++misplaced;
    }
  }
  const unsigned lost = calls.Finish(/*cpu=*/0);

  PrintTally(calls);
  story::Text line;
  line << "random: " << calls.calls() << " calls, " << calls.succeeded()
       << " succeeded, " << calls.surprises() << " surprises, " << misplaced
       << " pages misplaced, " << lost << " lost\n"
       << calls.first_surprise() << "\n";
  Print(line.c_str());
  const bool good = calls.surprises() == 0 && misplaced == 0 && lost == 0 &&
                    calls.succeeded() * 10 >= calls.calls() * 3;
  Print(good ? "random: EL2 lives\n" : "random: FAILED\n");
  return good ? 0 : 1;
}

}  // namespace holdfast::payload
