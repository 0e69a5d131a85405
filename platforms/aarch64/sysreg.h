// SPDX-License-Identifier: Apache-2.0
//
// The system registers EL2 uses (Arm ARM DDI 0487, chapter D19 unless a line
// says otherwise), each a struct with its fields, Read() and Write(). Registers
// younger than Armv8.0 go by their encoding (S<op0>_<op1>_C<n>_C<m>_<op2>), so
// that -march=armv8-a is enough; use those only after their ID field says so.
//
// It knows encodings and nothing else: who sets which bit why is in the board.
// Fields are of use on the host too, where tests must not Read() or Write().
#ifndef HOLDFAST_PLATFORMS_AARCH64_SYSREG_H_
#define HOLDFAST_PLATFORMS_AARCH64_SYSREG_H_

#include <cstdint>

namespace holdfast::aarch64 {

constexpr uint64_t Bit(unsigned n) { return uint64_t{1} << n; }

// Bits kHigh..kLow of a register.
template <unsigned kHigh, unsigned kLow>
struct Field {
  static constexpr uint64_t kMax =
      (kHigh - kLow == 63) ? ~uint64_t{0} : Bit(kHigh - kLow + 1) - 1;
  static constexpr uint64_t Get(uint64_t reg) { return (reg >> kLow) & kMax; }
  static constexpr uint64_t Put(uint64_t value) {
    return (value & kMax) << kLow;
  }
};

// The accesses are volatile, and stay in order to other asm and to memory: a
// register such as VTTBR_EL2 must not move across the TLBI that relies on it.
#define HOLDFAST_SYSREG_RW(name)                                \
  static uint64_t Read() {                                      \
    uint64_t value;                                             \
    asm volatile("mrs %0, " name : "=r"(value) : : "memory");   \
    return value;                                               \
  }                                                             \
  static void Write(uint64_t value) {                           \
    asm volatile("msr " name ", %0" : : "r"(value) : "memory"); \
  }

// ---- Identification (D19.2, ID_AA64*) --------------------------------------

struct MidrEl1 {
  using PartNum = Field<15, 4>;
  using Implementer = Field<31, 24>;
  using Variant = Field<23, 20>;
  using Revision = Field<3, 0>;
  HOLDFAST_SYSREG_RW("midr_el1")
};
struct MpidrEl1 {
  // Aff3 in 39:32, Aff2..0 in 23:0: what PSCI and the device tree name.
  static constexpr uint64_t kAffinityMask = 0xff00ffffff;
  HOLDFAST_SYSREG_RW("mpidr_el1")
};
struct CtrEl0 {
  using IminLine = Field<3, 0>;    // log2 of words
  using L1Ip = Field<15, 14>;      // 0b11: PIPT
  using DminLine = Field<19, 16>;  // log2 of words
  static constexpr uint64_t kL1IpPipt = 3;
  static constexpr uint64_t kDic = Bit(29);
  HOLDFAST_SYSREG_RW("ctr_el0")
};
struct DczidEl0 {
  using Bs = Field<3, 0>;  // log2 of words
  static constexpr uint64_t kDzp = Bit(4);
  HOLDFAST_SYSREG_RW("dczid_el0")
};
struct IdAa64Isar0El1 {
  using Rndr = Field<63, 60>;
  using Tlb = Field<59, 56>;  // 2: range TLBI
  HOLDFAST_SYSREG_RW("id_aa64isar0_el1")
};
struct IdAa64Isar1El1 {
  using Apa = Field<7, 4>;
  using Api = Field<11, 8>;
  using Gpa = Field<27, 24>;
  using Gpi = Field<31, 28>;
  using Ls64 = Field<63, 60>;
  HOLDFAST_SYSREG_RW("id_aa64isar1_el1")
};
struct IdAa64Isar2El1 {
  using Gpa3 = Field<11, 8>;
  using Apa3 = Field<15, 12>;
  using Mops = Field<19, 16>;
  HOLDFAST_SYSREG_RW("S3_0_C0_C6_2")
};
struct IdAa64Mmfr0El1 {
  using PaRange = Field<3, 0>;
  using TGran16 = Field<23, 20>;  // 0: no
  using TGran64 = Field<27, 24>;  // 15: no
  using TGran4 = Field<31, 28>;   // 15: no
  using TGran16Stage2 = Field<35, 32>;
  using TGran64Stage2 = Field<39, 36>;
  using TGran4Stage2 = Field<43, 40>;
  using Fgt = Field<59, 56>;
  HOLDFAST_SYSREG_RW("id_aa64mmfr0_el1")
};
struct IdAa64Mmfr1El1 {
  using Hafdbs = Field<3, 0>;
  using VmidBits = Field<7, 4>;  // 2: 16 bits
  using Pan = Field<23, 20>;
  using Xnx = Field<31, 28>;
  using Hcx = Field<43, 40>;
  HOLDFAST_SYSREG_RW("id_aa64mmfr1_el1")
};
struct IdAa64Mmfr2El1 {
  using Fwb = Field<43, 40>;
  using Ttl = Field<51, 48>;
  HOLDFAST_SYSREG_RW("S3_0_C0_C7_2")
};
struct IdAa64Mmfr3El1 {
  using Tcrx = Field<3, 0>;
  using Sctlrx = Field<7, 4>;
  using S1pie = Field<11, 8>;
  using S1poe = Field<19, 16>;
  HOLDFAST_SYSREG_RW("S3_0_C0_C7_3")
};
struct IdAa64Pfr0El1 {
  using Gic = Field<27, 24>;
  using Ras = Field<31, 28>;
  using Sve = Field<35, 32>;
  using Mpam = Field<43, 40>;
  using Dit = Field<51, 48>;
  using Csv2 = Field<59, 56>;
  HOLDFAST_SYSREG_RW("id_aa64pfr0_el1")
};
struct IdAa64Pfr1El1 {
  using Bt = Field<3, 0>;
  using Ssbs = Field<7, 4>;
  using Mte = Field<11, 8>;
  using Sme = Field<27, 24>;
  using Nmi = Field<39, 36>;
  using Gcs = Field<47, 44>;
  HOLDFAST_SYSREG_RW("id_aa64pfr1_el1")
};
struct IdAa64Dfr0El1 {
  using PmuVer = Field<11, 8>;  // 0 or 0xf: no architected PMU
  using PmsVer = Field<35, 32>;
  using TraceBuffer = Field<47, 44>;
  HOLDFAST_SYSREG_RW("id_aa64dfr0_el1")
};
struct IdAa64Smfr0El1 {
  using SmeVer = Field<59, 56>;
  static constexpr uint64_t kFa64 = Bit(63);
  HOLDFAST_SYSREG_RW("S3_0_C0_C4_5")
};
struct PmcrEl0 {
  static constexpr uint64_t kE = Bit(0);
  using N = Field<15, 11>;
  HOLDFAST_SYSREG_RW("pmcr_el0")
};

// ---- EL2 configuration -----------------------------------------------------

struct HcrEl2 {
  static constexpr uint64_t kVm = Bit(0);
  static constexpr uint64_t kSwio = Bit(1);
  static constexpr uint64_t kPtw = Bit(2);
  static constexpr uint64_t kFmo = Bit(3);
  static constexpr uint64_t kImo = Bit(4);
  static constexpr uint64_t kAmo = Bit(5);
  static constexpr uint64_t kFb = Bit(9);
  static constexpr uint64_t kBsuInner = Bit(10);
  static constexpr uint64_t kTwi = Bit(13);
  static constexpr uint64_t kTwe = Bit(14);
  static constexpr uint64_t kTid3 = Bit(18);
  static constexpr uint64_t kTsc = Bit(19);
  static constexpr uint64_t kTidcp = Bit(20);
  static constexpr uint64_t kTacr = Bit(21);
  static constexpr uint64_t kTsw = Bit(22);
  static constexpr uint64_t kRw = Bit(31);
  static constexpr uint64_t kTlor = Bit(35);
  static constexpr uint64_t kTerr = Bit(36);
  static constexpr uint64_t kE2h = Bit(34);
  static constexpr uint64_t kApk = Bit(40);
  static constexpr uint64_t kApi = Bit(41);
  static constexpr uint64_t kFwb = Bit(46);
  static constexpr uint64_t kEnScxt = Bit(53);
  static constexpr uint64_t kAta = Bit(56);
  HOLDFAST_SYSREG_RW("hcr_el2")
};
struct HcrxEl2 {
  static constexpr uint64_t kMscEn = Bit(11);
  static constexpr uint64_t kTcr2En = Bit(14);
  static constexpr uint64_t kSctlr2En = Bit(15);
  static constexpr uint64_t kGcsEn = Bit(22);
  HOLDFAST_SYSREG_RW("S3_4_C1_C2_2")
};
struct SctlrEl2 {
  static constexpr uint64_t kM = Bit(0);
  static constexpr uint64_t kC = Bit(2);
  static constexpr uint64_t kSa = Bit(3);
  static constexpr uint64_t kI = Bit(12);
  static constexpr uint64_t kWxn = Bit(19);
  static constexpr uint64_t kIesb = Bit(21);
  // Return addresses are signed and checked with key A (FEAT_PAuth).
  static constexpr uint64_t kEnIa = Bit(31);
  // PACIASP is no landing pad for an indirect jump, only for a call (FEAT_BTI).
  static constexpr uint64_t kBt = Bit(36);
  // Bits that are RES1 without the extension that gives them a meaning; 11 and
  // 22 (EOS, EIS) then keep exceptions context synchronising.
  static constexpr uint64_t kRes1 = Bit(29) | Bit(28) | Bit(23) | Bit(22) |
                                    Bit(18) | Bit(16) | Bit(11) | Bit(5) |
                                    Bit(4);
  HOLDFAST_SYSREG_RW("sctlr_el2")
};
struct TcrEl2 {
  using T0sz = Field<5, 0>;
  using Irgn0 = Field<9, 8>;
  using Orgn0 = Field<11, 10>;
  using Sh0 = Field<13, 12>;
  using Tg0 = Field<15, 14>;
  using Ps = Field<18, 16>;
  static constexpr uint64_t kWriteBackWriteAllocate = 1;
  static constexpr uint64_t kInnerShareable = 3;
  static constexpr uint64_t kTg4k = 0, kTg64k = 1, kTg16k = 2;
  static constexpr uint64_t kRes1 = Bit(31) | Bit(23);
  HOLDFAST_SYSREG_RW("tcr_el2")
};
struct MairEl2 {
  static constexpr uint64_t kNormalWriteBack = 0xff;
  static constexpr uint64_t kDeviceNGnRE = 0x04;
  HOLDFAST_SYSREG_RW("mair_el2")
};
struct Ttbr0El2 {
  HOLDFAST_SYSREG_RW("ttbr0_el2")
};
struct VbarEl2 {
  HOLDFAST_SYSREG_RW("vbar_el2")
};
struct TpidrEl2 {
  HOLDFAST_SYSREG_RW("tpidr_el2")
};
struct VttbrEl2 {
  HOLDFAST_SYSREG_RW("vttbr_el2")
};
struct VtcrEl2 {
  HOLDFAST_SYSREG_RW("vtcr_el2")
};
struct VpidrEl2 {
  HOLDFAST_SYSREG_RW("vpidr_el2")
};
struct VmpidrEl2 {
  HOLDFAST_SYSREG_RW("vmpidr_el2")
};
struct HstrEl2 {
  HOLDFAST_SYSREG_RW("hstr_el2")
};
// Layout for HCR_EL2.E2H = 0.
struct CptrEl2 {
  static constexpr uint64_t kTz = Bit(8);  // RES1 without SVE
  static constexpr uint64_t kTfp = Bit(10);
  static constexpr uint64_t kTsm = Bit(12);  // RES1 without SME
  static constexpr uint64_t kTta = Bit(20);
  static constexpr uint64_t kRes1 = Bit(13) | Bit(9) | 0xff;
  HOLDFAST_SYSREG_RW("cptr_el2")
};
struct Tpidr2El0 {  // FEAT_SME
  HOLDFAST_SYSREG_RW("S3_3_C13_C0_5")
};
struct ZcrEl2 {
  using Len = Field<3, 0>;
  HOLDFAST_SYSREG_RW("S3_4_C1_C2_0")
};
struct SmcrEl2 {
  using Len = Field<3, 0>;
  static constexpr uint64_t kEzt0 = Bit(30);
  static constexpr uint64_t kFa64 = Bit(31);
  HOLDFAST_SYSREG_RW("S3_4_C1_C2_6")
};
struct MdcrEl2 {
  using Hpmn = Field<4, 0>;
  using E2pb = Field<13, 12>;  // 0: the profiling buffer is EL2's, EL1 traps
  static constexpr uint64_t kTpmcr = Bit(5);
  static constexpr uint64_t kTpm = Bit(6);
  static constexpr uint64_t kTda = Bit(9);
  static constexpr uint64_t kTdosa = Bit(10);
  static constexpr uint64_t kTdra = Bit(11);
  static constexpr uint64_t kTpms = Bit(14);
  static constexpr uint64_t kHpmd = Bit(17);
  static constexpr uint64_t kTtrf = Bit(19);
  static constexpr uint64_t kHccd = Bit(23);
  using E2tb = Field<25, 24>;  // 0: the trace buffer is EL2's, EL1 traps
  HOLDFAST_SYSREG_RW("mdcr_el2")
};
struct CnthctlEl2 {
  static constexpr uint64_t kEl1PctEn = Bit(0);
  static constexpr uint64_t kEl1PcEn = Bit(1);
  HOLDFAST_SYSREG_RW("cnthctl_el2")
};
struct CntvoffEl2 {
  HOLDFAST_SYSREG_RW("cntvoff_el2")
};
struct Mpam2El2 {
  HOLDFAST_SYSREG_RW("S3_4_C10_C5_0")
};
struct IccSreEl2 {
  static constexpr uint64_t kSre = Bit(0), kDfb = Bit(1), kDib = Bit(2),
                            kEnable = Bit(3);
  HOLDFAST_SYSREG_RW("S3_4_C12_C9_5")
};
struct IchHcrEl2 {
  static constexpr uint64_t kEn = Bit(0);
  HOLDFAST_SYSREG_RW("S3_4_C12_C11_0")
};
// The virtual CPU interface (GICv3, IHI 0069, 12.4).
struct IchVtrEl2 {
  using ListRegs = Field<4, 0>;   // less one
  using PreBits = Field<28, 26>;  // less one
  HOLDFAST_SYSREG_RW("S3_4_C12_C11_1")
};
struct IchVmcrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C12_C11_7")
};
struct IchAp1r0El2 {
  HOLDFAST_SYSREG_RW("S3_4_C12_C9_0")
};
struct IccPmrEl1 {
  HOLDFAST_SYSREG_RW("S3_0_C4_C6_0")
};
// Fine-grained traps (FEAT_FGT). Bits named n* trap while they are 0.
struct HfgrtrEl2 {
  static constexpr uint64_t kNAccdata = Bit(50);
  static constexpr uint64_t kNGcsEl0 = Bit(52), kNGcsEl1 = Bit(53);
  static constexpr uint64_t kNSmpri = Bit(54), kNTpidr2 = Bit(55);
  static constexpr uint64_t kNPire0 = Bit(57), kNPir = Bit(58);
  static constexpr uint64_t kNPorEl0 = Bit(59), kNPorEl1 = Bit(60);
  HOLDFAST_SYSREG_RW("S3_4_C1_C1_4")
};
struct HfgwtrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C1_C1_5")
};
struct HfgitrEl2 {
  static constexpr uint64_t kNGcsPushm = Bit(57), kNGcsStr = Bit(58),
                            kNGcsEpp = Bit(59);
  HOLDFAST_SYSREG_RW("S3_4_C1_C1_6")
};
struct HdfgrtrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C3_C1_4")
};
struct HdfgwtrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C3_C1_5")
};
struct PmscrEl1 {  // SPE: what is sampled at EL1 and EL0
  HOLDFAST_SYSREG_RW("S3_0_C9_C9_0")
};
struct PmscrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C9_C9_0")
};
struct PmblimitrEl1 {  // SPE: bit 0 enables the buffer
  HOLDFAST_SYSREG_RW("S3_0_C9_C10_0")
};
struct TrfcrEl1 {  // FEAT_TRF: where trace is made
  HOLDFAST_SYSREG_RW("S3_0_C1_C2_1")
};
struct TrfcrEl2 {
  HOLDFAST_SYSREG_RW("S3_4_C1_C2_1")
};
struct TrblimitrEl1 {  // TRBE: bit 0 enables the buffer
  HOLDFAST_SYSREG_RW("S3_0_C9_C11_0")
};

