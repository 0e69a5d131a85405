// SPDX-License-Identifier: Apache-2.0
//
// Conformance: every state a page can be in, times every call there is. A cell
// says what the call answers and which state the page is in afterwards; after
// each the invariants must hold and the machine must have seen nothing amiss.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "pgtable/annotation.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::ResultName;
using tests::World;

constexpr uint64_t kGfn = 0x1234;

// The host's page, in its world.
struct Cell {
  World world{World::Options{.cpus = 1}};
  HostVm vm = world.MakeVm();
  uint64_t page = world.Frames(1);
  // Frames a call may need besides.
  uint64_t spare = world.Frames(1);

  Pfn pfn() const { return Pfn(page); }
};

std::string NameOf(const Status& status) {
  return ResultName(status.has_value() ? 0
                                       : -static_cast<int64_t>(status.error()));
}
std::string Call(Cell& cell, uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                 uint64_t x3 = 0, uint64_t x4 = 0) {
  return tests::ToString(cell.world.Call(id, x1, x2, x3, x4));
}

// ---- States
// ----------------------------------------------------------------------

struct State {
  const char* name;
  void (*reach)(Cell& cell);
};

void DonateToGuest(Cell& cell) {
  ASSERT_EQ(Call(cell, HF_VCPU_LOAD, cell.vm.handle, 0), "0");
  ASSERT_EQ(Call(cell, HF_HOST_DONATE_GUEST, cell.page, kGfn), "0");
}

constexpr State kStates[] = {
    {"A",
     [](Cell& c) {
       const FrameRange range{c.pfn(), 1};
       ASSERT_TRUE(c.world.mem().DonateHyp({&range, 1}).has_value());
     }},
    {"B", [](Cell&) {}},
    {"C", [](Cell& c) { ASSERT_EQ(Call(c, HF_HOST_SHARE_HYP, c.page), "0"); }},
    {"C pinned",
     [](Cell& c) {
       ASSERT_EQ(Call(c, HF_HOST_SHARE_HYP, c.page), "0");
       ASSERT_TRUE(c.world.mem().Pin(c.pfn()).has_value());
     }},
    {"F", [](Cell& c) { DonateToGuest(c); }},
    {"P",
     [](Cell& c) {
       DonateToGuest(c);
       ASSERT_EQ(Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page), "0");
     }},
};

// What state a page is in, told from the records, the guest's tables and what
// the host can do: "A" ... "P"; "?" and details for anything else.
std::string StateOf(Cell& cell) {
  const PageRecord& record = *cell.world.mem().RecordOf(cell.pfn());
  const auto guest_has = [&](uint64_t gfn) -> std::string {
    SpinlockHolder hold(cell.world.hv().vms().lock);
    Vm* vm = cell.world.hv().vms().Find(
        VmHandle(static_cast<uint16_t>(cell.vm.handle)));
    SpinlockHolder vm_hold(vm->stage2.lock);
    const auto at = *vm->stage2.Find(Gfn(gfn).address());
    return GuestEntry::Of(at.pte(), at.level())
        .Match([](GuestEntry::Absent) { return std::string(); },
               [](GuestEntry::Poisoned) { return std::string("poison"); },
               [&](const GuestEntry::Mapped& mapped) {
                 return mapped.page == cell.pfn().address()
                            ? std::string("it")
                            : std::string("another");
               });
  };
  const std::string at_g = guest_has(kGfn);
  const std::string at_next = guest_has(kGfn + 1);
  // This maps the page, if the host may have it.
  const bool host = cell.world.Load(cell.page * kPageSize).has_value();
  const auto is = [&](PageState host_state, PageState hyp_state) {
    return record.host() == host_state && record.hyp() == hyp_state;
  };
  const uint32_t count = record.count();
  if (is(PageState::kNoPage, PageState::kOwned) && !host && at_g.empty() &&
      count == 0)
    return "A";
  if (is(PageState::kOwned, PageState::kNoPage) && host && count == 0 &&
      at_next.empty()) {
    if (at_g.empty()) return "B";
    if (at_g == "poison") return "P";
  }
  if (is(PageState::kSharedOwned, PageState::kSharedBorrowed) && host &&
      at_g.empty()) {
    return count == 0 ? "C" : count == 1 ? "C pinned" : "C pinned more";
  }
  if (is(PageState::kNoPage, PageState::kNoPage) && !host && count == 0) {
    if (at_g == "it" && at_next.empty()) return "F";
    if (at_g.empty() && at_next == "it") return "F at g+1";
    if (at_g == "poison" && at_next == "it") return "P and F at g+1";
  }
  // The poisoned gfn of a page that became something else.
  if (at_g == "poison" && is(PageState::kNoPage, PageState::kOwned) && !host)
    return "P, A";
  if (at_g == "poison" &&
      is(PageState::kSharedOwned, PageState::kSharedBorrowed) && host) {
    return count == 0 ? "P, C" : "P, C pinned";
  }
  return std::string("? host ") + PageStateName(record.host()) + ", hyp " +
         PageStateName(record.hyp()) + ", g: " + at_g + ", g+1: " + at_next;
}

