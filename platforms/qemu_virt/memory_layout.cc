// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/memory_layout.h"

#include <cstddef>

#include "platforms/qemu_virt/layout.h"
#include "platforms/qemu_virt/redistributor.h"

namespace holdfast::qemu_virt {
namespace {

// el2.ld. The image's first byte, and where what is appended to it starts.
extern "C" const std::byte __text_start[], __image_end[];

using mem_protect::MemProtect;
using mem_protect::Region;
using mem_protect::RegionKind;

constexpr uint64_t k2MiB = uint64_t{2} << 20;
// Devices that have a frame of 64 KiB for themselves take a page of any
// granule.
constexpr uint64_t kDeviceSize = kPageSize;

// The devices a host may touch: none that can be told to write memory. Hidden
// are fw_cfg (0x09020000), the PCIe windows, virtio-mmio and the ITS.
constexpr Region Mmio(uint64_t base, uint64_t size) {
  return {.base = PhysAddr(base), .size = size, .kind = RegionKind::kMmio};
}
constexpr Region kGicDistributor = Mmio(0x0800'0000, 0x1'0000);
constexpr Region kUart = Mmio(HF_UART_BASE, kDeviceSize);
constexpr Region kRtc = Mmio(0x0901'0000, kDeviceSize);

bool Overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

vm_table::FrameRange Frames(uint64_t base, uint64_t size) {
  return {Pfn::Of(PhysAddr(base)), size >> kPageShift};
}

}  // namespace

const char* LayOutMemory(const DtbInfo& info, const CpuFeatures& features,
                         uint64_t dtb, uint64_t dtb_size,
                         MemoryLayout& layout) {
  if (info.memories != 1) return "expected one range of memory";
  const uint64_t base = info.memory[0].base, size = info.memory[0].size;
  if (base != HF_RAM_BASE || size < 64 * k2MiB)
    return "expected 128 MiB of memory or more";

  // EL2's addresses are as many, and the last pages of them are its windows.
  if (base + size > (uint64_t{1} << features.pa_bits) - kMaxCpus * kPageSize) {
    return "memory beyond the physical addresses of this CPU";
  }
  // Of a redistributor only its SGI_base frame: see redistributor.h.
  size_t count = 0;
  layout.regions[count++] = kGicDistributor;
  for (unsigned i = 0; i < kMaxCpus; ++i) {
    layout.regions[count++] = Mmio(
        kRedistributorBase + i * kRedistributorStride + kRedistributorFrame,
        kRedistributorFrame);
  }
  layout.regions[count++] = kUart;
  layout.regions[count++] = kRtc;
  layout.regions[count++] = {
      .base = PhysAddr(base), .size = size, .kind = RegionKind::kMemory};

  // The carve-out is the end of RAM, in whole 2 MiB blocks, so that the host's
  // stage 2 keeps large blocks beside it.
  const uint64_t needed = MemProtect::CarveoutFrames(layout.regions)
                          << kPageShift;
  const uint64_t carveout_size = (needed + k2MiB - 1) & ~(k2MiB - 1);
  if (carveout_size > size / 2) return "too little memory";
  const uint64_t carveout = (base + size - carveout_size) & ~(k2MiB - 1);
  layout.carveout = Frames(carveout, base + size - carveout);
  const auto image = reinterpret_cast<uint64_t>(__text_start);
  const auto image_end = reinterpret_cast<uint64_t>(__image_end);
  layout.image = Frames(image, image_end - image);
  if (Overlaps(carveout, carveout_size, dtb, dtb_size))
    return "the device tree is in EL2's memory";
  if (info.initrd_start && info.initrd_end &&
      Overlaps(carveout, carveout_size, *info.initrd_start,
               *info.initrd_end - *info.initrd_start)) {
    return "the initrd is in EL2's memory";
  }

  // One range, so that it can be written in place: from behind the image, which
  // costs the host the 2 MiB before it.
  layout.host_base = image_end;
  layout.host_size = carveout - image_end;
  return nullptr;
}

}  // namespace holdfast::qemu_virt
