// SPDX-License-Identifier: Apache-2.0
//
// Who owns each page of RAM, and the page tables that enforce it.
//
// Components: the host (stage 2, identity, filled lazily), the hypervisor (its
// own stage 1), guests (a stage 2 each, in vm_table::Vm). Every transition
// below runs in three steps: validate (all checks, in the order of its comment,
// no change), plan (reserve the table pages it can need), commit (cannot fail).
// There is no undo. Where a page changes hands, the old holder's translation is
// gone everywhere first: the new one is let in only for a FlushReceipt.
//
// Lock order: VM table, host, then hyp or a VM. Each call takes what it needs;
// none may be held by the caller unless a comment says so.
#ifndef HOLDFAST_MEM_PROTECT_MEM_PROTECT_H_
#define HOLDFAST_MEM_PROTECT_MEM_PROTECT_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/cpu_features.h"
#include "base/machine.h"
#include "base/note.h"
#include "base/result.h"
#include "base/spinlock.h"
#include "mem_protect/guest_entry.h"
#include "mem_protect/memory_map.h"
#include "mem_protect/page_record.h"
#include "mem_protect/vacated.h"
#include "pgtable/attr.h"
#include "pgtable/geometry.h"
#include "pgtable/hyp_table.h"
#include "pgtable/stage2.h"
#include "pgtable/tlb.h"
#include "vm_table/vm.h"
#include "vm_table/vm_table.h"

namespace holdfast::mem_protect {

using vm_table::FrameRange;
using vm_table::Vm;
using vm_table::VmTable;

// Why a host's access was refused by stage 2 (Arm ARM D19.2.37, DFSC/IFSC).
enum class FaultKind : uint8_t { kTranslation, kPermission, kOther };

// What to do about it.
enum class FaultAction : uint8_t {
  kRetry,   // it would work now
  kInject,  // the host may not have it: give it an abort
};

// The gfn that ReclaimDying names as next when there is none.
inline constexpr uint64_t kNoGfn = ~uint64_t{0};

class MemProtect {
 public:
  using Granule = pgtable::BuildGranule;
  using Stage2 = pgtable::Stage2<Granule>;
  using HypTable = pgtable::HypTable<Granule>;

  struct Config {
    CpuFeatures features;
    // As MemoryMap::Init wants them.
    std::span<const Region> regions;
    // RAM for page records and tables, EL2's from now on:
    // CarveoutFrames(regions) frames or more, all zero, aligned to 16
    // pages.
    FrameRange carveout;
    // RAM that is EL2's already: its image.
    std::span<const FrameRange> image;
  };

  // Frames of a carve-out that suffices for any pattern of ownership: a table
  // entry for every page of RAM, at EL2 and for the host, and up to 1 GiB of
  // MMIO.
  static uint64_t CarveoutFrames(std::span<const Region> regions);

  MemProtect() : host_(LockRank::kHost), hyp_(LockRank::kHypOrVm) {}

  // Once, on one CPU, before the host runs. Maps the carve-out in EL2's stage
  // 1; the platform adds its image and devices through hyp_table(). EINVAL:
  // a PA size EL2 cannot map, MemoryMap::Init, or a range is not RAM or they
  // overlap; ENOMEM: the carve-out is too small.
  Status Init(const Config& config);

  const MemoryMap& map() const { return map_; }
  const CpuFeatures& features() const { return features_; }
  // For VTTBR_EL2 and VTCR_EL2 while the host runs.
  const Stage2Context& host_context() const { return host_.context(); }
  // Guests have the host's input size, hence its shape.
  const pgtable::Stage2Shape& stage2_shape() const { return host_.shape(); }

  // For the platform (mappings of its image) and for tests and debuggers.
  HypTable& hyp_table() { return hyp_; }
  Stage2& host_table() { return host_; }
  // The record of a page of RAM, or null. A reading for tests: hold the host
  // table's lock, or have the machine stopped.
  const PageRecord* RecordOf(Pfn pfn) const;

  // ---- Host and hypervisor -------------------------------------------------

