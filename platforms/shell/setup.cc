// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/setup.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "mem_protect/memory_map.h"
#include "pgtable/geometry.h"
#include "platforms/shell/number.h"

namespace holdfast::shell {
namespace {

using mem_protect::Region;
using mem_protect::RegionKind;

// Two devices that the host may touch, as boards have them.
const Region kDevices[] = {
    {PhysAddr(0x0800'0000), 64 << 10, RegionKind::kMmio},
    {PhysAddr(0x0900'0000), std::max<uint64_t>(kPageSize, 4096),
     RegionKind::kMmio},
};

// The block at level 2 of a granule.
uint64_t BlockOf(unsigned granule) {
  return uint64_t{1} << (granule + granule - 3);
}

std::string GranuleName(unsigned shift) {
  return absl::StrCat((1u << shift) / 1024, "k");
}

}  // namespace

Parsed<std::monostate> Setup::Apply(const MachineCommand& machine) {
  const unsigned granule = machine.granule.value_or(granule_);
  if (machine.block.has_value() && *machine.block != BlockOf(granule)) {
    return Bad(0,
               absl::StrCat("blocks of ", ShowSize(*machine.block),
                            " with pages of ", GranuleName(granule)),
               absl::StrCat("block=", ShowSize(BlockOf(granule))));
  }
  granule_ = granule;
  ipa_bits_ = machine.ipa_bits.value_or(ipa_bits_);
  adversarial_tlb_ = machine.adversarial_tlb.value_or(adversarial_tlb_);
  seed_ = machine.seed.value_or(seed_);
  return std::monostate();
}

Parsed<std::monostate> Setup::Apply(const RamCommand& ram) {
  std::vector<RamCommand> all = ram_;
  all.push_back(ram);
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.base < b.base; });
  std::vector<Region> regions = ConfigOf(all).regions;
  mem_protect::MemoryMap map;
  if (!map.Init(regions, ipa_bits_).has_value()) {
    return Bad(
        0, "the range overlaps another, or is beyond the machine's addresses",
        absl::StrFormat("a range of its own below %#x; devices are at "
                        "0x8000000 and 0x9000000",
                        uint64_t{1} << ipa_bits_));
  }
  ram_ = std::move(all);
  return std::monostate();
}

Parsed<std::monostate> Setup::Apply(const CpusCommand& cpus) {
  cpus_ = cpus.count;
  return std::monostate();
}

tests::BoardConfig Setup::ConfigOf(const std::vector<RamCommand>& ram) const {
  tests::BoardConfig config;
  config.machine.cpus = cpus_;
  config.machine.features = {.pa_bits = ipa_bits_, .fwb = false, .xnx = true};
  config.machine.adversarial_tlb = adversarial_tlb_;
  config.machine.record_events = true;
  config.machine.print_violations = false;
  config.machine.seed = seed_;
  config.regions.assign(std::begin(kDevices), std::end(kDevices));
  for (const RamCommand& range : ram) {
    config.regions.push_back(
        {PhysAddr(range.base), range.size,
         range.no_map ? RegionKind::kNoMap : RegionKind::kMemory});
  }
  std::sort(config.regions.begin(), config.regions.end(),
            [](const Region& a, const Region& b) { return a.base < b.base; });
  return config;
}

Parsed<tests::BoardConfig> Setup::Config() const {
  tests::BoardConfig config = ConfigOf(
      ram_.empty()
          ? std::vector<RamCommand>{{kDefaultBase, kDefaultSize, false}}
          : ram_);
  if (tests::Board::CarveoutFrames(config) == 0) {
    return Bad(0, "EL2 finds no room for its tables in the RAM there is",
               "a range of RAM that is not nomap, of some MiB");
  }
  return config;
}

std::string Setup::Text() const {
  std::string text = absl::StrFormat(
      "%u CPUs, pages of %s, addresses of %u bits, %s TLB, seed %u; RAM", cpus_,
      GranuleName(granule_), ipa_bits_,
      adversarial_tlb_ ? "adversarial" : "plain", seed_);
  const std::vector<RamCommand> fallback = {
      {kDefaultBase, kDefaultSize, false}};
  for (const RamCommand& range : ram_.empty() ? fallback : ram_) {
    absl::StrAppendFormat(&text, " %#x+%s%s", range.base, ShowSize(range.size),
                          range.no_map ? " (nomap)" : "");
  }
  return text;
}

}  // namespace holdfast::shell
