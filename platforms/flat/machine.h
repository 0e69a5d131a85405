// SPDX-License-Identifier: Apache-2.0
//
// A machine that is nothing but RAM and CPUs (host threads), for measuring. One
// at a time in a process.
#ifndef HOLDFAST_PLATFORMS_FLAT_MACHINE_H_
#define HOLDFAST_PLATFORMS_FLAT_MACHINE_H_

#include <array>
#include <cstdint>

#include "base/addr.h"
#include "base/cpu_local.h"
#include "base/machine.h"

namespace holdfast::flat {

class Machine {
 public:
  // RAM of zeroes at [base, base + size); `base` a multiple of 2 MiB. What is
  // never touched costs nothing.
  Machine(PhysAddr base, uint64_t size);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // [start, start + size) of RAM shows `window` bytes over and over, all there
  // from now on: memory that is large but takes no more than that. For pages
  // whose contents nobody reads. All multiples of a page.
  void Repeat(PhysAddr start, uint64_t size, uint64_t window);

  // All of [start, start + size) is there from now on: no access to it waits
  // for the machine that the program runs on. Whole pages.
  void Back(PhysAddr start, uint64_t size);

  Cpu& cpu(unsigned index) { return cpus_[index]; }

 private:
  std::array<Cpu, kMaxCpus> cpus_;
  void* mapping_;
  uint64_t mapping_size_;
};

// Basic blocks that this thread has gone through, of all that was built with
// the feature block_count: of everything, if kWatchesWork.
uint64_t BlocksRun();

// This thread is a CPU of the machine while the object lives.
class OnCpu {
 public:
  OnCpu(Machine& machine, unsigned index) : previous_(current_cpu) {
    current_cpu = &machine.cpu(index);
  }
  ~OnCpu() { current_cpu = previous_; }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  Cpu* const previous_;
};

}  // namespace holdfast::flat

#endif  // HOLDFAST_PLATFORMS_FLAT_MACHINE_H_
