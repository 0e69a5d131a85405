// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_WITNESS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_WITNESS_H_

namespace holdfast::payload {

// The part of the demonstration in which a protected guest runs, and tells what
// it sees before and after its page is taken. What is not as it should be, it
// says (Expect).
void HearTheWitness();

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_WITNESS_H_
