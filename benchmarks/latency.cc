// SPDX-License-Identifier: Apache-2.0
//
// How long single calls are, all those of large VMs' lives: the distribution,
// and the longest. EL2 is not preemptible, so the longest must not depend on
// how large a VM is: status 1 if one grows from the first size to another.
//
//   bazel run //benchmarks:latency         steps: the same on any machine
//   bazel run //benchmarks:latency_time    nanoseconds of this one
//
// A step is a basic block of the libraries that is gone through, a cache line
// (64 bytes) that ZeroPage zeroes or that is cleaned, or a TLB invalidation:
// what a loop that nobody thought of cannot hide from. A block is some four
// instructions.
//
//   --gib=1,64     sizes of VMs
//   --lines=FILE   LATENCY|GIB|CALL|STEPS|CALLS for each number of steps met;
//                  LATENCY_NS likewise, of time, in classes of 1/16
//   --runs=3       of time: each call's is the best of so many
//
// Each size has three VMs:
//   dense   protected; all pages in order, some shared by the guest, one of
//   each
//           2 MiB taken back by force while it lives
//   holes   protected; pages among holes: one in each 2 MiB, then one here and
//           there, then one in each GiB, where a search from that GiB's start
//           comes last. 15 of 16 are taken back by force, and are poison; all
//           in a run as long as the VM is large. Its stock is of frames that
//           are no neighbours
//   lent    not protected; blocks and pages of the host's, aged
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "benchmarks/host.h"
#include "platforms/flat/machine.h"

namespace holdfast::bench {
namespace {

constexpr bool kSteps = flat::kWatchesWork;
constexpr uint64_t kGibPages = kGiB / kPageSize;
constexpr uint64_t kLines = kPageSize / 64;
// From the first size to another, the longest call may grow by this.
constexpr double kTolerance = 0.03;
// What all guest pages show when time is measured (flat::Machine::Repeat): more
// than caches hold.
constexpr uint64_t kWindow = uint64_t{64} << 20;

// What one call took.
struct Cost {
  uint64_t value = 0;  // steps or nanoseconds
  uint64_t blocks = 0;
  flat::Work work;
  uint64_t tlbis = 0;
};

struct Distribution {
  std::map<uint64_t, uint64_t> calls;  // by value
  Cost longest;
  uint64_t number = 0;
  // Of each call, the least of all runs, and how many this run has made.
  std::vector<uint32_t> times;
  size_t made = 0;

  void Add(const Cost& cost) {
    ++calls[cost.value];
    ++number;
    if (cost.value >= longest.value) longest = cost;
  }
  // Runs are alike, call by call; what differs is what else the machine did.
  void AddTime(uint64_t ns) {
    const uint32_t time = static_cast<uint32_t>(std::min(ns, kLongestTime));
    if (made == times.size()) {
      times.push_back(time);
    } else {
      times[made] = std::min(times[made], time);
    }
    ++made;
  }
  void EndRun() { made = 0; }
  void EndRuns() {
    for (const uint32_t time : times) {
      ++calls[Class(time)];
      longest.value = std::max<uint64_t>(longest.value, time);
    }
    number += times.size();
    times = {};
  }
  // The least value that a share of the calls does not exceed.
  uint64_t Quantile(double share) const {
    uint64_t seen = 0;
    for (const auto& [value, count] : calls) {
      seen += count;
      if (static_cast<double>(seen) >= share * static_cast<double>(number))
        return std::min(value, longest.value);
    }
    return longest.value;
  }

 private:
  static constexpr uint64_t kLongestTime = ~uint32_t{0};

  // Rounded up to five significant bits.
  static uint64_t Class(uint64_t value) {
    unsigned shift = 0;
    while (value >> shift >= 32) ++shift;
    return ((value + (uint64_t{1} << shift) - 1) >> shift) << shift;
  }
};

// By call.
using Distributions = std::map<std::string, Distribution, std::less<>>;

// One VM of `gib` GiB, from its making to its end.
class Life {
 public:
  Life(uint64_t gib, Distributions& all)
      : gib_(gib), host_(gib * kGiB, FrameBytes(gib)), all_(all) {
    if constexpr (kSteps) {
      host_.machine().cpu(0).keeps_pages = true;
    } else {
      host_.machine().Repeat(PhysAddr(Host::kRam), gib * kGiB, kWindow);
      host_.BackFrames();
    }
    // The host has touched its memory: it is mapped by blocks.
    for (uint64_t i = 0; i < gib; ++i)
      Measure("touch", [&] { host_.Touch(Host::kRam + i * kGiB); });
  }

