// SPDX-License-Identifier: Apache-2.0
//
// How many calls several CPUs make at once: threads on cores of their own, each
// a CPU of the flat machine, with pages of its own, for a VM of its own or all
// for the same. Pages are zeroed as they are at EL2; cleaning them, TLBIs and
// barriers cost nothing here, so the share of a call that is under a lock is
// larger on hardware.
//
//   bazel run //benchmarks:scaling         calls a second
//   bazel run //benchmarks:scaling_locks   how much of a call is under which
//                                          lock, and what that allows at most
//
//   --lines=FILE   SCALING|OPERATION|THREADS|own_vm or same_vm|CALLS A SECOND
//                  SCALING_LOCK|OPERATION|LOCK|SHARE
//   --runs=N       each number is the best of N short runs in which all threads
//                  were at work from start to end: another program that has a
//                  core for a while spoils those of that while only
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "base/spinlock.h"
#include "benchmarks/host.h"
#include "platforms/flat/machine.h"

namespace holdfast::bench {
namespace {

// What must be reached by two CPUs with VMs of their own.
constexpr double kGoal = 1.6;
constexpr unsigned kModelled = 4;
// Threads of a run must each have been at work for this share of it.
constexpr double kTogether = 0.9;
// Pages of each thread, in a block of their own.
constexpr uint64_t kPages = kBlockPages;
constexpr unsigned kMaxThreads = 4;
constexpr uint64_t kGfn = 0x80000;
// Gfns of each thread: more than all runs poison.
constexpr uint64_t kGfns = uint64_t{1} << 24;

// What a thread works on.
struct Work {
  Host& host;
  uint64_t handle;
  uint64_t vcpu;
  uint64_t pfn;    // of kPages pages, the host's
  uint64_t gfn;    // the next that nothing was at
  Spinlock& lock;  // of all of them
  uint64_t range;  // pages a call, of those that can have many
};

enum class Vms { kNone, kProtected, kNotProtected };

struct Operation {
  const char* name;
  Vms vms;
  void (*prepare)(Work&);
  // One round: kPages times `calls` calls.
  void (*round)(Work&);
  uint64_t calls;
  // Calls for kRangePages pages each; counted are pages.
  bool by_ranges = false;
};

void Nothing(Work&) {}
void Load(Work& w) { w.host.Load(w.handle, w.vcpu); }
void Donate(Work& w) {
  for (uint64_t i = 0; i < kPages;)
    i += w.host.Donate(w.pfn + i, w.gfn + i, std::min(w.range, kPages - i));
}

void DonateAndReclaim(Work& w) {
  Donate(w);
  for (uint64_t i = 0; i < kPages;)
    i += w.host.ForceReclaim(w.pfn + i, std::min(w.range, kPages - i));
  w.gfn += kPages;
}

const Operation kOperations[] = {
    // What the machine itself allows.
    {"an id nobody serves", Vms::kNone, Nothing,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i) w.host.Call(HF_CALL(0xff));
     },
     1},
    {"zeroing alone", Vms::kNone, Nothing,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i)
         machine::ZeroPage(Pfn(w.pfn + i).address());
     },
     1},
    {"a lock, for nothing", Vms::kNone, Nothing,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i) SpinlockHolder hold(w.lock);
     },
     1},
    {"vcpu_load, vcpu_put", Vms::kProtected, Nothing,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i) {
         Load(w);
         w.host.Put();
       }
     },
     2},
    {"host_share_hyp, unshare", Vms::kNone, Nothing,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i) w.host.ShareHyp(w.pfn + i);
       for (uint64_t i = 0; i < kPages; ++i) w.host.UnshareHyp(w.pfn + i);
     },
     2},
    {"donate, force_reclaim", Vms::kProtected, Load, DonateAndReclaim, 2},
    {"donate 512, force_reclaim 512", Vms::kProtected,
     [](Work& w) {
       Load(w);
       w.gfn += kPages / 2;  // no blocks
     },
     DonateAndReclaim, 2, /*by_ranges=*/true},
    {"donate, force_reclaim, blocks", Vms::kProtected, Load, DonateAndReclaim,
     2, /*by_ranges=*/true},
    {"guest_mem_share, unshare", Vms::kProtected,
     [](Work& w) {
       Load(w);
       Donate(w);
     },
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i) w.host.GuestShare(w.gfn + i);
       for (uint64_t i = 0; i < kPages; ++i) w.host.GuestUnshare(w.gfn + i);
     },
     2},
    {"host_share_guest, unshare", Vms::kNotProtected, Load,
     [](Work& w) {
       for (uint64_t i = 0; i < kPages; ++i)
         w.host.ShareGuest(w.pfn + i, w.gfn + i, 1);
       for (uint64_t i = 0; i < kPages; ++i)
         w.host.UnshareGuest(w.handle, w.gfn + i, 1);
     },
     2},
};

