// SPDX-License-Identifier: Apache-2.0
//
// How EL2's carve-out is laid out, and the first owners of RAM.
#include <algorithm>
#include <span>

#include "base/check.h"
#include "base/machine.h"
#include "mem_protect/mem_protect.h"

namespace holdfast::mem_protect {
namespace {

using Granule = MemProtect::Granule;

// A root has at most 16 concatenated tables (Arm ARM D8.2.2).
constexpr uint64_t kMaxRootFrames = 16;
constexpr uint64_t kMmioBytes = uint64_t{1} << 30;
constexpr int kLevels = 5;
// At EL2, for what the platform maps there besides: its image, devices.
constexpr uint64_t kPlatformTables = 32;

// Tables that map `pages` pages one by one, wherever they lie: each level needs
// one for every kEntries of the level below, rounded up.
uint64_t TablesFor(uint64_t pages) {
  uint64_t total = 0;
  for (int level = 0; level < kLevels; ++level) {
    pages = (pages + Granule::kEntries - 1) / Granule::kEntries;
    total += pages;
  }
  return total;
}

// Tables of one stage for all RAM by pages, and for 1 GiB of what there is of
// MMIO: its mappings can be made again, so more of it shares them.
uint64_t TablesForAll(std::span<const Region> regions) {
  uint64_t tables = 0;
  uint64_t mmio_pages = 0;
  for (const Region& region : regions) {
    const uint64_t pages = region.end_pfn() - region.first_pfn();
    // An unaligned start can touch one table more than its size says, a level.
    tables += kLevels;
    if (region.IsRam()) {
      tables += TablesFor(pages);
    } else {
      mmio_pages += pages;
    }
  }
  return tables + TablesFor(std::min(mmio_pages, kMmioBytes >> kPageShift));
}

uint64_t RecordFrames(std::span<const Region> regions) {
  uint64_t frames = 0;
  for (const Region& region : regions) {
    if (!region.IsRam()) continue;
    frames +=
        PagesFor((region.end_pfn() - region.first_pfn()) * sizeof(PageRecord));
  }
  return frames;
}

}  // namespace

uint64_t MemProtect::CarveoutFrames(std::span<const Region> regions) {
  // Host root and its alignment, hyp root, records, and the tables of both.
  return 2 * kMaxRootFrames + 1 + RecordFrames(regions) +
         2 * TablesForAll(regions) + kPlatformTables;
}

PhysAddr MemProtect::Carve(uint64_t frames, uint64_t align_frames) {
  const uint64_t first = carveout_.first.value();
  const uint64_t skip = (align_frames - first % align_frames) % align_frames;
  HOLDFAST_CHECK(skip + frames <=
                 carveout_.count);  // Init has checked the total
  const Pfn start = carveout_.first + skip;
  carveout_ = FrameRange{start + frames, carveout_.count - skip - frames};
  return start.address();
}

// Nothing is mapped for the host yet, so nobody has to be shown out.
Status MemProtect::OwnAtBoot(const FrameRange& range) {
  HOLDFAST_TRY_ASSIGN(Reservation tables, ReserveHostTables({&range, 1}));
  const Pages pages = PagesOf(range);
  static_cast<void>(
      TakeFromHost(pages, pgtable::Annotation::HostDonationToHyp(), tables));
  SetHyp(pages, PageState::kOwned);
  return {};
}

// For who reads the event stream and was not there.
void MemProtect::NoteMachine(const Config& config, PhysAddr hyp_root) const {
  const auto note = [](EventKind kind, uint64_t a, uint64_t b, uint64_t c = 0) {
    machine::OnNote(kind, a, b, c, 0, 0, 0);
  };
  machine::OnNote(
      EventKind::kMachine, kPageShift, features_.pa_bits,
      uint64_t{features_.fwb} | uint64_t{features_.xnx} << 1 |
          uint64_t{features_.hafdbs} << 2 | uint64_t{features_.dic} << 3,
      Vm::BytesFor(0), Vm::BytesFor(1) - Vm::BytesFor(0), Vm::BytesForVcpu());
  for (const Region& region : map_.regions()) {
    note(EventKind::kRegion, region.base.value(), region.size,
         static_cast<uint64_t>(region.kind));
  }
  note(EventKind::kBootFrames, config.carveout.first.value(),
       config.carveout.count);
  for (const FrameRange& image : config.image)
    note(EventKind::kBootFrames, image.first.value(), image.count);
  note(EventKind::kHypTable, hyp_root.value(), features_.pa_bits,
       reinterpret_cast<uintptr_t>(&hyp_.lock));
}

Status MemProtect::Init(const Config& config) {
  // EL2 maps at identity, so its stage 1 must reach all of it.
  if (!pgtable::HypBitsAllowed<Granule>(config.features.pa_bits))
    return Error(Errno::kEinval);
  HOLDFAST_TRY(map_.Init(config.regions, config.features.pa_bits));
  features_ = config.features;
  host_memory_ = HostAttr(pgtable::kHostMemory);
  guest_memory_ = *GuestAttr(pgtable::kGuestMemory, PageState::kOwned);
  carveout_ = config.carveout;

  // Validate.
  if (carveout_.count < CarveoutFrames(map_.regions()))
    return Error(Errno::kEnomem);
  if (map_.FindRam(carveout_.start(), carveout_.size()) == nullptr)
    return Error(Errno::kEinval);
  for (size_t i = 0; i < config.image.size(); ++i) {
    const FrameRange& image = config.image[i];
    if (map_.FindRam(image.start(), image.size()) == nullptr ||
        image.Overlaps(config.carveout)) {
      return Error(Errno::kEinval);
    }
    for (const FrameRange& before : config.image.first(i)) {
      if (image.Overlaps(before)) return Error(Errno::kEinval);
    }
  }

  // Tables and records. The carve-out is zero: all RAM is the host's so far.
  const pgtable::Stage2Shape shape =
      pgtable::ShapeFor<Granule>(features_.pa_bits);
  const PhysAddr host_root = Carve(shape.root_pages, shape.root_pages);
  const PhysAddr hyp_root = Carve(1, 1);
  for (size_t i = 0; i < map_.regions().size(); ++i) {
    const Region& region = map_.regions()[i];
    if (!region.IsRam()) continue;
    const uint64_t pages = region.end_pfn() - region.first_pfn();
    const PhysAddr start = Carve(PagesFor(pages * sizeof(PageRecord)), 1);
    records_[i].first = static_cast<PageRecord*>(machine::PhysToVirt(start));
  }
  NoteMachine(config, hyp_root);
  const uint64_t hyp_tables = TablesForAll(map_.regions()) + kPlatformTables;
  host_.Init(kHostVmid, shape, features_, host_root);
  hyp_.Init(hyp_root, features_.pa_bits);

  SpinlockHolder host_hold(host_.lock);
  SpinlockHolder hyp_hold(hyp_.lock);
  hyp_.stock.PushRun(Carve(hyp_tables, 1), static_cast<uint32_t>(hyp_tables));
  const uint64_t host_tables = carveout_.count;
  host_.stock.PushRun(Carve(host_tables, 1),
                      static_cast<uint32_t>(host_tables));

  // Owners. The image stays as the platform maps it, the carve-out is data.
  HOLDFAST_TRY(OwnAtBoot(config.carveout));
  for (const FrameRange& image : config.image) HOLDFAST_TRY(OwnAtBoot(image));
  MapAtHyp(config.carveout);
  return {};
}

}  // namespace holdfast::mem_protect
