// SPDX-License-Identifier: Apache-2.0
//
// Between host and guest: donate, and reclaim once the VM is dying.
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using pgtable::Stage2Attr;
using GuestBatch = pgtable::TlbBatch<MemProtect::Granule>;

// Tables that NextLeaf may look through on behalf of one call: a table of holes
// costs as much as a few page steps.
constexpr uint32_t kHoleBudget = 8;

}  // namespace

Status MemProtect::DonateGuest(Vm& vm, uint64_t pfn, uint64_t gfn,
                               uint64_t* short_of) {
  HOLDFAST_TRY_ASSIGN(const Pfn frame, HostFrame(pfn));
  const std::optional<Gfn> guest_frame =
      Gfn::FromUntrusted(gfn, vm.stage2.shape().ipa_bits);
  const FrameRange page{frame, 1};
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);

  // Validate.
  HOLDFAST_TRY(CheckHost(page, PageState::kOwned));
  HOLDFAST_TRY(CheckHyp(page, PageState::kNoPage));
  if (!guest_frame.has_value()) return Error(Errno::kErange);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at,
                      vm.stage2.Find(guest_frame->address()));
  HOLDFAST_TRY(GuestEntry::Of(at.pte(), at.level())
                   .Match([](GuestEntry::Absent) { return Status(); },
                          [](GuestEntry::Poisoned) -> Status {
                            return Error(Errno::kEperm);
                          },
                          [](const GuestEntry::Mapped&) -> Status {
                            return Error(Errno::kEperm);
                          }));

  // Plan.
  auto guest_tables = vm.stage2.stock.Reserve(at.tables_missing());
  if (!guest_tables.has_value()) {
    *short_of = at.tables_missing() - vm.stage2.stock.free();
    return Error(Errno::kEnomem);
  }
  HOLDFAST_TRY_ASSIGN(Reservation host_tables, ReserveHostTables({&page, 1}));

  // Commit.
  const Vacated vacated = TakeFromHost(
      page, pgtable::Annotation::HostDonationToGuest(vm.handle(), *guest_frame),
      host_tables);
  // Always to PoC, FWB or not: a host alias of another cacheability could have
  // left memory and cache apart, and the guest would see either.
  machine::CleanInvalidateToPoc(frame.address(), kPageSize);
  if (!features_.dic) machine::InvalidateICache(frame.address(), kPageSize);
  const Stage2Attr attr =
      Stage2Attr::For(pgtable::kGuestMemory, pgtable::MemStyle::kFromProt,
                      features_)
          ->WithSoftware(static_cast<unsigned>(PageState::kOwned));
  GuestBatch batch(vm.stage2);
  vm.stage2.MapAt(at, vacated.frames().start(), attr, *guest_tables, batch);
  static_cast<void>(batch.Complete());
  ++vm.guest_pages;
  machine::ThisCpu().events.Record(EventKind::kGuestLeaf, gfn, at.pte().raw(),
                                   vm.handle().value());
  return {};
}

Status MemProtect::ReclaimDying(Vm& vm, uint64_t gfn, uint64_t* next) {
  const std::optional<Gfn> guest_frame =
      Gfn::FromUntrusted(gfn, vm.stage2.shape().ipa_bits);
  if (!guest_frame.has_value()) return Error(Errno::kErange);
  const Ipa ipa = guest_frame->address();
  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder vm_hold(vm.stage2.lock);
  HOLDFAST_TRY_ASSIGN(Stage2::Cursor at, vm.stage2.Find(ipa));

  // The page to take back; none if the host has had it since it was poisoned.
  using Take = Result<std::optional<PhysAddr>>;
  const Take take =
      GuestEntry::Of(at.pte(), at.level())
          .Match(
              [](GuestEntry::Absent) -> Take { return Error(Errno::kEnoent); },
              [](GuestEntry::Poisoned) -> Take { return std::nullopt; },
              [](const GuestEntry::Mapped& mapped) -> Take {
                if (mapped.level != kPageLevel) return Error(Errno::kE2big);
                if (mapped.state != PageState::kOwned)
                  return Error(Errno::kEperm);
                return mapped.page;
              });
  if (!take.has_value() && take.error() != Errno::kEnoent)
    return Error(take.error());

  if (take.has_value() && take->has_value()) {
    const FrameRange page{Pfn::Of(**take), 1};
    HOLDFAST_CHECK(Record(page.first).host() == PageState::kNoPage);
    GuestBatch batch(vm.stage2);
    vm.stage2.UnmapAt(at, batch);
    Vacated vacated =
        Vacated::ByGuest(page, vm.stage2.context().vmid, ipa, batch.Complete());
    --vm.guest_pages;
    // Zeroed while nobody can reach it.
    machine::ZeroPage(page.start());
    if (!features_.dic) machine::InvalidateICache(page.start(), kPageSize);
    GiveToHost(std::move(vacated));
    machine::ThisCpu().events.Record(EventKind::kGuestLeaf, gfn, 0,
                                     vm.handle().value());
  }

  // Where to go on: the next leaf, or as far as this call may look for one.
  *next = kNoGfn;
  const Ipa after = ipa + kPageSize;
  if (vm.guest_pages != 0 && vm.stage2.InRange(after, kPageSize)) {
    Ipa reached = after;
    if (auto leaf = vm.stage2.NextLeaf(after, kHoleBudget, &reached);
        leaf.has_value()) {
      *next = Gfn::Of(leaf->ipa).value();
    } else if (vm.stage2.InRange(reached, kPageSize)) {
      *next = Gfn::Of(reached).value();
    }
  }
  if (!take.has_value()) return Error(take.error());
  return {};
}

}  // namespace holdfast::mem_protect