  // C: RAM of one region (EINVAL), not NOMAP (EPERM), host OWNED, hyp NOPAGE
  // (EPERM). EINVAL too: beyond the PA size.
  // E: hyp BORROWED, host SHARED_OWNED. Mapped at EL2 only once it is pinned.
  Status ShareHyp(uint64_t pfn);
  // C: as above, host SHARED_OWNED, hyp BORROWED (EPERM); not pinned (EBUSY).
  Status UnshareHyp(uint64_t pfn);

  // Takes several runs of the host's frames for the hypervisor, all or none.
  // C: each as in ShareHyp, with no run empty, and no two overlapping (EINVAL).
  // E: gone from the host, mapped RW at EL2. Contents stay as the host left
  // them: the caller zeroes them first of all. ENOMEM: no table pages.
  Status DonateHyp(std::span<const FrameRange> ranges);
  // DonateHyp(memory) and a pin on `run_page` (C: SHARED_OWNED by the host and
  // borrowed by hyp (EPERM), never pinned (EBUSY): a page has one role), both
  // or neither.
  Status DonateHypAndPin(const FrameRange& memory, Pfn run_page);
  // Gives frames back. The caller has zeroed and cleaned them. C: hyp OWNED,
  // host NOPAGE (EPERM), nobody counts on them (EBUSY).
  Status HypDonateHost(const FrameRange& range);

  // Keeps a page that the host shares with hyp mapped at EL2 and
  // un-unshareable. C: host SHARED_OWNED, hyp BORROWED (EPERM); count saturated
  // (EBUSY).
  Status Pin(Pfn pfn);
  void Unpin(Pfn pfn);

  // ---- Host and firmware (FF-A) ---------------------------------------------
  // For a proxy of the host's FF-A memory calls: what EL2 remembers of pages
  // that the secure world was let in to.

  // C: as in ShareHyp, each page. E: host SHARED_OWNED, nobody of ours borrows.
  Status ShareFfa(uint64_t pfn, uint64_t pages);
  // C: as above; host SHARED_OWNED, and neither hyp nor a guest is who it was
  // shared with (EPERM). E: host OWNED.
  Status UnshareFfa(uint64_t pfn, uint64_t pages);

  // ---- Host and protected guest ---------------------------------------------
  // Each does `pages` pages (0: EINVAL) as if one by one, until one fails or
  // the call has done what it may, kRangePages at most; it gives how many it
  // did, and an error only if that is none: the first page's. What must hold of
  // each page is said below for one.
  //
  // A block of the host's that goes to a guest as a whole stays one, on both
  // sides, and takes the table pages that its pages would: what it has no use
  // for yet is its deposit in both stocks. So the block can be split when a
  // part of it changes hands, and never finds a stock empty.

  // The most pages that one call handles, all in one table: zeroing or cleaning
  // them, 2 MiB, bounds its time.
  static constexpr uint64_t kRangePages =
      std::min<uint64_t>((uint64_t{2} << 20) >> kPageShift, Granule::kEntries);
  // Pages of a block, or 0: none. Blocks of larger granules take too long to
  // clean.
  static constexpr uint64_t kBlockPages =
      Granule::kPageShift <= 12 ? Granule::kEntries : 0;

  // Gives pages of the host, from `pfn` on, to the guest, from `gfn` on.
  // C: all frames within the PA size (EINVAL); host OWNED as in ShareHyp; all
  // gfns in range (ERANGE), with neither page nor poison (EPERM); stock for the
  // guest's tables (ENOMEM, and `*short_of` is how many frames of stock are
  // missing). E: host annotation, flushed; cleaned to PoC; mapped for the
  // guest.
  Result<uint64_t> DonateGuest(Vm& vm, uint64_t pfn, uint64_t gfn,
                               uint64_t pages, uint64_t* short_of);

  // Takes what a dying VM has from `gfn` on back for the host: zeroed if the
  // guest owned it, as it is if the guest shared it. Holes are skipped.
  // C: gfn in range (ERANGE); nothing there: ENOENT; poison: success (the host
  // has it already); a block of a non-protected VM: E2BIG; state OWNED or
  // SHARED_OWNED, else EPERM. `*next`: the next gfn that may hold a page, or
  // kNoGfn; set on success and on ENOENT.
  Status ReclaimDying(Vm& vm, uint64_t gfn, uint64_t pages, uint64_t* next);

