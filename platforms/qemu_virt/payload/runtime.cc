// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/payload/runtime.h"

#include <optional>
#include <span>

#include "platforms/qemu_virt/faults.h"
#include "platforms/qemu_virt/semihosting.h"

namespace holdfast::payload {
namespace {

constexpr unsigned kMaxPayloadCpus = 8;
constexpr uint64_t kCpuOn = 0xc400'0003;
constexpr uint64_t kCpuOff = 0x8400'0002;
constexpr uint64_t kAffinityInfo = 0xc400'0004;
constexpr uint64_t kAffinityOff = 1;

// CPUs without work are off: a CPU that spins costs QEMU dearly, since it takes
// part in every broadcast TLBI.
struct Work {
  void (*function)(void* context, unsigned cpu) = nullptr;
  void* context = nullptr;
};

// The payload's own state; nothing protects one host's globals from another.
struct State {
  qemu_virt::DtbInfo machine;
  unsigned cpus = 0;
  std::array<uint64_t, kMaxPayloadCpus> mpidr{};
  Work work;
  std::atomic<unsigned> done{0};
  uint64_t next_page = 0, last_page = 0;
  std::atomic<bool> failed{false};
};
constinit State g_state;

extern "C" {
extern const std::byte payload_secondary[];
extern const std::byte __bss_end[];
}

void Yield() { asm volatile("yield" : : : "memory"); }

bool StartCpu(unsigned cpu) {
  return Smc(kCpuOn, {g_state.mpidr[cpu], SecondaryEntry(), cpu}).x[0] == 0;
}

void ReadMachine(uint64_t dtb_address) {
  auto* const dtb = reinterpret_cast<const std::byte*>(dtb_address);
  const std::optional<uint32_t> size = qemu_virt::DtbSize({dtb, 40});
  std::optional<qemu_virt::DtbInfo> info;
  if (size) info = qemu_virt::ReadDtb({dtb, *size});
  if (!info || info->memories == 0) {
    Print("payload: no usable device tree\n");
    Exit(1);
  }
  g_state.machine = *info;
  uint64_t own;
  asm("mrs %0, mpidr_el1" : "=r"(own));
  g_state.mpidr[g_state.cpus++] = own & 0xff00ffffff;
  for (size_t i = 0; i < info->cpus && g_state.cpus < kMaxPayloadCpus; ++i) {
    if (info->cpu_ids[i] != g_state.mpidr[0])
      g_state.mpidr[g_state.cpus++] = info->cpu_ids[i];
  }
  // From behind the payload to the device tree or the end of memory.
  const qemu_virt::DtbRange& memory = info->memory[0];
  g_state.next_page = reinterpret_cast<uint64_t>(__bss_end);
  g_state.last_page = memory.base + memory.size;
  if (dtb_address > g_state.next_page && dtb_address < g_state.last_page) {
    g_state.last_page = dtb_address & ~(kPage - 1);
  }
}

}  // namespace

void SyncCode(uint64_t address, uint64_t size) {
  // 16 bytes is the smallest line there can be.
  for (uint64_t va = address; va < address + size; va += 16) {
    asm volatile("dc cvau, %0" : : "r"(va) : "memory");
  }
  asm volatile("dsb ish" : : : "memory");
  for (uint64_t va = address; va < address + size; va += 16) {
    asm volatile("ic ivau, %0" : : "r"(va) : "memory");
  }
  asm volatile("dsb ish\n isb" : : : "memory");
}

#define HOLDFAST_PAYLOAD_CALL(instruction)                                   \
  register uint64_t x0 asm("x0") = id;                                       \
  register uint64_t x1 asm("x1") = arguments[0];                             \
  register uint64_t x2 asm("x2") = arguments[1];                             \
  register uint64_t x3 asm("x3") = arguments[2];                             \
  register uint64_t x4 asm("x4") = arguments[3];                             \
  register uint64_t x5 asm("x5") = arguments[4];                             \
  register uint64_t x6 asm("x6") = arguments[5];                             \
  asm volatile(                                                              \
      instruction                                                            \
      : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3), "+r"(x4), "+r"(x5), "+r"(x6) \
      :                                                                      \
      : "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",   \
        "x17", "memory");                                                    \
  return {                                                                   \
    {                                                                        \
      x0, x1, x2, x3                                                         \
    }                                                                        \
  }

// YIELD lets the other CPUs of a single-threaded QEMU have their turn; else one
// that polls by calls keeps the host thread for 100 ms at a time.
CallResult Hvc(uint64_t id, const std::array<uint64_t, 6>& arguments) {
  HOLDFAST_PAYLOAD_CALL("hvc #0\n yield");
}
CallResult Smc(uint64_t id, const std::array<uint64_t, 6>& arguments) {
  HOLDFAST_PAYLOAD_CALL("smc #0");
}
CallResult SmcWithImmediate(uint64_t id) {
  const std::array<uint64_t, 6> arguments = {};
  HOLDFAST_PAYLOAD_CALL("smc #1");
}

