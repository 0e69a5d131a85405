// SPDX-License-Identifier: Apache-2.0
//
// Which of the host's SMCs firmware may see. Default deny: firmware runs beyond
// EL2, so an unknown call may do anything; SDEI for instance would run host
// code at EL2. Allowed are PSCI (Arm DEN 0022) and discovery (SMCCC, Arm DEN
// 0028). It knows numbers only, so that it is tested on the host.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_SMC_FILTER_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_SMC_FILTER_H_

#include <cstdint>
#include <optional>

namespace holdfast::qemu_virt {

inline constexpr uint32_t kSmc64 = 0x4000'0000;
// SMCCC's hint that no SVE state is live; not part of the name.
inline constexpr uint32_t kSveHint = 0x0001'0000;

// As SMC32. What is also SMC64 has the same number and kSmc64.
namespace smc {
inline constexpr uint32_t kSmcccVersion = 0x8000'0000;
inline constexpr uint32_t kSmcccArchFeatures = 0x8000'0001;
inline constexpr uint32_t kVersion = 0x8400'0000;
inline constexpr uint32_t kCpuSuspend = 0x8400'0001;
inline constexpr uint32_t kCpuOff = 0x8400'0002;
inline constexpr uint32_t kCpuOn = 0x8400'0003;
inline constexpr uint32_t kAffinityInfo = 0x8400'0004;
inline constexpr uint32_t kMigrateInfoType = 0x8400'0006;
inline constexpr uint32_t kSystemOff = 0x8400'0008;
inline constexpr uint32_t kSystemReset = 0x8400'0009;
inline constexpr uint32_t kFeatures = 0x8400'000a;
inline constexpr uint32_t kSystemSuspend = 0x8400'000e;
inline constexpr uint32_t kSystemReset2 = 0x8400'0012;
}  // namespace smc

// Results, as the 64-bit numbers a caller gets.
inline constexpr uint64_t kSmcNotSupported = ~uint64_t{0};  // -1
inline constexpr uint64_t kPsciInvalidParameters = 0 - uint64_t{2};
inline constexpr uint64_t kPsciOnPending = 0 - uint64_t{5};
inline constexpr uint64_t kPsciInternalFailure = 0 - uint64_t{6};

// One row a function. `both`: exists as SMC64 too, with 64-bit arguments.
struct SmcFunction {
  uint32_t id;
  bool both;
  const char* name;
};
inline constexpr SmcFunction kAllowedSmcs[] = {
    {smc::kSmcccVersion, false, "SMCCC_VERSION"},
    {smc::kSmcccArchFeatures, false, "SMCCC_ARCH_FEATURES"},
    {smc::kVersion, false, "PSCI_VERSION"},
    {smc::kCpuSuspend, true, "CPU_SUSPEND"},
    {smc::kCpuOff, false, "CPU_OFF"},
    {smc::kCpuOn, true, "CPU_ON"},
    {smc::kAffinityInfo, true, "AFFINITY_INFO"},
    {smc::kMigrateInfoType, false, "MIGRATE_INFO_TYPE"},
    {smc::kSystemOff, false, "SYSTEM_OFF"},
    {smc::kSystemReset, false, "SYSTEM_RESET"},
    {smc::kFeatures, false, "PSCI_FEATURES"},
    {smc::kSystemSuspend, true, "SYSTEM_SUSPEND"},
    {smc::kSystemReset2, true, "SYSTEM_RESET2"},
};

// The row of a function id (without the hint), or null: it is denied.
constexpr const SmcFunction* FindSmc(uint32_t id) {
  for (const SmcFunction& function : kAllowedSmcs) {
    if (id == function.id || (function.both && id == (function.id | kSmc64)))
      return &function;
  }
  return nullptr;
}

// The function a host means by x0 and the immediate of its SMC, if it is
// allowed. All 64 bits of x0 count: what firmware makes of the upper half is
// its own affair.
constexpr std::optional<uint32_t> AllowedSmc(uint64_t x0, uint64_t immediate) {
  const uint64_t id = x0 & ~uint64_t{kSveHint};
  if (immediate != 0 || id >> 32 != 0) return std::nullopt;
  if (FindSmc(static_cast<uint32_t>(id)) == nullptr) return std::nullopt;
  return static_cast<uint32_t>(id);
}

// An argument as the function takes it: the upper halves of SMC32's don't
// count.
constexpr uint64_t SmcArgument(uint32_t id, uint64_t x) {
  return (id & kSmc64) != 0 ? x : static_cast<uint32_t>(x);
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_SMC_FILTER_H_
