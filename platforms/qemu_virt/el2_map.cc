// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/el2_map.h"

#include "base/check.h"
#include "base/spinlock.h"
#include "pgtable/attr.h"
#include "platforms/aarch64/tlbi.h"
#include "platforms/qemu_virt/redistributor.h"

namespace holdfast::qemu_virt {
namespace {

using HypTable = mem_protect::MemProtect::HypTable;

// el2.ld. All at multiples of 64 KiB.
extern "C" const std::byte __text_start[], __text_end[], __rodata_start[],
    __rodata_end[], __data_start[], __data_end[], __after_init_start[],
    __after_init_end[];

uint64_t AddressOf(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}

void Map(HypTable& table, uint64_t va, uint64_t pa, uint64_t size,
         const pgtable::Prot& prot, bool guarded = false)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
  auto attr = pgtable::HypAttr::For(prot);
  HOLDFAST_CHECK(attr.has_value());
  if (guarded) attr = attr->Guarded();
  // The carve-out is sized for these few tables too.
  HOLDFAST_CHECK(
      table.Map(HypVa(va), PhysAddr(pa), size, *attr, false).has_value());
}

bool IsGuard(const Board& board, uint64_t page) {
  for (const BoardCpu& cpu : board.cpus) {
    if (cpu.stack != nullptr && page == AddressOf(cpu.stack->guard))
      return true;
  }
  return false;
}

void MapImage(HypTable& table, const Board& board)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
  const uint64_t text = AddressOf(__text_start),
                 rodata = AddressOf(__rodata_start);
  Map(table, text, text, AddressOf(__text_end) - text, pgtable::kHypText,
      board.profile.bti);
  Map(table, rodata, rodata, AddressOf(__rodata_end) - rodata,
      pgtable::kHypRodata);
  for (uint64_t page = AddressOf(__data_start); page < AddressOf(__data_end);
       page += kPageSize) {
    if (IsGuard(board, page)) continue;
    const bool after_init = page >= AddressOf(__after_init_start) &&
                            page < AddressOf(__after_init_end);
    Map(table, page, page, kPageSize,
        after_init ? pgtable::kHypRodata : pgtable::kHypData);
  }
}

// The windows end where EL2's addresses end, far from RAM and devices. A slot
// is made valid once, so that the table has an entry for it, and its valid bit
// cleared: from then on only its CPU rewrites it (platforms/aarch64/fixmap.h).
void MakeFixmaps(HypTable& table, Board& board, uint64_t limit)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock) {
  uint64_t window = limit;
  for (BoardCpu& cpu : board.cpus) {
    window -= kPageSize;
    Map(table, window, AddressOf(__rodata_start), kPageSize,
        pgtable::kHypRodata);
    uint64_t* const entry = table.LeafEntry(HypVa(window));
    HOLDFAST_CHECK(entry != nullptr);
    machine::StorePte(entry, machine::LoadPte(entry) & ~uint64_t{1});
    cpu.fixmap_window = window;
    cpu.fixmap_entry = entry;
  }
  machine::DsbIshst();
}

}  // namespace

El2Regime MapEl2(Board& board) {
  HypTable& table = board.hypervisor->mem().hyp_table();
  const unsigned va_bits = board.profile.features.pa_bits;
  {
    const SpinlockHolder hold(table.lock);
    MapImage(table, board);
    Map(table, HF_UART_BASE, HF_UART_BASE, kPageSize, pgtable::kHypDevice);
    for (unsigned i = 0; i < board.cpu_count; ++i) {
      const uint64_t frame = kRedistributorBase + i * kRedistributorStride;
      Map(table, frame, frame, 2 * kRedistributorFrame, pgtable::kHypDevice);
    }
    MakeFixmaps(table, board, uint64_t{1} << va_bits);
  }
  using aarch64::TcrEl2;
  const uint64_t granule = kPageShift == 16   ? TcrEl2::kTg64k
                           : kPageShift == 14 ? TcrEl2::kTg16k
                                              : TcrEl2::kTg4k;
  return {.ttbr0 = table.root().value(),
          .tcr = TcrFor(va_bits, granule, kPageShift == 16 ? 6 : 5),
          .sctlr = kSctlrEl2 | aarch64::SctlrEl2::kWxn |
                   BranchChecks(board.profile)};
}

}  // namespace holdfast::qemu_virt
