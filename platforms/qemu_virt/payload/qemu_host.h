// SPDX-License-Identifier: Apache-2.0
//
// The host of tests/story on this machine: what the demo and the random calls
// stand on.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_QEMU_HOST_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_QEMU_HOST_H_

#include "base/granule.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/layout.h"
#include "platforms/qemu_virt/payload/runtime.h"
#include "tests/story/host.h"

namespace holdfast::payload {

class QemuHost final : public story::Host {
 public:
  const char* machine() const override {
    return "QEMU virt, EL2 under a host at EL1";
  }
  bool colour() const override {
    return Machine().bootargs.find("colour") != std::string_view::npos;
  }
  unsigned cpus() const override { return CpuCount(); }

  story::Access Load(uint64_t address) override {
    story::Access access;
    const Fault fault = TryRead64(address, &access.value);
    access.done = !fault;
    access.external = fault.IsExternalAbort();
    return access;
  }
  story::Access Store(uint64_t address, uint64_t value) override {
    const Fault fault = TryWrite64(address, value);
    return {.done = !fault, .value = 0, .external = fault.IsExternalAbort()};
  }

  uint64_t Frames(uint64_t count, uint64_t align) override {
    return AllocatePages(count * kPageSize / kPage, align * kPageSize) /
           kPageSize;
  }
  uint64_t page_size() const override { return kPageSize; }
  uint64_t el2_frame() const override { return HF_IMAGE_BASE / kPageSize; }
  uint64_t mmio_frame() const override { return HF_UART_BASE / kPageSize; }
  uint64_t first_ram_frame() const override { return HF_RAM_BASE / kPageSize; }
  uint64_t beyond_ram_frame() const override { return beyond_ram_; }
  unsigned pa_bits() const override { return PaBits(); }

  void OnTwoCpus(void (*body)(void* context, unsigned i),
                 void* context) override {
    RunOnCpus(2, body, context);
  }
  bool TryFwCfgDma(uint64_t target) override {
    return !payload::TryFwCfgDma(target);
  }
  bool has_fw_cfg() const override { return true; }
  void Print(const char* text) override { payload::Print(text); }

 private:
  story::Reply Hypercall(const std::array<uint64_t, 6>& x) override {
    const CallResult result = Hvc(x[0], {x[1], x[2], x[3], x[4], x[5]});
    return {result.x[0], result.x[1], result.x[2], result.x[3]};
  }

  // The device tree ends where EL2's memory begins. Where that ends, and RAM
  // with it, only EL2 knows: its answers change there. RAM is a multiple of
  // 1 MiB.
  static uint64_t FindEndOfRam() {
    const qemu_virt::DtbRange& memory = Machine().memory[0];
    uint64_t end = memory.base + memory.size;
    while (Hvc(HF_FORCE_RECLAIM_GUEST_PAGE, {end / kPageSize, 1}).x[1] !=
           0 - uint64_t{HF_EFAULT}) {
      end += 1 << 20;
    }
    return end / kPageSize;
  }

  const uint64_t beyond_ram_ = FindEndOfRam();
};

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_QEMU_HOST_H_