// ---- Exceptions ------------------------------------------------------------

struct EsrEl2 {
  using Ec = Field<31, 26>;
  static constexpr uint64_t kIl = Bit(25);
  using Iss = Field<24, 0>;
  // Data and instruction aborts (D19.2.40).
  using FaultStatus = Field<5, 0>;
  static constexpr uint64_t kWnr = Bit(6);
  static constexpr uint64_t kS1ptw = Bit(7);
  static constexpr uint64_t kCm = Bit(8);
  static constexpr uint64_t kFnv = Bit(10);
  static constexpr uint64_t kIsv = Bit(24);
  // SMC and HVC.
  using Immediate = Field<15, 0>;
  HOLDFAST_SYSREG_RW("esr_el2")
};
// Exception classes (ESR_ELx.EC).
enum class ExceptionClass : uint8_t {
  kUnknown = 0x00,
  kWfx = 0x01,
  kFpAccess = 0x07,
  kBranchTarget = 0x0d,
  kHvc64 = 0x16,
  kSmc64 = 0x17,
  kSysreg = 0x18,
  kPacFail = 0x1c,
  kInstructionAbortLower = 0x20,
  kInstructionAbortSame = 0x21,
  kPcAlignment = 0x22,
  kDataAbortLower = 0x24,
  kDataAbortSame = 0x25,
  kSpAlignment = 0x26,
  kSError = 0x2f,
  kBrk64 = 0x3c,
};
struct ElrEl2 {
  HOLDFAST_SYSREG_RW("elr_el2")
};
struct SpsrEl2 {
  HOLDFAST_SYSREG_RW("spsr_el2")
};
struct FarEl2 {
  HOLDFAST_SYSREG_RW("far_el2")
};
struct HpfarEl2 {
  // IPA[51:12] is in 43:4.
  using Fipa = Field<43, 4>;
  HOLDFAST_SYSREG_RW("hpfar_el2")
};
// PSTATE as SPSR_ELx holds it (C5.2.19).
struct Spsr {
  using Mode = Field<3, 0>;
  static constexpr uint64_t kModeEl0t = 0, kModeEl1t = 4, kModeEl1h = 5;
  static constexpr uint64_t kAArch32 = Bit(4);
  static constexpr uint64_t kDaif = 0xf << 6;
  static constexpr uint64_t kSsbs = Bit(12);
  static constexpr uint64_t kAllInt = Bit(13);
  static constexpr uint64_t kPan = Bit(22);
  static constexpr uint64_t kDit = Bit(24);
  static constexpr uint64_t kTco = Bit(25);
  static constexpr uint64_t kNzcv = uint64_t{0xf} << 28;
};

