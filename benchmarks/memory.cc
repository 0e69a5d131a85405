// SPDX-License-Identifier: Apache-2.0
//
// What EL2 takes of memory, from the libraries' own numbers. All of it that
// depends on how much RAM there is, is taken at boot (MemProtect::
// CarveoutFrames); what a VM takes, its host gives. Pages of 4 KiB, RAM in one
// piece, no devices. What VMs and vCPUs take is a matter of EL2's own
// registers: the image says it itself (el2.cc).
//
//   bazel run //benchmarks:memory
//
// Prints key|name|bytes|reference|-1|1, as instructions.sh does.
#include <cstdint>
#include <cstdio>

#include "base/spinlock.h"
#include "mem_protect/mem_protect.h"
#include "mem_protect/page_record.h"
#include "pgtable/stage2.h"
#include "platforms/flat/machine.h"

namespace holdfast::bench {
namespace {

using G = mem_protect::MemProtect::Granule;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kPagesOfGiB = kGiB / kPageSize;
constexpr uint64_t kBase = uint64_t{1} << 40;
// pKVM's struct hyp_page, of which it has one for each page.
constexpr uint64_t kReferenceRecord = 8;

uint64_t Carveout(uint64_t gib) {
  const mem_protect::Region ram = {PhysAddr(kBase), gib * kGiB};
  return mem_protect::MemProtect::CarveoutFrames({&ram, 1}) * kPageSize;
}

// Tables of a guest's stage 2, besides the root, for 1 GiB somewhere.
uint64_t StockFor1GiB() {
  constexpr CpuFeatures kCpu = {.pa_bits = 40, .fwb = true, .xnx = true};
  constexpr uint64_t kRam = uint64_t{1} << 31;
  flat::Machine machine(PhysAddr(kRam), kGiB / 64);
  flat::OnCpu on_cpu(machine, 0);
  pgtable::Stage2<G> table(LockRank::kHypOrVm);
  table.Init(Vmid(1), pgtable::ShapeFor<G>(kCpu.pa_bits), kCpu, PhysAddr(kRam));
  SpinlockHolder hold(table.lock);
  return table.TablesNeeded(Ipa(2 * kGiB), kGiB) * kPageSize;
}

void Row(const char* key, const char* name, uint64_t bytes,
         uint64_t reference = 0) {
  std::printf("%s|%s|%llu|%lld|-1|1\n", key, name,
              static_cast<unsigned long long>(bytes),
              reference == 0 ? -1LL : static_cast<long long>(reference));
}

}  // namespace
}  // namespace holdfast::bench

int main() {
  using namespace holdfast::bench;  // NOLINT
  constexpr uint64_t kRecord = sizeof(holdfast::mem_protect::PageRecord);
  constexpr uint64_t kMany = 64;
  const uint64_t a_gib = (Carveout(2 * kMany) - Carveout(kMany)) / kMany;
  Row("record", "what is kept of a page", kRecord, kReferenceRecord);
  Row("records", "the same of 1 GiB of RAM", kRecord * kPagesOfGiB,
      kReferenceRecord * kPagesOfGiB);
  Row("tables", "tables for 1 GiB of RAM: host and EL2, all by pages",
      a_gib - kRecord * kPagesOfGiB);
  Row("any", "whatever the RAM, about", Carveout(1) - a_gib);
  Row("of_1", "all that EL2 takes at boot of 1 GiB", Carveout(1));
  Row("of_16", "all that EL2 takes at boot of 16 GiB", Carveout(16));
  Row("of_256", "all that EL2 takes at boot of 256 GiB", Carveout(256));
  Row("stock", "a VM's tables for 1 GiB, by pages", StockFor1GiB());
}
