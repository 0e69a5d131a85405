// SPDX-License-Identifier: Apache-2.0
//
// MemProtect alone, booted on a simulated machine with a memory map of the
// test's own. (tests/world has a whole Holdfast, but one map.)
#ifndef HOLDFAST_MEM_PROTECT_BOOTED_H_
#define HOLDFAST_MEM_PROTECT_BOOTED_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/addr.h"
#include "base/cpu_features.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "mem_protect/memory_map.h"
#include "test_machine.h"

namespace holdfast::mem_protect {

class Booted {
 public:
  // The carve-out goes to the top of the last region of memory. RAM pages that
  // a region fills only partly exist whole.
  explicit Booted(std::vector<Region> regions,
                  CpuFeatures features = {.pa_bits = 40,
                                          .fwb = true,
                                          .xnx = true})
      : regions_(std::move(regions)), machine_(ConfigFor(features)) {
    for (const Region& region : regions_) {
      if (!region.IsRam()) machine_.AddMmio({region.base, region.size});
    }
    const uint64_t frames =
        (MemProtect::CarveoutFrames(regions_) + 15) & ~uint64_t{15};
    const Region* last = nullptr;
    for (const Region& region : regions_) {
      if (region.kind == RegionKind::kMemory) last = &region;
    }
    const uint64_t end = (last->end().value() >> kPageShift) & ~uint64_t{15};
    carveout_ = {Pfn(end - frames), frames};
    EXPECT_TRUE(mem_->Init({.features = features,
                            .regions = regions_,
                            .carveout = carveout_,
                            .image = {}})
                    .has_value());
    machine_.EnableHostStage2(0, mem_->host_context());
  }

  MemProtect& mem() { return *mem_; }
  sim::Machine& machine() { return machine_; }
  const FrameRange& carveout() const { return carveout_; }

  // A read (or fetch) by the host at `address`, retried while EL2 says so;
  // whether it worked in the end.
  bool Touch(uint64_t address) {
    return Retried([&] { return machine_.HostRead64(0, Ipa(address)); });
  }
  bool Exec(uint64_t address) {
    return Retried([&] { return machine_.HostExec(0, Ipa(address)); });
  }
  // Host faults that Touch and Exec have seen so far.
  unsigned faults() const { return faults_; }

  // The level of the host's leaf for `address`; nothing if there is no leaf.
  std::optional<int> LeafLevel(uint64_t address) {
    SpinlockHolder hold(mem_->host_table().lock);
    const auto at = mem_->host_table().Find(Ipa(address));
    if (!at.has_value() || at->kind() != pgtable::PteKind::kLeaf)
      return std::nullopt;
    return at->level().value();
  }
  // The raw entry that translates `address` for the host.
  uint64_t HostEntry(uint64_t address) {
    SpinlockHolder hold(mem_->host_table().lock);
    const auto at = mem_->host_table().Find(Ipa(address));
    return at.has_value() ? at->pte().raw() : 0;
  }
  // Leaves the host's table `pages` pages of stock; the others are kept here.
  void DrainHostStock(uint32_t pages) {
    SpinlockHolder hold(mem_->host_table().lock);
    while (mem_->host_table().stock.free() > pages) {
      taken_.push_back(*mem_->host_table().stock.Pop());
    }
  }
  void RefillHostStock() {
    SpinlockHolder hold(mem_->host_table().lock);
    for (PhysAddr page : taken_) mem_->host_table().stock.Push(page);
    taken_.clear();
  }
  uint32_t HostStock() {
    SpinlockHolder hold(mem_->host_table().lock);
    return mem_->host_table().stock.free();
  }

  std::string Violations() const {
    std::string text;
    for (const sim::Violation& violation : machine_.violations())
      text += violation.message + "\n";
    return text;
  }

 private:
  sim::MachineConfig ConfigFor(const CpuFeatures& features) const {
    sim::MachineConfig config;
    for (const Region& region : regions_) {
      if (!region.IsRam()) continue;
      const PhysAddr base = region.first_pfn().address();
      const PhysAddr end = region.end_pfn().address();
      // Two regions may share a page.
      if (!config.ram.empty() &&
          config.ram.back().base + config.ram.back().size >= base) {
        config.ram.back().size = end - config.ram.back().base;
      } else {
        config.ram.push_back({base, end - base});
      }
    }
    config.features = features;
    return config;
  }

  template <class Access>
  bool Retried(Access access) {
    for (int tries = 0; tries < 10; ++tries) {
      const auto result = access();
      if (result.has_value()) return true;
      const sim::Fault& fault = result.error();
      ++faults_;
      const FaultKind kind =
          fault.kind == sim::FaultKind::kTranslation  ? FaultKind::kTranslation
          : fault.kind == sim::FaultKind::kPermission ? FaultKind::kPermission
                                                      : FaultKind::kOther;
      // HPFAR_EL2 has the page only.
      const Ipa page = fault.ipa.AlignDown(kPageSize);
      if (mem_->HandleHostFault(page, kind) == FaultAction::kInject)
        return false;
    }
    ADD_FAILURE() << "an access is retried for ever";
    return false;
  }

  const std::vector<Region> regions_;
  sim::Machine machine_;
  sim::OnCpu on_cpu_{machine_, 0};
  std::unique_ptr<MemProtect> mem_ = std::make_unique<MemProtect>();
  FrameRange carveout_;
  std::vector<PhysAddr> taken_;
  unsigned faults_ = 0;
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_BOOTED_H_
