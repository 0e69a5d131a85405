// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/redistributor.h"

#include "base/guest.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/redistributor_registers.h"

namespace holdfast::qemu_virt {

using aarch64::Bit;
using aarch64::ElrEl2;
using aarch64::EsrEl2;

namespace {

// A register that has no bit for the host is not touched at all.
uint64_t ReadRegister(uint64_t base, uint64_t offset) {
  const uint32_t bits = gicr::ReadableBits(offset);
  if (bits == 0) return 0;
  return *reinterpret_cast<const volatile uint32_t*>(base + offset) & bits;
}

void WriteRegister(uint64_t base, uint64_t offset, uint32_t value) {
  const uint32_t bits = gicr::WritableBits(offset);
  if (bits == 0) return;
  *reinterpret_cast<volatile uint32_t*>(base + offset) = value & bits;
}

}  // namespace

bool HandleRedistributor(TrapFrame& frame, uint64_t esr, uint64_t ipa) {
  if (ipa < kRedistributorBase) return false;
  const uint64_t cpu = (ipa - kRedistributorBase) / kRedistributorStride;
  const uint64_t offset = (ipa - kRedistributorBase) % kRedistributorStride;
  if (cpu >= ThisBoardCpu().board->cpu_count || offset >= kRedistributorFrame)
    return false;
  // Only single-register loads and stores of words and doublewords: the GIC is
  // not accessed otherwise. The rest gets the abort.
  constexpr uint64_t kSizeShift = 22, kSse = Bit(21), kRegisterShift = 16;
  const uint64_t log2_size = (esr >> kSizeShift) & 3;
  if ((esr & EsrEl2::kIsv) == 0 ||
      (esr & (EsrEl2::kS1ptw | EsrEl2::kCm | kSse)) != 0)
    return false;
  if (log2_size < 2 || offset % (uint64_t{1} << log2_size) != 0) return false;

  const uint64_t base = kRedistributorBase + cpu * kRedistributorStride;
  const auto reg = static_cast<unsigned>((esr >> kRegisterShift) & 31);
  const bool wide = log2_size == 3;
  if (esr & EsrEl2::kWnr) {
    const uint64_t value = reg == 31 ? 0 : frame.x[reg];
    WriteRegister(base, offset, static_cast<uint32_t>(value));
    if (wide)
      WriteRegister(base, offset + 4, static_cast<uint32_t>(value >> 32));
  } else {
    uint64_t value = ReadRegister(base, offset);
    if (wide) value |= ReadRegister(base, offset + 4) << 32;
    if (reg != 31) frame.x[reg] = value;
  }
  ElrEl2::Write(ElrEl2::Read() + 4);
  return true;
}

}  // namespace holdfast::qemu_virt

namespace holdfast::aarch64 {

// GICR_ISACTIVER0 and GICR_ICACTIVER0 (IHI 0069, 12.11.19): an interrupt that
// is active is not signalled again.
void BoardHoldTimerInterrupt(bool held) {
  const uint64_t frame = qemu_virt::kRedistributorBase +
                         qemu_virt::kRedistributorFrame +
                         This().local.index * qemu_virt::kRedistributorStride;
  *reinterpret_cast<volatile uint32_t*>(frame + (held ? 0x300 : 0x380)) =
      1u << kVirtualTimerInterrupt;
  DsbSy();
}

}  // namespace holdfast::aarch64
