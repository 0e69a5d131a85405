// SPDX-License-Identifier: Apache-2.0
//
// Who has a page, in one word: what a page record says, as people speak of it.
// Knows no tables and no machine.
#ifndef HOLDFAST_PLATFORMS_SHELL_OWNER_H_
#define HOLDFAST_PLATFORMS_SHELL_OWNER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "mem_protect/page_record.h"

namespace holdfast::shell {

enum class Owner : uint8_t {
  kNotRam,
  kHost,       // B of the specification
  kHostEl2,    // C: the host's, shared with EL2
  kHostFfa,    // D: the host's, shared with the secure world
  kHostGuest,  // E: the host's, shared with guests
  kEl2,        // A
  kGuest,      // F
  kGuestHost,  // G: a guest's, shared with the host
  kBroken,     // no legal combination
};
inline constexpr std::array kOwners = {
    Owner::kNotRam,  Owner::kHost,      Owner::kHostEl2,
    Owner::kHostFfa, Owner::kHostGuest, Owner::kEl2,
    Owner::kGuest,   Owner::kGuestHost, Owner::kBroken,
};

// Null: no RAM.
Owner OwnerOf(const mem_protect::PageRecord* record);
// "HOST", "HOST+EL2", ...
const char* OwnerName(Owner owner);
// The other way, in any case.
std::optional<Owner> OwnerNamed(const std::string& name);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_OWNER_H_
