// SPDX-License-Identifier: Apache-2.0
//
// The world switch: all that a guest can have in registers, and all that
// decides what it may do, takes the place of the host's, and goes again.
//
// A guest gets FP and SIMD, its virtual timer, pointer authentication where all
// CPUs have it, and the virtual CPU interface of the GIC. It gets no SVE, SME,
// MTE, PMU, debug, trace, physical timer or AArch32: these trap, and are
// undefined for it.
#include <optional>

#include "base/machine.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/exception_entry.h"
#include "platforms/aarch64/fp_state.h"
#include "platforms/aarch64/guest_id.h"
#include "platforms/aarch64/guest_state.h"
#include "platforms/aarch64/sysreg.h"

namespace holdfast::aarch64 {

// Given by the board: the physical interrupt of this CPU's virtual timer is
// active from now on, so that it is not signalled, or no longer.
void BoardHoldTimerInterrupt(bool held);

namespace {

using machine::GuestState;

// guest_entry.S.
extern "C" uint64_t EnterGuest(GuestState* guest, Cpu* cpu);

// ---- Registers of EL1 and EL0 -----------------------------------------------

// B for instructions, A and B for data, generic; D19.2, AP*Key*_EL1.
void SaveKeys(uint64_t (&keys)[8]) {
  asm volatile("mrs %0, S3_0_C2_C1_2" : "=r"(keys[0]));
  asm volatile("mrs %0, S3_0_C2_C1_3" : "=r"(keys[1]));
  asm volatile("mrs %0, S3_0_C2_C2_0" : "=r"(keys[2]));
  asm volatile("mrs %0, S3_0_C2_C2_1" : "=r"(keys[3]));
  asm volatile("mrs %0, S3_0_C2_C2_2" : "=r"(keys[4]));
  asm volatile("mrs %0, S3_0_C2_C2_3" : "=r"(keys[5]));
  asm volatile("mrs %0, S3_0_C2_C3_0" : "=r"(keys[6]));
  asm volatile("mrs %0, S3_0_C2_C3_1" : "=r"(keys[7]));
}
void LoadKeys(const uint64_t (&keys)[8]) {
  asm volatile("msr S3_0_C2_C1_2, %0" : : "r"(keys[0]));
  asm volatile("msr S3_0_C2_C1_3, %0" : : "r"(keys[1]));
  asm volatile("msr S3_0_C2_C2_0, %0" : : "r"(keys[2]));
  asm volatile("msr S3_0_C2_C2_1, %0" : : "r"(keys[3]));
  asm volatile("msr S3_0_C2_C2_2, %0" : : "r"(keys[4]));
  asm volatile("msr S3_0_C2_C2_3, %0" : : "r"(keys[5]));
  asm volatile("msr S3_0_C2_C3_0, %0" : : "r"(keys[6]));
  asm volatile("msr S3_0_C2_C3_1, %0" : : "r"(keys[7]));
}

void SaveEl1(El1Registers& el1, const Cpu& cpu) {
#define HOLDFAST_X(name) asm volatile("mrs %0, " #name : "=r"(el1.name));
  HOLDFAST_EL1_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
  el1.tcr_el1 = TcrEl1::Read();
  el1.sctlr_el1 = SctlrEl1::Read();
  el1.cntv_ctl = CntvCtlEl0::Read();
  el1.cntv_cval = CntvCvalEl0::Read();
  if (cpu.machine.pauth) SaveKeys(el1.keys);
}

// All but TCR_EL1 and SCTLR_EL1.
void LoadEl1(const El1Registers& el1, const Cpu& cpu) {
#define HOLDFAST_X(name) \
  asm volatile("msr " #name ", %0" : : "r"(el1.name) : "memory");
  HOLDFAST_EL1_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
  // Off while the time it is set for changes.
  CntvCtlEl0::Write(0);
  CntvCvalEl0::Write(el1.cntv_cval);
  CntvCtlEl0::Write(el1.cntv_ctl);
  if (cpu.machine.pauth) LoadKeys(el1.keys);
}

// ---- What EL2's registers say -----------------------------------------------

struct Controls {
  uint64_t tpidr2;
  uint64_t hcr, cptr, mdcr, cnthctl, vmpidr, vttbr, vtcr;
  uint64_t hcrx, fgtr, fgtw, fgti;
  uint64_t pmcr;
};

struct Extensions {
  bool hcx, fgt, pmu, gic, sve, sme;

  static Extensions Read() {
    const uint64_t dfr0 = IdAa64Dfr0El1::Read();
    const uint64_t pmu = IdAa64Dfr0El1::PmuVer::Get(dfr0);
    const uint64_t pfr0 = IdAa64Pfr0El1::Read();
    return {
        .hcx = IdAa64Mmfr1El1::Hcx::Get(IdAa64Mmfr1El1::Read()) != 0,
        .fgt = IdAa64Mmfr0El1::Fgt::Get(IdAa64Mmfr0El1::Read()) != 0,
        .pmu = pmu != 0 && pmu != 0xf,
        .gic = IdAa64Pfr0El1::Gic::Get(pfr0) != 0,
        .sve = IdAa64Pfr0El1::Sve::Get(pfr0) != 0,
        .sme = IdAa64Pfr1El1::Sme::Get(IdAa64Pfr1El1::Read()) != 0,
    };
  }
};

Controls ReadControls(const Extensions& has) {
  Controls c = {.tpidr2 = 0,
                .hcr = HcrEl2::Read(),
                .cptr = CptrEl2::Read(),
                .mdcr = MdcrEl2::Read(),
                .cnthctl = CnthctlEl2::Read(),
                .vmpidr = VmpidrEl2::Read(),
                .vttbr = VttbrEl2::Read(),
                .vtcr = VtcrEl2::Read(),
                .hcrx = 0,
                .fgtr = 0,
                .fgtw = 0,
                .fgti = 0,
                .pmcr = 0};
  if (has.hcx) c.hcrx = HcrxEl2::Read();
  if (has.fgt) {
    c.fgtr = HfgrtrEl2::Read();
    c.fgtw = HfgwtrEl2::Read();
    c.fgti = HfgitrEl2::Read();
  }
  if (has.pmu) c.pmcr = PmcrEl0::Read();
  // SME's thread pointer: nothing but FEAT_FGT would trap it, so that a guest
  // can use it though it has no SME.
  if (has.sme) c.tpidr2 = Tpidr2El0::Read();
  return c;
}

void WriteControls(const Controls& c, const Extensions& has) {
  VttbrEl2::Write(c.vttbr);
  VtcrEl2::Write(c.vtcr);
  HcrEl2::Write(c.hcr);
  CptrEl2::Write(c.cptr);
  MdcrEl2::Write(c.mdcr);
  CnthctlEl2::Write(c.cnthctl);
  VmpidrEl2::Write(c.vmpidr);
  if (has.hcx) HcrxEl2::Write(c.hcrx);
  if (has.fgt) {
    HfgrtrEl2::Write(c.fgtr);
    HfgwtrEl2::Write(c.fgtw);
    HfgitrEl2::Write(c.fgti);
  }
  if (has.pmu) PmcrEl0::Write(c.pmcr);
  if (has.sme) Tpidr2El0::Write(c.tpidr2);
}

constexpr uint64_t kCptrOpen = CptrEl2::kRes1;
constexpr uint64_t kCptrGuest =
    CptrEl2::kRes1 | CptrEl2::kTz | CptrEl2::kTsm | CptrEl2::kTta;

Controls GuestControls(const GuestState& guest, const Stage2Context& stage2,
                       const Controls& host, const Cpu& cpu) {
  uint64_t hcr = HcrEl2::kVm | HcrEl2::kSwio | HcrEl2::kPtw | HcrEl2::kFmo |
                 HcrEl2::kImo | HcrEl2::kAmo | HcrEl2::kFb | HcrEl2::kBsuInner |
                 HcrEl2::kTwi | HcrEl2::kTwe | HcrEl2::kTid3 | HcrEl2::kTsc |
                 HcrEl2::kTidcp | HcrEl2::kTacr | HcrEl2::kTsw | HcrEl2::kTlor |
                 HcrEl2::kTerr | HcrEl2::kRw;
  if (cpu.machine.features.fwb) hcr |= HcrEl2::kFwb;
  if (cpu.machine.pauth) hcr |= HcrEl2::kApi | HcrEl2::kApk;
  return {
      .tpidr2 = 0,
      .hcr = hcr,
      .cptr = kCptrGuest | CptrEl2::kTfp,
      // All of debug, profiling, trace and the PMU traps; the host's counters
      // do not see the guest (PMCR_EL0.E).
      .mdcr = host.mdcr | MdcrEl2::kTpmcr | MdcrEl2::kTpm | MdcrEl2::kTda |
              MdcrEl2::kTdosa | MdcrEl2::kTdra,
      .cnthctl = 0,
      .vmpidr = guest.mpidr,
      .vttbr = stage2.vttbr(),
      .vtcr = stage2.vtcr,
      .hcrx = 0,
      .fgtr = 0,
      .fgtw = 0,
      .fgti = 0,
      .pmcr = host.pmcr & ~PmcrEl0::kE,
  };
}

// ---- FP ---------------------------------------------------------------------

struct Svcr {  // FEAT_SME
  static constexpr uint64_t kSm = Bit(0);
  HOLDFAST_SYSREG_RW("S3_3_C4_C2_2")
};

// All that a world can have of vectors is in EL2's reach.
void OpenVectors(const Extensions& has) {
  CptrEl2::Write(kCptrOpen | (has.sve ? 0 : CptrEl2::kTz) |
                 (has.sme ? 0 : CptrEl2::kTsm));
  Isb();
}

// The host's vectors go to memory and the guest's come: at its first use.
void TakeVectors(GuestState& guest, Cpu& cpu, const Extensions& has) {
  OpenVectors(has);
  VectorState& host = cpu.host_vectors;
  host.svcr = has.sme ? Svcr::Read() : 0;
  const bool streaming = (host.svcr & Svcr::kSm) != 0;
  if (has.sve || streaming) {
    SaveSve(&host, has.sve && !streaming);
  } else {
    SaveFp(&host.fp);
  }
  if (streaming) Svcr::Write(host.svcr & ~Svcr::kSm);
  LoadFp(&guest.fp);
  CptrEl2::Write(kCptrGuest);
  Isb();
}

// The reverse. Every register that the guest could write gets what the host
// had.
void GiveVectorsBack(GuestState& guest, Cpu& cpu, const Extensions& has) {
  OpenVectors(has);
  SaveFp(&guest.fp);
  const VectorState& host = cpu.host_vectors;
  const bool streaming = (host.svcr & Svcr::kSm) != 0;
  if (streaming) Svcr::Write(host.svcr);
  if (has.sve || streaming) {
    LoadSve(&host, has.sve && !streaming);
  } else {
    LoadFp(&host.fp);
  }
}

// ---- Interrupts -------------------------------------------------------------

// A list register (ICH_LR<n>_EL2).
struct Lr {
  using IntId = Field<31, 0>;
  using Priority = Field<55, 48>;
  using Physical = Field<41, 32>;
  static constexpr uint64_t kGroup1 = Bit(60);
  // When the guest ends it, the physical interrupt ends too.
  static constexpr uint64_t kHardware = Bit(61);
  static constexpr uint64_t kPending = Bit(62), kActive = Bit(63);
  // Of all that EL2 injects: in the middle.
  static constexpr uint64_t kPriority = 0xa0;
};

// clang-format off
#define HOLDFAST_LIST_REGISTERS(X)                                           \
  X(0, "S3_4_C12_C12_0") X(1, "S3_4_C12_C12_1") X(2, "S3_4_C12_C12_2")       \
  X(3, "S3_4_C12_C12_3") X(4, "S3_4_C12_C12_4") X(5, "S3_4_C12_C12_5")       \
  X(6, "S3_4_C12_C12_6") X(7, "S3_4_C12_C12_7") X(8, "S3_4_C12_C13_0")       \
  X(9, "S3_4_C12_C13_1") X(10, "S3_4_C12_C13_2") X(11, "S3_4_C12_C13_3")     \
  X(12, "S3_4_C12_C13_4") X(13, "S3_4_C12_C13_5") X(14, "S3_4_C12_C13_6")    \
  X(15, "S3_4_C12_C13_7")
// clang-format on

void WriteLr(unsigned n, uint64_t value) {
  switch (n) {
#define HOLDFAST_X(i, name)                          \
  case i:                                            \
    asm volatile("msr " name ", %0" : : "r"(value)); \
    return;
    HOLDFAST_LIST_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
    default:
      return;
  }
}
uint64_t ReadLr(unsigned n) {
  uint64_t value = 0;
  switch (n) {
#define HOLDFAST_X(i, name)                      \
  case i:                                        \
    asm volatile("mrs %0, " name : "=r"(value)); \
    break;
    HOLDFAST_LIST_REGISTERS(HOLDFAST_X)
#undef HOLDFAST_X
    default:
      break;
  }
  return value;
}

unsigned ListRegisters() {
  return static_cast<unsigned>(IchVtrEl2::ListRegs::Get(IchVtrEl2::Read())) + 1;
}

// The counter that the timer compares with (CNTVOFF_EL2 is 0).
bool TimerFires(const El1Registers& el1) {
  return (el1.cntv_ctl & (CntvCtlEl0::kEnable | CntvCtlEl0::kImask)) ==
             CntvCtlEl0::kEnable &&
         CntpctEl0::Read() >= el1.cntv_cval;
}

constexpr bool IsTaken(uint64_t lr) {
  return (lr & (Lr::kPending | Lr::kActive)) != 0;
}

// The list register that holds `intid`, or null.
uint64_t* FindLr(VirtualGic& gic, unsigned count, uint32_t intid) {
  for (unsigned i = 0; i < count; ++i) {
    if (IsTaken(gic.lr[i]) && Lr::IntId::Get(gic.lr[i]) == intid)
      return &gic.lr[i];
  }
  return nullptr;
}

// The list register that `intid` is pending in from now on; null if all are
// taken.
uint64_t* Pend(VirtualGic& gic, unsigned count, uint32_t intid) {
  uint64_t* lr = FindLr(gic, count, intid);
  if (lr != nullptr && (*lr & Lr::kActive) != 0) {
    *lr |= Lr::kPending;
    return lr;
  }
  for (unsigned i = 0; lr == nullptr && i < count; ++i) {
    if (!IsTaken(gic.lr[i])) lr = &gic.lr[i];
  }
  if (lr != nullptr) {
    *lr = Lr::kPending | Lr::kGroup1 | Lr::Priority::Put(Lr::kPriority) |
          Lr::IntId::Put(intid);
  }
  return lr;
}

// Takes what is pending into list registers, and says whether the timer's
// interrupt is among them. That is a level: until the guest has dealt with it,
// the hardware must not raise it again, or the guest would not come to run; and
// must once it has. So the physical one is active as long as the virtual one
// is.
bool PrepareInterrupts(GuestState& guest, unsigned count) {
  VirtualGic& gic = guest.gic;
  uint64_t* timer = FindLr(gic, count, kVirtualTimerInterrupt);
  if (!TimerFires(guest.el1)) {
    // It was told off before it was seen.
    if (timer != nullptr) *timer &= ~Lr::kPending;
  } else if (timer == nullptr) {
    timer = Pend(gic, count, kVirtualTimerInterrupt);
    if (timer != nullptr) {
      *timer |= Lr::kHardware | Lr::Physical::Put(kVirtualTimerInterrupt);
    }
  }
  for (unsigned word = 0; word < gic.pending.size(); ++word) {
    uint64_t bits = gic.pending[word].load(std::memory_order_relaxed);
    while (bits != 0) {
      const auto bit = static_cast<uint32_t>(__builtin_ctzll(bits));
      bits &= bits - 1;
      if (Pend(gic, count, word * 64 + bit) == nullptr) break;
      gic.pending[word].fetch_and(~(uint64_t{1} << bit),
                                  std::memory_order_relaxed);
    }
  }
  return FindLr(gic, count, kVirtualTimerInterrupt) != nullptr;
}

// Only list registers with something in them are written, and read back: the
// others are zero, as they always are while the host runs. Returns which, a bit
// each.
unsigned LoadGic(const VirtualGic& gic, unsigned count) {
  IchVmcrEl2::Write(gic.vmcr);
  IchAp1r0El2::Write(gic.ap1r0);
  unsigned loaded = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (gic.lr[i] == 0) continue;
    WriteLr(i, gic.lr[i]);
    loaded |= 1u << i;
  }
  IchHcrEl2::Write(IchHcrEl2::kEn);
  return loaded;
}
void SaveGic(VirtualGic& gic, unsigned loaded) {
  gic.vmcr = IchVmcrEl2::Read();
  gic.ap1r0 = IchAp1r0El2::Read();
  IchHcrEl2::Write(0);
  IchVmcrEl2::Write(0);
  IchAp1r0El2::Write(0);
  for (; loaded != 0; loaded &= loaded - 1) {
    const auto i = static_cast<unsigned>(__builtin_ctz(loaded));
    const uint64_t lr = ReadLr(i);
    gic.lr[i] = IsTaken(lr) ? lr : 0;
    WriteLr(i, 0);
  }
}

// ---- In and out -------------------------------------------------------------

// Where a speculated AT can walk EL1&0 at EL2 (errata.h), the walks are
// forbidden while its registers are of two worlds; as in stage2_switch.h.
void ForbidWalks(const Cpu& cpu) {
  if (!cpu.machine.errata.speculative_at) return;
  TcrEl1::Write(TcrEl1::Read() | TcrEl1::kEpd0 | TcrEl1::kEpd1);
  Isb();
  SctlrEl1::Write(SctlrEl1::Read() | SctlrEl1::kM);
  Isb();
}
void AllowWalks(const El1Registers& el1) {
  Isb();
  SctlrEl1::Write(el1.sctlr_el1);
  Isb();
  TcrEl1::Write(el1.tcr_el1);
}

constexpr bool IsAbort(uint64_t esr) {
  const uint64_t ec = EsrEl2::Ec::Get(esr);
  return ec == static_cast<uint64_t>(ExceptionClass::kDataAbortLower) ||
         ec == static_cast<uint64_t>(ExceptionClass::kInstructionAbortLower);
}

// For an abort whose HPFAR_EL2 is UNKNOWN, the page by the guest's own tables
// (which are still the CPU's). False: they changed meanwhile, and the access is
// to be made again.
bool FindIpa(GuestTrap& trap) {
  const uint64_t par = ParEl1::Read();
  const uint64_t walked = TranslateStage1(trap.far);
  ParEl1::Write(par);
  if ((walked & ParEl1::kFault) != 0) return false;
  trap.hpfar = HpfarEl2::Fipa::Put((walked & ParEl1::kAddressMask) >> 12);
  return true;
}

GuestTrap RunOnce(GuestState& guest, const Stage2Context& stage2, Cpu& cpu,
                  const Extensions& has) {
  // What the host has, but for its vectors.
  El1Registers host_el1;
  SaveEl1(host_el1, cpu);
  const Controls host = ReadControls(has);
  const uint64_t host_elr = ElrEl2::Read(), host_spsr = SpsrEl2::Read();
  const unsigned list_registers = has.gic ? ListRegisters() : 0;
  const bool timer_held = PrepareInterrupts(guest, list_registers);
  uint64_t pmr = 0;
  unsigned loaded = 0;

  // Walks under the host's registers have ended.
  DsbNsh();
  ForbidWalks(cpu);
  LoadEl1(guest.el1, cpu);
  WriteControls(GuestControls(guest, stage2, host, cpu), has);
  if (has.gic) {
    // What the host masks by priority would not end the guest's turn.
    pmr = IccPmrEl1::Read();
    IccPmrEl1::Write(0xff);
    if (timer_held) BoardHoldTimerInterrupt(true);
    loaded = LoadGic(guest.gic, list_registers);
  }
  AllowWalks(guest.el1);
  Isb();

  GuestTrap trap;
  bool vectors = false;
  for (;;) {
    const uint64_t vector = EnterGuest(&guest, &cpu);
    trap = {};
    // 8..11: from AArch64; 12..15: from AArch32, which there is none of.
    if (vector % 4 == 1 || vector % 4 == 2) break;  // IRQ, FIQ
    trap.esr = EsrEl2::Read();
    if (vector % 4 == 3) {
      trap.stop = GuestStop::kSError;
      break;
    }
    trap.stop = GuestStop::kSync;
    if (EsrEl2::Ec::Get(trap.esr) ==
            static_cast<uint64_t>(ExceptionClass::kFpAccess) &&
        !vectors) {
      vectors = true;
      TakeVectors(guest, cpu, has);
      continue;
    }
    if (!IsAbort(trap.esr)) break;
    trap.far = FarEl2::Read();
    trap.hpfar = HpfarEl2::Read();
    if (HpfarIsValid(trap.esr) || FindIpa(trap)) break;
  }

  // Walks under the guest's registers have ended.
  DsbNsh();
  SaveEl1(guest.el1, cpu);
  if (has.gic) {
    SaveGic(guest.gic, loaded);
    if (timer_held) BoardHoldTimerInterrupt(false);
    IccPmrEl1::Write(pmr);
  }
  if (vectors) GiveVectorsBack(guest, cpu, has);
  ForbidWalks(cpu);
  LoadEl1(host_el1, cpu);
  WriteControls(host, has);
  ElrEl2::Write(host_elr);
  SpsrEl2::Write(host_spsr);
  AllowWalks(host_el1);
  Isb();
  return trap;
}

void Take(GuestState& guest, uint64_t esr) {
  const uint64_t spsr = guest.regs.pstate;
  const uint64_t pfr1 = IdAa64Pfr1El1::Read();
  guest.el1.esr_el1 = esr;
  guest.el1.elr_el1 = guest.regs.pc;
  guest.el1.spsr_el1 = spsr;
  guest.regs.pc = guest.el1.vbar_el1 + VectorOffset(spsr);
  guest.regs.pstate = HandlerPstate(
      spsr, guest.el1.sctlr_el1,
      {.pan = IdAa64Mmfr1El1::Pan::Get(IdAa64Mmfr1El1::Read()) != 0,
       .ssbs = IdAa64Pfr1El1::Ssbs::Get(pfr1) != 0});
}

// What the machine itself makes of a trap: registers that it stands in for, and
// all that a guest has not got. False: for those above to see.
bool Handle(GuestState& guest, const GuestTrap& trap) {
  if (trap.stop != GuestStop::kSync) return false;
  switch (static_cast<ExceptionClass>(EsrEl2::Ec::Get(trap.esr))) {
    case ExceptionClass::kWfx:
    case ExceptionClass::kHvc64:
    case ExceptionClass::kSmc64:
    case ExceptionClass::kInstructionAbortLower:
    case ExceptionClass::kDataAbortLower:
      return false;
    case ExceptionClass::kSysreg: {
      using Rt = Field<9, 5>;
      constexpr uint64_t kRead = 1;
      const uint64_t rt = Rt::Get(trap.esr);
      if (IsSgiWrite(trap.esr)) return false;
      if ((trap.esr & kRead) == 0) {
        if (!GuestWriteIsIgnored(trap.esr)) break;
      } else {
        const std::optional<uint64_t> value = GuestReads(trap.esr);
        if (!value.has_value()) break;
        if (rt < 31) guest.regs.x[rt] = *value;
      }
      guest.regs.pc += 4;
      return true;
    }
    default:
      break;
  }
  Take(guest, UndefinedSyndrome());
  return true;
}

}  // namespace

void ClearListRegisters() {
  const unsigned count = ListRegisters();
  for (unsigned i = 0; i < count; ++i) WriteLr(i, 0);
}

}  // namespace holdfast::aarch64