  void Dense() {
    const uint64_t pages = gib_ * kGibPages;
    // By 512, half of them are of two tables each, and half are blocks.
    const auto gfn = [=](uint64_t i) {
      return kGfn + i + (i < pages / 2 ? kBlockPages / 2 : kBlockPages);
    };
    Make(HF_VM_PROTECTED, pages / 512 + pages / 512 / 512 + 8, 512);
    Measure("vcpu_load", [&] { host_.Load(handle_); });
    for (uint64_t i = 0; i < pages;) {
      const uint64_t end = i < pages / 2 ? pages / 2 : pages;
      i += Donate(kPfn + i, gfn(i), std::min(kRangePages, end - i));
    }
    for (uint64_t i = 0; i < pages; i += 64) {
      if (IsTakenWhole(i)) continue;
      Measure("guest_mem_share", [&] { host_.GuestShare(gfn(i)); });
      if (i % 128 != 0) continue;
      Measure("guest_mem_unshare", [&] { host_.GuestUnshare(gfn(i)); });
    }
    for (uint64_t i = 0; i < pages; i += kBlockPages) {
      if (!IsTakenWhole(i)) {
        ForceReclaim(kPfn + i + 5, 1);
        continue;
      }
      for (uint64_t done = 0; done < kBlockPages;)
        done += ForceReclaim(kPfn + i + done,
                             std::min(kRangePages, kBlockPages - done));
    }
    Measure("vcpu_put", [&] { host_.Put(); });
    End(/*reclaim=*/true);
  }

  void Holes() {
    const uint64_t pages = gib_ * kGibPages / kBlockPages;
    Make(HF_VM_PROTECTED, 3 * pages + 8, 1);
    host_.Load(handle_);
    // In an order that has nothing to do with that of addresses.
    for (uint64_t i = 0; i < pages; ++i)
      Donate(kPfn + i, HoleGfn(Shuffled(i, pages), pages), 1);
    for (uint64_t i = 0; i < pages; ++i)
      if (!StaysInHoles(Shuffled(i, pages), pages)) ForceReclaim(kPfn + i, 1);
    host_.Put();
    End(/*reclaim=*/true);
  }

  void Lent() {
    const uint64_t pages = gib_ * kGibPages;
    Make(0, pages / 512 + pages / 512 / 512 + 8, 512);
    host_.Load(handle_);
    for (uint64_t i = 0; i < pages; i += kBlockPages) {
      const uint64_t step = StepAt(i);
      for (uint64_t j = i; j < i + kBlockPages; j += step) {
        Measure(step == 1 ? "host_share_guest" : "host_share_guest, block",
                [&] { host_.ShareGuest(kPfn + j, kGfn + j, step); });
      }
      Measure("host_wrprotect_guest, block", [&] {
        host_.Do(HF_HOST_WRPROTECT_GUEST, handle_, kGfn + i, kBlockPages);
      });
      Measure("host_test_clear_young_guest, block", [&] {
        host_.Call(HF_HOST_TEST_CLEAR_YOUNG_GUEST, handle_, kGfn + i,
                   kBlockPages, 1);
      });
      Measure("host_relax_perms_guest",
              [&] { host_.Do(HF_HOST_RELAX_PERMS_GUEST, kGfn + i, kProtAll); });
      Measure("host_mkyoung_guest",
              [&] { host_.Do(HF_HOST_MKYOUNG_GUEST, kGfn + i); });
      Measure("tlb_flush_vmid", [&] { host_.Do(HF_TLB_FLUSH_VMID, handle_); });
    }
    host_.Put();
    Measure("start_teardown_vm",
            [&] { host_.Do(HF_START_TEARDOWN_VM, handle_); });
    for (uint64_t i = 0; i < pages; i += kBlockPages) {
      const uint64_t step = StepAt(i);
      for (uint64_t j = i; j < i + kBlockPages; j += step) {
        Measure(step == 1 ? "host_unshare_guest" : "host_unshare_guest, block",
                [&] { host_.UnshareGuest(handle_, kGfn + j, step); });
      }
    }
    End(/*reclaim=*/false);
  }

