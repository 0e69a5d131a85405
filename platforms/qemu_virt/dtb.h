// SPDX-License-Identifier: Apache-2.0
//
// A bounded reader of the flattened device tree (Devicetree Specification 0.4,
// chapter 5): what the board needs to know at boot, and nothing else. It trusts
// no length or offset in the blob, allocates nothing and changes nothing but
// through HideMemory. It knows no machine, so that it is tested on the host.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_DTB_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_DTB_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace holdfast::qemu_virt {

struct DtbRange {
  uint64_t base = 0;
  uint64_t size = 0;
  // Where the pair stands in the blob, and the width of its numbers in bytes.
  uint32_t offset = 0;
  uint8_t base_bytes = 0;
  uint8_t size_bytes = 0;
};

// Where a property's value stands in the blob.
struct DtbBytes {
  uint32_t offset = 0;
  uint32_t size = 0;
};

struct DtbInfo {
  static constexpr size_t kMaxMemory = 4;
  static constexpr size_t kMaxCpus = 16;

  std::array<DtbRange, kMaxMemory> memory{};
  size_t memories = 0;
  std::array<uint64_t, kMaxCpus> cpu_ids{};  // MPIDR affinity fields
  size_t cpus = 0;
  std::string_view bootargs;  // in the blob
  std::optional<uint64_t> initrd_start, initrd_end;
  DtbBytes rng_seed;  // of /chosen
};

// The size the blob says it has, or nothing if `header` (40 bytes or more) is
// none.
std::optional<uint32_t> DtbSize(std::span<const std::byte> header);

// Reads a whole blob. Nothing if it is malformed, or has more memory ranges or
// CPUs than DtbInfo has room for.
std::optional<DtbInfo> ReadDtb(std::span<const std::byte> blob);

// Rewrites the pair at `range` (of ReadDtb of the same blob) in place.
void WriteRange(std::span<std::byte> blob, const DtbRange& range, uint64_t base,
                uint64_t size);

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_DTB_H_
