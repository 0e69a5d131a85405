// SPDX-License-Identifier: Apache-2.0
//
// What a CPU's EL2 registers hold while the host runs, and why. Run on every
// CPU each time it comes up. Everything is written in full: no reset value is
// relied on, since none of these registers has one that is architected.
#include "base/machine.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/board.h"

namespace holdfast::qemu_virt {

// Most of its registers.
using namespace aarch64;  // NOLINT(google-build-using-namespace)

namespace {

// Traps, and what EL1 may use. What traps without being handled becomes an
// undefined instruction for the host (trap.cc).
uint64_t HostHcr(const Board& board) {
  // SMC is trapped: the filter of psci.cc stands between the host and EL3.
  uint64_t hcr = HcrEl2::kRw | HcrEl2::kVm | HcrEl2::kSwio | HcrEl2::kTsc;
  if (board.profile.features.fwb) hcr |= HcrEl2::kFwb;
  const uint64_t isar1 = IdAa64Isar1El1::Read();
  const uint64_t isar2 = IdAa64Isar2El1::Read();
  if (IdAa64Isar1El1::Apa::Get(isar1) | IdAa64Isar1El1::Api::Get(isar1) |
      IdAa64Isar2El1::Apa3::Get(isar2)) {
    hcr |= HcrEl2::kApi | HcrEl2::kApk;
  }
  if (IdAa64Pfr1El1::Mte::Get(IdAa64Pfr1El1::Read()) >= 2) hcr |= HcrEl2::kAta;
  if (IdAa64Pfr0El1::Csv2::Get(IdAa64Pfr0El1::Read()) >= 2)
    hcr |= HcrEl2::kEnScxt;
  return hcr;
}

// FP, SVE and SME belong to the host; trace registers don't: a trace unit can
// write memory past stage 2.
void SetUpVectors() {
  const bool sve = IdAa64Pfr0El1::Sve::Get(IdAa64Pfr0El1::Read()) != 0;
  const bool sme = IdAa64Pfr1El1::Sme::Get(IdAa64Pfr1El1::Read()) != 0;
  uint64_t cptr = CptrEl2::kRes1 | CptrEl2::kTta;
  if (!sve) cptr |= CptrEl2::kTz;
  if (!sme) cptr |= CptrEl2::kTsm;
  CptrEl2::Write(cptr);
  Isb();  // ZCR_EL2 and SMCR_EL2 are themselves subject to CPTR_EL2
  if (sve) ZcrEl2::Write(ZcrEl2::Len::kMax);
  if (sme) {
    const uint64_t smfr = IdAa64Smfr0El1::Read();
    uint64_t smcr = SmcrEl2::Len::kMax;
    if (smfr & IdAa64Smfr0El1::kFa64) smcr |= SmcrEl2::kFa64;
    if (IdAa64Smfr0El1::SmeVer::Get(smfr) >= 1) smcr |= SmcrEl2::kEzt0;
    SmcrEl2::Write(smcr);
  }
}

// Turns off what a boot loader may have left on: profiling and trace buffers.
// In this order (Arm ARM D17 and D6, on the synchronization of the buffers):
// nothing new is made; what was made is written, while the buffer's owner and
// its tables are still those it was made for; then the buffer is off.
void StopBuffers(uint64_t dfr0) {
  if (IdAa64Dfr0El1::PmsVer::Get(dfr0) != 0) {
    PmscrEl1::Write(0);
    PmscrEl2::Write(0);
    Isb();
    PsbCsync();
    DsbNsh();
    PmblimitrEl1::Write(0);
  }
  if (IdAa64Dfr0El1::TraceBuffer::Get(dfr0) != 0) {
    TrfcrEl1::Write(0);
    TrfcrEl2::Write(0);
    Isb();
    TsbCsync();
    DsbNsh();
    TrblimitrEl1::Write(0);
  }
  Isb();
}

// Debug is the host's. Profiling and trace buffers stay EL2's and off: they are
// written by virtual address of their owner, and so could be aimed past
// stage 2. The PMU's counters are the host's but do not count at EL2.
void SetUpDebug() {
  const uint64_t dfr0 = IdAa64Dfr0El1::Read();
  StopBuffers(dfr0);
  uint64_t mdcr = MdcrEl2::E2pb::Put(0) | MdcrEl2::E2tb::Put(0) |
                  MdcrEl2::kTpms | MdcrEl2::kTtrf | MdcrEl2::kHpmd |
                  MdcrEl2::kHccd;
  const uint64_t pmu = IdAa64Dfr0El1::PmuVer::Get(dfr0);
  if (pmu != 0 && pmu != 0xf)
    mdcr |= MdcrEl2::Hpmn::Put(PmcrEl0::N::Get(PmcrEl0::Read()));
  MdcrEl2::Write(mdcr);
}

// Extensions that are off for EL1 unless EL2 says otherwise: the host gets
// those whose state no guest shares.
void SetUpExtensions() {
  const uint64_t mmfr1 = IdAa64Mmfr1El1::Read();
  const uint64_t mmfr3 = IdAa64Mmfr3El1::Read();
  const uint64_t pfr1 = IdAa64Pfr1El1::Read();
  const bool gcs = IdAa64Pfr1El1::Gcs::Get(pfr1) != 0;
  if (IdAa64Mmfr1El1::Hcx::Get(mmfr1) != 0) {
    uint64_t hcrx = 0;
    if (IdAa64Isar2El1::Mops::Get(IdAa64Isar2El1::Read()) != 0)
      hcrx |= HcrxEl2::kMscEn;
    if (IdAa64Mmfr3El1::Tcrx::Get(mmfr3) != 0) hcrx |= HcrxEl2::kTcr2En;
    if (IdAa64Mmfr3El1::Sctlrx::Get(mmfr3) != 0) hcrx |= HcrxEl2::kSctlr2En;
    if (gcs) hcrx |= HcrxEl2::kGcsEn;
    HcrxEl2::Write(hcrx);
  }
  if (IdAa64Mmfr0El1::Fgt::Get(IdAa64Mmfr0El1::Read()) != 0) {
    uint64_t fgt = 0;
    if (IdAa64Pfr1El1::Sme::Get(pfr1) != 0)
      fgt |= HfgrtrEl2::kNSmpri | HfgrtrEl2::kNTpidr2;
    if (gcs) fgt |= HfgrtrEl2::kNGcsEl0 | HfgrtrEl2::kNGcsEl1;
    if (IdAa64Mmfr3El1::S1pie::Get(mmfr3) != 0)
      fgt |= HfgrtrEl2::kNPire0 | HfgrtrEl2::kNPir;
    if (IdAa64Mmfr3El1::S1poe::Get(mmfr3) != 0)
      fgt |= HfgrtrEl2::kNPorEl0 | HfgrtrEl2::kNPorEl1;
    HfgrtrEl2::Write(fgt);
    HfgwtrEl2::Write(fgt);
    HfgitrEl2::Write(gcs ? HfgitrEl2::kNGcsPushm | HfgitrEl2::kNGcsStr |
                               HfgitrEl2::kNGcsEpp
                         : 0);
    // All zero: branch records (BRBE) trap, the rest is decided by MDCR_EL2.
    HdfgrtrEl2::Write(0);
    HdfgwtrEl2::Write(0);
  }
  if (IdAa64Pfr0El1::Mpam::Get(IdAa64Pfr0El1::Read()) != 0) Mpam2El2::Write(0);
}

}  // namespace

void SetUpCpu(const Board& board) {
  SetUpVectors();
  SetUpDebug();
  SetUpExtensions();
  HstrEl2::Write(0);

  // The host sees the CPU as it is, and the physical counter and timer.
  VpidrEl2::Write(MidrEl1::Read());
  VmpidrEl2::Write(MpidrEl1::Read());
  CnthctlEl2::Write(CnthctlEl2::kEl1PctEn | CnthctlEl2::kEl1PcEn);
  CntvoffEl2::Write(0);

  // The GIC's CPU interface is the host's, without list registers.
  if (IdAa64Pfr0El1::Gic::Get(IdAa64Pfr0El1::Read()) != 0) {
    IccSreEl2::Write(IccSreEl2::kSre | IccSreEl2::kDfb | IccSreEl2::kDib |
                     IccSreEl2::kEnable);
    Isb();
    IchHcrEl2::Write(0);
    aarch64::ClearListRegisters();
  }

  SctlrEl1::Write(SctlrEl1::kHostReset);

  const Stage2Context host = board.hypervisor->host_context();
  VtcrEl2::Write(host.vtcr);
  VttbrEl2::Write(host.vttbr());
  HcrEl2::Write(HostHcr(board));
  Isb();
  aarch64::Record(stream::EventType::kHostStage2, host.vttbr(), host.vtcr);
  // Whatever this CPU cached before it was ours (spec 5.6).
  TlbiAlle1();
  asm volatile("ic iallu" : : : "memory");
  DsbNsh();
  Isb();
}

}  // namespace holdfast::qemu_virt
