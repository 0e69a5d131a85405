// SPDX-License-Identifier: Apache-2.0
//
// What calls cost on the machine: a host that counts the instructions EL2 takes
// from a trap to the return, the ERET with them and the HVC not. Under QEMU
// with -icount shift=0, where an instruction is a nanosecond of the counter's;
// an equal loop with a NOP in the HVC's place is subtracted. TLB and cache
// maintenance count one each. el2.sh boots it and prints a table.
//
//   bazel run //benchmarks:el2
//
// Prints, for each operation:
//   EL2|key|name|instructions|calls|reference|mark        0: there is none
// and what a host gives for a VM:
//   MEMORY|key|name|bytes
#include <array>
#include <cstdint>

#include "benchmarks/el2_guest.h"
#include "hyp/abi.h"
#include "platforms/qemu_virt/layout.h"
#include "platforms/qemu_virt/payload/runtime.h"

extern "C" const uint64_t bench_guest[], bench_guest_end[];

namespace holdfast::payload {
namespace {

constexpr uint64_t kBlockPages = 512;
constexpr uint64_t kBlock = kBlockPages * kPage;
constexpr uint64_t kCalls = 2048;
// Blocks of RAM that nobody has touched: behind the device tree, and before
// EL2's memory.
constexpr uint64_t kFreshBlocks = 512;
// Where the guest has pages: its program, and then a block's boundary.
constexpr uint64_t kEntryGfn = HF_GUEST_ENTRY / kPage;
constexpr uint64_t kGfn = kEntryGfn + kBlockPages;

// pKVM of Linux 6.12 on the same QEMU, on two CPUs; and what Holdfast is to
// need at most. In its share_hyp the page is mapped at EL2, too.
struct Reference {
  uint64_t a72, max, mark;
};
constexpr Reference kNone = {};

using Args = std::array<uint64_t, 6>;  // x0..x5

// A call, which gives x1, and the same without one: whatever is between the two
// is EL2's.
#define HOLDFAST_BENCH_CALL(instruction)                \
  register uint64_t x0 asm("x0") = args[0];             \
  register uint64_t x1 asm("x1") = args[1];             \
  register uint64_t x2 asm("x2") = args[2];             \
  register uint64_t x3 asm("x3") = args[3];             \
  register uint64_t x4 asm("x4") = args[4];             \
  register uint64_t x5 asm("x5") = args[5];             \
  asm volatile(instruction                              \
               : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3) \
               : "r"(x4), "r"(x5)                       \
               : "memory");                             \
  return x1
struct Trap {
  [[gnu::always_inline]] static uint64_t Call(const Args& args) {
    HOLDFAST_BENCH_CALL("hvc #0");
  }
};
struct Nop {
  [[gnu::always_inline]] static uint64_t Call(const Args& args) {
    HOLDFAST_BENCH_CALL("nop");
  }
};

uint64_t Ticks() {
  uint64_t now;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(now) : : "memory");
  return now;
}
// A tick is a whole number of nanoseconds: 16 at 62.5 MHz, 1 at 1 GHz.
uint64_t InstructionsPerTick() {
  uint64_t hz;
  asm("mrs %0, cntfrq_el0" : "=r"(hz));
  return 1'000'000'000 / hz;
}

void Row(const char* key, const char* name, int64_t instructions,
         uint64_t calls, const Reference& reference) {
  uint64_t midr;
  asm("mrs %0, midr_el1" : "=r"(midr));
  constexpr uint64_t kCortexA57 = 0xd07, kCortexA72 = 0xd08;
  const uint64_t part = midr >> 4 & 0xfff;
  const bool small = part == kCortexA57 || part == kCortexA72;
  Expect(instructions > 0, key);
  // In hundredths, rounded.
  const uint64_t total = static_cast<uint64_t>(instructions);
  const uint64_t hundredths = (total * 100 + calls / 2) / calls;
  Print("EL2|", key, "|", name, "|", hundredths / 100, ".",
        hundredths / 10 % 10, hundredths % 10, "|", calls, "|",
        small ? reference.a72 : reference.max, "|", reference.mark, "\n");
}

