// SPDX-License-Identifier: Apache-2.0
//
// Arguments of calls, from the raw registers a host filled.
#ifndef HOLDFAST_HYP_ARGUMENTS_H_
#define HOLDFAST_HYP_ARGUMENTS_H_

#include <cstdint>
#include <optional>

#include "base/addr.h"
#include "hyp/abi.h"
#include "pgtable/attr.h"
#include "vm_table/vm.h"

namespace holdfast::hyp {

// A handle, or nothing if the register has more than 16 bits.
inline std::optional<VmHandle> HandleOf(uint64_t raw) {
  if (raw > 0xffff) return std::nullopt;
  return VmHandle(static_cast<uint16_t>(raw));
}

// Rights as HF_PROT_ says them, or nothing if the register says more.
inline std::optional<pgtable::Prot> ProtOf(uint64_t raw) {
  constexpr uint64_t kAll = HF_PROT_PX | HF_PROT_UX | HF_PROT_W | HF_PROT_R;
  if ((raw & ~kAll) != 0) return std::nullopt;
  return pgtable::Prot{.r = (raw & HF_PROT_R) != 0,
                       .w = (raw & HF_PROT_W) != 0,
                       .px = (raw & HF_PROT_PX) != 0,
                       .ux = (raw & HF_PROT_UX) != 0};
}

// `count` frames from `pfn` on, or nothing if the first is not within
// `pa_bits`. Whether the whole run is RAM, mem_protect checks.
inline std::optional<vm_table::FrameRange> RangeOf(uint64_t pfn, uint64_t count,
                                                   unsigned pa_bits) {
  const std::optional<Pfn> first = Pfn::FromUntrusted(pfn, pa_bits);
  if (!first.has_value()) return std::nullopt;
  return vm_table::FrameRange{*first, count};
}

}  // namespace holdfast::hyp

#endif  // HOLDFAST_HYP_ARGUMENTS_H_