// ---- Calls
// -----------------------------------------------------------------------

// "RESULT" or "RESULT>NEW STATE" (in the order of kStates); without a new state
// the page must stay what it was.
struct Row {
  const char* name;
  std::string (*make)(Cell& cell);
  const char* want[std::size(kStates)];
};

// The VM dies first; the page it has stays its.
std::string Dying(Cell& c) {
  Call(c, HF_VCPU_PUT);
  return Call(c, HF_START_TEARDOWN_VM, c.vm.handle);
}
// A vCPU of the VM, whoever loaded it.
void Load(Cell& c) { Call(c, HF_VCPU_LOAD, c.vm.handle, 0); }

const Row kRows[] = {
    {"share_hyp",
     [](Cell& c) { return Call(c, HF_HOST_SHARE_HYP, c.page); },
     //  A         B        C         C pinned  F         P
     {"-EPERM", "0>C", "-EPERM", "-EPERM", "-EPERM", "0>P, C"}},
    {"unshare_hyp",
     [](Cell& c) { return Call(c, HF_HOST_UNSHARE_HYP, c.page); },
     {"-EPERM", "-EPERM", "0>B", "-EBUSY", "-EPERM", "-EPERM"}},
    {"donate_hyp",
     [](Cell& c) {
       const FrameRange range{c.pfn(), 1};
       return NameOf(c.world.mem().DonateHyp({&range, 1}));
     },
     {"-EPERM", "0>A", "-EPERM", "-EPERM", "-EPERM", "0>P, A"}},
    {"hyp_donate_host",
     [](Cell& c) { return NameOf(c.world.mem().HypDonateHost({c.pfn(), 1})); },
     {"0>B", "-EPERM", "-EPERM", "-EPERM", "-EPERM", "-EPERM"}},
    {"pin",
     [](Cell& c) { return NameOf(c.world.mem().Pin(c.pfn())); },
     {"-EPERM", "-EPERM", "0>C pinned", "0>C pinned more", "-EPERM", "-EPERM"}},
    {"donate_and_pin, as run page",
     [](Cell& c) {
       return NameOf(c.world.mem().DonateHypAndPin({Pfn(c.spare), 1}, c.pfn()));
     },
     {"-EPERM", "-EPERM", "0>C pinned", "-EBUSY", "-EPERM", "-EPERM"}},
    {"donate_and_pin, as memory",
     [](Cell& c) {
       Call(c, HF_HOST_SHARE_HYP, c.spare);
       return NameOf(c.world.mem().DonateHypAndPin({c.pfn(), 1}, Pfn(c.spare)));
     },
     {"-EPERM", "0>A", "-EPERM", "-EPERM", "-EPERM", "0>P, A"}},
    {"topup_vm",
     [](Cell& c) { return Call(c, HF_TOPUP_VM, c.vm.handle, c.page, 1); },
     {"-EPERM", "0>A", "-EPERM", "-EPERM", "-EPERM", "0>P, A"}},
    {"donate_guest at g",
     [](Cell& c) {
       Load(c);
       return Call(c, HF_HOST_DONATE_GUEST, c.page, kGfn);
     },
     {"-EPERM", "0>F", "-EPERM", "-EPERM", "-EPERM", "-EPERM"}},
    {"donate_guest at g + 1",
     [](Cell& c) {
       Load(c);
       return Call(c, HF_HOST_DONATE_GUEST, c.page, kGfn + 1);
     },
     {"-EPERM", "0>F at g+1", "-EPERM", "-EPERM", "-EPERM",
      "0>P and F at g+1"}},
    {"donate_guest of another page at g",
     [](Cell& c) {
       Load(c);
       const std::string result = Call(c, HF_HOST_DONATE_GUEST, c.spare, kGfn);
       if (result == "0")
         EXPECT_EQ(Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.spare), "0");
       return result == "0" ? std::string("free") : result;
     },
     {"free>P, A", "free>P", "free>P, C", "free>P, C pinned", "-EPERM",
      "-EPERM"}},
    {"force_reclaim",
     [](Cell& c) { return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page); },
     {"-EPERM", "-EAGAIN", "-EAGAIN", "-EAGAIN", "0>P", "-EAGAIN"}},
    {"force_reclaim, VM dying",
     [](Cell& c) {
       EXPECT_EQ(Dying(c), "0");
       return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page);
     },
     {"-EPERM", "-EAGAIN", "-EAGAIN", "-EAGAIN", "0>P", "-EAGAIN"}},
    {"reclaim_dying, VM dying",
     [](Cell& c) {
       EXPECT_EQ(Dying(c), "0");
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.vm.handle, kGfn);
     },
     {"-ENOENT", "-ENOENT", "-ENOENT", "-ENOENT", "0>B", "0"}},
    {"reclaim_dying, VM alive",
     [](Cell& c) {
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.vm.handle, kGfn);
     },
     {"-EINVAL", "-EINVAL", "-EINVAL", "-EINVAL", "-EINVAL", "-EINVAL"}},
};