// Whatever `body` gives that is not 0 goes to `wrong`.
template <class Instruction, class Body>
[[gnu::noinline]] int64_t Loop(uint64_t calls, const Body& body,
                               uint64_t& wrong) {
  uint64_t any = 0;
  const uint64_t start = Ticks();
  for (uint64_t i = 0; i < calls; ++i) any |= body(Instruction{}, i);
  const uint64_t ticks = Ticks() - start;
  wrong = any;
  return static_cast<int64_t>(ticks * InstructionsPerTick());
}

// `body(Instruction, i)` makes call i by Instruction::Call, and gives 0 if it
// was answered well. Less `own` instructions a call that are not EL2's.
template <class Body>
void Measure(const char* key, const char* name, const Reference& reference,
             uint64_t calls, const Body& body, int64_t own = 0) {
  uint64_t wrong = 0, not_called = 0;
  const int64_t all = Loop<Trap>(calls, body, wrong);
  Expect(wrong == 0, key);
  const int64_t empty = Loop<Nop>(calls, body, not_called);
  Row(key, name, all - empty - own * static_cast<int64_t>(calls), calls,
      reference);
}

// The same for one call, whose x1 is to be `want`.
template <class Arguments>
void MeasureCall(const char* key, const char* name, const Reference& reference,
                 uint64_t calls, uint64_t want, const Arguments& arguments) {
  Measure(key, name, reference, calls, [&](auto instruction, uint64_t i) {
    return decltype(instruction)::Call(arguments(i)) ^ want;
  });
}

class Vm {
 public:
  Vm() {
    const CallResult needs = Hvc(HF_VM_FRAMES_NEEDED, {1});
    const uint64_t memory = Frames(needs.x[1]),
                   root = Frames(needs.x[2], needs.x[2]),
                   vcpu = Frames(needs.x[3]), run = Frames(1),
                   stock = Frames(kStock), program = Frames(1);
    handle_ = Hvc(HF_RESERVE_VM).x[1];
    Do(HF_INIT_VM, {handle_, memory, root, 1, HF_VM_PROTECTED});
    Do(HF_HOST_SHARE_HYP, {run});
    Do(HF_INIT_VCPU, {handle_, 0, vcpu, run});
    for (uint64_t done = 0; done < kStock;) {
      const CallResult some =
          Hvc(HF_TOPUP_VM, {handle_, stock + done, kStock - done});
      if (some.x[1] != 0 || some.x[2] == 0) Stop("topup_vm");
      done += some.x[2];
    }
    run_page_ = reinterpret_cast<volatile hf_run_page*>(run * kPage);
    auto* const words = reinterpret_cast<uint64_t*>(program * kPage);
    const auto size = static_cast<uint64_t>(bench_guest_end - bench_guest);
    for (uint64_t i = 0; i < size; ++i) words[i] = bench_guest[i];
    Load();
    Do(HF_HOST_DONATE_GUEST, {program, kEntryGfn, 1});
    Put();
  }

  uint64_t handle() const { return handle_; }
  void Load() { Do(HF_VCPU_LOAD, {handle_, 0}); }
  void Put() { Do(HF_VCPU_PUT, {}); }

  // What the guest is to do when it runs next.
  void Answer(uint64_t what, uint64_t x1) {
    run_page_->result[0] = what;
    run_page_->result[1] = x1;
    run_page_->answered = 1;
  }
  void AnswerNothing() { run_page_->answered = 0; }
  // Until it exits, and for what.
  uint64_t Run() { return Hvc(HF_VCPU_RUN).x[1]; }
  // Instructions of one run in which it does that.
  int64_t Count(uint64_t what, uint64_t x1) {
    Answer(what, x1);
    const uint64_t start = Ticks();
    const uint64_t exit = Run();
    const uint64_t ticks = Ticks() - start;
    Expect(exit == HF_EXIT_CALL, "the guest comes back");
    return static_cast<int64_t>(ticks * InstructionsPerTick());
  }

