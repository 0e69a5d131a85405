// SPDX-License-Identifier: Apache-2.0
//
// How fast the stage-2 table is: 4 KiB granule, 48-bit input, four levels, FWB
// and range TLBI, on a machine that is nothing but RAM (platforms/flat): TLB
// maintenance is a number, as it was for the reference. Every page-by-page
// operation takes the table's lock, finds, reserves, commits and completes its
// TLB batch, as a call does; a range does so once. The orders of random ones
// are arrays made beforehand.
//
// clang-format off
//   bazel run //benchmarks:pgtable                 time, a table at the end
//   bazel run //benchmarks:pgtable_instructions    instructions (callgrind)
// clang-format on
//
// Lines with "lock held" take it once for all pages: so the reference was
// measured, whose callers lock.
//
// Reference and bound: the numbers the project measures itself against, of one
// 2-core x86 machine. The reference is a widely used hypervisor's table code
// built for user space with clang -O2; the bound is a bare table with no lock
// and no checks. Times of another machine compare only among themselves;
// instructions compare anywhere.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "base/spinlock.h"
#include "benchmark/benchmark.h"
#include "benchmarks/harness.h"
#include "pgtable/stage2.h"
#include "platforms/flat/machine.h"

namespace holdfast::pgtable {
namespace {

using G = Granule4K;
constexpr uint64_t kPage = G::kPageSize;
constexpr uint64_t kBlock = uint64_t{2} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kPages = kGiB / kPage;
constexpr uint64_t kSparse = 64 * kGiB;

// Where the tables are; outputs are elsewhere.
constexpr uint64_t kRam = uint64_t{1} << 31;
constexpr uint64_t kRamSize = uint64_t{192} << 20;
constexpr uint64_t kOutput = uint64_t{1} << 40;
// The table's input addresses start here, so that no index is 0 by chance.
constexpr uint64_t kBase = 37 * kGiB;

constexpr CpuFeatures kCpu = {.pa_bits = 48, .fwb = true, .xnx = true};

// A table with its stock, in the state an operation starts from.
class World {
 public:
  explicit World(uint32_t stock)
      : machine_(PhysAddr(kRam), kRamSize),
        on_cpu_(machine_, 0),
        table_(LockRank::kHypOrVm),
        attr_(*Stage2Attr::For(kGuestMemory, MemStyle::kFromProt, kCpu)) {
    table_.Init(Vmid(1), ShapeFor<G>(48), kCpu, PhysAddr(kRam));
    SpinlockHolder hold(table_.lock);
    for (uint32_t i = 1; i <= stock; ++i)
      table_.stock.Push(PhysAddr(kRam + i * kPage));
    sequential_.resize(kPages);
    for (uint64_t i = 0; i < kPages; ++i) sequential_[i] = kBase + i * kPage;
    random_ = sequential_;
    std::shuffle(random_.begin(), random_.end(), std::mt19937_64(1));
  }

  // ---- page by page: with the lock taken for each page, or held by the caller

  void MapPages(const std::vector<uint64_t>& order) {
    for (const uint64_t ipa : order) {
      SpinlockHolder hold(table_.lock);
      MapPage(ipa);
    }
  }
  void MapPagesHeld(const std::vector<uint64_t>& order) {
    SpinlockHolder hold(table_.lock);
    for (const uint64_t ipa : order) MapPage(ipa);
  }
  void AnnotatePages(const std::vector<uint64_t>& order) {
    for (const uint64_t ipa : order) {
      SpinlockHolder hold(table_.lock);
      AnnotatePage(ipa);
    }
  }
  void AnnotatePagesHeld(const std::vector<uint64_t>& order) {
    SpinlockHolder hold(table_.lock);
    for (const uint64_t ipa : order) AnnotatePage(ipa);
  }
  void UnmapPages(const std::vector<uint64_t>& order) {
    for (const uint64_t ipa : order) {
      SpinlockHolder hold(table_.lock);
      UnmapPage(ipa);
    }
  }
  void UnmapPagesHeld(const std::vector<uint64_t>& order) {
    SpinlockHolder hold(table_.lock);
    for (const uint64_t ipa : order) UnmapPage(ipa);
  }
  void GetLeaves(const std::vector<uint64_t>& order) {
    uint64_t sum = 0;
    for (const uint64_t ipa : order) {
      SpinlockHolder hold(table_.lock);
      sum += GetLeaf(ipa);
    }
    benchmark::DoNotOptimize(sum);
  }
  void GetLeavesHeld(const std::vector<uint64_t>& order) {
    SpinlockHolder hold(table_.lock);
    uint64_t sum = 0;
    for (const uint64_t ipa : order) sum += GetLeaf(ipa);
    benchmark::DoNotOptimize(sum);
  }

