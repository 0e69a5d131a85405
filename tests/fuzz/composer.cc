// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/composer.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hyp/abi.h"

namespace holdfast::fuzz {
namespace {

constexpr uint64_t kBase = 0x4000'0000;
constexpr uint64_t kNoMap = 0x5000'0000;
constexpr uint64_t kPoolFrames = 96;

}  // namespace

Composer::Composer(const uint8_t* data, size_t size, ScriptRun& run)
    : data_(data), size_(size), run_(run), pool_(kBase >> kPageShift) {
  Machine();
}

uint64_t Composer::Wide() {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | Byte();
  return value;
}

// Its RAM need not be whole pages, nor its IPA size a comfortable one.
void Composer::Machine() {
  constexpr unsigned kBits[] = {40, 36, 39, 48};
  const uint8_t shape = Byte();
  queue_.push_back(
      absl::StrFormat("machine ipa=%u tlb=%s seed=%u", kBits[shape & 3],
                      (shape & 4) != 0 ? "plain" : "adversarial", shape >> 3));
  const uint8_t ram = Byte();
  queue_.push_back(absl::StrFormat("ram %#x %uM", kBase, 16 + (ram & 3)));
  if ((ram & 4) != 0)
    queue_.push_back(absl::StrFormat("ram %#x 64K nomap", kNoMap));
  if ((ram & 8) != 0)
    queue_.push_back(absl::StrFormat("ram %#x %#x", kNoMap + (1 << 20),
                                     (ram & 16) != 0 ? 0x10800 : 0x200000));
  queue_.push_back(absl::StrFormat("cpus %u", 1 + (ram >> 5 & 3)));
  MakeVm((shape & 0x80) != 0);
}

std::optional<std::string> Composer::Next() {
  if (queue_.empty()) {
    if (done()) return std::nullopt;
    const uint8_t what = Byte();
    if (what < 0xa0) {
      CallLine();
    } else if (what < 0xc0) {
      queue_.push_back(GuestLine());
    } else if (what < 0xd0) {
      const char* verb = what < 0xc8 ? "read" : what < 0xce ? "write" : "exec";
      const uint64_t address = (SomePfn() << kPageShift) + Below(4) * 8;
      queue_.push_back(OnCpu(absl::StrFormat(
          "host %s %#x%s", verb, address,
          what >= 0xc8 && what < 0xce ? absl::StrFormat(" %#x", what) : "")));
    } else if (what < 0xd8) {
      queue_.push_back(OnCpu("resume"));
    } else if (what < 0xe0) {
      queue_.push_back(OnCpu(absl::StrFormat("hvc %#x %#x %#x", Nonsense(),
                                             SomePfn(), SomeGfn())));
    } else if (what < 0xe4) {
      MakeVm(what % 2 == 0);
    } else if (what < 0xea) {
      EndVm();
    } else {
      cpu_ = what % run_.cpus();
      return "# CPU " + absl::StrCat(cpu_);
    }
  }
  if (queue_.empty()) return "#";
  const std::string line = queue_.front();
  queue_.pop_front();
  return line;
}

std::string Composer::OnCpu(const std::string& line) const {
  return cpu_ == 0 ? line : absl::StrCat("on ", cpu_, " ", line);
}

// ---- Arguments -------------------------------------------------------------

uint64_t Composer::Nonsense() {
  const uint8_t kind = Byte();
  switch (kind >> 6) {
    case 0:
      return uint64_t{1} << (kind & 63);
    case 1:
      return ~uint64_t{0} - (kind & 63);
    case 2:
      return (uint64_t{1} << (kind & 63)) - 1;
    default:
      return Wide();
  }
}

uint64_t Composer::SomeHandle() {
  const uint8_t kind = Byte();
  if (kind >= 0xf8) return Nonsense();
  if (kind >= 0xf0) return 0x0fff + (kind & 1) * 0x100;
  const auto& slots = run_.oracle().state().table->slots;
  if (slots.empty()) return 0x1000;
  auto at = slots.begin();
  std::advance(at, kind % slots.size());
  return at->first;
}

uint64_t Composer::SomePfn() {
  const uint8_t kind = Byte();
  const spec::State& state = run_.oracle().state();
  if (kind < 0x40) return FreeFrames(1, 1);
  if (kind < 0x60) return pool_ + kind % kPoolFrames;
  if (kind < 0xc0) {
    // One that something was done to.
    const auto& pages = state.host->pages;
    if (pages.empty()) return pool_;
    auto at = pages.begin();
    std::advance(at, kind * size_t{7} % pages.size());
    return at->first;
  }
  const auto& regions = run_.oracle().layout().regions;
  const spec::Region& region = regions[kind % regions.size()];
  switch (kind >> 3 & 7) {
    case 0:
      return region.base >> kPageShift;
    case 1:
      return (region.base >> kPageShift) - 1;
    case 2:
      return (region.end - 1) >> kPageShift;
    case 3:
      return region.end >> kPageShift;
    case 4:
      return run_.oracle().layout().boot[0].first + (kind & 1);
    case 5:
      return pool_ / spec::PagesAt(2) * spec::PagesAt(2) +
             (kind & 1) * spec::PagesAt(2);
    default:
      return Nonsense();
  }
}

uint64_t Composer::SomeGfn() {
  const uint8_t kind = Byte();
  if (kind < 0x60) return kind & 31;
  if (kind < 0xa0) return (kind & 7) * spec::PagesAt(2) + (kind >> 3 & 1);
  if (kind < 0xe0) {
    // One where something is, or beside it.
    std::vector<uint64_t> gfns;
    for (const auto& [handle, vm] : run_.oracle().state().vms) {
      for (const auto& [gfn, entry] : vm->entries) gfns.push_back(gfn);
    }
    if (gfns.empty()) return kind & 1;
    return gfns[kind % gfns.size()] + ((kind & 0x30) == 0x30 ? 1 : 0);
  }
  const uint64_t limit = uint64_t{1}
                         << (run_.oracle().layout().ipa_bits - kPageShift);
  if (kind < 0xf0) return limit - 1 + (kind & 1);
  return Nonsense();
}

uint64_t Composer::Argument(const char* field) {
  const auto is = [&](const char* name) {
    return std::strcmp(field, name) == 0;
  };
  if (is("handle")) return SomeHandle();
  if (is("gfn")) return SomeGfn();
  if (std::strstr(field, "pfn") != nullptr) return SomePfn();
  const uint8_t kind = Byte();
  if (kind >= 0xf8) return Nonsense();
  if (is("nr_pages")) {
    constexpr uint64_t kSome[] = {1, 1, 1, 1, 2, 8, spec::kEntries, 0};
    return kind < 0xf0 ? kSome[kind & 7] : spec::Layout::Budget() + (kind & 1);
  }
  if (is("prot")) return kind & 31;
  if (is("nr_vcpus")) return kind & 3;
  if (is("index")) return kind % 3;
  return kind & 3;
}

void Composer::Prepare(hyp::Needs needs) {
  const spec::State& state = run_.oracle().state();
  const auto& slots = state.table->slots;
  const auto fits = [&](const spec::Slot& slot) {
    return slot.state == spec::SlotState::kLive &&
           (needs == hyp::Needs::kVcpu ||
            slot.is_protected == (needs == hyp::Needs::kProtectedVcpu));
  };
  if (needs == hyp::Needs::kNothing) return;
  const auto& loaded = state.cpus[cpu_].loaded;
  if (loaded.has_value()) {
    const auto slot = slots.find(loaded->handle);
    if (slot != slots.end() && fits(slot->second)) return;
    queue_.push_back(OnCpu("call vcpu_put"));
  }
  for (const auto& [handle, slot] : slots) {
    if (!fits(slot)) continue;
    for (const auto& [index, vcpu] : slot.vcpus) {
      if (vcpu.loaded) continue;
      queue_.push_back(
          OnCpu(absl::StrFormat("call vcpu_load %#x %u", handle, index)));
      return;
    }
  }
  MakeVm(needs == hyp::Needs::kProtectedVcpu);
}

void Composer::CallLine() {
  const hyp::Call& call = hyp::kCalls[Byte() % hyp::kCalls.size()];
  if (Byte() < 0xf0) Prepare(call.needs);
  std::string line = absl::StrCat("call ", call.name);
  for (unsigned i = 0; i < call.arguments(); ++i)
    absl::StrAppendFormat(&line, " %#x", Argument(call.fields[i]));
  queue_.push_back(OnCpu(line));
}

std::string Composer::GuestLine() {
  const auto& loaded = run_.oracle().state().cpus[cpu_].loaded;
  if (!loaded.has_value()) {
    return OnCpu(
        absl::StrFormat("call vcpu_load %#x %#x", SomeHandle(), Byte() % 2));
  }
  const uint8_t what = Byte();
  const uint64_t ipa = SomeGfn() << kPageShift;
  std::string line =
      absl::StrFormat("guest %#x.%u ", loaded->handle, loaded->index);
  switch (what & 7) {
    case 0:
    case 1:
      absl::StrAppendFormat(&line, "read %#x", ipa);
      break;
    case 2:
    case 3:
      absl::StrAppendFormat(&line, "write %#x %#x", ipa, what);
      break;
    case 4:
      absl::StrAppendFormat(&line, "exec %#x", ipa);
      break;
    default:
      absl::StrAppendFormat(&line, "call mem_%s %#x",
                            (what & 7) == 5 ? "unshare" : "share",
                            ipa + (what == 0xff ? 8 : 0));
      break;
  }
  // No guest has addresses above its input size.
  if ((ipa >> run_.oracle().layout().ipa_bits) != 0 && (what & 7) <= 4)
    return "#";
  return OnCpu(line);
}

// ---- Whole lives -----------------------------------------------------------

uint64_t Composer::FreeFrames(uint64_t count, uint64_t align) {
  const auto& pages = run_.oracle().state().host->pages;
  uint64_t first = pool_;
  for (uint64_t pfn = first; pfn < pool_ + 4096 && pfn - first < count; ++pfn) {
    if (pages.contains(pfn)) first = (pfn + align) / align * align;
    if (first > pfn) pfn = first - 1;
  }
  return first;
}

void Composer::MakeVm(bool is_protected) {
  // At the start there is no state to look at: the pool is empty.
  const bool fresh = !run_.booted();
  const uint64_t roots = 16;
  uint64_t at = fresh ? pool_ : FreeFrames(64, 16);
  const uint64_t handle = [&] {
    uint64_t next = 0x1000;
    if (!fresh) {
      while (run_.oracle().state().table->slots.contains(next)) ++next;
    }
    return next;
  }();
  const auto line = [&](const std::string& text) {
    queue_.push_back(OnCpu(text));
  };
  line("call reserve_vm");
  line(absl::StrFormat("call init_vm %#x %#x %#x 2 %u", handle, at + roots, at,
                       is_protected ? 1 : 0));
  at += roots + 8;
  for (uint64_t i = 0; i < 2; ++i) {
    line(absl::StrFormat("call host_share_hyp %#x", at));
    line(absl::StrFormat("call init_vcpu %#x %u %#x %#x", handle, i, at + 1,
                         at));
    at += 4;
  }
  line(absl::StrFormat("call topup_vm %#x %#x %u", handle, at, 6));
  line(absl::StrFormat("call vcpu_load %#x %u", handle, 0));
}

void Composer::EndVm() {
  const uint64_t handle = SomeHandle();
  queue_.push_back(OnCpu("call vcpu_put"));
  queue_.push_back(
      OnCpu(absl::StrFormat("call start_teardown_vm %#x", handle)));
  const auto vm = run_.oracle().state().vms.find(handle);
  if (vm != run_.oracle().state().vms.end()) {
    for (const auto& [gfn, entry] : vm->second->entries) {
      if (entry.poisoned) continue;
      queue_.push_back(
          OnCpu(entry.state == spec::PageState::kBorrowed
                    ? absl::StrFormat("call host_unshare_guest %#x %#x %#x",
                                      handle, gfn, spec::PagesAt(entry.level))
                    : absl::StrFormat("call reclaim_dying_guest_page %#x %#x 1",
                                      handle, gfn)));
    }
  }
  queue_.push_back(OnCpu(absl::StrFormat("finish call drain_vm %#x", handle)));
  queue_.push_back(
      OnCpu(absl::StrFormat("call finalize_teardown_vm %#x", handle)));
}

}  // namespace holdfast::fuzz