  static uint64_t Frames(uint64_t count, uint64_t align = 1) {
    return AllocatePages(count, align * kPage) / kPage;
  }
  static void Do(uint64_t id, const Args& arguments) {
    const CallResult result = Hvc(id, arguments);
    if (result.x[0] != 0 || result.x[1] != 0) Stop("a call");
  }

 private:
  static constexpr uint64_t kStock = 64;

  static void Stop(const char* what) {
    Print("el2: ", what, " failed\n");
    Exit(1);
  }

  uint64_t handle_ = 0;
  volatile hf_run_page* run_page_ = nullptr;
};

// The first of the fresh blocks, by address.
uint64_t FreshBlocks() {
  const qemu_virt::DtbRange& memory = Machine().memory[0];
  const uint64_t end = (memory.base + memory.size) & ~(kBlock - 1);
  const uint64_t first = end - kFreshBlocks * kBlock;
  if (memory.size < (kFreshBlocks + 256) * kBlock) {
    Print("el2: too little memory\n");
    Exit(1);
  }
  return first;
}

void HostAndHyp() {
  MeasureCall("unknown", "an id nobody serves: the bare trap", {83, 136, 60},
              kCalls, 0, [](uint64_t) -> Args { return {HF_CALL(0xff)}; });
  MeasureCall("refused", "host_share_hyp of EL2's page: EPERM", {589, 648, 150},
              kCalls, 0 - uint64_t{HF_EPERM}, [](uint64_t) -> Args {
                return {HF_HOST_SHARE_HYP, HF_IMAGE_BASE / kPage};
              });

  // The second time they are there.
  const uint64_t fresh = FreshBlocks();
  Measure("touch", "first touch of a 2 MiB block of the host's",
          {1424, 1506, 500}, kFreshBlocks, [&](auto, uint64_t i) {
            return *reinterpret_cast<volatile uint64_t*>(fresh + i * kBlock);
          });

  const uint64_t fresh_pfn = fresh / kPage;
  MeasureCall("share_hyp_block", "host_share_hyp, first page of a 2 MiB block",
              {2750, 2950, 0}, kFreshBlocks, 0, [&](uint64_t i) -> Args {
                return {HF_HOST_SHARE_HYP, fresh_pfn + i * kBlockPages};
              });
  for (uint64_t i = 0; i < kFreshBlocks; ++i)
    Vm::Do(HF_HOST_UNSHARE_HYP, {fresh_pfn + i * kBlockPages});

  const uint64_t pfn = Vm::Frames(kCalls, kBlockPages);
  MeasureCall("share_hyp", "host_share_hyp, page", {2179, 2367, 350}, kCalls, 0,
              [&](uint64_t i) -> Args { return {HF_HOST_SHARE_HYP, pfn + i}; });
  MeasureCall(
      "unshare_hyp", "host_unshare_hyp, page", {2324, 2582, 350}, kCalls, 0,
      [&](uint64_t i) -> Args { return {HF_HOST_UNSHARE_HYP, pfn + i}; });
}

