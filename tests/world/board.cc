// SPDX-License-Identifier: Apache-2.0
#include "tests/world/board.h"

#include <utility>

#include "base/check.h"
#include "hyp/syndrome.h"
#include "test_text.h"

namespace holdfast::tests {
namespace {

using mem_protect::Region;
using mem_protect::RegionKind;

// Its root has up to 16 pages, aligned to their size.
constexpr uint64_t kCarveoutAlign = 16;

constexpr uint64_t AlignUp(uint64_t value, uint64_t size) {
  return (value + size - 1) / size * size;
}

// The top of `region`, as far as it is whole and aligned frames.
uint64_t CarveoutEnd(const Region& region) {
  return region.end().value() / kPageSize / kCarveoutAlign * kCarveoutAlign;
}

bool HasRoom(const Region& region, uint64_t frames) {
  return region.kind == RegionKind::kMemory &&
         CarveoutEnd(region) >= frames + region.end_pfn().value() -
                                    (region.end_pfn() - region.first_pfn());
}

}  // namespace

std::string ResultName(int64_t x1) {
  if (x1 < 0 && x1 > -4096) {
    return absl::StrCat("-", ErrnoName(static_cast<Errno>(-x1)));
  }
  return absl::StrCat(x1);
}

std::string ToString(const Reply& reply) {
  if (reply.x0 != 0) return "not served";
  return ResultName(reply.result());
}

uint64_t Board::CarveoutFrames(const BoardConfig& config) {
  const uint64_t frames = AlignUp(
      mem_protect::MemProtect::CarveoutFrames(config.regions), kCarveoutAlign);
  for (const Region& region : config.regions) {
    if (HasRoom(region, frames)) return frames;
  }
  return 0;
}

Board::Board(BoardConfig config) : image_(std::move(config.image)) {
  const CpuFeatures features = config.machine.features;
  for (const Region& region : config.regions) {
    if (region.IsRam())
      config.machine.ram.push_back(
          {region.base, AlignUp(region.size, kPageSize)});
  }
  const uint64_t frames = CarveoutFrames(config);
  for (const Region& region : config.regions) {
    if (!HasRoom(region, frames)) continue;
    carveout_ = {Pfn(CarveoutEnd(region) - frames), frames};
    break;
  }
  machine_ = std::make_unique<sim::Machine>(std::move(config.machine));
  on_cpu_ = std::make_unique<sim::OnCpu>(*machine_, 0);
  for (const Region& region : config.regions) {
    if (!region.IsRam())
      machine_->AddMmio({.base = region.base, .size = region.size});
  }
  hv_ = std::make_unique<hyp::Hypervisor>();
  booted_ = hv_->Init({.features = features,
                       .regions = config.regions,
                       .carveout = carveout_,
                       .image = image_});
  if (!booted_.has_value()) return;
  for (unsigned cpu = 0; cpu < machine_->cpus(); ++cpu) {
    machine_->EnableHostStage2(cpu, hv_->host_context());
  }
}

Board::~Board() = default;

Reply Board::Call(uint64_t id, uint64_t x1, uint64_t x2, uint64_t x3,
                  uint64_t x4, uint64_t x5) {
  hyp::HostRegs regs{{id, x1, x2, x3, x4, x5}};
  hv_->HandleHostCall(regs);
  return {regs.x[0], regs.x[1], regs.x[2], regs.x[3]};
}

std::string Board::Trouble() {
  std::vector<std::string> lines;
  for (const sim::Violation& violation : machine_->violations()) {
    lines.push_back(violation.message);
    if (lines.size() == 10) break;
  }
  if (std::string broken = BrokenInvariants(); !broken.empty())
    lines.push_back(broken);
  return absl::StrJoin(lines, "\n");
}

hyp::HostAbort HostAbortOf(const sim::Fault& fault) {
  hyp::HostAbort abort;
  abort.ipa = fault.ipa;
  abort.syndrome = fault.StatusCode();
  switch (fault.kind) {
    case sim::FaultKind::kTranslation:
      abort.kind = mem_protect::FaultKind::kTranslation;
      break;
    case sim::FaultKind::kPermission:
      abort.kind = mem_protect::FaultKind::kPermission;
      break;
    default:
      abort.kind = mem_protect::FaultKind::kOther;
      break;
  }
  return abort;
}

vm_table::GuestExit GuestExitOf(const sim::Fault& fault) {
  const uint64_t ec =
      fault.is_exec ? hyp::kEcInstructionAbortLower : hyp::kEcDataAbortLower;
  const uint64_t wnr = fault.is_write ? hyp::kEsrWnr : 0;
  return {.esr = hyp::EsrOf(ec, wnr | fault.StatusCode()),
          .far = fault.ipa.value(),
          .hpfar = hyp::HpfarOf(fault.ipa)};
}

}  // namespace holdfast::tests