 private:
  static constexpr uint64_t kPfn = Host::kRam / kPageSize;
  static constexpr uint64_t kGfn = 0x80000;
  static constexpr uint64_t kFar = 256;  // in Holes, in a GiB each

  // For the stock of the hungriest of the three, and vCPUs.
  static constexpr uint64_t FrameBytes(uint64_t gib) {
    return (32 + 16 * gib) << 20;
  }

  template <class Function>
  void Measure(std::string_view call, Function function) {
    const flat::Cpu& cpu = host_.machine().cpu(0);
    auto at = all_.find(call);
    if (at == all_.end()) at = all_.try_emplace(std::string(call)).first;
    if constexpr (kSteps) {
      const flat::Work before = cpu.work;
      const uint64_t tlbis = cpu.tlb_operations, blocks = flat::BlocksRun();
      function();
      Cost cost;
      cost.blocks = flat::BlocksRun() - blocks;
      cost.tlbis = cpu.tlb_operations - tlbis;
      cost.work = {cpu.work.pte_loads - before.pte_loads,
                   cpu.work.pte_stores - before.pte_stores,
                   cpu.work.pages_zeroed - before.pages_zeroed,
                   cpu.work.pages_cleaned - before.pages_cleaned};
      cost.value = cost.blocks + cost.tlbis +
                   kLines * (cost.work.pages_zeroed + cost.work.pages_cleaned);
      at->second.Add(cost);
    } else {
      const auto start = std::chrono::steady_clock::now();
      function();
      const std::chrono::nanoseconds took =
          std::chrono::steady_clock::now() - start;
      at->second.AddTime(static_cast<uint64_t>(took.count()));
    }
  }

  // ---- Calls that may take many pages

  static std::string Named(const char* call, uint64_t pages) {
    return pages == 1 ? call : call + (" " + std::to_string(pages));
  }
  uint64_t Donate(uint64_t pfn, uint64_t gfn, uint64_t pages) {
    uint64_t done = 0;
    Measure(pages == 1 ? "donate" : donate_range_,
            [&] { done = host_.Donate(pfn, gfn, pages); });
    return done;
  }
  uint64_t ForceReclaim(uint64_t pfn, uint64_t pages) {
    uint64_t done = 0;
    Measure(pages == 1 ? "force_reclaim" : force_range_,
            [&] { done = host_.ForceReclaim(pfn, pages); });
    return done;
  }
  uint64_t Reclaim(uint64_t gfn, uint64_t pages) {
    uint64_t next = 0;
    Measure(pages == 1 ? "reclaim" : reclaim_range_,
            [&] { next = host_.ReclaimDying(handle_, gfn, pages); });
    return next;
  }

  // A VM with `stock` frames, `chunk` a call. One at a time: every second
  // frame.
  void Make(uint64_t flags, uint64_t stock, uint64_t chunk) {
    handle_ = 0;
    Measure("reserve_vm", [&] {
      handle_ = static_cast<uint64_t>(host_.Call(HF_RESERVE_VM).x1);
    });
    hyp::HostRegs needs{{HF_VM_FRAMES_NEEDED, HF_MAX_VCPUS}};
    host_.hv().HandleHostCall(needs);
    const uint64_t memory = host_.NewFrames(needs.x[1]);
    const uint64_t root = host_.NewFrames(needs.x[2], 16);
    Measure("init_vm", [&] {
      host_.Do(HF_INIT_VM, handle_, memory, root, HF_MAX_VCPUS, flags);
    });
    for (uint64_t i = 0; i < HF_MAX_VCPUS; ++i) {
      const uint64_t vcpu = host_.NewFrames(needs.x[3]);
      const uint64_t run = host_.NewFrames(1);
      Measure("host_share_hyp", [&] { host_.ShareHyp(run); });
      Measure("init_vcpu",
              [&] { host_.Do(HF_INIT_VCPU, handle_, i, vcpu, run); });
    }
    const uint64_t first = host_.NewFrames(chunk == 1 ? 2 * stock : stock);
    for (uint64_t done = 0; done < stock;) {
      const uint64_t pages = std::min(chunk, stock - done);
      const uint64_t pfn = first + (chunk == 1 ? 2 * done : done);
      Measure("topup_vm", [&] { done += host_.TopUp(handle_, pfn, pages); });
    }
  }