namespace holdfast::machine {

using namespace aarch64;  // NOLINT(google-build-using-namespace)

void ResetGuest(GuestState& guest, uint64_t mpidr, uint64_t entry,
                uint64_t context) {
  guest.regs =
      GuestRegs{.x = {}, .pc = entry, .pstate = Spsr::kModeEl1h | Spsr::kDaif};
  guest.regs.x[0] = context;
  guest.mpidr = mpidr;
  guest.key_a[0] = guest.key_a[1] = 0;
  guest.el1 = {};
  guest.el1.sctlr_el1 = SctlrEl1::kHostReset;
  guest.fp = {};
  guest.gic.vmcr = guest.gic.ap1r0 = 0;
  guest.gic.lr = {};
  for (auto& word : guest.gic.pending) word.store(0, std::memory_order_relaxed);
}

GuestTrap RunGuest(GuestState& guest, const Stage2Context& stage2) {
  Cpu& cpu = This();
  const Extensions has = Extensions::Read();
  for (;;) {
    const GuestTrap trap = RunOnce(guest, stage2, cpu, has);
    if (!Handle(guest, trap)) return trap;
  }
}

void InjectGuestAbort(GuestState& guest, const GuestTrap& trap) {
  if ((trap.esr & EsrEl2::kFnv) == 0) guest.el1.far_el1 = trap.far;
  Take(guest, ExternalAbortSyndrome(trap.esr, guest.regs.pstate));
}

void InjectGuestUndefined(GuestState& guest) {
  Take(guest, UndefinedSyndrome());
}

uint64_t GuestDeadline(const GuestState& guest) {
  for (const auto& word : guest.gic.pending) {
    if (word.load(std::memory_order_relaxed) != 0) return 0;
  }
  for (const uint64_t lr : guest.gic.lr) {
    if ((lr & Lr::kPending) != 0) return 0;
  }
  if (TimerFires(guest.el1)) return 0;
  return (guest.el1.cntv_ctl & (CntvCtlEl0::kEnable | CntvCtlEl0::kImask)) ==
                 CntvCtlEl0::kEnable
             ? guest.el1.cntv_cval
             : ~uint64_t{0};
}

}  // namespace holdfast::machine
