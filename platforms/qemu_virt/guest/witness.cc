// SPDX-License-Identifier: Apache-2.0
//
// The guest of the demonstration: it has a secret, and says what becomes of it.
#include "base/granule.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/guest/runtime.h"
#include "platforms/qemu_virt/guest/witness_steps.h"

namespace holdfast::guest {
namespace {

struct alignas(kPageSize) Page {
  volatile uint64_t words[kPageSize / 8];
};
Page g_secret;

}  // namespace

int GuestMain() {
  const auto page = reinterpret_cast<uint64_t>(&g_secret);
  for (volatile uint64_t& word : g_secret.words) word = kSecret;
  Print("    guest: I run at EL1. My page at ", Hex(page), " says ",
        Hex(g_secret.words[0]), ".\n");
  Step(kLookAtSecret, page);
  Print("    guest: the host had its turn. My page says ",
        Hex(g_secret.words[0]), ", as it should.\n");
  Hvc(HF_GUEST_POISON_ABORTS, 1);
  Step(kTakeSecret, page);
  uint64_t value = 0;
  const Fault fault = TryRead64(page, &value);
  if (fault) {
    Print("    guest: my page is gone: an abort, status ", Hex(fault.status()),
          ". Not zeroes, not somebody's page. I go on without it.\n");
  } else {
    Print("    guest: my page says ", Hex(value), ". I was fooled.\n");
  }
  return fault && fault.status() == 0x10 ? 0 : 1;
}

}  // namespace holdfast::guest