uint64_t AskForFault(uint64_t fault, uint64_t a, uint64_t b) {
  register uint64_t x0 asm("x0") = fault;
  register uint64_t x1 asm("x1") = a;
  register uint64_t x2 asm("x2") = b;
  asm volatile("hvc %1"
               : "+r"(x0)
               : "i"(HF_FAULT_IMMEDIATE), "r"(x1), "r"(x2)
               : "memory");
  return x0;
}

uint64_t SecondaryEntry() {
  return reinterpret_cast<uint64_t>(payload_secondary);
}

uint64_t BootNumber(std::string_view key) {
  const std::string_view text = Machine().bootargs;
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  size_t digit = at + key.size() + 1;
  if (digit >= text.size() || text[digit - 1] != '=') return 0;
  uint64_t number = 0;
  for (; digit < text.size() && text[digit] >= '0' && text[digit] <= '9';
       ++digit)
    number = number * 10 + static_cast<uint64_t>(text[digit] - '0');
  return number;
}

unsigned CpuCount() { return g_state.cpus; }
unsigned CpuIndex() {
  uint64_t index;
  asm volatile("mrs %0, tpidr_el1" : "=r"(index));
  return static_cast<unsigned>(index);
}
uint64_t CpuMpidr(unsigned cpu) { return g_state.mpidr[cpu]; }

void RunOnCpus(unsigned count, void (*function)(void*, unsigned),
               void* context) {
  g_state.work = {.function = function, .context = context};
  g_state.done.store(0, std::memory_order_release);
  for (unsigned cpu = 1; cpu < count; ++cpu) {
    // Off is what it still may be on its way to.
    while (Smc(kAffinityInfo, {g_state.mpidr[cpu], 0}).x[0] != kAffinityOff)
      Yield();
    if (!StartCpu(cpu)) {
      Print("payload: cpu ", cpu, " does not start\n");
      Exit(1);
    }
  }
  function(context, 0);
  while (g_state.done.load(std::memory_order_acquire) != count - 1) Yield();
}

uint64_t AllocatePages(uint64_t pages, uint64_t align) {
  const uint64_t start = (g_state.next_page + align - 1) & ~(align - 1);
  if (start + pages * kPage > g_state.last_page) {
    Print("payload: out of memory\n");
    Exit(1);
  }
  g_state.next_page = start + pages * kPage;
  auto* const words = reinterpret_cast<uint64_t*>(start);
  for (uint64_t i = 0; i < pages * kPage / 8; ++i) words[i] = 0;
  return start;
}

void Print(const char* text) {
  qemu_virt::UartWrite(text, std::string_view(text).size());
}

unsigned PaBits() {
  static constexpr unsigned kBits[] = {32, 36, 40, 42, 44, 48};
  uint64_t mmfr0;
  asm("mrs %0, id_aa64mmfr0_el1" : "=r"(mmfr0));
  const uint64_t range = mmfr0 & 0xf;
  return kBits[range < 5 ? range : 5];
}

const qemu_virt::DtbInfo& Machine() { return g_state.machine; }

Fault TryFwCfgDma(uint64_t target) {
  // QEMU docs/specs/fw_cfg: {control, length, address}, big-endian; control
  // selects item 0 (the signature) and reads it.
  struct Access {
    uint32_t control, length;
    uint64_t address;
  };
  const uint64_t page = AllocatePages(1);
  *reinterpret_cast<Access*>(page) = {
      .control = __builtin_bswap32(0x08 | 0x02),
      .length = __builtin_bswap32(4),
      .address = __builtin_bswap64(target),
  };
  asm volatile("dsb sy" : : : "memory");
  constexpr uint64_t kDmaRegister = 0x0902'0010;
  return TryWrite64(kDmaRegister, __builtin_bswap64(page));
}

void Expect(bool condition, const char* what) {
  if (condition) return;
  Print("FAIL ", what, "\n");
  g_state.failed.store(true, std::memory_order_relaxed);
}
bool AllExpectationsMet() {
  return !g_state.failed.load(std::memory_order_relaxed);
}

void Exit(int status) { qemu_virt::ExitQemu(static_cast<uint64_t>(status)); }

// What an abstract class refers to; never called.
extern "C" void __cxa_pure_virtual() { Exit(72); }

extern "C" void PayloadStart(uint64_t dtb_address) {
  ReadMachine(dtb_address);
  const int status = PayloadMain();
  Exit(status == 0 && !AllExpectationsMet() ? 1 : status);
}

extern "C" void PayloadSecondary(uint64_t cpu) {
  g_state.work.function(g_state.work.context, static_cast<unsigned>(cpu));
  g_state.done.fetch_add(1, std::memory_order_release);
  Smc(kCpuOff);
}

extern "C" void PayloadUnexpected(uint64_t vector) {
  uint64_t esr, elr, far;
  asm volatile("mrs %0, esr_el1" : "=r"(esr));
  asm volatile("mrs %0, elr_el1" : "=r"(elr));
  asm volatile("mrs %0, far_el1" : "=r"(far));
  Print("payload: unexpected exception on cpu ", CpuIndex(), ", vector ",
        vector, ", ESR ", Hex(esr), " ELR ", Hex(elr), " FAR ", Hex(far), "\n");
  Exit(71);
}

}  // namespace holdfast::payload
