// SPDX-License-Identifier: Apache-2.0
//
// A host (tests/story/host.h) on a world that an oracle watches: what it does,
// and what its guests do, is checked.
#ifndef HOLDFAST_TESTS_SPEC_ORACLE_HOST_H_
#define HOLDFAST_TESTS_SPEC_ORACLE_HOST_H_

#include <array>
#include <cstdint>
#include <optional>

#include "base/granule.h"
#include "base/machine.h"
#include "hyp/abi.h"
#include "tests/spec/oracle.h"
#include "tests/story/host.h"
#include "tests/world/story_host.h"
#include "tests/world/world.h"

namespace holdfast::spec {

class OracleHost final : public story::Host {
 public:
  OracleHost(tests::World& world, Oracle& oracle)
      : world_(world), facts_(world), oracle_(oracle) {}

  const char* machine() const override { return facts_.machine(); }
  bool colour() const override { return facts_.colour(); }
  unsigned cpus() const override { return facts_.cpus(); }
  story::Access Load(uint64_t address) override {
    const std::optional<uint64_t> value = oracle_.Load(address);
    return {value.has_value(), value.value_or(0), !value.has_value()};
  }
  story::Access Store(uint64_t address, uint64_t value) override {
    const bool done = oracle_.Store(address, value);
    return {done, 0, !done};
  }
  uint64_t Frames(uint64_t count, uint64_t align) override {
    return facts_.Frames(count, align);
  }
  uint64_t page_size() const override { return facts_.page_size(); }
  uint64_t el2_frame() const override { return facts_.el2_frame(); }
  uint64_t mmio_frame() const override { return facts_.mmio_frame(); }
  uint64_t first_ram_frame() const override { return facts_.first_ram_frame(); }
  uint64_t beyond_ram_frame() const override {
    return facts_.beyond_ram_frame();
  }
  unsigned pa_bits() const override { return facts_.pa_bits(); }
  void OnTwoCpus(void (*body)(void* context, unsigned i),
                 void* context) override {
    facts_.OnTwoCpus(body, context);
  }
  bool has_guests() const override { return true; }
  bool GuestTouch(uint64_t ipa) override {
    const vm_table::Vcpu* vcpu = Loaded();
    return vcpu != nullptr &&
           oracle_.GuestLoad(vcpu->vm().handle().value(), ipa).has_value();
  }
  uint64_t GuestCall(uint64_t id, uint64_t ipa) override {
    if (Loaded() == nullptr) return ~uint64_t{0};
    hyp::GuestRegs regs{.x = {id, ipa, 0, 0}, .pc = tests::kGuestPc};
    oracle_.GuestCall(regs);
    return regs.x[0];
  }
  bool TryFwCfgDma(uint64_t target) override {
    return facts_.TryFwCfgDma(target);
  }
  bool has_fw_cfg() const override { return facts_.has_fw_cfg(); }
  void Print(const char* text) override { facts_.Print(text); }

 private:
  // What is given to a guest, the host wrote to; and the guest does at once: so
  // that there are contents to be kept, or to be zeroed.
  story::Reply Hypercall(const std::array<uint64_t, 6>& x) override {
    const bool donates = x[0] == HF_HOST_DONATE_GUEST;
    if (donates && oracle_.layout().IsPfn(x[1]) &&
        oracle_.layout().IsHostRam(x[1])) {
      oracle_.Store(x[1] << kPageShift, x[1]);
    }
    const tests::Reply reply = oracle_.Call(x[0], x[1], x[2], x[3], x[4], x[5]);
    if (donates && reply.ok()) {
      const uint64_t handle = Loaded()->vm().handle().value();
      oracle_.GuestStore(handle, (x[2] << kPageShift) + kPageSize / 2, x[2]);
      oracle_.GuestLoad(handle, x[2] << kPageShift);
    }
    return {reply.x0, reply.x1, reply.x2, reply.x3};
  }
  const vm_table::Vcpu* Loaded() const {
    return world_.hv().loaded(holdfast::machine::ThisCpu().index);
  }

  tests::World& world_;
  tests::StoryHost facts_;
  Oracle& oracle_;
};

}  // namespace holdfast::spec

#endif  // HOLDFAST_TESTS_SPEC_ORACLE_HOST_H_