  void End(bool reclaim) {
    if (reclaim) {
      Measure("start_teardown_vm",
              [&] { host_.Do(HF_START_TEARDOWN_VM, handle_); });
      for (uint64_t gfn = 0; gfn != HF_NO_GFN;) gfn = Reclaim(gfn, kRangePages);
    }
    for (uint64_t left = 1; left != 0;)
      Measure("drain_vm", [&] { left = host_.Drain(handle_); });
    Measure("finalize_teardown_vm",
            [&] { host_.Do(HF_FINALIZE_TEARDOWN_VM, handle_); });
  }

  // Where the i-th of `pages` pages among holes is.
  static uint64_t HoleGfn(uint64_t i, uint64_t pages) {
    constexpr uint64_t kFarStart = kInputPages - kFar * kGibPages;
    if (i < kFar) return kFarStart + (i + 1) * kGibPages - kBlockPages;
    i -= kFar;
    const uint64_t near = pages / 2, low = near * kBlockPages;
    if (i < near) return i * kBlockPages;
    return low + (i - near) * ((kFarStart - low) / (pages - near - kFar + 1));
  }
  // One of 16, but a quarter of those in each 2 MiB has none.
  static bool StaysInHoles(uint64_t i, uint64_t pages) {
    return i % 16 == 0 && (i < kFar || i >= kFar + pages / 4);
  }
  // One to one, of [0, size), a power of two.
  static uint64_t Shuffled(uint64_t i, uint64_t size) {
    return i * 0x9e3779b1 % size;
  }
  // One of 16 blocks: lent by pages, or taken back by force as a whole.
  static bool IsOdd(uint64_t page) { return page / kBlockPages % 16 == 3; }
  static uint64_t StepAt(uint64_t page) {
    return IsOdd(page) ? 1 : kBlockPages;
  }
  static bool IsTakenWhole(uint64_t page) { return IsOdd(page); }