// ---- EL1 -------------------------------------------------------------------

struct SctlrEl1 {
  static constexpr uint64_t kM = Bit(0);
  static constexpr uint64_t kSpan = Bit(23);
  static constexpr uint64_t kDssbs = Bit(44);
  static constexpr uint64_t kSpintmask = Bit(62);
  // Reset value for a host: MMU and caches off, RES1 bits set.
  static constexpr uint64_t kHostReset = 0x30d00800;
  HOLDFAST_SYSREG_RW("sctlr_el1")
};
struct TcrEl1 {
  static constexpr uint64_t kEpd0 = Bit(7);
  static constexpr uint64_t kEpd1 = Bit(23);
  HOLDFAST_SYSREG_RW("tcr_el1")
};
struct ElrEl1 {
  HOLDFAST_SYSREG_RW("elr_el1")
};
struct SpsrEl1 {
  HOLDFAST_SYSREG_RW("spsr_el1")
};
struct EsrEl1 {
  HOLDFAST_SYSREG_RW("esr_el1")
};
struct FarEl1 {
  HOLDFAST_SYSREG_RW("far_el1")
};
struct VbarEl1 {
  HOLDFAST_SYSREG_RW("vbar_el1")
};
struct ParEl1 {
  static constexpr uint64_t kFault = Bit(0);
  static constexpr uint64_t kAddressMask = 0x000ffffffffff000;
  HOLDFAST_SYSREG_RW("par_el1")
};
struct CurrentEl {
  using El = Field<3, 2>;
  HOLDFAST_SYSREG_RW("currentel")
};

