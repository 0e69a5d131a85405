// SPDX-License-Identifier: Apache-2.0
//
// A whole Holdfast on a simulated machine with any memory map: booted, with
// host stage 2 on each CPU. It answers for nothing: no test framework, no map
// of its own. World (world.h) and the simulator's shell stand on it.
#ifndef HOLDFAST_TESTS_WORLD_BOARD_H_
#define HOLDFAST_TESTS_WORLD_BOARD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/addr.h"
#include "base/result.h"
#include "hyp/hypervisor.h"
#include "mem_protect/memory_map.h"
#include "test_machine.h"
#include "vm_table/vm.h"

namespace holdfast::tests {

// x0..x3 of a call, as the host sees them.
struct Reply {
  uint64_t x0 = 0;
  uint64_t x1 = 0;
  uint64_t x2 = 0;
  uint64_t x3 = 0;

  int64_t result() const { return static_cast<int64_t>(x1); }
  bool ok() const { return x0 == 0 && result() >= 0; }
};
// "0", "-EPERM", "not served".
std::string ToString(const Reply& reply);
// "-EPERM" for -1, "7" for 7.
std::string ResultName(int64_t x1);

struct BoardConfig {
  // Without `ram`: that comes of the regions.
  sim::MachineConfig machine;
  // As MemoryMap::Init wants them. EL2's carve-out is the top of the first one
  // that is memory and has room.
  std::vector<mem_protect::Region> regions;
  // EL2's image, if any.
  std::vector<vm_table::FrameRange> image;
};

class Board {
 public:
  // The calling thread is CPU 0 from here on. Devices are memory.
  explicit Board(BoardConfig config);
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  // Frames EL2 takes; 0 if no region has room.
  static uint64_t CarveoutFrames(const BoardConfig& config);

  // The calling thread, which made the board, is no CPU any more.
  void LeaveCpu() { on_cpu_.reset(); }

  // What Hypervisor::Init said. If that is an error, nothing else may be used.
  const Status& booted() const { return booted_; }
  sim::Machine& machine() { return *machine_; }
  hyp::Hypervisor& hv() { return *hv_; }
  mem_protect::MemProtect& mem() { return hv_->mem(); }
  const vm_table::FrameRange& carveout() const { return carveout_; }
  const std::vector<vm_table::FrameRange>& image() const { return image_; }

  // A hypercall by the CPU that the calling thread is.
  Reply Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
             uint64_t x4 = 0, uint64_t x5 = 0);

  // The invariants of the ownership model over the whole machine, read from
  // tables and records by code of its own (invariants.cc). Empty if they hold;
  // else what is wrong. Nobody may be in a call.
  std::string BrokenInvariants();
  // BrokenInvariants and the machine's violations.
  std::string Trouble();

 private:
  const std::vector<vm_table::FrameRange> image_;
  std::unique_ptr<sim::Machine> machine_;
  std::unique_ptr<sim::OnCpu> on_cpu_;
  std::unique_ptr<hyp::Hypervisor> hv_;
  vm_table::FrameRange carveout_;
  Status booted_;
};

// What ESR_EL2 says of a host's fault, as the platform's trap vector reads it.
hyp::HostAbort HostAbortOf(const sim::Fault& fault);
// What the fault registers say of a guest's fault.
vm_table::GuestExit GuestExitOf(const sim::Fault& fault);

}  // namespace holdfast::tests

#endif  // HOLDFAST_TESTS_WORLD_BOARD_H_
