// SPDX-License-Identifier: Apache-2.0
//
// The reader of device trees trusts nothing in a blob: what it finds lies in
// the blob, and what is rewritten there reads back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "platforms/qemu_virt/dtb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast::qemu_virt;
  std::vector<std::byte> blob(size);
  for (size_t i = 0; i < size; ++i) blob[i] = std::byte{data[i]};
  if (size >= 40) static_cast<void>(DtbSize(blob));
  const auto info = ReadDtb(blob);
  if (!info.has_value()) return 0;
  if (info->memories > DtbInfo::kMaxMemory || info->cpus > DtbInfo::kMaxCpus)
    std::abort();
  const std::string_view args = info->bootargs;
  const auto* const start = reinterpret_cast<const char*>(blob.data());
  if (!args.empty() &&
      (args.data() < start || args.data() + args.size() > start + size)) {
    std::abort();
  }
  const DtbBytes& seed = info->rng_seed;
  if (seed.offset > size || size - seed.offset < seed.size) std::abort();
  for (size_t i = 0; i < info->memories; ++i) {
    const DtbRange& range = info->memory[i];
    if (range.offset > size ||
        size - range.offset < size_t{range.base_bytes} + range.size_bytes) {
      std::abort();
    }
    WriteRange(blob, range, range.base, 0x1000);
    const auto again = ReadDtb(blob);
    // (In a blob that only a fuzzer makes, a pair may be a name or a width
    // too.)
    if (!again.has_value() || again->memories != info->memories) continue;
    const DtbRange& now = again->memory[i];
    if (now.offset == range.offset && now.base_bytes == range.base_bytes &&
        now.size_bytes == range.size_bytes &&
        (now.base != range.base || now.size != 0x1000)) {
      std::abort();
    }
  }
  return 0;
}
