// SPDX-License-Identifier: Apache-2.0
//
// Two VMs of two vCPUs on all CPUs, for `seconds` (boot argument; 3): each CPU
// takes whichever vCPU is free for a few turns, so that they move; takes pages
// by force while guests use them; and ends VMs and makes them anew while the
// other one runs.
#include <new>

#include "platforms/qemu_virt/guest/soak_steps.h"
#include "platforms/qemu_virt/payload/guest_vm.h"

extern "C" const unsigned char guest_soak[];
extern "C" const uint64_t guest_soak_size;

namespace holdfast::payload {
namespace {

constexpr unsigned kVms = 2, kVcpus = 2, kTurns = 6;

struct Vcpu {
  enum : unsigned { kOff, kFree, kTaken };
  std::atomic<unsigned> state{kOff};
  std::atomic<unsigned> last_cpu{0};
  // The frame of its secret, or 0.
  std::atomic<uint64_t> victim{0};
};

struct Machine {
  Machine(const Program& program, GuestVm::Memory memory)
      : vm(program, kVcpus, /*is_protected=*/true, memory) {}

  GuestVm vm;
  Vcpu vcpus[kVcpus];
  std::atomic<bool> ending{false};
};

struct Counts {
  std::atomic<uint64_t> turns{0}, moves{0}, taken{0}, lives{0}, pings{0};
};

uint64_t Now() {
  uint64_t now;
  asm volatile("isb\n mrs %0, cntpct_el0" : "=r"(now));
  return now;
}

class Soak {
 public:
  Soak()
      : machines_{
            Machine({guest_soak, guest_soak_size}, GuestVm::Memory::kOnDemand),
            Machine({guest_soak, guest_soak_size}, GuestVm::Memory::kAtOnce)} {}

  void Run(uint64_t seconds) {
    uint64_t frequency;
    asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
    const uint64_t until = Now() + seconds * frequency;
    // A slow machine gets more time to see everything once.
    const uint64_t latest = until + 20 * frequency;
    for (Machine& machine : machines_) Begin(machine);
    RunOnCpus(CpuCount(), [&](unsigned cpu) {
      uint64_t dice = cpu + 1;
      while ((Now() < until || (!AllHappened() && Now() < latest)) &&
             AllExpectationsMet()) {
        dice = dice * 6364136223846793005 + 1442695040888963407;
        Machine& machine = machines_[dice >> 60 & 1];
        TakeTurn(machine, dice >> 61 & 1, cpu);
        if ((dice >> 56 & 15) == 0) TakeSecret(machines_[dice >> 55 & 1], dice);
        asm volatile("yield");
      }
    });
    for (Machine& machine : machines_) machine.vm.End();
    Print("soak: ", counts_.turns.load(), " turns, ", counts_.moves.load(),
          " moves between CPUs, ", counts_.pings.load(),
          " pages lent and back, ", counts_.taken.load(), " taken by force, ",
          counts_.lives.load(), " VMs ended\n");
    Expect(AllHappened(), "all of it happened");
  }

 private:
  bool AllHappened() const {
    return counts_.moves.load() != 0 && counts_.taken.load() != 0 &&
           counts_.pings.load() != 0;
  }
  static void Begin(Machine& machine) {
    machine.vcpus[0].state.store(Vcpu::kFree, std::memory_order_release);
  }

  // A few turns of a vCPU, if it is free.
  void TakeTurn(Machine& machine, unsigned index, unsigned cpu) {
    Vcpu& vcpu = machine.vcpus[index];
    unsigned free = Vcpu::kFree;
    if (!vcpu.state.compare_exchange_strong(free, Vcpu::kTaken,
                                            std::memory_order_acquire))
      return;
    if (machine.ending.load(std::memory_order_acquire)) {
      vcpu.state.store(Vcpu::kFree, std::memory_order_release);
      EndIfAllAreFree(machine);
      return;
    }
    if (vcpu.last_cpu.exchange(cpu) != cpu) counts_.moves.fetch_add(1);
    machine.vm.Load(index);
    unsigned next = Vcpu::kFree;
    for (unsigned turn = 0; turn < kTurns && next == Vcpu::kFree; ++turn) {
      counts_.turns.fetch_add(1, std::memory_order_relaxed);
      const uint64_t exit = machine.vm.RunOnce();
      if (machine.vm.Everyday(index, exit)) continue;
      next = Handle(machine, index, exit);
      // Behind its end a guest would not stop.
      if (exit == HF_EXIT_WAIT || machine.ending.load()) break;
    }
    machine.vm.Put();
    vcpu.state.store(next, std::memory_order_release);
  }

