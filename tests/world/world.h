// SPDX-License-Identifier: Apache-2.0
//
// A whole Holdfast on a simulated machine: RAM with the awkward corners of a
// real board, a booted hypervisor, and a host that makes calls and touches
// memory. What cross-library tests stand on.
//
//   0x0800'0000  64 KiB   MMIO (allowed)
//   0x0900'0000   4 KiB   MMIO (allowed)
//   0x0902'0000           nothing the host may touch (fw_cfg on a real board)
//   0x4000'0000  32 MiB   RAM; EL2's image at +2 MiB, its carve-out at the top
//   0x4200'0000  64 KiB   RAM, NOMAP
//   0x4800'0000  16 MiB   RAM, ends in the middle of a page
#ifndef HOLDFAST_TESTS_WORLD_WORLD_H_
#define HOLDFAST_TESTS_WORLD_WORLD_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/machine.h"
#include "hyp/abi.h"
#include "hyp/hypervisor.h"
#include "mem_protect/memory_map.h"
#include "test_machine.h"
#include "tests/world/board.h"

namespace holdfast::tests {

inline constexpr uint64_t kGicBase = 0x0800'0000;
inline constexpr uint64_t kUartBase = 0x0900'0000;
inline constexpr uint64_t kFwCfgBase = 0x0902'0000;
inline constexpr uint64_t kRamBase = 0x4000'0000;
inline constexpr uint64_t kRamSize = 32 << 20;
inline constexpr uint64_t kImageBase = kRamBase + (2 << 20);
inline constexpr uint64_t kImageFrames = 8;
inline constexpr uint64_t kNoMapBase = 0x4200'0000;
inline constexpr uint64_t kNoMapSize = 64 << 10;
inline constexpr uint64_t kRam2Base = 0x4800'0000;
inline constexpr uint64_t kRam2Size = (16 << 20) + kPageSize / 2;
inline constexpr unsigned kPaBits = 40;

// A VM as its host remembers it.
struct HostVm {
  uint64_t handle = 0;
  bool is_protected = true;
  uint64_t memory = 0, memory_frames = 0;
  uint64_t root = 0, root_frames = 0;
  std::vector<uint64_t> vcpu_memory;  // first frame of each vCPU
  uint64_t vcpu_frames = 0;
  std::vector<uint64_t> run_pages;
};

// Of a guest's HVC: what becomes of the guest, and its registers then.
struct GuestReply {
  hyp::GuestAction action = hyp::GuestAction::kResume;
  hyp::GuestRegs regs;

  bool resumed() const { return action == hyp::GuestAction::kResume; }
  int64_t result() const { return static_cast<int64_t>(regs.x[0]); }
};
inline constexpr uint64_t kGuestPc = 0x8004;

class World {
 public:
  struct Options {
    unsigned cpus = 4;
    bool hooks = true;  // the machine's model; off for speed
    bool adversarial_tlb = true;
    bool record_events = false;
    bool print_violations = true;
    uint64_t seed = 1;
    // sim::MachineConfig::scheduling_point.
    std::function<void(unsigned cpu, sim::SchedulingPoint point,
                       uint64_t address)>
        scheduling_point = {};
    // sim::MachineConfig::guest.
    std::function<GuestTrap(unsigned cpu, const Stage2Context& stage2,
                            machine::GuestState& guest)>
        guest = {};
    CpuFeatures features = {.pa_bits = kPaBits, .fwb = false, .xnx = true};
  };

  World() : World(Options{}) {}
  explicit World(const Options& options);
  ~World();
  World(const World&) = delete;

  sim::Machine& machine() { return board_.machine(); }
  hyp::Hypervisor& hv() { return board_.hv(); }
  Board& board() { return board_; }
  mem_protect::MemProtect& mem() { return hv().mem(); }

  // The following act on the CPU that the calling thread is (CPU 0 for the
  // thread that made the World; RunParallel and OnCpu for others).

  Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
             uint64_t x4 = 0, uint64_t x5 = 0) {
    return board_.Call(id, x1, x2, x3, x4, x5);
  }
  // A load or store by the host. An abort that EL2 resolves is retried, as the
  // hardware would; nothing / false if EL2 refuses it.
  std::optional<uint64_t> Load(uint64_t address);
  bool Store(uint64_t address, uint64_t value);
  bool Exec(uint64_t address);
  // Fills a frame with `value`, or says whether all of it is `value`.
  bool Fill(uint64_t pfn, uint64_t value);
  bool Holds(uint64_t pfn, uint64_t value);
  // An access by a guest at `ipa`; nothing / false if its stage 2 refuses. If
  // a vCPU of that VM is loaded here, EL2 is told of the fault.
  std::optional<uint64_t> GuestLoad(uint64_t handle, uint64_t ipa);
  bool GuestStore(uint64_t handle, uint64_t ipa, uint64_t value);
  bool GuestExec(uint64_t handle, uint64_t ipa, bool privileged = true);
  // What the last refused guest access on this CPU was refused for.
  const sim::Fault& guest_fault() const {
    return guest_faults_[machine::ThisCpu().index];
  }
  // An HVC by the guest whose vCPU is loaded here; kGuestPc is the instruction
  // behind it.
  GuestReply GuestCall(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                       uint64_t x3 = 0);

  // Frames of the host's that no one was given yet.
  uint64_t Frames(uint64_t count, uint64_t align = 1);
  uint64_t carveout_first() const { return board_.carveout().first.value(); }
  uint64_t image_first() const { return kImageBase >> kPageShift; }

  // Makes a VM with `vcpus` vCPUs and `stock` frames of stock; fails the test
  // if a call does. Nothing is loaded.
  HostVm MakeVm(unsigned vcpus = 1, uint64_t stock = 16,
                bool is_protected = true);
  // Ends it: put, teardown, every page back, drain, finalize, unshare.
  void EndVm(const HostVm& vm);

  // The invariants of the ownership model over the whole machine, read from
  // tables and records by code of its own. Empty if they hold; else what is
  // wrong. Nobody may be in a call.
  std::string BrokenInvariants() { return board_.BrokenInvariants(); }

  // BrokenInvariants and the machine's violations, as one text for
  // EXPECT_EQ("").
  std::string Trouble() { return board_.Trouble(); }

 private:
  // Nothing: there is no such VM.
  std::optional<Stage2Context> ContextOf(uint64_t handle);
  // Does an access of a guest's; EL2 is told of its aborts if a vCPU of it is
  // loaded here, and may say that it would work now.
  template <class DoAccess>
  auto AsGuest(uint64_t handle, DoAccess access) -> decltype(access());
  void UnshareAll(const HostVm& vm);

  Board board_;
  std::array<sim::Fault, kMaxCpus> guest_faults_;
  uint64_t next_frame_ = 0;
};

}  // namespace holdfast::tests

#endif  // HOLDFAST_TESTS_WORLD_WORLD_H_