  // Takes pages back, from `pfn` on, from a protected guest that still runs;
  // their gfns are poisoned for the VM's life, and the pages read zero. One
  // call ends where the VM or the order of the gfns does. C: beyond the PA
  // size, not RAM, or NOMAP: EFAULT; the host may touch it now: EAGAIN; hyp's:
  // EPERM; of no VM that is known: EAGAIN; at its gfn no page any more:
  // EHWPOISON or ENOENT; another page there: EPERM; not OWNED: EPERM.
  Result<uint64_t> ForceReclaim(VmTable& vms, uint64_t pfn, uint64_t pages);

  // A protected guest lets the host use pages of its own, from `ipa` on (page
  // aligned: EINVAL). C: all in range (ERANGE); a page there (EHWPOISON,
  // ENOENT); guest OWNED (EPERM). E: guest SHARED_OWNED, host BORROWED and
  // mapped.
  Result<uint64_t> GuestShareHost(Vm& vm, uint64_t ipa, uint64_t pages);
  // ... and no longer. C: as above, guest SHARED_OWNED (EPERM). E: gone from
  // the host; guest OWNED. The contents are what the host left.
  Result<uint64_t> GuestUnshareHost(Vm& vm, uint64_t ipa, uint64_t pages);

  // ---- Host and non-protected guest ----------------------------------------
  // `pages` is 1, or kBlockPages with pfn and gfn aligned to it; else EINVAL. A
  // gfn beyond the input range is ERANGE.

  // Lets a guest use pages of the host, which keeps them.
  // C: rights that the CPU can express (EINVAL); frames within the PA size,
  // number of pages (EINVAL); RAM of one region (EINVAL), not NOMAP (EPERM);
  // nothing at the gfns (ERANGE, EPERM); each page host OWNED, or shared with
  // guests already (EPERM; as often as can be counted: EBUSY); stock (ENOMEM,
  // `*short_of` as in DonateGuest). E: host SHARED_OWNED, counted; mapped for
  // the guest, BORROWED.
  Status ShareGuest(Vm& vm, uint64_t pfn, uint64_t gfn, uint64_t pages,
                    const pgtable::Prot& prot, uint64_t* short_of);
  // C: number of pages (EINVAL); ERANGE; nothing there: ENOENT; a leaf of
  // another size: E2BIG; guest BORROWED (EPERM). E: gone from the guest; host
  // OWNED if nobody else has it. Works on a dying VM. Contents stay.
  Status UnshareGuest(Vm& vm, uint64_t gfn, uint64_t pages);

  // Rights of leaves, for a host's page ageing and dirty tracking.
  // Adds what `prot` allows to the leaf at `gfn`. C: rights that the CPU can
  // express (EINVAL); ERANGE; no leaf: EAGAIN.
  Status RelaxPerms(Vm& vm, uint64_t gfn, const pgtable::Prot& prot);
  // Takes the right to write away. Effective once the VMID was flushed.
  // C: number of pages (EINVAL); ERANGE. Holes are skipped.
  Status WriteProtect(Vm& vm, uint64_t gfn, uint64_t pages);
  // Whether the guest accessed any of the pages; `clear`: forgets it. C: as in
  // WriteProtect.
  Result<bool> TestClearYoung(Vm& vm, uint64_t gfn, uint64_t pages, bool clear);
  // Marks the leaf at `gfn`, if there is one, as accessed. C: ERANGE.
  Status MakeYoung(Vm& vm, uint64_t gfn);

  // Whether the guest's gfn at `ipa` is poisoned. C: ERANGE; no page could be
  // there, for want of a table (EINVAL).
  Result<bool> IsPoisoned(Vm& vm, Ipa ipa);
  // Whether the guest has a page or a block at `ipa` (any byte of it).
  bool IsMapped(Vm& vm, Ipa ipa);

  // ---- Aborts --------------------------------------------------------------