// Rounds of a run: some milliseconds, less than other programs get a core for.
constexpr uint64_t kRounds = 8;

// A VM with a vCPU for each thread, and stock for `runs` runs of all.
uint64_t MakeVm(Host& host, uint64_t flags, unsigned vcpus, uint64_t runs) {
  hyp::HostRegs needs{{HF_VM_FRAMES_NEEDED, vcpus}};
  host.hv().HandleHostCall(needs);
  const uint64_t handle = static_cast<uint64_t>(host.Call(HF_RESERVE_VM).x1);
  const uint64_t memory = host.NewFrames(needs.x[1]);
  host.Do(HF_INIT_VM, handle, memory, host.NewFrames(needs.x[2], 16), vcpus,
          flags);
  for (uint64_t i = 0; i < vcpus; ++i) {
    const uint64_t frames = host.NewFrames(needs.x[3]);
    const uint64_t run = host.NewFrames(1);
    host.ShareHyp(run);
    host.Do(HF_INIT_VCPU, handle, i, frames, run);
  }
  const uint64_t stock =
      vcpus * ((runs + 2) * kRounds * kPages / kBlockPages + 8);
  const uint64_t first = host.NewFrames(stock);
  for (uint64_t done = 0; done < stock;)
    done += host.TopUp(handle, first + done, stock - done);
  return handle;
}

// The machine with all that an operation starts from.
class World {
 public:
  World(const Operation& operation, unsigned threads, bool same_vm,
        uint64_t runs)
      : operation_(operation),
        // A block each, and the first for none of them.
        host_((kMaxThreads + 1) * kPages * kPageSize, uint64_t{256} << 20) {
    host_.BackFrames();
    host_.machine().Back(PhysAddr(Host::kRam),
                         (kMaxThreads + 1) * kPages * kPageSize);
    uint64_t handle = 0;
    for (unsigned i = 0; i < threads; ++i) {
      if (operation.vms != Vms::kNone && (i == 0 || !same_vm)) {
        handle = MakeVm(host_,
                        operation.vms == Vms::kProtected ? HF_VM_PROTECTED : 0,
                        same_vm ? threads : 1, runs);
      }
      work_.push_back({host_, handle, same_vm ? i : 0,
                       Host::first_data() + (i + 1) * kPages, kGfn + i * kGfns,
                       lock_, operation.by_ranges ? kRangePages : 1});
    }
  }

  Host& host() { return host_; }
  Work& work(unsigned thread) { return work_[thread]; }
  void Prepare(unsigned thread) {
    operation_.prepare(work_[thread]);
    Rounds(thread);
  }
  void Rounds(unsigned thread) {
    for (uint64_t i = 0; i < kRounds; ++i) operation_.round(work_[thread]);
  }
  uint64_t calls() const { return kRounds * kPages * operation_.calls; }

 private:
  const Operation& operation_;
  Host host_;
  alignas(128) Spinlock lock_{LockRank::kLeaf};
  alignas(128) std::vector<Work> work_;
};

// Cores this program may use.
std::vector<int> Cores() {
  cpu_set_t set;
  HOLDFAST_CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
  std::vector<int> cores;
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &set)) cores.push_back(i);
  return cores;
}
void Pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  HOLDFAST_CHECK(pthread_setaffinity_np(pthread_self(), sizeof(set), &set) ==
                 0);
}