  // ---- ranges: 1 GiB in one call

  void MapRange(Level largest) {
    SpinlockHolder hold(table_.lock);
    auto pages =
        *table_.stock.Reserve(table_.TablesNeeded(Ipa(kBase), kGiB, largest));
    TlbBatch<G> batch(table_);
    table_.Map(Ipa(kBase), PhysAddr(kOutput + kBase), kGiB, attr_, largest,
               pages, batch);
    static_cast<void>(batch.Complete());
  }
  void AnnotateRange() {
    SpinlockHolder hold(table_.lock);
    auto pages = *table_.stock.Reserve(table_.TablesNeeded(Ipa(kBase), kGiB));
    TlbBatch<G> batch(table_);
    table_.Annotate(Ipa(kBase), kGiB, Donation(kBase), pages, batch);
    static_cast<void>(batch.Complete());
  }
  void UnmapRange() {
    SpinlockHolder hold(table_.lock);
    TlbBatch<G> batch(table_);
    table_.Unmap(Ipa(kBase), kGiB, batch);
    static_cast<void>(batch.Complete());
  }
  // One page of each block is mapped anew with what it had: the block becomes
  // pages.
  void SplitBlocks() {
    for (uint64_t ipa = kBase; ipa < kBase + kGiB; ipa += kBlock) {
      SpinlockHolder hold(table_.lock);
      auto cursor = *table_.Find(Ipa(ipa));
      auto pages = *table_.stock.Reserve(cursor.tables_missing());
      TlbBatch<G> batch(table_);
      table_.MapAt(cursor, PhysAddr(kOutput + ipa), attr_, pages, batch);
      static_cast<void>(batch.Complete());
    }
  }
  // Teardown in calls of a bounded length.
  void Prune() {
    Ipa at(0);
    while (at.value() < uint64_t{1} << 48) {
      SpinlockHolder hold(table_.lock);
      TlbBatch<G> batch(table_);
      uint32_t budget = 256;
      table_.Prune(at, &budget, &at, batch);
      static_cast<void>(batch.Complete());
    }
  }
  void SetSoftware() {
    SpinlockHolder hold(table_.lock);
    table_.SetSoftware(Ipa(kBase), kGiB, software_ ^= 1);
  }

  void WriteProtect() {
    SpinlockHolder hold(table_.lock);
    table_.WriteProtect(Ipa(kBase), kGiB);
  }
  void ClearYoung() {
    SpinlockHolder hold(table_.lock);
    benchmark::DoNotOptimize(table_.TestClearAccessed(Ipa(kBase), kGiB));
  }
  void MakeYoung(const std::vector<uint64_t>& order) {
    for (const uint64_t ipa : order) {
      SpinlockHolder hold(table_.lock);
      auto cursor = *table_.Find(Ipa(ipa));
      table_.SetAccessedAt(cursor);
    }
  }

  // ---- for the sparse table: one page in each 2 MiB of 64 GiB

  void MapSparse() {
    std::mt19937_64 random(2);
    sparse_.clear();
    for (uint64_t ipa = kBase; ipa < kBase + kSparse; ipa += kBlock) {
      sparse_.push_back(ipa + (random() % 512) * kPage);
    }
    std::shuffle(sparse_.begin(), sparse_.end(), random);
    MapPages(sparse_);
  }

  const std::vector<uint64_t>& sequential() const { return sequential_; }
  const std::vector<uint64_t>& random() const { return random_; }
  const std::vector<uint64_t>& sparse() const { return sparse_; }
  // One page over and over.
  std::vector<uint64_t> Hot() const {
    return std::vector<uint64_t>(kPages, kBase + 5 * kPage);
  }

