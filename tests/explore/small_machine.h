// SPDX-License-Identifier: Apache-2.0
//
// The machine of a few MiB that engines try everything on: which frames its
// host uses for what.
#ifndef HOLDFAST_TESTS_EXPLORE_SMALL_MACHINE_H_
#define HOLDFAST_TESTS_EXPLORE_SMALL_MACHINE_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast::explore {

// Frames, from 0x40000000 on; the rest of RAM is idle, its top EL2's.
inline constexpr uint64_t kFirst = 0x40000;
inline constexpr uint64_t kFirstHandle = 0x1000;

// What the host has for its n-th VM.
struct VmFrames {
  explicit VmFrames(uint64_t n)
      : base(kFirst + 0x10 + 0x10 * n), handle(kFirstHandle + n) {}
  uint64_t memory() const { return base; }
  uint64_t root() const { return base + 2; }  // two frames, aligned to that
  uint64_t vcpu(uint64_t index) const { return base + 4 + index; }
  uint64_t run_page(uint64_t index) const { return base + 6 + index; }
  uint64_t stock() const { return base + 8; }

  const uint64_t base;
  const uint64_t handle;
};
inline constexpr uint64_t kData = kFirst + 8;     // pages to share and donate
inline constexpr uint64_t kHyp = kFirst + 0x3ff;  // the top of 4 MiB is EL2's
inline constexpr uint64_t kUart = 0x9000;
inline constexpr uint64_t kGap = 0x9001;
inline constexpr uint64_t kBeyond = uint64_t{1} << (40 - 12);
inline constexpr uint64_t kWild = ~uint64_t{0};

template <class... Args>
std::string Call(const char* name, Args... args) {
  std::string line = absl::StrCat("call ", name);
  (absl::StrAppendFormat(&line, " %#x", static_cast<uint64_t>(args)), ...);
  return line;
}

}  // namespace holdfast::explore

#endif  // HOLDFAST_TESTS_EXPLORE_SMALL_MACHINE_H_