// Whether the walks of EL1&0 that `address` takes end well, and where
// (PAR_EL1). As EL1, a read; D8.2.12.
inline uint64_t TranslateStage1(uint64_t address) {
  asm volatile("at s1e1r, %0\nisb" : : "r"(address) : "memory");
  return ParEl1::Read();
}

// ---- Time ------------------------------------------------------------------

struct CntpctEl0 {
  HOLDFAST_SYSREG_RW("cntpct_el0")
};
struct CntvCtlEl0 {
  static constexpr uint64_t kEnable = Bit(0), kImask = Bit(1);
  HOLDFAST_SYSREG_RW("cntv_ctl_el0")
};
struct CntvCvalEl0 {
  HOLDFAST_SYSREG_RW("cntv_cval_el0")
};
struct CntfrqEl0 {
  HOLDFAST_SYSREG_RW("cntfrq_el0")
};

// ---- Random numbers (FEAT_RNG) ---------------------------------------------

struct Rndr {
  // 0 if the source has none ready; that is told by PSTATE.Z, which it sets.
  static uint64_t Read() {
    uint64_t value;
    asm volatile("mrs %0, S3_3_C2_C4_0" : "=r"(value) : : "cc", "memory");
    return value;
  }
};

}  // namespace holdfast::aarch64

#endif  // HOLDFAST_PLATFORMS_AARCH64_SYSREG_H_
