// SPDX-License-Identifier: Apache-2.0
//
// What this hypervisor is and can, and how it treats its host.
#include "hyp/calls.h"

namespace holdfast::hyp {

CallResult Calls::Probe(Hypervisor&, const Args&) {
  constexpr uint64_t kBlockBytes = mem_protect::MemProtect::kBlockPages
                                   << kPageShift;
  return {(HF_ABI_MAJOR << 16) | HF_ABI_MINOR,
          HF_FEATURE_PROTECTED_VMS | HF_FEATURE_NON_PROTECTED_VMS |
              HF_FEATURE_FORCE_RECLAIM,
          kPageSize | kBlockBytes << 32};
}

// C: a style (EINVAL). For all CPUs, from the next abort on.
CallResult Calls::SetAbortStyle(Hypervisor& hv, const Args& args) {
  if (args[0] > HF_ABORT_TRANSLATION) return Failed(Errno::kEinval);
  const bool was = hv.abort_as_translation_.exchange(
      args[0] == HF_ABORT_TRANSLATION, std::memory_order_relaxed);
  return {was ? HF_ABORT_TRANSLATION : HF_ABORT_EXTERNAL};
}

}  // namespace holdfast::hyp
