// SPDX-License-Identifier: Apache-2.0
//
// As much of a GICv3's CPU interface as tests need that poll (Arm IHI
// 0069, 12.2). A guest finds its virtual one by the same registers.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GIC_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GIC_H_

#include <cstdint>

namespace holdfast::payload {

inline constexpr uint32_t kNoInterrupt = 1023;

// Every priority, group 1.
inline void OpenInterrupts() {
  asm volatile("msr S3_0_C12_C12_5, %0\n isb" : : "r"(uint64_t{7}));  // SRE
  asm volatile("msr S3_0_C4_C6_0, %0" : : "r"(uint64_t{0xff}));       // PMR
  asm volatile("msr S3_0_C12_C12_7, %0\n isb" : : "r"(uint64_t{1}));  // IGRPEN1
}
// Takes the interrupt that is pending, if one is (ICC_IAR1_EL1).
inline uint32_t TakeInterrupt() {
  uint64_t intid;
  asm volatile("dsb sy\n isb\n mrs %0, S3_0_C12_C12_0\n isb" : "=r"(intid));
  return static_cast<uint32_t>(intid);
}
inline void EndInterrupt(uint32_t intid) {
  asm volatile("msr S3_0_C12_C12_1, %0\n isb" : : "r"(uint64_t{intid}));
}

// SGI `intid` to the core of affinity 0.0.0.target (ICC_SGI1R_EL1).
inline void SendInterrupt(unsigned target, uint64_t intid) {
  asm volatile("dsb sy\n msr S3_0_C12_C11_5, %0\n isb"
               :
               : "r"(intid << 24 | uint64_t{1} << target)
               : "memory");
}

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_GIC_H_
