// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/access.h"

namespace holdfast::sim {

uint8_t Fault::StatusCode() const {
  const auto at = [this](unsigned base) {
    return static_cast<uint8_t>(base + static_cast<unsigned>(level));
  };
  switch (kind) {
    case FaultKind::kAddressSize:
      return at(0x00);
    case FaultKind::kTranslation:
      return at(0x04);
    case FaultKind::kAccessFlag:
      return at(0x08);
    case FaultKind::kPermission:
      return at(0x0c);
    case FaultKind::kExternal:
      return 0x10;
  }
  return 0;
}

const char* FaultKindName(FaultKind kind) {
  switch (kind) {
    case FaultKind::kTranslation:
      return "translation";
    case FaultKind::kAddressSize:
      return "address size";
    case FaultKind::kAccessFlag:
      return "access flag";
    case FaultKind::kPermission:
      return "permission";
    case FaultKind::kExternal:
      return "external";
  }
  return "?";
}

std::string ToString(const Fault& fault) {
  std::string ipa;
  for (uint64_t rest = fault.ipa.value(); rest != 0 || ipa.empty(); rest >>= 4)
    ipa.insert(ipa.begin(), "0123456789abcdef"[rest & 15]);
  return std::string(FaultKindName(fault.kind)) + " fault, level " +
         std::to_string(fault.level) + ", " +
         (fault.is_exec    ? "execution"
          : fault.is_write ? "write"
                           : "read") +
         " of ipa 0x" + ipa;
}

}  // namespace holdfast::sim
