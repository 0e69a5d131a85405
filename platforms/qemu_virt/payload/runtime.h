// SPDX-License-Identifier: Apache-2.0
//
// A host in miniature at EL1: what a test or a demonstration needs to act as
// the host kernel (or as a compromised one). It defines `PayloadMain`;
// everything else here is given. Identity mapped, no interrupts, no heap.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_RUNTIME_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_RUNTIME_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "platforms/qemu_virt/dtb.h"
#include "platforms/qemu_virt/pl011.h"
#include "platforms/qemu_virt/print.h"

namespace holdfast::payload {

using qemu_virt::Hex;

// ---- What the program defines ----------------------------------------------

// Runs on the first CPU; the others are off but for RunOnCpus. Returns the exit
// status.
int PayloadMain();

// ---- Memory accesses that may fault ----------------------------------------

// What EL1 found in its syndrome registers; esr 0: no fault.
struct Fault {
  uint64_t esr = 0;
  uint64_t far = 0;

  explicit operator bool() const { return esr != 0; }
  unsigned exception_class() const {
    return static_cast<unsigned>(esr >> 26) & 0x3f;
  }
  unsigned status() const { return static_cast<unsigned>(esr) & 0x3f; }
  // As EL2 refuses an access: a synchronous external abort (status 0x10).
  bool IsExternalAbort() const { return status() == 0x10; }
};

// In start.S; by these names, since extern "C" may not return a class.
Fault TryRead64(uint64_t address, uint64_t* value) asm("ProbeRead64");
Fault TryRead32(uint64_t address, uint64_t* value) asm("ProbeRead32");
Fault TryWrite64(uint64_t address, uint64_t value) asm("ProbeWrite64");
Fault TryWrite32(uint64_t address, uint32_t value) asm("ProbeWrite32");
// Calls `address`, where there may be a RET instruction.
Fault TryExecute(uint64_t address) asm("ProbeExecute");
// Reads a system register that EL2 traps, or the CPU does not have.
Fault TryUndefinedRegister() asm("ProbeUndefined");

inline constexpr uint32_t kRetInstruction = 0xd65f03c0;

// Makes freshly written code fetchable (Arm ARM B2.7.4.2).
void SyncCode(uint64_t address, uint64_t size);

// ---- Calls -----------------------------------------------------------------

struct CallResult {
  std::array<uint64_t, 4> x;  // x0..x3
};

CallResult Hvc(uint64_t id, const std::array<uint64_t, 6>& arguments = {});
CallResult Smc(uint64_t id, const std::array<uint64_t, 6>& arguments = {});
// HVC #HF_FAULT_IMMEDIATE (faults.h): asks an image for tests.
uint64_t AskForFault(uint64_t fault, uint64_t a = 0, uint64_t b = 0);
// SMC #1: the filter takes no immediate but zero.
CallResult SmcWithImmediate(uint64_t id);

// ---- CPUs ------------------------------------------------------------------

unsigned CpuCount();
unsigned CpuIndex();
uint64_t CpuMpidr(unsigned cpu);
// Runs `function(context, cpu)` on CPUs 0..count-1 at once and waits for all.
// The others are turned on for it, through PSCI, and off again.
void RunOnCpus(unsigned count, void (*function)(void* context, unsigned cpu),
               void* context);
// The same for a callable.
template <class Function>
void RunOnCpus(unsigned count, Function&& function) {
  RunOnCpus(
      count,
      [](void* context, unsigned cpu) {
        (*static_cast<std::remove_reference_t<Function>*>(context))(cpu);
      },
      &function);
}

// Where a CPU that starts, or wakes up, begins the function of RunOnCpus. Its
// context argument is its index.
uint64_t SecondaryEntry();

// CPUs that came this far wait for the last of them. Reusable.
class CpuBarrier {
 public:
  explicit constexpr CpuBarrier(unsigned cpus) : cpus_(cpus) {}
  void Wait() {
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == cpus_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    while (round_.load(std::memory_order_acquire) == round)
      asm volatile("yield");
  }

 private:
  const unsigned cpus_;
  std::atomic<unsigned> arrived_{0};
  std::atomic<unsigned> round_{0};
};

// ---- Memory ----------------------------------------------------------------

inline constexpr uint64_t kPage = 4096;

// Pages of the host's, zeroed, `align` bytes aligned. They are never given
// back. Ends the program if there are none.
uint64_t AllocatePages(uint64_t pages, uint64_t align = kPage);

// The machine as its device tree tells it to the host.
const qemu_virt::DtbInfo& Machine();

// Physical address bits, as EL2 counts them: 48 at most.
unsigned PaBits();

// The decimal number behind `key=` in the boot arguments; 0 if there is none.
uint64_t BootNumber(std::string_view key);

// Asks fw_cfg to copy bytes by DMA to `target`: an attack past stage 2. Returns
// the fault of the access to fw_cfg, if EL2 hides it.
Fault TryFwCfgDma(uint64_t target);

// ---- Console and end -------------------------------------------------------

// One line, or a whole text.
template <class... Parts>
void Print(const Parts&... parts) {
  qemu_virt::PrintTo(qemu_virt::UartWrite, parts...);
}
void Print(const char* text);

// Prints "FAIL what" and remembers it: the payload's status is then 1.
void Expect(bool condition, const char* what);
bool AllExpectationsMet();

[[noreturn]] void Exit(int status);

}  // namespace holdfast::payload

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PAYLOAD_RUNTIME_H_
