// SPDX-License-Identifier: Apache-2.0
//
// The host of the story (tests/story) on the simulated machine.
#ifndef HOLDFAST_TESTS_WORLD_STORY_HOST_H_
#define HOLDFAST_TESTS_WORLD_STORY_HOST_H_

#include <cstdint>
#include <string>

#include "base/machine.h"
#include "hyp/syndrome.h"
#include "tests/story/host.h"
#include "tests/world/world.h"

namespace holdfast::tests {

class StoryHost final : public story::Host {
 public:
  explicit StoryHost(World& world) : world_(world) {}

  const char* machine() const override { return "the simulated machine"; }
  bool colour() const override { return false; }
  unsigned cpus() const override { return world_.machine().cpus(); }

  story::Access Load(uint64_t address) override {
    const std::optional<uint64_t> value = world_.Load(address);
    // What EL2 refuses is injected as an external abort; here nobody can tell.
    return {value.has_value(), value.value_or(0), !value.has_value()};
  }
  story::Access Store(uint64_t address, uint64_t value) override {
    const bool done = world_.Store(address, value);
    return {done, 0, !done};
  }

  uint64_t Frames(uint64_t count, uint64_t align) override {
    return world_.Frames(count, align);
  }
  uint64_t page_size() const override { return kPageSize; }
  uint64_t el2_frame() const override { return world_.image_first(); }
  uint64_t mmio_frame() const override { return kUartBase / kPageSize; }
  uint64_t first_ram_frame() const override { return kRamBase / kPageSize; }
  uint64_t beyond_ram_frame() const override {
    return (kRam2Base + kRam2Size + kPageSize - 1) / kPageSize;
  }
  unsigned pa_bits() const override { return kPaBits; }

  void OnTwoCpus(void (*body)(void* context, unsigned i),
                 void* context) override {
    world_.machine().RunParallel(
        {[=] { body(context, 0); }, [=] { body(context, 1); }});
  }
  bool has_guests() const override { return true; }
  bool GuestTouch(uint64_t ipa) override {
    const vm_table::Vcpu* vcpu = world_.hv().loaded(machine::ThisCpu().index);
    if (vcpu == nullptr) return false;
    if (world_.GuestLoad(vcpu->vm().handle().value(), ipa).has_value())
      return true;
    world_.hv().HandleGuestAbort(
        {.esr =
             hyp::EsrOf(hyp::kEcDataAbortLower, hyp::kFaultTranslationLevel3),
         .far = 0,
         .hpfar = hyp::HpfarOf(Ipa(ipa))});
    return false;
  }
  uint64_t GuestCall(uint64_t id, uint64_t ipa) override {
    if (world_.hv().loaded(machine::ThisCpu().index) == nullptr)
      return ~uint64_t{0};  // no guest runs that could call
    hyp::GuestRegs regs{.x = {id, ipa, 0, 0}};
    world_.hv().HandleGuestCall(regs);
    return regs.x[0];
  }
  bool TryFwCfgDma(uint64_t target) override {
    // The device's DMA address register (fw_cfg specification), big-endian
    // halves.
    static_cast<void>(target);
    return world_.Store(kFwCfgBase + 0x10, 0);
  }
  bool has_fw_cfg() const override { return true; }

  void Print(const char* text) override { transcript_ += text; }
  const std::string& transcript() const { return transcript_; }

 private:
  story::Reply Hypercall(const std::array<uint64_t, 6>& x) override {
    const Reply reply = world_.Call(x[0], x[1], x[2], x[3], x[4], x[5]);
    return {reply.x0, reply.x1, reply.x2, reply.x3};
  }

  World& world_;
  std::string transcript_;
};

}  // namespace holdfast::tests

#endif  // HOLDFAST_TESTS_WORLD_STORY_HOST_H_
