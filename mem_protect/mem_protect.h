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

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "base/addr.h"
#include "base/cpu_features.h"
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

  // Gives a page of the host to the guest at `gfn`.
  // C: host OWNED as in ShareHyp; gfn in range (ERANGE) and with neither page
  // nor poison (EPERM); stock for the guest's tables (ENOMEM, and `*short_of`
  // is how many frames of stock are missing). E: host annotation, flushed; the
  // page cleaned to PoC; mapped for the guest.
  Status DonateGuest(Vm& vm, uint64_t pfn, uint64_t gfn, uint64_t* short_of);

  // Takes a page of a dying VM back for the host: zeroed if the guest owned it,
  // as it is if the guest shared it.
  // C: ERANGE; nothing there: ENOENT; poison: success (the host has it
  // already); state OWNED or SHARED_OWNED, else EPERM. `*next`: the next gfn
  // that may hold a page, or kNoGfn; set on success and on ENOENT.
  Status ReclaimDying(Vm& vm, uint64_t gfn, uint64_t* next);

  // Takes a page back from a protected guest that still runs; its gfn is
  // poisoned for the VM's life, and the page reads zero. C: beyond the PA size,
  // not RAM, or NOMAP: EFAULT; the host may touch it now: EAGAIN; hyp's: EPERM;
  // of no VM that is known: EAGAIN; at its gfn no page any more: EHWPOISON or
  // ENOENT; another page there: EPERM; not OWNED: EPERM.
  Status ForceReclaim(VmTable& vms, uint64_t pfn);

  // A protected guest lets the host use one of its pages (`ipa`, page aligned:
  // EINVAL). C: in range (ERANGE); a page there (EHWPOISON, ENOENT, E2BIG);
  // guest OWNED (EPERM). E: guest SHARED_OWNED, host BORROWED and mapped.
  Status GuestShareHost(Vm& vm, uint64_t ipa);
  // ... and no longer. C: as above, guest SHARED_OWNED (EPERM). E: gone from
  // the host; guest OWNED. The contents are what the host left.
  Status GuestUnshareHost(Vm& vm, uint64_t ipa);

  // ---- Host and non-protected guest ----------------------------------------
  // `pages` is 1, or kBlockPages with pfn and gfn aligned to it; else EINVAL. A
  // gfn beyond the input range is ERANGE.

  // Pages of a block, or 0: none. Blocks of larger granules take too long to
  // clean.
  static constexpr uint64_t kBlockPages =
      Granule::kPageShift <= 12 ? Granule::kEntries : 0;

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

  // Whether the guest's gfn at `ipa` is poisoned. C: ERANGE; its table is not
  // there (EINVAL).
  Result<bool> IsPoisoned(Vm& vm, Ipa ipa);

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

  // host.cc
  PageRecord& Record(Pfn pfn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  static void NoteRecord(Pfn pfn, const PageRecord& record);
  Status CheckHost(const FrameRange& range, PageState want) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  // The region of a range that the host may own: RAM of one region (EINVAL),
  // not NOMAP; in one gap (EPERM).
  Result<const Region*> HostMemory(const FrameRange& range) const;
  void SetHost(Pfn pfn, PageState state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  uint32_t HostTablesFor(std::span<const FrameRange> ranges,
                         Level largest_leaf) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Result<Reservation> ReserveHostTables(std::span<const FrameRange> ranges,
                                        Level largest_leaf = kPageLevel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void RecycleMmio() ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Vacated TakeFromHost(const FrameRange& range, pgtable::Annotation owner,
                       Reservation& tables)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void MapForHost(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void GiveToHost(Vacated pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  pgtable::Stage2Attr HostAttr(const pgtable::Prot& prot) const;
  Level LargestLeafFor(const Region& region, Ipa ipa, Level deepest) const;

  // hyp.cc
  Status CheckHyp(const FrameRange& range, PageState want)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  void SetHyp(Pfn pfn, PageState state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  Status CheckDonateHyp(std::span<const FrameRange> ranges)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void GiveToHyp(Vacated pages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  Status CheckPin(Pfn pfn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void CommitPin(Pfn pfn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  uint64_t HypTablesFor(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);
  void MapAtHyp(const FrameRange& range)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(hyp_.lock);

  // guest.cc
  Status ReserveGuestTables(Vm& vm, uint32_t tables, Reservation* reservation,
                            uint64_t* short_of)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  Vacated TakeFromGuest(Vm& vm, Stage2::Cursor& at, const FrameRange& pages,
                        bool poison) ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vm.stage2.lock);
  void Scrub(const FrameRange& pages) const;

  // guest_share.cc
  Result<pgtable::Stage2Attr> GuestAttr(const pgtable::Prot& prot,
                                        PageState state) const;
  Result<Ipa> GuestRange(const Vm& vm, uint64_t gfn, uint64_t pages) const;
  Status CheckShareable(const FrameRange& pages)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);

  // force_reclaim.cc
  struct Owner {
    Vm* vm = nullptr;
    Gfn gfn;
  };
  Result<Owner> FindOwner(VmTable& vms, Pfn pfn)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(vms.lock)
          ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);
  Status ForceReclaimFrom(const Owner& owner, Pfn pfn)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(host_.lock);

  // What the host passed, if it is within the PA size and not empty. EINVAL.
  Result<Pfn> HostFrame(uint64_t pfn) const;
  Result<FrameRange> HostFrames(uint64_t pfn, uint64_t pages) const;

  MemoryMap map_;
  CpuFeatures features_;
  FrameRange carveout_;  // what is left of it during Init

  // The host's stage 2. Its lock guards page records too.
  Stage2 host_;
  // EL2's stage 1. Linear, at identity: HypVa == PhysAddr.
  HypTable hyp_;
  std::array<RegionRecords, MemoryMap::kMaxRegions> records_;
};

}  // namespace holdfast::mem_protect

#endif  // HOLDFAST_MEM_PROTECT_MEM_PROTECT_H_
