// SPDX-License-Identifier: Apache-2.0
//
// Accesses as host or guest, and why they fail: what a test sees of a machine,
// the simulated one or a real one (platforms/testing). Freestanding but for
// std::string.
#ifndef HOLDFAST_PLATFORMS_SIM_ACCESS_H_
#define HOLDFAST_PLATFORMS_SIM_ACCESS_H_

#include <cstdint>
#include <string>

#include "base/addr.h"
#include "base/result.h"

namespace holdfast::sim {

// What an access wants.
struct AccessType {
  enum class Kind : uint8_t { kRead, kWrite, kExec };
  Kind kind = Kind::kRead;
  // Of an instruction fetch: at EL1 (else EL0). FEAT_XNX tells them apart.
  bool privileged = true;
};
inline constexpr AccessType kReadAccess{AccessType::Kind::kRead, true};
inline constexpr AccessType kWriteAccess{AccessType::Kind::kWrite, true};
inline constexpr AccessType kExecAccess{AccessType::Kind::kExec, true};
inline constexpr AccessType kUserExecAccess{AccessType::Kind::kExec, false};

enum class FaultKind : uint8_t {
  kTranslation,
  kAddressSize,  // an address beyond the output size
  kAccessFlag,
  kPermission,
  kExternal,  // no memory or device at the address (of the data or of a table)
};

// Why an access failed: what ESR_EL2.ISS and HPFAR_EL2 would say.
struct Fault {
  FaultKind kind = FaultKind::kTranslation;
  int level = 0;  // of the entry that caused it; 0 if none
  Ipa ipa = {};
  bool is_write = false;
  bool is_exec = false;

  bool operator==(const Fault&) const = default;
  // The status code DFSC / IFSC of the syndrome (D24.2.40): 0x04 + level for a
  // translation fault, and so on; 0x10 for an external abort.
  uint8_t StatusCode() const;
};
const char* FaultKindName(FaultKind kind);
std::string ToString(const Fault& fault);

// What an access gives: a value, or the fault EL2 would be entered with.
template <class T>
using Access = tl::expected<T, Fault>;

// Does an access and, while it faults, lets EL2's abort handler see to it:
// clang-format off
//   auto value = sim::Retry(
//       [&] { return machine.HostRead64(0, ipa); },
//       [&](const sim::Fault& fault) { return HandleAbort(fault); });
// clang-format on
// `handler` returns true to try again, as EL2 returning to the host does. Gives
// up after `limit` tries, with the last fault.
template <class DoAccess, class Handler>
auto Retry(DoAccess&& access, Handler&& handler, unsigned limit = 100)
    -> decltype(access()) {
  for (unsigned i = 0;; ++i) {
    auto result = access();
    if (result.has_value() || i == limit || !handler(result.error()))
      return result;
  }
}

}  // namespace holdfast::sim

#endif  // HOLDFAST_PLATFORMS_SIM_ACCESS_H_
