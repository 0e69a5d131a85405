// SPDX-License-Identifier: Apache-2.0
//
// What a CPU says of itself, what a machine of several can do together, and
// whether a CPU may join one. Arithmetic on register values, so that it is
// tested on the host; only ReadCpuId() asks the CPU.
#ifndef HOLDFAST_PLATFORMS_AARCH64_CPU_ID_H_
#define HOLDFAST_PLATFORMS_AARCH64_CPU_ID_H_

#include <algorithm>
#include <cstdint>

#include "base/cpu_features.h"
#include "base/granule.h"
#include "platforms/aarch64/errata.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

struct CpuId {
  uint64_t midr = 0, mmfr0 = 0, mmfr1 = 0, mmfr2 = 0, isar0 = 0, isar1 = 0,
           isar2 = 0, pfr1 = 0, ctr = 0;
};

inline CpuId ReadCpuId() {
  return {.midr = MidrEl1::Read(),
          .mmfr0 = IdAa64Mmfr0El1::Read(),
          .mmfr1 = IdAa64Mmfr1El1::Read(),
          .mmfr2 = IdAa64Mmfr2El1::Read(),
          .isar0 = IdAa64Isar0El1::Read(),
          .isar1 = IdAa64Isar1El1::Read(),
          .isar2 = IdAa64Isar2El1::Read(),
          .pfr1 = IdAa64Pfr1El1::Read(),
          .ctr = CtrEl0::Read()};
}

// Caches, as maintenance by address must know them.
struct CacheShape {
  // The smallest lines, in bytes. 16 is the least there can be, and always
  // right.
  uint32_t dcache_line = 16, icache_line = 16;
  // An instruction cache forgets a line by any of its addresses.
  bool icache_pipt = false;
};

// One CPU's abilities, or those that all CPUs of a machine share.
struct CpuProfile {
  CpuFeatures features;
  bool granule = false;  // has kPageShift's, in both stages
  bool range_tlbi = false;
  bool ttl = false;
  bool bti = false;    // FEAT_BTI: indirect branches land on BTI only
  bool pauth = false;  // FEAT_PAuth: signed return addresses
  CacheShape caches;
  Errata errata;
};

// ID_AA64MMFR0_EL1: whether there are pages of 2^`page_shift` bytes. The fields
// of stage 2 may say "as stage 1" (0), "no" (1), or yes (2 and up).
constexpr bool HasGranule(uint64_t mmfr0, unsigned page_shift) {
  using Id = IdAa64Mmfr0El1;
  bool stage1 = false;
  uint64_t stage2 = 1;
  if (page_shift == 12) {
    stage1 = Id::TGran4::Get(mmfr0) != 0xf;
    stage2 = Id::TGran4Stage2::Get(mmfr0);
  } else if (page_shift == 14) {
    stage1 = Id::TGran16::Get(mmfr0) != 0;
    stage2 = Id::TGran16Stage2::Get(mmfr0);
  } else if (page_shift == 16) {
    stage1 = Id::TGran64::Get(mmfr0) != 0xf;
    stage2 = Id::TGran64Stage2::Get(mmfr0);
  }
  return stage1 && stage2 != 1;
}

// `max_pa_bits`: what the board makes use of. PARange above 48 bits, and what
// is not assigned yet, counts as 48: no more fits without LPA2 but with 64 KiB
// pages.
constexpr unsigned PaBits(uint64_t mmfr0, unsigned max_pa_bits) {
  constexpr unsigned kBits[] = {32, 36, 40, 42, 44, 48};
  const uint64_t range = IdAa64Mmfr0El1::PaRange::Get(mmfr0);
  return std::min(kBits[std::min<uint64_t>(range, 5)], max_pa_bits);
}

