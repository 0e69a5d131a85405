// SPDX-License-Identifier: Apache-2.0
#include "hyp/run_page.h"

#include <cstddef>

#include "base/guest.h"
#include "base/machine.h"

namespace holdfast::hyp {

static_assert(sizeof(hf_run_page) == 1024 &&
              offsetof(hf_run_page, answered) == 512);
static_assert(HF_FIRST_SPI == kFirstSpi && HF_SPI_END == kSpiEnd);

Result<RunInput> ReadRunPage(Pfn page) {
  const volatile hf_run_page& from = *static_cast<const volatile hf_run_page*>(
      machine::PhysToVirt(page.address()));
  RunInput input;
  const uint64_t answered = from.answered;
  input.mmio_value = from.mmio_value;
  for (size_t i = 0; i < input.result.size(); ++i)
    input.result[i] = from.result[i];
  input.interrupts = from.interrupts;
  if (answered > 1 || input.interrupts > HF_MAX_INTERRUPTS)
    return Error(Errno::kEinval);
  input.answered = answered == 1;
  for (uint64_t i = 0; i < input.interrupts; ++i) {
    input.intid[i] = from.intid[i];
    if (input.intid[i] < HF_FIRST_SPI || input.intid[i] >= HF_SPI_END)
      return Error(Errno::kEinval);
  }
  return input;
}

void WriteRunPage(Pfn page, const RunExit& exit) {
  volatile hf_run_page& to =
      *static_cast<volatile hf_run_page*>(machine::PhysToVirt(page.address()));
  to.exit = exit.exit;
  to.syndrome = exit.syndrome;
  to.ipa = exit.ipa;
  to.value = exit.value;
  for (size_t i = 0; i < exit.x.size(); ++i) to.x[i] = exit.x[i];
  for (volatile uint64_t& word : to.reserved0) word = 0;
}

}  // namespace holdfast::hyp