TEST(Matrix, EveryStateTimesEveryCall) {
  for (const Row& row : kRows) {
    for (size_t i = 0; i < std::size(kStates); ++i) {
      SCOPED_TRACE(std::string(row.name) + " in state " + kStates[i].name);
      Cell cell;
      ASSERT_NO_FATAL_FAILURE(kStates[i].reach(cell));
      ASSERT_EQ(StateOf(cell), kStates[i].name);
      ASSERT_EQ(cell.world.Trouble(), "");
      const std::string result = row.make(cell);
      const std::string state = StateOf(cell);
      const std::string got =
          state == kStates[i].name ? result : result + ">" + state;
      EXPECT_EQ(got, row.want[i]);
      EXPECT_EQ(cell.world.Trouble(), "");
    }
  }
}

// A page that is another VM's is as good as any guest's.
TEST(Matrix, AnotherVmsPageIsRefused) {
  Cell cell;
  DonateToGuest(cell);
  const HostVm other = cell.world.MakeVm();
  EXPECT_EQ(Call(cell, HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(cell, HF_VCPU_LOAD, other.handle, 0), "0");
  EXPECT_EQ(Call(cell, HF_HOST_DONATE_GUEST, cell.page, kGfn), "-EPERM");
  EXPECT_EQ(Call(cell, HF_HOST_DONATE_GUEST, cell.page, kGfn + 1), "-EPERM");
  EXPECT_EQ(Call(cell, HF_TOPUP_VM, other.handle, cell.page, 1), "-EPERM");
  EXPECT_EQ(StateOf(cell), "F");
  EXPECT_EQ(cell.world.Trouble(), "");
}

// ---- Frames at the borders of regions
// ------------------------------------------------

struct Border {
  const char* what;
  uint64_t pfn;
  // Of calls that take the page from the host or share it / of forced reclaim.
  const char* take;
  const char* force;
};

std::vector<Border> Borders(const World& world) {
  using namespace tests;
  constexpr uint64_t kPa = uint64_t{1} << (kPaBits - kPageShift);
  const auto frame = [](uint64_t address) { return address / kPageSize; };
  const uint64_t ram2 = frame(kRam2Base);
  const uint64_t ram2_end =
      frame(kRam2Base + kRam2Size);  // its last, half page
  return {
      {"frame 0", 0, "-EPERM", "-EFAULT"},
      {"before MMIO", frame(kGicBase) - 1, "-EPERM", "-EFAULT"},
      {"first of MMIO", frame(kGicBase), "-EPERM", "-EFAULT"},
      {"last of MMIO", frame(kGicBase) + 15, "-EPERM", "-EFAULT"},
      {"after MMIO", frame(kGicBase) + 16, "-EPERM", "-EFAULT"},
      {"before RAM", frame(kRamBase) - 1, "-EPERM", "-EFAULT"},
      {"first of RAM", frame(kRamBase), "0", "-EAGAIN"},
      {"before the image", world.image_first() - 1, "0", "-EAGAIN"},
      {"first of the image", world.image_first(), "-EPERM", "-EPERM"},
      {"last of the image", world.image_first() + kImageFrames - 1, "-EPERM",
       "-EPERM"},
      {"after the image", world.image_first() + kImageFrames, "0", "-EAGAIN"},
      {"before the carve-out", world.carveout_first() - 1, "0", "-EAGAIN"},
      {"first of the carve-out", world.carveout_first(), "-EPERM", "-EPERM"},
      {"last of RAM", frame(kRamBase + kRamSize) - 1, "-EPERM", "-EPERM"},
      {"first of NOMAP", frame(kNoMapBase), "-EPERM", "-EFAULT"},
      {"last of NOMAP", frame(kNoMapBase + kNoMapSize) - 1, "-EPERM",
       "-EFAULT"},
      {"after NOMAP", frame(kNoMapBase + kNoMapSize), "-EPERM", "-EFAULT"},
      {"before RAM 2", ram2 - 1, "-EPERM", "-EFAULT"},
      {"first of RAM 2", ram2, "0", "-EAGAIN"},
      {"last whole page of RAM 2", ram2_end - 1, "0", "-EAGAIN"},
      {"half page of RAM 2", ram2_end, "-EINVAL", "-EFAULT"},
      {"after RAM 2", ram2_end + 1, "-EPERM", "-EFAULT"},
      {"last of the PA space", kPa - 1, "-EPERM", "-EFAULT"},
      {"beyond the PA space", kPa, "-EINVAL", "-EFAULT"},
      {"alias of RAM 2 beyond it", kPa + ram2, "-EINVAL", "-EFAULT"},
      {"alias that a page shift would drop",
       (uint64_t{1} << (64 - kPageShift)) + ram2, "-EINVAL", "-EFAULT"},
      {"the highest number", ~uint64_t{0}, "-EINVAL", "-EFAULT"},
      {"the sign bit", uint64_t{1} << 63, "-EINVAL", "-EFAULT"},
  };
}

TEST(Borders, EveryCallAtEveryBorder) {
  World world(World::Options{.cpus = 1});
  ASSERT_EQ(world.Frames(1), tests::kRamBase / kPageSize);  // for this test
  const HostVm vm = world.MakeVm(4);
  const auto call = [&](uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                        uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
    return tests::ToString(world.Call(id, x1, x2, x3, x4, x5));
  };
  const uint64_t handle = world.Call(HF_RESERVE_VM).x1;
  const uint64_t root = world.Frames(vm.root_frames, vm.root_frames);
  const HostVm needy = [&] {
    HostVm made = vm;
    made.handle = world.Call(HF_RESERVE_VM).x1;
    EXPECT_EQ(
        call(HF_INIT_VM, made.handle, world.Frames(vm.memory_frames),
             world.Frames(vm.root_frames, vm.root_frames), 4, HF_VM_PROTECTED),
        "0");
    return made;
  }();
  const uint64_t run = world.Frames(1);
  ASSERT_EQ(call(HF_HOST_SHARE_HYP, run), "0");
  ASSERT_EQ(call(HF_VCPU_LOAD, vm.handle, 0), "0");
  uint64_t gfn = 0;
  for (const Border& border : Borders(world)) {
    SCOPED_TRACE(border.what);
    const bool good = std::string(border.take) == "0";
    EXPECT_EQ(call(HF_FORCE_RECLAIM_GUEST_PAGE, border.pfn), border.force);
    EXPECT_EQ(call(HF_HOST_SHARE_HYP, border.pfn), border.take);
    EXPECT_EQ(call(HF_HOST_UNSHARE_HYP, border.pfn), border.take);
    EXPECT_EQ(call(HF_HOST_DONATE_GUEST, border.pfn, gfn), border.take);
    EXPECT_EQ(call(HF_FORCE_RECLAIM_GUEST_PAGE, border.pfn),
              good ? "0" : border.force);
    ++gfn;
    if (!good) {
      // As memory of a VM or a vCPU, as a run page, as stock.
      EXPECT_EQ(call(HF_INIT_VM, handle, border.pfn, root, 1, HF_VM_PROTECTED),
                border.take);
      EXPECT_EQ(call(HF_INIT_VCPU, needy.handle, 0, border.pfn, run),
                border.take);
      EXPECT_EQ(
          call(HF_INIT_VCPU, needy.handle, 0, world.Frames(1), border.pfn),
          border.take);
      EXPECT_EQ(call(HF_TOPUP_VM, vm.handle, border.pfn, 1), border.take);
      if (border.pfn % vm.root_frames == 0) {
        EXPECT_NE(call(HF_INIT_VM, handle, world.Frames(1), border.pfn, 1,
                       HF_VM_PROTECTED),
                  "0");
      }
    } else {
      EXPECT_EQ(call(HF_TOPUP_VM, vm.handle, border.pfn, 1), "0");
      EXPECT_FALSE(world.Load(border.pfn * kPageSize).has_value());
    }
    EXPECT_EQ(world.Trouble(), "");
  }
  EXPECT_EQ(call(HF_HOST_UNSHARE_HYP, run), "0")
      << "a failed call has pinned it";
}

// Ranges over a border: no frame may be taken on the strength of the first.
TEST(Edge, E01_E02_RangesAreCheckedWhole) {
  using namespace tests;
  World world(World::Options{.cpus = 1});
  const HostVm vm = world.MakeVm();
  const auto topup = [&](uint64_t pfn, uint64_t count) {
    return ToString(world.Call(HF_TOPUP_VM, vm.handle, pfn, count));
  };
  const uint64_t ram2 = kRam2Base / kPageSize;
  const uint64_t ram2_end = (kRam2Base + kRam2Size) / kPageSize;
  const uint64_t end = (kRamBase + kRamSize) / kPageSize;
  EXPECT_EQ(topup(ram2 - 1, 2), "-EINVAL") << "starts in a gap";
  EXPECT_EQ(topup(ram2_end - 1, 2), "-EINVAL") << "ends in a half page";
  EXPECT_EQ(topup(ram2_end - 2, 4), "-EINVAL") << "ends beyond the region";
  EXPECT_EQ(topup(end - 1, 2), "-EINVAL") << "two regions";
  EXPECT_EQ(topup(ram2_end + 1, 2), "-EPERM") << "all in a gap";
  EXPECT_EQ(topup(kGicBase / kPageSize, 2), "-EPERM") << "all in MMIO";
  EXPECT_EQ(topup(kGicBase / kPageSize + 15, 2), "-EINVAL") << "leaves MMIO";
  EXPECT_EQ(topup(world.image_first() - 1, 2), "-EPERM")
      << "the second is EL2's";
  EXPECT_EQ(topup(world.carveout_first() - 3, 4), "-EPERM")
      << "the last is EL2's";
  // pfn + count, or either in bytes, wraps.
  EXPECT_EQ(topup((uint64_t{1} << (kPaBits - kPageShift)) - 1, 2), "-EINVAL");
  EXPECT_EQ(topup((uint64_t{1} << (kPaBits - kPageShift)) - 1, ~uint64_t{0}),
            "-EINVAL");
  EXPECT_EQ(topup(~uint64_t{0}, 2), "-EINVAL");
  // A page in the middle is shared, then the last.
  const uint64_t run = world.Frames(3);
  ASSERT_TRUE(world.Call(HF_HOST_SHARE_HYP, run + 1).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  ASSERT_TRUE(world.Call(HF_HOST_UNSHARE_HYP, run + 1).ok());
  ASSERT_TRUE(world.Call(HF_HOST_SHARE_HYP, run + 2).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  ASSERT_TRUE(world.Call(HF_HOST_UNSHARE_HYP, run + 2).ok());
  // The last is a guest's: EL2 has no part in it, only the host's state tells.
  ASSERT_TRUE(world.Call(HF_VCPU_LOAD, vm.handle, 0).ok());
  ASSERT_TRUE(world.Call(HF_HOST_DONATE_GUEST, run + 2, 0).ok());
  EXPECT_EQ(topup(run, 3), "-EPERM");
  EXPECT_EQ(topup(run + 1, 2), "-EPERM");
  for (uint64_t pfn :
       {ram2, ram2_end - 1, run, run + 1, world.image_first() - 1}) {
    EXPECT_TRUE(world.Load(pfn * kPageSize).has_value())
        << "a refused call took " << pfn;
  }
  EXPECT_EQ(world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::mem_protect