  // A host access at `ipa` was refused. Maps it if it is the host's: as large a
  // block as lies in its region and holds no other entry.
  FaultAction HandleHostFault(Ipa ipa, FaultKind kind);

 private:
  using Reservation = pgtable::PagePool<Granule>::Reservation;
  using HostBatch = pgtable::TlbBatch<Granule>;

  struct RegionRecords {
    PageRecord* first = nullptr;  // of the region's first_pfn(); null for MMIO
  };

  // init.cc
  PhysAddr Carve(uint64_t frames, uint64_t align_frames);
  void NoteMachine(const Config& config, PhysAddr hyp_root) const;
  Status OwnAtBoot(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);

  // Pages of RAM of one region, with their records.
  struct Pages {
    FrameRange frames;
    PageRecord* records = nullptr;
  };

  // host.cc
  Pages PagesOf(const FrameRange& frames)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Pages PagesIn(const Region& region, const FrameRange& frames) const {
    return {
        frames,
        records_[static_cast<size_t>(&region - map_.regions().data())].first +
            (frames.first - region.first_pfn())};
  }
  // What became of pages that are alike now. In the ring they are one event, or
  // a large call would leave nothing else there; the machine hears of each.
  [[gnu::always_inline]] static void NoteRecords(const Pages& pages) {
    const PageRecord& first = pages.records[0];
    machine::ThisCpu().events.Record(
        EventKind::kPageState, pages.frames.first.value(),
        static_cast<uint64_t>(first.host()) | static_cast<uint64_t>(first.hyp())
                                                  << 8,
        pages.frames.count);
    for (uint64_t i = 0; i < pages.frames.count; ++i) {
      const PageRecord& record = pages.records[i];
      machine::OnNote(EventKind::kPageState, pages.frames.first.value() + i,
                      static_cast<uint64_t>(record.host()),
                      static_cast<uint64_t>(record.hyp()), record.count(), 0,
                      0);
    }
  }
  // The region of a range that the host may own: RAM of one region (EINVAL),
  // not NOMAP; in one gap (EPERM).
  Result<const Region*> HostMemory(const FrameRange& range) const;
  Result<Pages> HostPages(const FrameRange& range, PageState host,
                          PageState hyp)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Result<Pages> HostRun(Pfn first, uint64_t most, PageState host, PageState hyp)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  [[gnu::always_inline]] static void SetHost(const Pages& pages,
                                             PageState state) {
    for (uint64_t i = 0; i < pages.frames.count; ++i)
      pages.records[i].set_host(state);
    NoteRecords(pages);
  }
  uint32_t HostTablesFor(std::span<const FrameRange> ranges,
                         Level largest_leaf) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Result<Reservation> ReserveHostTables(std::span<const FrameRange> ranges,
                                        Level largest_leaf = kPageLevel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void RecycleMmio() ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Vacated TakeFromHost(const Pages& pages, pgtable::Annotation owner,
                       Reservation& tables, Level largest = kPageLevel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Vacated TakePageFromHost(Stage2::Cursor& at, const Pages& page,
                           pgtable::Annotation owner)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void MapForHost(const FrameRange& range, Level largest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void MapPageForHost(Stage2::Cursor& at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void GiveToHost(Vacated vacated) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  pgtable::Stage2Attr HostAttr(const pgtable::Prot& prot) const;
  Level LargestLeafFor(const Region& region, Ipa ipa, Level deepest) const;

  // hyp.cc
  static void SetHyp(const Pages& pages, PageState state);
  Status CheckDonateHyp(std::span<const FrameRange> ranges)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void GiveToHyp(Vacated vacated) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  Result<Pages> CheckPin(Pfn pfn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void CommitPin(const Pages& page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  uint64_t HypTablesFor(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void MapAtHyp(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);

  // guest.cc
  // Pages that one call looks at, from page number `first` on: in one
  // last-level table, so that one walk finds all.
  static constexpr uint64_t Chunk(uint64_t first, uint64_t pages) {
    const uint64_t left = kRangePages - first % kRangePages;
    return pages < left ? pages : left;
  }
  static constexpr bool IsBlock(uint64_t first, uint64_t pages) {
    return kBlockPages != 0 && pages == kBlockPages && first % pages == 0;
  }
  Status ReserveGuestTables(Vm& vm, uint32_t tables, Reservation* reservation,
                            uint64_t* short_of)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  static void Deposit(Stage2& table, Reservation& tables)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.lock);
  void SplitBlock(Vm& vm, Stage2::Cursor& at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  void EndBlock(Vm& vm) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  Vacated TakeFromGuest(Vm& vm, Stage2::Cursor& at, const FrameRange& pages)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  uint64_t ReclaimPages(Vm& vm, Ipa ipa, uint64_t pages, bool* any,
                        InTransit& transit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  // Nothing of what a guest had in its pages is left, in memory or in a cache.
  // Done while nobody can reach them.
  void Scrub(const FrameRange& pages) const {
    for (uint64_t i = 0; i < pages.count; ++i)
      machine::ZeroPage((pages.first + i).address());
    if (!features_.dic) machine::InvalidateICache(pages.start(), pages.size());
  }
  void CheckRecords(const FrameRange& frames, bool owned)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void GiveBack(Vacated vacated, PageState guest, InTransit& transit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void Arrive(InTransit& transit);
  Status ReclaimSome(Vm& vm, Ipa ipa, uint64_t most, uint64_t* next,
                     InTransit& transit);

  // guest_host.cc
  static FrameRange RunAt(const Vm& vm, const Stage2::Cursor& at, uint64_t i,
                          uint64_t most)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  Result<uint64_t> CheckGuestRun(Vm& vm, Stage2::Cursor& at, uint64_t pages,
                                 PageState want)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  static void SetGuestState(Vm& vm, Stage2::Cursor& at, uint64_t pages,
                            PageState state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);

  // guest_share.cc
  Result<pgtable::Stage2Attr> GuestAttr(const pgtable::Prot& prot,
                                        PageState state) const;
  Result<Ipa> GuestRange(const Vm& vm, uint64_t gfn, uint64_t pages) const;
  static Status CheckShareable(const Pages& pages);

  // force_reclaim.cc
  struct Owner {
    Vm* vm = nullptr;
    Gfn gfn;
    uint64_t pages = 0;  // that it has one after the other
    Stage2::Cursor at;   // of the first in the host's table
  };
  Result<Owner> FindOwner(VmTable& vms, const Pages& pages)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vms.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void TakePageByForce(Vm& vm, Stage2::Cursor at, Stage2::Cursor& host_at,
                       const Pages& page)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  void TakeRunByForce(Vm& vm, Stage2::Cursor at, const FrameRange& frames,
                      InTransit& transit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  Result<uint64_t> ForceReclaimFrom(Owner& owner, const Pages& pages,
                                    InTransit& transit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);

  // What the host passed, if it is within the PA size and not empty. EINVAL.
  Result<Pfn> HostFrame(uint64_t pfn) const {
    const std::optional<Pfn> frame = Pfn::FromUntrusted(pfn, features_.pa_bits);
    if (!frame.has_value()) return Error(Errno::kEinval);
    return *frame;
  }
  Result<FrameRange> HostFrames(uint64_t pfn, uint64_t pages) const;

  MemoryMap map_;
  CpuFeatures features_;
  // Of RAM the host may use, and of a protected guest's own pages. What they
  // are on this CPU, Init finds out.
  pgtable::Stage2Attr host_memory_ = *pgtable::Stage2Attr::For(
      pgtable::kHostMemory, pgtable::MemStyle::kAsStage1, CpuFeatures());
  pgtable::Stage2Attr guest_memory_ = *pgtable::Stage2Attr::For(
      pgtable::kGuestMemory, pgtable::MemStyle::kFromProt, CpuFeatures());
  FrameRange carveout_;  // what is left of it during Init

  // The host's stage 2. Its lock guards page records too.
  Stage2 host_;
  // EL2's stage 1. Linear, at identity: HypVa == PhysAddr.
  HypTable hyp_;
  std::array<RegionRecords, MemoryMap::kMaxRegions> records_;
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_MEM_PROTECT_H_
