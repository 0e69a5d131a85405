// SPDX-License-Identifier: Apache-2.0
//
// What the CPUs of a machine can do, sanitised: a feature counts only if every
// CPU has it. Filled in once by the platform at boot, then read-only.
#ifndef HOLDFAST_BASE_CPU_FEATURES_H_
#define HOLDFAST_BASE_CPU_FEATURES_H_

namespace holdfast {

struct CpuFeatures {
  // ID_AA64MMFR0_EL1.PARange in bits (32..52), cut to what the granule can
  // address: 48, or 52 with the 64 KiB granule. The host's stage 2 is as wide,
  // and so is EL2's stage 1: 48 at most for a hypervisor to start.
  unsigned pa_bits = 40;
  bool fwb = false;     // FEAT_S2FWB: stage 2 overrides stage 1's cacheability
  bool xnx = false;     // FEAT_XNX: execute permission by exception level
  bool vmid16 = false;  // FEAT_VMID16
  bool hafdbs = false;  // FEAT_HAFDBS: hardware sets the access flag
  bool dic = false;     // CTR_EL0.DIC: no I-cache maintenance needed
};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_CPU_FEATURES_H_
