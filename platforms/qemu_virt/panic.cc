// SPDX-License-Identifier: Apache-2.0
//
// The end of EL2: says what happened, what each CPU did last and who called
// whom, and leaves QEMU with status 70. The runner (run.sh) puts names to the
// addresses of the backtrace, from the image's ELF file.
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/event_text.h"
#include "platforms/qemu_virt/semihosting.h"

namespace holdfast {
namespace qemu_virt {
namespace {

using aarch64::ElrEl2;
using aarch64::EsrEl2;
using aarch64::ExceptionClass;
using aarch64::FarEl2;
using aarch64::SpsrEl2;

// Only the first CPU reports; the others, and a panic within the report, stop.
void BeginReport(BoardCpu& cpu) {
  uint32_t nobody = 0;
  if (cpu.board->panicking.compare_exchange_strong(nobody, cpu.local.index + 1))
    return;
  if (nobody == cpu.local.index + 1) ExitQemu(kExitPanic);
  for (;;) asm volatile("wfi");
}

void PrintFrame(unsigned number, uint64_t address) {
  Print("  #", number, number < 10 ? "  " : " ", Hex(address, 8), "\n");
}

// An address as it was before it was signed (XPACLRI, a NOP without
// FEAT_PAuth).
uint64_t Unsigned(uint64_t address) {
  register uint64_t x30 asm("x30") = address;
  asm("hint #7" : "+r"(x30));
  return x30;
}

// Frame records: x29 points to {caller's x29, x30} (AAPCS64 6.4.6). Followed
// only within this CPU's own stack, and only upwards. `link`: x30, if the code
// at `pc` may have no frame record, since it calls nothing: then x30 leads to
// its caller.
void Backtrace(const BoardCpu& cpu, uint64_t pc, uint64_t frame,
               uint64_t link) {
  constexpr unsigned kShown = 32;
  Print("backtrace:\n");
  unsigned number = 0;
  PrintFrame(number++, pc);
  if (link != 0) Print("  #-  ", Hex(Unsigned(link) - 4, 8), "\n");
  uint64_t below = 0, last = 0;
  unsigned again = 0;
  while (number < kShown && frame > below && frame % 16 == 0 &&
         cpu.stack->Contains(frame)) {
    const auto* const record = reinterpret_cast<const uint64_t*>(frame);
    const uint64_t caller = Unsigned(record[1]);
    if (caller == 0) break;
    if (caller == last) {
      ++again;
    } else {
      if (again != 0) Print("      and ", again, " times more\n");
      again = 0;
      // The call, not what comes after it.
      PrintFrame(number++, caller - 4);
    }
    last = caller;
    below = frame;
    frame = record[0];
  }
  if (link != 0) Print("  (#- is x30: the caller, if #0 calls nothing)\n");
}

void PrintEvents(const Board& board) {
  constexpr unsigned kShown = 12;
  for (unsigned i = 0; i < board.cpu_count; ++i) {
    const EventRing& events = board.cpus[i].local.events;
    if (events.Back(0).kind == EventKind::kNone) {
      Print("cpu ", i, ": no events\n");
      continue;
    }
    Print("last events of cpu ", i, ", newest first:\n");
    for (unsigned back = 0; back < kShown; ++back) {
      const Event& event = events.Back(back);
      if (event.kind == EventKind::kNone) break;
      LineBuffer line;
      line.Add("  ");
      line.Add(event.sequence);
      line.Add("  ");
      AddEvent(line, event);
      line.Add("\n");
      UartWrite(line.data(), line.size());
    }
  }
}

// What the host asked for.
void PrintUnfinished(const BoardCpu& cpu) {
  LineBuffer line;
  line.Add("  while it served ");
  if (!AddUnfinished(line, cpu.local.events)) return;
  line.Add("\n");
  UartWrite(line.data(), line.size());
}

[[noreturn]] void EndReport(const Board& board) {
  PrintEvents(board);
  Print("holdfast: panic ends\n");
  ExitQemu(kExitPanic);
}

[[noreturn]] void ReportPanic(const char* file, int line, const char* what,
                              uint64_t pc, uint64_t frame) {
  BoardCpu& cpu = ThisBoardCpu();
  BeginReport(cpu);
  Print("\nholdfast: panic on cpu ", cpu.local.index, " at ", file, ":", line,
        "\n  ", what, "\n");
  PrintUnfinished(cpu);
  Backtrace(cpu, pc, frame, 0);
  EndReport(*cpu.board);
}

const char* KindName(uint64_t kind) {
  static constexpr const char* kNames[] = {"synchronous", "IRQ", "FIQ",
                                           "SError"};
  return kNames[kind % 4];
}

const char* ClassName(uint64_t ec) {
  switch (static_cast<ExceptionClass>(ec)) {
    case ExceptionClass::kUnknown:
      return "undefined instruction";
    case ExceptionClass::kBranchTarget:
      return "indirect branch to no landing pad";
    case ExceptionClass::kPacFail:
      return "address with a wrong signature";
    case ExceptionClass::kInstructionAbortSame:
      return "instruction abort";
    case ExceptionClass::kDataAbortSame:
      return "data abort";
    case ExceptionClass::kPcAlignment:
      return "PC alignment";
    case ExceptionClass::kSpAlignment:
      return "SP alignment";
    case ExceptionClass::kSError:
      return "system error";
    case ExceptionClass::kBrk64:
      return "BRK";
    default:
      return "exception";
  }
}

}  // namespace

extern "C" [[noreturn]] void FatalException(const PanicFrame* frame) {
  BoardCpu& cpu = ThisBoardCpu();
  BeginReport(cpu);
  const uint64_t esr = EsrEl2::Read(), far = FarEl2::Read(),
                 elr = ElrEl2::Read();
  const uint64_t ec = EsrEl2::Ec::Get(esr);
  Print("\nholdfast: panic on cpu ", cpu.local.index, ": ",
        KindName(frame->kind), " exception at EL2, vector ", frame->kind, "\n");
  const bool data = ec == static_cast<uint64_t>(ExceptionClass::kDataAbortSame);
  const bool fetch =
      ec == static_cast<uint64_t>(ExceptionClass::kInstructionAbortSame);
  if (data || fetch) {
    Print("  ", ClassName(ec), ", ",
          FaultStatusName(EsrEl2::FaultStatus::Get(esr)),
          fetch                  ? " on a fetch from "
          : (esr & EsrEl2::kWnr) ? " on a write to "
                                 : " on a read from ",
          Hex(far, 8), "\n");
    for (unsigned i = 0; i < cpu.board->cpu_count; ++i) {
      const auto guard =
          reinterpret_cast<uint64_t>(cpu.board->cpus[i].stack->guard);
      if (far >= guard && far < guard + kPageSize) {
        Print("  stack overflow: this is the guard page of cpu ", i,
              "'s stack\n");
      }
    }
  } else {
    Print("  ", ClassName(ec), "\n");
  }
  PrintUnfinished(cpu);
  Print("  ESR ", Hex(esr), " FAR ", Hex(far), " ELR ", Hex(elr), " SPSR ",
        Hex(SpsrEl2::Read()), "\n");
  for (unsigned i = 0; i < 31; ++i) {
    Print("  x", i, i < 10 ? "  " : " ", Hex(frame->x[i], 16),
          i % 4 == 3 ? "\n" : "");
  }
  Print("  sp  ", Hex(frame->sp, 16), "\n");
  Backtrace(cpu, elr, frame->x[29], frame->x[30]);
  EndReport(*cpu.board);
}

}  // namespace qemu_virt

void Panic(const char* file, int line, const char* what) {
  qemu_virt::ReportPanic(
      file, line, what,
      qemu_virt::Unsigned(
          reinterpret_cast<uint64_t>(__builtin_return_address(0))) -
          4,
      *static_cast<const uint64_t*>(__builtin_frame_address(0)));
}

}  // namespace holdfast

namespace holdfast::aarch64 {
void BoardConsoleWrite(const char* bytes, size_t size) {
  qemu_virt::UartWrite(bytes, size);
}
}  // namespace holdfast::aarch64