void Guests() {
  Vm vm;
  const uint64_t fresh_pfn = FreshBlocks() / kPage;
  const uint64_t pages = Vm::Frames(kCalls, kBlockPages);
  const uint64_t more = Vm::Frames(kCalls, kBlockPages);

  Measure("load_put", "vcpu_load and vcpu_put", kNone, kCalls,
          [&](auto instruction, uint64_t) {
            using Instruction = decltype(instruction);
            return Instruction::Call({HF_VCPU_LOAD, vm.handle(), 0}) |
                   Instruction::Call({HF_VCPU_PUT});
          });

  vm.Load();
  uint64_t gfn = kGfn;
  MeasureCall("donate_block", "host_donate_guest, first page of a 2 MiB block",
              kNone, kBlockPages, 0, [&](uint64_t i) -> Args {
                return {HF_HOST_DONATE_GUEST, fresh_pfn + i * kBlockPages,
                        gfn + i, 1};
              });
  // One of each block comes first, so that neither of host's nor guest's tables
  // is missing.
  gfn += kBlockPages;
  for (uint64_t i = 0; i < kCalls; i += kBlockPages)
    vm.Do(HF_HOST_DONATE_GUEST, {pages + i, gfn + i, 1});
  constexpr uint64_t kRest = kBlockPages - 1;
  for (uint64_t i = kBlockPages; i < kCalls; i += kBlockPages) {
    for (uint64_t page = 1; page < kBlockPages; ++page)
      vm.Do(HF_HOST_DONATE_GUEST, {pages + i + page, gfn + i + page, 1});
  }
  MeasureCall("donate", "host_donate_guest, page", kNone, kRest, 0,
              [&](uint64_t i) -> Args {
                return {HF_HOST_DONATE_GUEST, pages + 1 + i, gfn + 1 + i, 1};
              });
  MeasureCall("force_reclaim", "force_reclaim_guest_page, with the zeroing",
              kNone, kCalls, 0, [&](uint64_t i) -> Args {
                return {HF_FORCE_RECLAIM_GUEST_PAGE, pages + i, 1};
              });
  gfn += kCalls;

  // The guest asks for work, gets none, and asks again.
  Expect(vm.Run() == HF_EXIT_CALL, "the guest begins");
  vm.AnswerNothing();
  Measure(
      "vcpu_run", "vcpu_run: into a guest, and out at its call", kNone, kCalls,
      [&](auto instruction, uint64_t) {
        return decltype(instruction)::Call({HF_VCPU_RUN}) ^ HF_EXIT_CALL;
      },
      HF_BENCH_ASK_INSTRUCTIONS);

  const int64_t calls = vm.Count(HF_BENCH_CALLS, kCalls);
  Row("guest_call", "a guest's call that EL2 serves",
      calls - vm.Count(HF_BENCH_NOPS, kCalls), kCalls, kNone);

  // Each turn the guest misses a page, which the host brings. The first two, so
  // that its program runs and tables are there.
  vm.Do(HF_HOST_DONATE_GUEST, {more, gfn, 1});
  vm.Answer(HF_BENCH_TOUCH, gfn * kPage);
  Expect(vm.Run() == HF_EXIT_FAULT, "the guest misses a page");
  vm.AnswerNothing();
  vm.Do(HF_HOST_DONATE_GUEST, {more + 1, gfn + 1, 1});
  const uint64_t first_pfn = more + 2, first_gfn = gfn + 2;
  constexpr uint64_t kFaults = kBlockPages - 2;
  Measure(
      "guest_fault", "a guest misses a page; vcpu_run, host_donate_guest",
      kNone, kFaults,
      [&](auto instruction, uint64_t i) {
        using Instruction = decltype(instruction);
        return (Instruction::Call({HF_VCPU_RUN}) ^ HF_EXIT_FAULT) |
               Instruction::Call(
                   {HF_HOST_DONATE_GUEST, first_pfn + i, first_gfn + i, 1});
      },
      HF_BENCH_TOUCH_INSTRUCTIONS);

  vm.Put();
  vm.Do(HF_START_TEARDOWN_VM, {vm.handle()});
  MeasureCall("reclaim_dying", "reclaim_dying_guest_page, with the zeroing",
              kNone, kBlockPages, 0, [&](uint64_t i) -> Args {
                return {HF_RECLAIM_DYING_GUEST_PAGE, vm.handle(), gfn + i, 1};
              });
}

void Memory() {
  const auto row = [](const char* key, const char* name, uint64_t frames) {
    Print("MEMORY|", key, "|", name, "|", frames * kPage, "\n");
  };
  const CallResult one = Hvc(HF_VM_FRAMES_NEEDED, {1});
  const CallResult many = Hvc(HF_VM_FRAMES_NEEDED, {HF_MAX_VCPUS});
  row("vm", "a VM, without tables", one.x[1]);
  row("vm_512", "the same with 512 vCPUs, without them", many.x[1]);
  row("root", "the root of its tables", one.x[2]);
  row("vcpu", "a vCPU", one.x[3]);
}

}  // namespace

int PayloadMain() {
  Memory();
  HostAndHyp();
  Guests();
  if (AllExpectationsMet()) Print("el2: all counted\n");
  return 0;
}

}  // namespace holdfast::payload
