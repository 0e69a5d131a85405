// SPDX-License-Identifier: Apache-2.0
//
// A guest as EL2 sees it at a trap, whatever the machine. What a machine keeps
// of a vCPU besides (system registers, FP, interrupts) is its backend's own:
// machine::GuestState (machine.h).
#ifndef HOLDFAST_BASE_GUEST_H_
#define HOLDFAST_BASE_GUEST_H_

#include <array>
#include <cstdint>

namespace holdfast {

// x0..x30, where it goes on (ELR_EL2) and PSTATE (SPSR_EL2).
struct GuestRegs {
  std::array<uint64_t, 31> x{};
  uint64_t pc = 0;
  uint64_t pstate = 0;
};

// Why a guest stopped.
enum class GuestStop : uint8_t {
  kSync,       // an exception of its own: the syndrome says which
  kInterrupt,  // a physical interrupt is pending: the host's
  kSError,     // a system error arrived while it ran
};

// As EL2 took it (ESR_EL2, FAR_EL2, HPFAR_EL2; Arm ARM D19.2). Of an abort at
// stage 2 hpfar is valid, whatever the fault was. Zero but for kSync.
struct GuestTrap {
  GuestStop stop = GuestStop::kInterrupt;
  uint64_t esr = 0;
  uint64_t far = 0;
  uint64_t hpfar = 0;
};

// Interrupts that a guest can be sent: SPIs (GICv3, IHI 0069, 2.2.1), and the
// PPI of its virtual timer.
inline constexpr uint32_t kFirstSpi = 32;
inline constexpr uint32_t kSpiEnd = 288;
inline constexpr uint32_t kVirtualTimerInterrupt = 27;

}  // namespace holdfast

#endif  // HOLDFAST_BASE_GUEST_H_
