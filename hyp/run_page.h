// SPDX-License-Identifier: Apache-2.0
//
// The run page: what a host and EL2 tell each other of a vCPU (hf_run_page). A
// host may write to it at any time, so each of its fields is read once, and EL2
// reads nothing that it wrote itself.
#ifndef HOLDFAST_HYP_RUN_PAGE_H_
#define HOLDFAST_HYP_RUN_PAGE_H_

#include <array>
#include <cstdint>

#include "base/addr.h"
#include "base/result.h"
#include "hyp/abi.h"

namespace holdfast::hyp {

// What the host wants, checked.
struct RunInput {
  bool answered = false;
  uint64_t mmio_value = 0;
  std::array<uint64_t, 4> result{};
  uint64_t interrupts = 0;
  std::array<uint32_t, HF_MAX_INTERRUPTS> intid{};
};

// Why the vCPU stopped. What is not set is told as 0.
struct RunExit {
  uint64_t exit = HF_EXIT_INTERRUPT;
  uint64_t syndrome = 0;
  uint64_t ipa = 0;
  uint64_t value = 0;
  std::array<uint64_t, 4> x{};
};

// `page` is mapped at EL2. C: answered is 0 or 1; at most HF_MAX_INTERRUPTS
// interrupts, all of them SPIs (EINVAL).
Result<RunInput> ReadRunPage(Pfn page);
void WriteRunPage(Pfn page, const RunExit& exit);

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_RUN_PAGE_H_
