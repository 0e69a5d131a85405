// SPDX-License-Identifier: Apache-2.0
//
// Sequences of calls, accesses and CPU changes, read from the fuzzer's bytes.
// No sequence may panic EL2, break an invariant, or break a rule of the
// hardware.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "hyp/calls.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

// The input, byte by byte; zeroes after its end.
class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool done() const { return at_ >= size_; }
  uint8_t Next() { return done() ? 0 : data_[at_++]; }
  uint64_t Wide() {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | Next();
    return value;
  }

 private:
  const uint8_t* const data_;
  const size_t size_;
  size_t at_ = 0;
};

// One of the numbers that mean something, or any number at all.
uint64_t Argument(Bytes& bytes, uint64_t pool,
                  const std::vector<uint64_t>& results) {
  const uint8_t kind = bytes.Next();
  switch (kind >> 5) {
    case 0:
      return kind & 31;  // small
    case 1:
      return pool + (kind & 31);  // a frame of the host's
    case 2:
      return 0x1000 + (kind & 31);  // a handle
    case 3:
      return results.empty() ? 0 : results[(kind & 31u) % results.size()];
    case 4:
      return kImageBase / kPageSize + (kind & 15);  // EL2's
    case 5:
      return uint64_t{1} << (kind & 31) << (bytes.Next() & 31);
    case 6:
      return ~uint64_t{0} - (kind & 31);
    default:
      return bytes.Wide();
  }
}

void Run(Bytes bytes) {
  World world(World::Options{.cpus = 2, .print_violations = false});
  const uint64_t pool = world.Frames(32, 32);
  std::vector<uint64_t> results;
  // A VM of each kind to begin with, or most inputs would never get past
  // reserve_vm.
  const HostVm vm = world.MakeVm(2, 4);
  const HostVm lent = world.MakeVm(1, 4, /*is_protected=*/false);
  results.push_back(vm.handle);
  results.push_back(lent.handle);
  world.Call(HF_VCPU_LOAD, vm.handle, 0);

  std::optional<sim::OnCpu> cpu;
  for (int steps = 0; !bytes.done() && steps < 64; ++steps) {
    const uint8_t what = bytes.Next();
    if (what < 0xe0) {
      const hyp::Call& call = hyp::kCalls[what % hyp::kCalls.size()];
      uint64_t x[5] = {};
      for (unsigned i = 0; i < call.arguments(); ++i)
        x[i] = Argument(bytes, pool, results);
      const Reply reply = world.Call(call.id, x[0], x[1], x[2], x[3], x[4]);
      if (reply.x0 != 0) std::abort();
      if (reply.ok() && reply.x1 != 0) results.push_back(reply.x1);
    } else if (what < 0xec) {
      world.Load(Argument(bytes, pool, results) * kPageSize);
    } else if (what < 0xf4) {
      world.Store((pool + what % 32) * kPageSize, what);
    } else if (what < 0xf6) {
      const HostVm& guest = what % 2 == 0 ? vm : lent;
      world.GuestStore(guest.handle, bytes.Next() * kPageSize, what);
    } else if (what < 0xfa) {
      if (world.hv().loaded(machine::ThisCpu().index) == nullptr) continue;
      // A function of the guests' services, on a small page or anything.
      hyp::GuestRegs regs{.x = {HF_GUEST_MEMINFO + bytes.Next() % 4}};
      for (unsigned i = 1; i < 4; ++i) regs.x[i] = bytes.Next() * kPageSize;
      if (what == 0xf9) regs.x[1] = bytes.Wide();
      world.hv().HandleGuestCall(regs);
    } else {
      cpu.reset();
      cpu.emplace(world.machine(), what & 1);
    }
  }
  cpu.reset();
  if (const std::string trouble = world.Trouble(); !trouble.empty()) {
    std::fprintf(stderr, "%s\n", trouble.c_str());
    std::abort();
  }
}

}  // namespace
}  // namespace holdfast::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::tests::Run(holdfast::tests::Bytes(data, size));
  return 0;
}