  // What becomes of the vCPU.
  unsigned Handle(Machine& machine, unsigned index, uint64_t exit) {
    volatile hf_run_page& page = machine.vm.run_page(index);
    uint64_t value = 0;
    switch (exit) {
      case HF_EXIT_WAIT:
        return Vcpu::kFree;
      case HF_EXIT_CPU_ON:
        machine.vcpus[1].state.store(Vcpu::kFree, std::memory_order_release);
        return Vcpu::kFree;
      case HF_EXIT_OFF:
        return Vcpu::kOff;
      case HF_EXIT_CALL:
        break;
      default:
        Print("soak: exit ", exit, " ipa ", Hex(page.ipa), "\n");
        Expect(false, "an exit that was to come");
        return Vcpu::kOff;
    }
    if (machine.vm.IsDone(index, exit)) {
      Expect(page.x[1] == 0, "the guest is content");
      machine.ending.store(true, std::memory_order_release);
      return Vcpu::kFree;
    }
    const uint64_t frame = machine.vm.FrameOf(page.x[2] / kPageSize);
    if (page.x[1] == guest::kPing) {
      counts_.pings.fetch_add(1, std::memory_order_relaxed);
      const uint64_t address = frame * kPageSize;
      const bool ok = !TryRead64(address, &value) && value == page.x[3] &&
                      !TryWrite64(address, value + 1);
      machine.vm.Answer(index, ok ? 0 : 1);
    } else {
      machine.vcpus[index].victim.store(frame, std::memory_order_release);
      machine.vm.Answer(index, 0);
    }
    return Vcpu::kFree;
  }

  // Whatever its guest does just then.
  void TakeSecret(Machine& machine, uint64_t dice) {
    const uint64_t frame = machine.vcpus[dice >> 54 & 1].victim.exchange(0);
    if (frame == 0) return;
    const auto result =
        static_cast<int64_t>(Hvc(HF_FORCE_RECLAIM_GUEST_PAGE, {frame, 1}).x[1]);
    // The VM may have ended since, or begun anew.
    Expect(result == 0 || result == -HF_EAGAIN, "forced reclaim");
    if (result != 0) return;
    counts_.taken.fetch_add(1);
    for (uint64_t i = 0; i < kPageSize; i += 8) {
      uint64_t value = 1;
      if (!TryRead64(frame * kPageSize + i, &value) && value == 0) continue;
      Expect(false, "a page that was taken reads zero");
      return;
    }
  }

  // With the other VM running.
  void EndIfAllAreFree(Machine& machine) {
    Vcpu& first = machine.vcpus[0];
    unsigned free = Vcpu::kFree;
    if (!first.state.compare_exchange_strong(free, Vcpu::kTaken,
                                             std::memory_order_acquire))
      return;
    if (machine.ending.load() &&
        machine.vcpus[1].state.load(std::memory_order_acquire) !=
            Vcpu::kTaken) {
      machine.vcpus[1].state.store(Vcpu::kOff);
      for (Vcpu& vcpu : machine.vcpus) vcpu.victim.store(0);
      machine.vm.End();
      machine.vm.Make();
      machine.ending.store(false);
      counts_.lives.fetch_add(1);
    }
    first.state.store(Vcpu::kFree, std::memory_order_release);
  }

  Machine machines_[kVms];
  Counts counts_;
};

}  // namespace

int PayloadMain() {
  const uint64_t seconds = BootNumber("seconds");
  static Soak* soak;
  alignas(Soak) static std::byte memory[sizeof(Soak)];
  soak = new (memory) Soak;
  soak->Run(seconds == 0 ? 3 : seconds);
  if (AllExpectationsMet()) Print("soak: all is well\n");
  return 0;
}

}  // namespace holdfast::payload