// All threads meet here, over and over.
class Barrier {
 public:
  explicit Barrier(unsigned threads) : threads_(threads) {}
  void Wait() {
    const unsigned turn = turn_.load(std::memory_order_acquire);
    if (here_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      here_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    // Without a sleep: who starts late is measured, too.
    for (unsigned spins = 0; turn_.load(std::memory_order_acquire) == turn;) {
      machine::LockWait();
      if (++spins % 4096 == 0) sched_yield();
    }
  }

 private:
  const unsigned threads_;
  std::atomic<unsigned> here_{0};
  alignas(128) std::atomic<unsigned> turn_{0};
};

using Clock = std::chrono::steady_clock;

// Calls a second of all threads together, best of the runs.
double Measure(const Operation& operation, const std::vector<int>& cores,
               unsigned threads, bool same_vm, uint64_t runs) {
  World world(operation, threads, same_vm, runs);
  Barrier barrier(threads);
  struct alignas(128) Span {
    Clock::time_point start, end;
  };
  std::vector<Span> spans(threads);
  double best = 0;
  std::vector<std::thread> others;
  const auto run = [&](unsigned thread) {
    Pin(cores[thread]);
    flat::OnCpu on_cpu(world.host().machine(), thread);
    world.Prepare(thread);
    for (uint64_t i = 0; i < runs; ++i) {
      barrier.Wait();
      spans[thread].start = Clock::now();
      world.Rounds(thread);
      spans[thread].end = Clock::now();
      barrier.Wait();
      if (thread != 0) continue;
      Clock::time_point start = spans[0].start, end = spans[0].end;
      Clock::duration shortest = Clock::duration::max();
      for (const Span& span : spans) {
        start = std::min(start, span.start);
        end = std::max(end, span.end);
        shortest = std::min(shortest, span.end - span.start);
      }
      const std::chrono::duration<double> took = end - start;
      // All have the same to do. One that was done long before another had the
      // locks for itself, while that one was kept from its core.
      if (shortest < kTogether * took) continue;
      best = std::max(
          best, static_cast<double>(threads * world.calls()) / took.count());
    }
  };
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(run, i);
  run(0);
  for (std::thread& other : others) other.join();
  return best;
}

void Print(std::FILE* file, const Operation& operation, unsigned threads,
           bool same_vm, double rate, double one) {
  if (rate == 0) {
    std::printf("%-30s %7u  no run was undisturbed\n", operation.name, threads);
    return;
  }
  std::printf("%-30s %7u  %-8s %14.0f %9.2f\n", operation.name, threads,
              operation.vms == Vms::kNone ? "-"
              : same_vm                   ? "same"
                                          : "own",
              rate, rate / one);
  if (file != nullptr) {
    std::fprintf(file, "SCALING|%s|%u|%s|%.0f\n", operation.name, threads,
                 same_vm ? "same_vm" : "own_vm", rate);
  }
}

[[maybe_unused]] void MeasureThreads(std::FILE* file, uint64_t runs) {
  const std::vector<int> cores = Cores();
  const unsigned most =
      static_cast<unsigned>(std::min<size_t>(cores.size(), kMaxThreads));
  std::printf("%-30s %7s  %-8s %14s %9s\n", "", "threads", "VM", "calls/s",
              "speed-up");
  for (const Operation& operation : kOperations) {
    const double one = Measure(operation, cores, 1, false, runs);
    Print(file, operation, 1, false, one, one);
    for (unsigned threads = 2; threads <= most; threads *= 2) {
      for (const bool same_vm : {false, true}) {
        if (same_vm && operation.vms == Vms::kNone) continue;
        Print(file, operation, threads, same_vm,
              Measure(operation, cores, threads, same_vm, runs), one);
      }
    }
  }
  std::printf("\ngoal: %.1f with 2 threads and own VMs\n", kGoal);
  if (most < 2) std::printf("there is one core only\n");
}

// ---- How much of a call is under a lock
// ---------------------------------------

// Ticks of what was watched, and of all.
struct Share {
  double held = 0, all = 0;
  uint64_t times = 0;
  double share() const { return std::clamp(held / all, 0.001, 1.0); }
};

// `run` with one lock watched, best of the runs, less what watching takes:
// `per_hold` ticks between its two clock readings, `per_lock` in all.
template <class Function>
Share Watch(flat::Cpu& cpu, const void* lock, double per_hold, double per_lock,
            uint64_t runs, Function run) {
  Share best;
  for (uint64_t i = 0; i < runs; ++i) {
    cpu.lock_times = {.lock = lock};
    const uint64_t start = flat::Ticks();
    run();
    const uint64_t all = flat::Ticks() - start;
    const flat::LockTimes& times = cpu.lock_times;
    const double n = static_cast<double>(times.times);
    const Share share = {static_cast<double>(times.held) - n * per_hold,
                         static_cast<double>(all) - n * per_lock, times.times};
    if (i == 0 || share.all < best.all) best = share;
  }
  return best;
}

[[maybe_unused]] void MeasureLocks(std::FILE* file, uint64_t runs) {
  Pin(Cores()[0]);
  std::printf("%-30s %-10s %8s %10s %11s %11s\n", "one thread", "lock",
              "a call", "share", "2 CPUs", "4 CPUs");
  for (const Operation& operation : kOperations) {
    World world(operation, 1, false, 6 * runs);
    flat::Cpu& cpu = world.host().machine().cpu(0);
    world.Prepare(0);

    // What watching takes: a lock held for nothing, watched and not.
    Spinlock empty(LockRank::kLeaf);
    constexpr uint64_t kTimes = 10000;
    const auto take = [&] {
      for (uint64_t i = 0; i < kTimes; ++i) SpinlockHolder hold(empty);
    };
    const Share with = Watch(cpu, &empty, 0, 0, runs, take);
    const Share without = Watch(cpu, nullptr, 0, 0, runs, take);
    const double per_hold = with.held / kTimes;
    const double per_lock = (with.all - without.all) / kTimes;

    vm_table::VmTable& vms = world.host().hv().vms();
    mem_protect::MemProtect& mem = world.host().hv().mem();
    vm_table::Vm* vm = nullptr;
    if (operation.vms != Vms::kNone) {
      SpinlockHolder hold(vms.lock);
      vm = vms.Find(VmHandle(static_cast<uint16_t>(world.work(0).handle)));
    }
    const struct {
      const char* name;
      const void* lock;
      bool shared;  // by CPUs with VMs of their own
    } locks[] = {
        {"VM table", &vms.lock, true},
        {"host", &mem.host_table().lock, true},
        {"EL2", &mem.hyp_table().lock, true},
        {"VM", vm == nullptr ? nullptr : &vm->stage2.lock, false},
    };
    for (const auto& lock : locks) {
      if (lock.lock == nullptr) continue;
      const Share share = Watch(cpu, lock.lock, per_hold, per_lock, runs,
                                [&] { world.Rounds(0); });
      if (share.times == 0) continue;
      std::printf(
          "%-30s %-10s %8.2f %8.0f %%", operation.name, lock.name,
          static_cast<double>(share.times) / static_cast<double>(world.calls()),
          100 * share.share());
      for (const unsigned cpus : {2u, kModelled}) {
        std::printf(" %11.2f", lock.shared
                                   ? std::min<double>(cpus, 1 / share.share())
                                   : static_cast<double>(cpus));
      }
      std::printf("\n");
      if (file != nullptr) {
        std::fprintf(file, "SCALING_LOCK|%s|%s|%.3f\n", operation.name,
                     lock.name, share.share());
      }
    }
  }
  std::printf(
      "\n2 CPUs, 4 CPUs: at most so many times the calls of one, with VMs of "
      "their own,\nwere this lock all that they share and handing it over took "
      "no time\n");
}

int Main(int argc, char** argv) {
  std::string lines;
  uint64_t runs = 100;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    constexpr std::string_view kLines = "--lines=", kRuns = "--runs=";
    if (argument.starts_with(kLines)) {
      lines = argument.substr(kLines.size());
    } else if (argument.starts_with(kRuns)) {
      runs = std::strtoull(argv[i] + kRuns.size(), nullptr, 10);
    } else {
      runs = 0;
    }
  }
  if (runs == 0 || runs > 1000) {
    std::fprintf(stderr, "scaling [--runs=100] [--lines=FILE]\n");
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
  if constexpr (flat::kWatchesLocks) {
    MeasureLocks(file, runs);
  } else {
    MeasureThreads(file, runs);
  }
  if (file != nullptr && std::fclose(file) != 0) {
    std::perror(lines.c_str());
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace holdfast::bench

int main(int argc, char** argv) { return holdfast::bench::Main(argc, argv); }