 private:
  [[gnu::always_inline]] void MapPage(uint64_t ipa)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_.lock) {
    auto cursor = *table_.Find(Ipa(ipa));
    auto pages = *table_.stock.Reserve(cursor.tables_missing());
    TlbBatch<G> batch(table_);
    table_.MapAt(cursor, PhysAddr(kOutput + ipa), attr_, pages, batch);
    static_cast<void>(batch.Complete());
  }
  [[gnu::always_inline]] void AnnotatePage(uint64_t ipa)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_.lock) {
    auto cursor = *table_.Find(Ipa(ipa));
    auto pages = *table_.stock.Reserve(cursor.tables_missing());
    TlbBatch<G> batch(table_);
    table_.AnnotateAt(cursor, Donation(ipa), pages, batch);
    static_cast<void>(batch.Complete());
  }
  [[gnu::always_inline]] void UnmapPage(uint64_t ipa)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_.lock) {
    auto cursor = *table_.Find(Ipa(ipa));
    TlbBatch<G> batch(table_);
    table_.UnmapAt(cursor, batch);
    static_cast<void>(batch.Complete());
  }
  [[gnu::always_inline]] uint64_t GetLeaf(uint64_t ipa)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table_.lock) {
    const auto cursor = *table_.Find(Ipa(ipa));
    return cursor.pte().raw() + static_cast<uint64_t>(cursor.level().value());
  }
  static Annotation Donation(uint64_t ipa) {
    return Annotation::HostDonationToGuest(VmHandle(0x1000), Gfn(ipa / kPage));
  }

  flat::Machine machine_;
  flat::OnCpu on_cpu_;
  Stage2<G> table_;
  Stage2Attr attr_;
  unsigned software_ = 0;
  std::vector<uint64_t> sequential_;
  std::vector<uint64_t> random_;
  std::vector<uint64_t> sparse_;
};

void Nothing(World&) {}
void Mapped(World& w) { w.MapRange(kPageLevel); }
// Mapped, and not accessed since.
void Old(World& w) {
  w.MapRange(kPageLevel);
  w.ClearYoung();
}
std::vector<uint64_t> hot_order;  // NOLINT: made by prepare, used by run

