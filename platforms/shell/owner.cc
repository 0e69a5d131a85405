// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/owner.h"

#include "absl/strings/match.h"

namespace holdfast::shell {

Owner OwnerOf(const mem_protect::PageRecord* record) {
  using mem_protect::PageState;
  if (record == nullptr) return Owner::kNotRam;
  const PageState host = record->host();
  const PageState hyp = record->hyp();
  if (hyp == PageState::kNoPage) {
    switch (host) {
      case PageState::kOwned:
        return Owner::kHost;
      case PageState::kSharedOwned:
        return record->count() > 0 ? Owner::kHostGuest : Owner::kHostFfa;
      case PageState::kSharedBorrowed:
        return Owner::kGuestHost;
      case PageState::kNoPage:
        return Owner::kGuest;
    }
  }
  if (host == PageState::kSharedOwned && hyp == PageState::kSharedBorrowed)
    return Owner::kHostEl2;
  if (host == PageState::kNoPage && hyp == PageState::kOwned)
    return Owner::kEl2;
  return Owner::kBroken;
}

const char* OwnerName(Owner owner) {
  switch (owner) {
    case Owner::kNotRam:
      return "NOT-RAM";
    case Owner::kHost:
      return "HOST";
    case Owner::kHostEl2:
      return "HOST+EL2";
    case Owner::kHostFfa:
      return "HOST+FFA";
    case Owner::kHostGuest:
      return "HOST+GUEST";
    case Owner::kEl2:
      return "EL2";
    case Owner::kGuest:
      return "GUEST";
    case Owner::kGuestHost:
      return "GUEST+HOST";
    case Owner::kBroken:
      break;
  }
  return "BROKEN";
}

std::optional<Owner> OwnerNamed(const std::string& name) {
  for (const Owner owner : kOwners) {
    if (absl::EqualsIgnoreCase(OwnerName(owner), name)) return owner;
  }
  return std::nullopt;
}

}  // namespace holdfast::shell
