// SPDX-License-Identifier: Apache-2.0
//
// The steps of the suite that need the host: numbers of kCallStep.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SUITE_STEPS_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SUITE_STEPS_H_

#include <cstdint>

namespace holdfast::guest {

enum class SuiteStep : uint64_t {
  kRegisters,     // every register holds kGuestPattern
  kShared,        // page a is shared, and holds b; the host writes b + 1
  kUnshared,      // page a is not any more
  kInject,        // SPIs a and b become pending
  kForceReclaim,  // the host takes page a back
  kWriteProtect,  // the host lets page a be read only
  // Page a is lent anew with the rights in the lower half of b, or with none it
  // is not there any more (a protected guest's has never been). What the host
  // is to find when it is missed is in the upper half.
  kLend,
  kMissed,       // 0 if it was
  kTouchPoison,  // next it touches page a, which is poison, and never returns
};

// In the upper half of each word: whose it is.
inline constexpr uint64_t kGuestPattern = 0x6e57'0000'0000'0000;
inline constexpr uint64_t kHostPattern = 0x4057'0000'0000'0000;
inline constexpr uint64_t kPatternMask = 0xffff'0000'0000'0000;

inline constexpr uint64_t kDevice = 0x1000'0000;
// A page of the guest's memory that its program has no use for.
inline constexpr uint64_t kUntouched = 0x800f'0000;

}  // namespace holdfast::guest

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_GUEST_SUITE_STEPS_H_