  const std::string donate_range_ = Named("donate", kRangePages);
  const std::string force_range_ = Named("force_reclaim", kRangePages);
  const std::string reclaim_range_ = Named("reclaim", kRangePages);
  const uint64_t gib_;
  Host host_;
  Distributions& all_;
  uint64_t handle_ = 0;
};

void Print(uint64_t gib, const Distributions& all) {
  std::printf("\nVMs of %llu GiB, %s a call\n",
              static_cast<unsigned long long>(gib), kSteps ? "steps" : "ns");
  std::printf("%-36s %10s %9s %9s %9s %9s", "", "calls", "median", "99 %",
              "99.9 %", "longest");
  if (kSteps) {
    std::printf("   of these: %9s %7s %7s %7s %6s", "blocks", "zeroed",
                "cleaned", "PTEs", "TLBIs");
  }
  std::printf("\n");
  for (const auto& [call, d] : all) {
    const auto number = [](uint64_t value) {
      return static_cast<unsigned long long>(value);
    };
    std::printf("%-36s %10llu %9llu %9llu %9llu %9llu", call.c_str(),
                number(d.number), number(d.Quantile(0.5)),
                number(d.Quantile(0.99)), number(d.Quantile(0.999)),
                number(d.longest.value));
    if (kSteps) {
      const flat::Work& work = d.longest.work;
      std::printf("             %9llu %7llu %7llu %7llu %6llu",
                  number(d.longest.blocks), number(work.pages_zeroed),
                  number(work.pages_cleaned),
                  number(work.pte_loads + work.pte_stores),
                  number(d.longest.tlbis));
    }
    std::printf("\n");
  }
}

// Calls whose longest grew. (Of times, the longest is the machine's doing.)
int Grown(const Distributions& first, uint64_t gib,
          const Distributions& other) {
  int grown = 0;
  for (const auto& [call, d] : other) {
    const auto before = first.find(call);
    HOLDFAST_CHECK(before != first.end());
    const uint64_t was = before->second.longest.value;
    if (static_cast<double>(d.longest.value) <=
        static_cast<double>(was) * (1 + kTolerance))
      continue;
    ++grown;
    std::printf("GROWS: %s: %llu steps at most, %llu with %llu GiB\n",
                call.c_str(), static_cast<unsigned long long>(was),
                static_cast<unsigned long long>(d.longest.value),
                static_cast<unsigned long long>(gib));
  }
  return grown;
}

// The value of --name=value, if that is what `argument` is.
std::optional<std::string> Flag(std::string_view argument,
                                std::string_view name) {
  if (!argument.starts_with(name)) return std::nullopt;
  return std::string(argument.substr(name.size()));
}

std::vector<uint64_t> Numbers(const std::string& list) {
  std::vector<uint64_t> numbers;
  for (const char* at = list.c_str(); *at != 0;) {
    char* end = nullptr;
    numbers.push_back(std::strtoull(at, &end, 10));
    if (end == at || numbers.back() == 0 || numbers.back() > 64) return {};
    at = *end == ',' ? end + 1 : end;
  }
  return numbers;
}

int Main(int argc, char** argv) {
  std::vector<uint64_t> sizes = {1, 64};
  std::string lines;
  uint64_t runs = 3;
  for (int i = 1; i < argc; ++i) {
    if (const auto list = Flag(argv[i], "--gib=")) {
      sizes = Numbers(*list);
    } else if (const auto file = Flag(argv[i], "--lines=")) {
      lines = *file;
    } else if (const auto number = Flag(argv[i], "--runs=")) {
      const std::vector<uint64_t> parsed = Numbers(*number);
      runs = parsed.size() == 1 ? parsed[0] : 1;
    } else {
      sizes.clear();
    }
  }
  if (sizes.empty()) {
    std::fprintf(stderr, "latency [--gib=1,64] [--lines=FILE] [--runs=3]\n");
    return 2;
  }
  std::FILE* file = nullptr;
  if (!lines.empty()) {
    file = std::fopen(lines.c_str(), "w");
    if (file == nullptr) {
      std::perror(lines.c_str());
      return 2;
    }
  }

  int grown = 0;
  std::optional<Distributions> first;
  for (const uint64_t gib : sizes) {
    Distributions all;
    for (uint64_t run = 0; run < (kSteps ? 1 : runs); ++run) {
      std::make_unique<Life>(gib, all)->Dense();
      std::make_unique<Life>(gib, all)->Holes();
      std::make_unique<Life>(gib, all)->Lent();
      for (auto& [call, d] : all) d.EndRun();
    }
    for (auto& [call, d] : all) d.EndRuns();
    Print(gib, all);
    for (const auto& [call, d] : all) {
      for (const auto& [value, count] : d.calls) {
        if (file == nullptr) break;
        std::fprintf(file, "%s|%llu|%s|%llu|%llu\n",
                     kSteps ? "LATENCY" : "LATENCY_NS",
                     static_cast<unsigned long long>(gib), call.c_str(),
                     static_cast<unsigned long long>(value),
                     static_cast<unsigned long long>(count));
      }
    }
    if (!first.has_value()) {
      first = std::move(all);
    } else if (kSteps) {
      grown += Grown(*first, gib, all);
    }
  }
  if (file != nullptr && std::fclose(file) != 0) {
    std::perror(lines.c_str());
    return 2;
  }
  if (kSteps && sizes.size() > 1 && grown == 0) {
    std::printf("\nno call grows with the VM: none takes over %g %% more\n",
                kTolerance * 100);
  }
  return grown == 0 ? 0 : 1;
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) { return holdfast::bench::Main(argc, argv); }
