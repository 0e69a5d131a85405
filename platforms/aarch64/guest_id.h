// SPDX-License-Identifier: Apache-2.0
//
// Accesses to system registers that trap from a guest (Arm ARM D19.2.37, EC
// 0x18), and what it gets for them: of a CPU's abilities those that EL2
// switches state for.
#ifndef HOLDFAST_PLATFORMS_AARCH64_GUEST_ID_H_
#define HOLDFAST_PLATFORMS_AARCH64_GUEST_ID_H_

#include <cstdint>
#include <optional>

namespace holdfast::aarch64 {

// What a read of the register gives. Nothing: the guest has no such register. A
// syndrome's ISS: Op0 21:20, Op2 19:17, Op1 16:14, CRn 13:10, Rt 9:5, CRm 4:1,
// read 0.
std::optional<uint64_t> GuestReads(uint64_t iss);
// Whether a write of it is let pass without any effect.
bool GuestWriteIsIgnored(uint64_t iss);
// Whether it is for those above to see to: an interrupt to another core.
bool IsSgiWrite(uint64_t iss);

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_GUEST_ID_H_