constexpr CpuProfile ProfileOf(const CpuId& id, unsigned page_shift,
                               unsigned max_pa_bits) {
  CpuProfile profile;
  profile.features = {
      .pa_bits = PaBits(id.mmfr0, max_pa_bits),
      .fwb = IdAa64Mmfr2El1::Fwb::Get(id.mmfr2) != 0,
      .xnx = IdAa64Mmfr1El1::Xnx::Get(id.mmfr1) != 0,
      .vmid16 = IdAa64Mmfr1El1::VmidBits::Get(id.mmfr1) == 2,
      .hafdbs = IdAa64Mmfr1El1::Hafdbs::Get(id.mmfr1) != 0,
      .dic = (id.ctr & CtrEl0::kDic) != 0,
  };
  profile.granule = HasGranule(id.mmfr0, page_shift);
  profile.range_tlbi = IdAa64Isar0El1::Tlb::Get(id.isar0) >= 2;
  profile.ttl = IdAa64Mmfr2El1::Ttl::Get(id.mmfr2) != 0;
  profile.bti = IdAa64Pfr1El1::Bt::Get(id.pfr1) != 0;
  profile.pauth = IdAa64Isar1El1::Apa::Get(id.isar1) != 0 ||
                  IdAa64Isar1El1::Api::Get(id.isar1) != 0 ||
                  IdAa64Isar2El1::Apa3::Get(id.isar2) != 0;
  profile.caches = {
      .dcache_line = 4u << CtrEl0::DminLine::Get(id.ctr),
      .icache_line = 4u << CtrEl0::IminLine::Get(id.ctr),
      .icache_pipt = CtrEl0::L1Ip::Get(id.ctr) == CtrEl0::kL1IpPipt,
  };
  profile.errata = ErrataFor(id.midr);
  return profile;
}

// A machine of `a` and `b`: a feature counts only if both have it, an erratum
// if one has it.
constexpr CpuProfile Together(const CpuProfile& a, const CpuProfile& b) {
  CpuProfile both;
  both.features = {
      .pa_bits = std::min(a.features.pa_bits, b.features.pa_bits),
      .fwb = a.features.fwb && b.features.fwb,
      .xnx = a.features.xnx && b.features.xnx,
      .vmid16 = a.features.vmid16 && b.features.vmid16,
      .hafdbs = a.features.hafdbs && b.features.hafdbs,
      .dic = a.features.dic && b.features.dic,
  };
  both.granule = a.granule && b.granule;
  both.range_tlbi = a.range_tlbi && b.range_tlbi;
  both.ttl = a.ttl && b.ttl;
  both.bti = a.bti && b.bti;
  both.pauth = a.pauth && b.pauth;
  both.caches = {
      .dcache_line = std::min(a.caches.dcache_line, b.caches.dcache_line),
      .icache_line = std::min(a.caches.icache_line, b.caches.icache_line),
      .icache_pipt = a.caches.icache_pipt && b.caches.icache_pipt,
  };
  both.errata = {
      .repeat_tlbi = a.errata.repeat_tlbi || b.errata.repeat_tlbi,
      .speculative_at = a.errata.speculative_at || b.errata.speculative_at,
  };
  return both;
}

// What of a machine's configuration `cpu` cannot keep, or null. Such a CPU must
// run no host code: its walker would read EL2's tables in another way than EL2
// wrote them, or keep translations that EL2 believes to be gone.
constexpr const char* WhatCpuLacks(const CpuProfile& cpu,
                                   const CpuProfile& machine) {
  const CpuFeatures& has = cpu.features;
  const CpuFeatures& needs = machine.features;
  if (machine.granule && !cpu.granule) return "pages of this size";
  if (has.pa_bits < needs.pa_bits) return "physical address bits";
  if (needs.fwb && !has.fwb) return "FEAT_S2FWB";
  if (needs.xnx && !has.xnx) return "FEAT_XNX";
  if (needs.vmid16 && !has.vmid16) return "16-bit VMIDs";
  if (needs.hafdbs && !has.hafdbs) return "FEAT_HAFDBS";
  if (needs.dic && !has.dic) return "CTR_EL0.DIC";
  if (machine.range_tlbi && !cpu.range_tlbi) return "FEAT_TLBIRANGE";
  if (machine.ttl && !cpu.ttl) return "FEAT_TTL";
  if (machine.bti && !cpu.bti) return "FEAT_BTI";
  if (machine.pauth && !cpu.pauth) return "FEAT_PAuth";
  if (cpu.caches.dcache_line < machine.caches.dcache_line)
    return "data cache lines as long";
  if (cpu.caches.icache_line < machine.caches.icache_line)
    return "instruction cache lines as long";
  if (machine.caches.icache_pipt && !cpu.caches.icache_pipt)
    return "a PIPT instruction cache";
  if (cpu.errata.repeat_tlbi && !machine.errata.repeat_tlbi)
    return "TLBs that need one TLBI only";
  if (cpu.errata.speculative_at && !machine.errata.speculative_at)
    return "AT instructions that do not speculate";
  return nullptr;
}

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_CPU_ID_H_