using bench::kNone;
using Operation = bench::Operation<World>;
const Operation kOperations[] = {
    {"map_page_seq", "map, page by page, sequential", 43, 960, 5.1, 117, 0.20,
     kPages, Nothing, [](World& w) { w.MapPages(w.sequential()); }},
    {"map_page_rand", "map, page by page, random", 61, 960, 8.1, 117, 0.20,
     kPages, Nothing, [](World& w) { w.MapPages(w.random()); }},
    {"map_range", "map 1 GiB in one call, 4 KiB leaves", 13.7, 276, 0.39, 8,
     0.10, kPages, Nothing, [](World& w) { w.MapRange(kPageLevel); }},
    {"map_blocks", "map 1 GiB in one call, 2 MiB blocks (per block)", 10.3, 248,
     0.47, 11, 0.10, kGiB / kBlock, Nothing,
     [](World& w) { w.MapRange(Level(2)); }},
    {"leaf_hot", "get_leaf, hot", 23, 509, 2.4, 62, 0.20, kPages,
     [](World& w) {
       Mapped(w);
       hot_order = w.Hot();
     },
     [](World& w) { w.GetLeaves(hot_order); }},
    {"leaf_seq", "get_leaf, sequential in 1 GiB", 21.5, 512, 2.9, 65, 0.20,
     kPages, Mapped, [](World& w) { w.GetLeaves(w.sequential()); }},
    {"leaf_rand", "get_leaf, random in 1 GiB", 26.8, 512, 5.4, 65, 0.20, kPages,
     Mapped, [](World& w) { w.GetLeaves(w.random()); }},
    {"leaf_sparse", "get_leaf, random in 64 GiB sparse", 203, 509, 36, 62, 0.20,
     kSparse / kBlock, [](World& w) { w.MapSparse(); },
     [](World& w) { w.GetLeaves(w.sparse()); }},
    {"unmap_page_seq", "unmap, page by page, sequential", 39, 714, 4.0, 100,
     0.20, kPages, Mapped, [](World& w) { w.UnmapPages(w.sequential()); }},
    {"unmap_page_rand", "unmap, page by page, random", 43, 714, 6.6, 100, 0.20,
     kPages, Mapped, [](World& w) { w.UnmapPages(w.random()); }},
    {"unmap_range", "unmap, one range", 5.7, 123, 0.28, 12, 0.10, kPages,
     Mapped, [](World& w) { w.UnmapRange(); }},
    {"annotate_page_seq", "annotate, page by page, sequential", 39, 856, 4.4,
     111, 0.20, kPages, Nothing,
     [](World& w) { w.AnnotatePages(w.sequential()); }},
    {"annotate_page_rand", "annotate, page by page, random", 45, 856, 7.4, 111,
     0.20, kPages, Nothing, [](World& w) { w.AnnotatePages(w.random()); }},
    {"annotate_page_mapped", "annotate mapped pages, page by page", kNone,
     kNone, kNone, kNone, 0.20, kPages, Mapped,
     [](World& w) { w.AnnotatePages(w.random()); }},
    {"annotate_range", "annotate, one range, empty", 9.4, 212, 0.43, 7, 0.10,
     kPages, Nothing, [](World& w) { w.AnnotateRange(); }},
    {"annotate_range_mapped", "annotate, one range, mapped", 10.3, 228, 0.43, 7,
     0.10, kPages, Mapped, [](World& w) { w.AnnotateRange(); }},
    {"wrprotect_range", "wrprotect, one range", 3.8, 94, 0.43, 9, 0.15, kPages,
     Mapped, [](World& w) { w.WriteProtect(); }},
    {"young_range", "clear young, one range", 3.4, 74, 0.44, 10, 0.15, kPages,
     Mapped, [](World& w) { w.ClearYoung(); }},
    {"mkyoung_rand", "mkyoung, random", 28, 557, 5.3, 61, 0.20, kPages, Old,
     [](World& w) { w.MakeYoung(w.random()); }},
    {"software_range", "set software bits, one range", kNone, kNone, kNone,
     kNone, 0.10, kPages, Mapped, [](World& w) { w.SetSoftware(); }},
    {"map_page_held", "map, random, lock held by the caller", 61, 960, 8.1, 117,
     0.20, kPages, Nothing, [](World& w) { w.MapPagesHeld(w.random()); }},
    {"leaf_held", "get_leaf, random in 1 GiB, lock held", 26.8, 512, 5.4, 65,
     0.20, kPages, Mapped, [](World& w) { w.GetLeavesHeld(w.random()); }},
    {"unmap_page_held", "unmap, random, lock held", 43, 714, 6.6, 100, 0.20,
     kPages, Mapped, [](World& w) { w.UnmapPagesHeld(w.random()); }},
    {"annotate_page_held", "annotate, random, lock held", 45, 856, 7.4, 111,
     0.20, kPages, Nothing, [](World& w) { w.AnnotatePagesHeld(w.random()); }},
    {"destroy", "destroy a 1 GiB table (of poison, in bounded calls)", 5.1, 97,
     0.10, 8, 0.10, kPages, [](World& w) { w.AnnotateRange(); },
     [](World& w) { w.Prune(); }},
    {"split", "split 1 GiB of blocks to pages", 13.7, 283, 0.14, 2.6, 0.10,
     kPages, [](World& w) { w.MapRange(Level(2)); },
     [](World& w) { w.SplitBlocks(); }},
};

// Enough table pages for the operation: 1 GiB of pages, or the sparse 64 GiB.
uint32_t StockFor(const Operation& operation) {
  return operation.units == kSparse / kBlock ? 33'000 : 600;
}
std::unique_ptr<World> MakeWorld(const Operation& operation) {
  return std::make_unique<World>(StockFor(operation));
}

}  // namespace
}  // namespace holdfast::pgtable

int main(int argc, char** argv) {
  using namespace holdfast::pgtable;  // NOLINT
  return holdfast::bench::Program<World>(kOperations, MakeWorld)
      .Main(argc, argv);
}
