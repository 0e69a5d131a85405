// SPDX-License-Identifier: Apache-2.0
//
// For the test image only: EL2 does what it must never do, so that one sees
// that it is caught and reported.
#include "platforms/qemu_virt/faults.h"

#include <initializer_list>

#include "base/check.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/el2_regime.h"
#include "platforms/qemu_virt/firmware.h"

namespace holdfast::qemu_virt {

// Most of its registers.
using namespace aarch64;  // NOLINT(google-build-using-namespace)

namespace {

// The compiler must not know these, or it may make of them what it likes.
volatile uint64_t g_wild_address = 0x0000'00de'adbe'e000;
[[gnu::section(".data.code")]] volatile uint32_t g_code_in_data[2] = {
    0xd65f03c0, 0};  // RET
const volatile uint64_t g_constant = 1;

volatile uint64_t g_depth = 1'000'000;

[[gnu::noinline]] uint64_t Recurse(uint64_t depth) {
  if (depth == g_depth) return 0;
  volatile uint64_t filler[64] = {depth};
  const uint64_t below = Recurse(depth + 1);
  return below + filler[0];
}

[[gnu::noinline]] void Store(uint64_t address, uint64_t value) {
  *reinterpret_cast<volatile uint64_t*>(address) = value;
}

[[gnu::noinline]] void InnerOfTwo(uint64_t address) {
  Store(address, 1);
  asm volatile("");  // no tail call: the backtrace shall have this frame
}

// Of an array that ends below the canary, what is above it.
volatile size_t g_too_long = 12;

[[gnu::noinline]] void Overflow() {
  volatile uint64_t array[8] = {};
  for (size_t i = 0; i < g_too_long; ++i) array[i] = i;
}

// Returns to its caller, it believes. (What it writes is its frame record,
// AAPCS64 6.4.6; it calls something, so that it has one.)
[[gnu::noinline]] void ReturnTo(uint64_t address) {
  static_cast<volatile uint64_t*>(__builtin_frame_address(0))[1] = address;
  asm volatile("" : : : "x30", "memory");
}

void Jump(uint64_t address) {
  reinterpret_cast<void (*)()>(address)();
  asm volatile("");
}

// What SetUpCpu and the resume path write (FNV-1a), and the stack.
uint64_t DigestRegisters(const TrapFrame& frame) {
  uint64_t digest = 0xcbf2'9ce4'8422'2325;
  const auto add = [&](std::initializer_list<uint64_t> values) {
    for (const uint64_t value : values)
      digest = (digest ^ value) * 0x100'0000'01b3;
  };
  add({HcrEl2::Read(), VtcrEl2::Read(), VttbrEl2::Read(), SctlrEl2::Read(),
       Ttbr0El2::Read(), TcrEl2::Read(), MairEl2::Read(), VbarEl2::Read(),
       TpidrEl2::Read(), CptrEl2::Read(), MdcrEl2::Read(), CnthctlEl2::Read(),
       CntvoffEl2::Read(), HstrEl2::Read(), VpidrEl2::Read(), VmpidrEl2::Read(),
       IccSreEl2::Read(), IchHcrEl2::Read()});
  if (IdAa64Mmfr1El1::Hcx::Get(IdAa64Mmfr1El1::Read()) != 0)
    add({HcrxEl2::Read()});
  if (IdAa64Mmfr0El1::Fgt::Get(IdAa64Mmfr0El1::Read()) != 0) {
    add({HfgrtrEl2::Read(), HfgwtrEl2::Read(), HfgitrEl2::Read(),
         HdfgrtrEl2::Read(), HdfgwtrEl2::Read()});
  }
  add({reinterpret_cast<uint64_t>(&frame)});
  return digest;
}

// What a reset may leave, which is anything, and then the way firmware goes.
[[noreturn]] void LosePower(uint64_t start_args) {
  VtcrEl2::Write(~uint64_t{0});
  VttbrEl2::Write(0x7000'dead'0000);
  MdcrEl2::Write(~uint64_t{0});
  CnthctlEl2::Write(0);
  CntvoffEl2::Write(0x1234);
  HstrEl2::Write(~uint64_t{0});
  VpidrEl2::Write(0);
  VmpidrEl2::Write(0);
  SctlrEl1::Write(0);
  VbarEl2::Write(0xdead'0000);
  CptrEl2::Write(~uint64_t{0});
  IchHcrEl2::Write(1);
  IccSreEl2::Write(0);
  register uint64_t x0 asm("x0") = start_args;
  // HCR_EL2 last: E2H (where there is VHE) gives the others another layout.
  asm volatile(
      "msr sctlr_el2, %1\n isb\n"
      "msr hcr_el2, %3\n isb\n"
      "msr ttbr0_el2, %2\n msr tcr_el2, %2\n msr mair_el2, %2\n"
      "msr tpidr_el2, %2\n mov sp, %2\n isb\n"
      "b secondary_entry"
      :
      : "r"(x0), "r"(SctlrEl2::kRes1), "r"(0xdead'0000ul), "r"(HcrEl2::kE2h)
      : "memory");
  __builtin_unreachable();
}

// fault_vectors.S.
extern "C" const char fault_vectors[];

// As hardware would enter the vector of an SError at EL2 (D1.3.1.3), but for
// PSTATE, which masks it.
[[noreturn]] void TakeSError() {
  EsrEl2::Write(uint64_t{HF_FAULT_SERROR_HIGH} << 16 | HF_FAULT_SERROR_LOW);
  SpsrEl2::Write(0x3c9);  // EL2h, DAIF
  uint64_t here;
  asm volatile(
      "adr %0, 1f\n msr elr_el2, %0\n isb\n"
      "1: b el2_vectors + 7 * 128"
      : "=&r"(here)
      :
      : "memory");
  __builtin_unreachable();
}

// Ways in which the CPUs differ; 0: none.
uint64_t g_mixed;

}  // namespace

void PretendAtBoot(std::string_view bootargs) {
  constexpr std::string_view kKey = "mixed=";
  const size_t at = bootargs.find(kKey);
  if (at != std::string_view::npos && at + kKey.size() < bootargs.size())
    g_mixed = static_cast<uint64_t>(bootargs[at + kKey.size()] - '0');
}

void PretendCpuId(const BoardCpu& cpu, CpuId& id) {
  const unsigned index = cpu.local.index;
  // 1: each of the others has an erratum or lacks things the first one has; all
  // can work together.
  if (g_mixed == 1 && index == 1) id.midr = 0x412f'd050;  // Cortex-A55 r2p0
  if (g_mixed == 1 && index == 2) id.mmfr1 = id.mmfr2 = id.isar0 = 0;
  if (g_mixed == 1 && index == 3) id.ctr = 0;
  // 2: the last one has no page size at all.
  constexpr uint64_t kNoGranules =
      IdAa64Mmfr0El1::TGran4::Put(0xf) | IdAa64Mmfr0El1::TGran64::Put(0xf) | 5;
  if (g_mixed == 2 && index == 3) id.mmfr0 = kNoGranules;
  // 3: one is not what it was when it was asked.
  if (g_mixed == 3 && index == 2 && cpu.surveyed.load()) id.mmfr0 &= ~0xful;
}

bool HandleFaultCall(TrapFrame& frame, uint64_t immediate) {
  if (immediate != HF_FAULT_IMMEDIATE) return false;
  switch (static_cast<Fault>(frame.x[0])) {
    case Fault::kStackOverflow:
      frame.x[0] = Recurse(0);
      return true;
    case Fault::kWildPointer:
      InnerOfTwo(g_wild_address);
      return true;
    case Fault::kWriteText:
      Store(reinterpret_cast<uint64_t>(&HandleFaultCall), 0);
      return true;
    case Fault::kWriteRodata:
      Store(reinterpret_cast<uint64_t>(&g_constant), 2);
      return true;
    case Fault::kExecuteData:
      Jump(reinterpret_cast<uint64_t>(g_code_in_data));
      return true;
    case Fault::kFailedCheck:
      HOLDFAST_CHECK(frame.x[0] == 0);
      return true;
    case Fault::kWildJump:
      Jump(g_wild_address);
      return true;
    case Fault::kSmashStack:
      Overflow();
      return true;
    case Fault::kForgeReturn:
      ReturnTo(reinterpret_cast<uint64_t>(&PowerOff));
      return true;
    case Fault::kMissLandingPad:
      Jump(reinterpret_cast<uint64_t>(&PowerOff) + 4);
      return true;
    case Fault::kWriteAfterInit:
      Store(reinterpret_cast<uint64_t>(&ThisBoardCpu().board->hypervisor), 0);
      return true;
    case Fault::kDigestRegisters:
      frame.x[0] = DigestRegisters(frame);
      return true;
    case Fault::kSErrorOfGuest:
      VbarEl2::Write(reinterpret_cast<uint64_t>(fault_vectors));
      Isb();
      return true;
    case Fault::kSErrorOfEl2:
      TakeSError();
    case Fault::kLosePower: {
      BoardCpu& cpu = ThisBoardCpu();
      cpu.board->hypervisor->OnCpuOff();
      LosePower(PrepareStart(cpu.resume, frame.x[1], frame.x[2]));
    }
    case Fault::kNone:
      break;
  }
  return false;
}

void BeforeHost(Board&) {}

}  // namespace holdfast::qemu_virt
