// SPDX-License-Identifier: Apache-2.0
//
// Runs matrix.h: every state a page (or a run of pages) can be in, times every
// call there is. After each cell the invariants must hold over the whole
// machine, and the machine must have seen nothing amiss.
#include "mem_protect/matrix.h"

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/machine.h"
#include "gtest/gtest.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::mem_protect {
namespace {

using matrix::kPageRows;
using matrix::kPageStates;
using matrix::kPoisonRows;
using matrix::kRunRows;
using matrix::kRunStates;
using tests::HostVm;
using tests::World;

constexpr uint64_t kGfn = 0x1234;
constexpr uint64_t kPoisonedGfn = 0x1240;
constexpr uint64_t kBlock = MemProtect::kBlockPages;
// A block's gfn, and another's.
constexpr uint64_t kBlockGfn = 2 * kBlock;
constexpr uint64_t kOtherBlockGfn = 4 * kBlock;
constexpr uint64_t kRights = HF_PROT_R | HF_PROT_W | HF_PROT_PX | HF_PROT_UX;
// The page of a run that stands for all of them; the one that differs.
constexpr uint64_t kSome = 5;
constexpr uint64_t kOdd = 300;

// ---- A cell's world ---------------------------------------------------------

struct Cell {
  World world{World::Options{.cpus = 1}};
  HostVm closed = world.MakeVm();
  HostVm closed2 = world.MakeVm();
  HostVm open = world.MakeVm(1, 16, /*is_protected=*/false);
  HostVm open2 = world.MakeVm(1, 16, /*is_protected=*/false);
  // The page, with free ones behind it for calls that want several; or the
  // first of a run.
  uint64_t page = 0;
  uint64_t spare = world.Frames(1);

  Pfn pfn() const { return Pfn(page); }
};

std::string Plain(std::string result) {
  if (result.rfind("-E", 0) == 0) result.erase(0, 1);
  return result;
}
std::string NameOf(const Status& status) {
  return status.has_value() ? "0" : ErrnoName(status.error());
}
std::string Call(Cell& cell, uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                 uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
  return Plain(tests::ToString(cell.world.Call(id, x1, x2, x3, x4, x5)));
}
// The VM's vCPU is loaded, and no other.
void Load(Cell& c, const HostVm& vm) {
  if (c.world.hv().loaded(0) != nullptr) EXPECT_EQ(Call(c, HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(c, HF_VCPU_LOAD, vm.handle, 0), "0");
}
void Kill(Cell& c, const HostVm& vm) {
  if (c.world.hv().loaded(0) != nullptr) EXPECT_EQ(Call(c, HF_VCPU_PUT), "0");
  EXPECT_EQ(Call(c, HF_START_TEARDOWN_VM, vm.handle), "0");
}
std::string Donate(Cell& c, const HostVm& vm, uint64_t pfn, uint64_t gfn,
                   uint64_t pages = 1) {
  Load(c, vm);
  return Call(c, HF_HOST_DONATE_GUEST, pfn, gfn, pages);
}
std::string Share(Cell& c, const HostVm& vm, uint64_t pfn, uint64_t gfn,
                  uint64_t pages = 1) {
  Load(c, vm);
  return Call(c, HF_HOST_SHARE_GUEST, pfn, gfn, pages, kRights);
}
std::string Unshare(Cell& c, const HostVm& vm, uint64_t gfn,
                    uint64_t pages = 1) {
  return Call(c, HF_HOST_UNSHARE_GUEST, vm.handle, gfn, pages);
}
std::string DonateHyp(Cell& c, uint64_t pfn, uint64_t pages = 1) {
  const FrameRange range{Pfn(pfn), pages};
  return NameOf(c.world.mem().DonateHyp({&range, 1}));
}
std::string GuestCall(Cell& c, const HostVm& vm, uint64_t id, uint64_t gfn,
                      uint64_t pages = 1) {
  Load(c, vm);
  const tests::GuestReply reply = c.world.GuestCall(id, gfn * kPageSize, pages);
  if (!reply.resumed()) return "exit";
  return std::to_string(reply.result());
}
// "ok" or "abort"; "?" if loads, stores and fetches differ.
std::string Access(bool load, bool store, bool fetch) {
  if (load != store || load != fetch) return "?";
  return load ? "ok" : "abort";
}
std::string HostAccess(Cell& c, uint64_t pfn) {
  const uint64_t address = pfn * kPageSize;
  return Access(c.world.Load(address).has_value(), c.world.Store(address, 1),
                c.world.Exec(address));
}
std::string GuestAccess(Cell& c, const HostVm& vm, uint64_t gfn) {
  Load(c, vm);
  const uint64_t ipa = gfn * kPageSize;
  return Access(c.world.GuestLoad(vm.handle, ipa).has_value(),
                c.world.GuestStore(vm.handle, ipa, 1),
                c.world.GuestExec(vm.handle, ipa));
}
// Another VM of the host's that has everything but a vCPU.
uint64_t VmWithoutVcpu(Cell& c) {
  const uint64_t handle = c.world.Call(HF_RESERVE_VM).x1;
  EXPECT_EQ(Call(c, HF_INIT_VM, handle, c.world.Frames(c.open.memory_frames),
                 c.world.Frames(c.open.root_frames, c.open.root_frames), 1,
                 HF_VM_PROTECTED),
            "0");
  return handle;
}

GuestEntry EntryOf(Cell& c, const HostVm& vm, uint64_t gfn) {
  SpinlockHolder hold(c.world.hv().vms().lock);
  Vm& object =
      *c.world.hv().vms().Find(VmHandle(static_cast<uint16_t>(vm.handle)));
  SpinlockHolder vm_hold(object.stage2.lock);
  const auto at = *object.stage2.Find(Gfn(gfn).address());
  return GuestEntry::Of(at.pte(), at.level());
}

// ---- States -----------------------------------------------------------------

// By the names of matrix.h. Each is a way from B.
const std::map<std::string, std::function<void(Cell&)>> kReachPage = {
    {"A", [](Cell& c) { ASSERT_EQ(DonateHyp(c, c.page), "0"); }},
    {"B", [](Cell&) {}},
    {"C", [](Cell& c) { ASSERT_EQ(Call(c, HF_HOST_SHARE_HYP, c.page), "0"); }},
    {"C pinned",
     [](Cell& c) {
       ASSERT_EQ(Call(c, HF_HOST_SHARE_HYP, c.page), "0");
       ASSERT_TRUE(c.world.mem().Pin(c.pfn()).has_value());
     }},
    {"D",
     [](Cell& c) {
       ASSERT_TRUE(c.world.mem().ShareFfa(c.page, 1).has_value());
     }},
    {"E", [](Cell& c) { ASSERT_EQ(Share(c, c.open, c.page, kGfn), "0"); }},
    {"E2 gfns",
     [](Cell& c) {
       ASSERT_EQ(Share(c, c.open, c.page, kGfn), "0");
       ASSERT_EQ(Share(c, c.open, c.page, kGfn + 1), "0");
     }},
    {"E2 VMs",
     [](Cell& c) {
       ASSERT_EQ(Share(c, c.open, c.page, kGfn), "0");
       ASSERT_EQ(Share(c, c.open2, c.page, kGfn), "0");
     }},
    {"F", [](Cell& c) { ASSERT_EQ(Donate(c, c.closed, c.page, kGfn), "0"); }},
    {"G",
     [](Cell& c) {
       ASSERT_EQ(Donate(c, c.closed, c.page, kGfn), "0");
       ASSERT_EQ(GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kGfn), "0");
     }},
    {"P",
     [](Cell& c) {
       ASSERT_EQ(Donate(c, c.closed, c.page, kGfn), "0");
       ASSERT_EQ(Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page, 1), "0");
     }},
};

// The state of a page, told from its record, the guest's entry, and what the
// host can do; "?" and details for anything else.
std::string StateOf(Cell& c, uint64_t pfn, uint64_t gfn) {
  const PageRecord& record = *c.world.mem().RecordOf(Pfn(pfn));
  const GuestEntry entry = EntryOf(c, c.closed, gfn);
  const bool has_it = entry.Match(
      [](GuestEntry::Absent) { return false; },
      [](GuestEntry::Poisoned) { return false; },
      [&](const GuestEntry::Mapped& mapped) {
        const uint64_t pages = mapped.level == kPageLevel ? 1 : kBlock;
        return Pfn::Of(mapped.page) + gfn % pages == Pfn(pfn);
      });
  const uint32_t count = record.count();
  const auto is = [&](PageState host, PageState hyp) {
    return record.host() == host && record.hyp() == hyp;
  };
  const std::string wrong = std::string("? host ") +
                            PageStateName(record.host()) + ", hyp " +
                            PageStateName(record.hyp());
  // This maps the page, if the host may have it.
  const bool reachable = c.world.Load(pfn * kPageSize).has_value();
  if (reachable != (record.host() != PageState::kNoPage)) return wrong;
  const auto times = [count](const std::string& name) {
    return count == 1 ? name : name + std::to_string(count);
  };
  if (is(PageState::kNoPage, PageState::kOwned) && count == 0) return "A";
  if (is(PageState::kOwned, PageState::kNoPage) && count == 0)
    return entry.IsPoisoned() ? "P" : "B";
  if (is(PageState::kSharedOwned, PageState::kSharedBorrowed)) {
    return count == 0   ? "C"
           : count == 1 ? "C pinned"
           : count == 2 ? "C pinned twice"
                        : wrong;
  }
  if (is(PageState::kSharedOwned, PageState::kNoPage))
    return count == 0 ? "D" : times("E");
  if (is(PageState::kNoPage, PageState::kNoPage) && count == 0)
    return has_it ? "F" : "F'";
  if (is(PageState::kSharedBorrowed, PageState::kNoPage) && count == 0)
    return has_it ? "G" : "G'";
  return wrong;
}

// "E2" where a column has more to say.
std::string Short(const std::string& column) {
  return column.rfind("E2 ", 0) == 0 ? "E2" : column;
}

// ---- Calls on a page --------------------------------------------------------

using Action = std::function<std::string(Cell&)>;

const std::map<std::string, Action> kPageCalls = {
    {"host_share_hyp",
     [](Cell& c) { return Call(c, HF_HOST_SHARE_HYP, c.page); }},
    {"host_unshare_hyp",
     [](Cell& c) { return Call(c, HF_HOST_UNSHARE_HYP, c.page); }},
    {"donate_hyp (internal)", [](Cell& c) { return DonateHyp(c, c.page); }},
    {"hyp_donate_host (internal)",
     [](Cell& c) { return NameOf(c.world.mem().HypDonateHost({c.pfn(), 1})); }},
    {"pin (internal)",
     [](Cell& c) { return NameOf(c.world.mem().Pin(c.pfn())); }},
    {"unpin (internal)",
     [](Cell& c) {
       c.world.mem().Unpin(c.pfn());
       return std::string("0");
     }},
    {"share_ffa (internal)",
     [](Cell& c) { return NameOf(c.world.mem().ShareFfa(c.page, 1)); }},
    {"unshare_ffa (internal)",
     [](Cell& c) { return NameOf(c.world.mem().UnshareFfa(c.page, 1)); }},

    {"init_vm, as its memory",
     [](Cell& c) {
       return Call(c, HF_INIT_VM, c.world.Call(HF_RESERVE_VM).x1, c.page,
                   c.world.Frames(c.open.root_frames, c.open.root_frames), 1,
                   0);
     }},
    {"init_vm, as its stage-2 root",
     [](Cell& c) {
       return Call(c, HF_INIT_VM, c.world.Call(HF_RESERVE_VM).x1,
                   c.world.Frames(c.open.memory_frames), c.page, 1, 0);
     }},
    {"init_vcpu, as its memory",
     [](Cell& c) {
       const uint64_t handle = VmWithoutVcpu(c);
       EXPECT_EQ(Call(c, HF_HOST_SHARE_HYP, c.spare), "0");
       return Call(c, HF_INIT_VCPU, handle, 0, c.page, c.spare);
     }},
    {"init_vcpu, as its run page",
     [](Cell& c) {
       return Call(c, HF_INIT_VCPU, VmWithoutVcpu(c), 0,
                   c.world.Frames(c.open.vcpu_frames), c.page);
     }},
    {"topup_vm",
     [](Cell& c) { return Call(c, HF_TOPUP_VM, c.closed.handle, c.page, 1); }},

    {"host_donate_guest at g",
     [](Cell& c) { return Donate(c, c.closed, c.page, kGfn); }},
    {"host_donate_guest at g + 1",
     [](Cell& c) { return Donate(c, c.closed, c.page, kGfn + 1); }},
    {"host_donate_guest, another VM",
     [](Cell& c) { return Donate(c, c.closed2, c.page, kGfn); }},
    {"host_donate_guest of another page at g",
     [](Cell& c) { return Donate(c, c.closed, c.spare, kGfn); }},
    {"host_donate_guest, non-protected VM",
     [](Cell& c) { return Donate(c, c.open, c.page, kGfn); }},

    {"host_share_guest at g",
     [](Cell& c) { return Share(c, c.open, c.page, kGfn); }},
    {"host_share_guest at another gfn",
     [](Cell& c) { return Share(c, c.open, c.page, kGfn + 2); }},
    {"host_share_guest, another VM",
     [](Cell& c) { return Share(c, c.open2, c.page, kGfn + 2); }},
    {"host_share_guest of another page at g",
     [](Cell& c) { return Share(c, c.open, c.spare, kGfn); }},
    {"host_share_guest, protected VM",
     [](Cell& c) { return Share(c, c.closed, c.page, kGfn); }},
    {"host_unshare_guest at g",
     [](Cell& c) { return Unshare(c, c.open, kGfn); }},
    {"host_unshare_guest at g, VM dying",
     [](Cell& c) {
       Kill(c, c.open);
       return Unshare(c, c.open, kGfn);
     }},
    {"host_unshare_guest, another VM",
     [](Cell& c) { return Unshare(c, c.open2, kGfn); }},
    {"host_unshare_guest, protected VM",
     [](Cell& c) { return Unshare(c, c.closed, kGfn); }},
    {"host_relax_perms_guest at g",
     [](Cell& c) {
       Load(c, c.open);
       return Call(c, HF_HOST_RELAX_PERMS_GUEST, kGfn, kRights);
     }},
    {"host_wrprotect_guest at g",
     [](Cell& c) {
       return Call(c, HF_HOST_WRPROTECT_GUEST, c.open.handle, kGfn, 1);
     }},
    {"host_test_clear_young_guest at g",
     [](Cell& c) {
       return Call(c, HF_HOST_TEST_CLEAR_YOUNG_GUEST, c.open.handle, kGfn, 1,
                   1);
     }},
    {"host_mkyoung_guest at g",
     [](Cell& c) {
       Load(c, c.open);
       return Call(c, HF_HOST_MKYOUNG_GUEST, kGfn);
     }},
    {"tlb_flush_vmid",
     [](Cell& c) { return Call(c, HF_TLB_FLUSH_VMID, c.open.handle); }},

    {"MEM_SHARE at g",
     [](Cell& c) { return GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kGfn); }},
    {"MEM_UNSHARE at g",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_UNSHARE, kGfn);
     }},
    {"MEM_SHARE at g, non-protected VM",
     [](Cell& c) { return GuestCall(c, c.open, HF_GUEST_MEM_SHARE, kGfn); }},

    {"force_reclaim_guest_page",
     [](Cell& c) { return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page, 1); }},
    {"force_reclaim_guest_page, VM dying",
     [](Cell& c) {
       Kill(c, c.closed);
       return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page, 1);
     }},
    {"reclaim_dying_guest_page at g",
     [](Cell& c) {
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.closed.handle, kGfn, 1);
     }},
    {"reclaim_dying_guest_page at g, VM dying",
     [](Cell& c) {
       Kill(c, c.closed);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.closed.handle, kGfn, 1);
     }},
    {"reclaim_dying_guest_page at g, non-protected VM dying",
     [](Cell& c) {
       Kill(c, c.open);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.open.handle, kGfn, 1);
     }},

    {"access by the host", [](Cell& c) { return HostAccess(c, c.page); }},
    {"access by the protected guest at g",
     [](Cell& c) { return GuestAccess(c, c.closed, kGfn); }},
    {"access by the non-protected guest at g",
     [](Cell& c) { return GuestAccess(c, c.open, kGfn); }},
    {"vcpu_in_poison_fault after it accessed g",
     [](Cell& c) {
       GuestAccess(c, c.closed, kGfn);
       return Call(c, HF_VCPU_IN_POISON_FAULT);
     }},

    {"host_donate_guest at a poisoned gfn",
     [](Cell& c) { return Donate(c, c.closed, c.page, kPoisonedGfn); }},
    {"host_donate_guest of another page at a poisoned gfn",
     [](Cell& c) { return Donate(c, c.closed, c.spare, kPoisonedGfn); }},
    {"MEM_SHARE at a poisoned gfn",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kPoisonedGfn);
     }},
    {"MEM_UNSHARE at a poisoned gfn",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_UNSHARE, kPoisonedGfn);
     }},
    {"access by the protected guest at a poisoned gfn",
     [](Cell& c) { return GuestAccess(c, c.closed, kPoisonedGfn); }},
    {"vcpu_in_poison_fault after it accessed a poisoned gfn",
     [](Cell& c) {
       GuestAccess(c, c.closed, kPoisonedGfn);
       return Call(c, HF_VCPU_IN_POISON_FAULT);
     }},
    {"reclaim_dying_guest_page at a poisoned gfn, VM dying",
     [](Cell& c) {
       Kill(c, c.closed);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.closed.handle,
                   kPoisonedGfn, 1);
     }},
};

// What is wrong with a cell, or "".
std::string RunPageCell(const std::string& call, const std::string& column,
                        const std::string& want, bool poison) {
  if (want == "-") return "";
  Cell c;
  c.page = c.world.Frames(16, 16);
  // The tables round the gfns exist.
  EXPECT_EQ(Donate(c, c.closed, c.world.Frames(1), kGfn + 3), "0");
  if (poison) {
    EXPECT_EQ(Donate(c, c.closed, c.page, kPoisonedGfn), "0");
    EXPECT_EQ(Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page, 1), "0");
  }
  kReachPage.at(column)(c);
  if (const std::string state = StateOf(c, c.page, kGfn);
      state != Short(column)) {
    return "not reached: it is " + state;
  }
  if (const std::string trouble = c.world.Trouble(); !trouble.empty())
    return "before the call: " + trouble;
  const std::string result = kPageCalls.at(call)(c);
  const std::string state = StateOf(c, c.page, kGfn);
  // "P" is B with a poisoned gfn, so nothing is P for good but the gfn.
  const std::string got =
      state == Short(column) ? result : result + ">" + state;
  if (got != want) return "is " + got;
  if (poison && !EntryOf(c, c.closed, kPoisonedGfn).IsPoisoned())
    return "the gfn is not poisoned any more";
  if (column == "P" && !EntryOf(c, c.closed, kGfn).IsPoisoned())
    return "g is not poisoned any more";
  return c.world.Trouble();
}

// ---- Calls on a run ---------------------------------------------------------

const std::map<std::string, std::function<void(Cell&)>> kReachRun = {
    {"B", [](Cell&) {}},
    {"A", [](Cell& c) { ASSERT_EQ(DonateHyp(c, c.page, kBlock), "0"); }},
    {"A+B", [](Cell& c) { ASSERT_EQ(DonateHyp(c, c.page + kOdd), "0"); }},
    {"B+C",
     [](Cell& c) {
       ASSERT_EQ(Call(c, HF_HOST_SHARE_HYP, c.page + kOdd), "0");
     }},
    {"D",
     [](Cell& c) {
       ASSERT_TRUE(c.world.mem().ShareFfa(c.page, kBlock).has_value());
     }},
    {"B+F",
     [](Cell& c) { ASSERT_EQ(Donate(c, c.closed, c.page + kOdd, 1), "0"); }},
    {"B+E",
     [](Cell& c) { ASSERT_EQ(Share(c, c.open, c.page + kOdd, 1), "0"); }},
    {"E",
     [](Cell& c) {
       for (uint64_t i = 0; i < kBlock; ++i)
         ASSERT_EQ(Share(c, c.open, c.page + i, kBlockGfn + i), "0");
     }},
    {"E block",
     [](Cell& c) {
       ASSERT_EQ(Share(c, c.open, c.page, kBlockGfn, kBlock), "0");
     }},
    {"E2 block",
     [](Cell& c) {
       ASSERT_EQ(Share(c, c.open, c.page, kBlockGfn, kBlock), "0");
       ASSERT_EQ(Share(c, c.open2, c.page, kBlockGfn, kBlock), "0");
     }},
    {"F",
     [](Cell& c) {
       for (uint64_t i = 0; i < kBlock; ++i)
         ASSERT_EQ(Donate(c, c.closed, c.page + i, kBlockGfn + i), "0");
     }},
    {"F block",
     [](Cell& c) {
       ASSERT_EQ(Donate(c, c.closed, c.page, kBlockGfn, kBlock), "0");
     }},
    {"G block",
     [](Cell& c) {
       ASSERT_EQ(Donate(c, c.closed, c.page, kBlockGfn, kBlock), "0");
       ASSERT_EQ(GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kBlockGfn, kBlock),
                 "0");
     }},
};

std::string RunStateOf(Cell& c) {
  std::set<std::string> states;
  for (uint64_t i = 0; i < kBlock; ++i) {
    // Where the protected guest has it, if it does.
    uint64_t gfn = kBlockGfn + i;
    if (EntryOf(c, c.closed, gfn).IsAbsent()) gfn = i == kOdd ? 1 : 2;
    states.insert(StateOf(c, c.page + i, gfn));
  }
  std::string text;
  for (const std::string& state : states)
    text += (text.empty() ? "" : "+") + state;
  for (const HostVm* vm : {&c.open, &c.closed}) {
    const auto leaf = EntryOf(c, *vm, kBlockGfn).Leaf();
    if (leaf.has_value() && leaf->level != kPageLevel) text += " block";
  }
  return text;
}

// At every gfn of the block, or "?".
std::string AccessAtAll(Cell& c, const HostVm& vm) {
  std::set<std::string> results;
  for (uint64_t i : {uint64_t{0}, kSome, kOdd, kBlock - 1})
    results.insert(GuestAccess(c, vm, kBlockGfn + i));
  return results.size() == 1 ? *results.begin() : std::string("?");
}

const std::map<std::string, Action> kRunCalls = {
    {"host_share_guest of a block at G",
     [](Cell& c) { return Share(c, c.open, c.page, kBlockGfn, kBlock); }},
    {"host_share_guest of a block elsewhere",
     [](Cell& c) { return Share(c, c.open, c.page, kOtherBlockGfn, kBlock); }},
    {"host_share_guest of a block, another VM",
     [](Cell& c) { return Share(c, c.open2, c.page, kBlockGfn, kBlock); }},
    {"host_share_guest of a page of it at its gfn",
     [](Cell& c) {
       return Share(c, c.open, c.page + kSome, kBlockGfn + kSome);
     }},
    {"host_share_guest of a page of it elsewhere",
     [](Cell& c) { return Share(c, c.open, c.page + kSome, 2); }},
    {"host_unshare_guest of a block at G",
     [](Cell& c) { return Unshare(c, c.open, kBlockGfn, kBlock); }},
    {"host_unshare_guest of a page at its gfn",
     [](Cell& c) { return Unshare(c, c.open, kBlockGfn + kSome); }},
    {"host_relax_perms_guest at a page's gfn",
     [](Cell& c) {
       Load(c, c.open);
       return Call(c, HF_HOST_RELAX_PERMS_GUEST, kBlockGfn + kSome, kRights);
     }},
    {"host_wrprotect_guest of a block at G",
     [](Cell& c) {
       return Call(c, HF_HOST_WRPROTECT_GUEST, c.open.handle, kBlockGfn,
                   kBlock);
     }},
    {"host_wrprotect_guest of a page at its gfn",
     [](Cell& c) {
       return Call(c, HF_HOST_WRPROTECT_GUEST, c.open.handle, kBlockGfn + kSome,
                   1);
     }},
    {"host_test_clear_young_guest of a block at G",
     [](Cell& c) {
       return Call(c, HF_HOST_TEST_CLEAR_YOUNG_GUEST, c.open.handle, kBlockGfn,
                   kBlock, 1);
     }},
    {"host_test_clear_young_guest of a page at its gfn",
     [](Cell& c) {
       return Call(c, HF_HOST_TEST_CLEAR_YOUNG_GUEST, c.open.handle,
                   kBlockGfn + kSome, 1, 1);
     }},
    {"host_mkyoung_guest at a page's gfn",
     [](Cell& c) {
       Load(c, c.open);
       return Call(c, HF_HOST_MKYOUNG_GUEST, kBlockGfn + kSome);
     }},
    {"reclaim_dying_guest_page at G, non-protected VM dying",
     [](Cell& c) {
       Kill(c, c.open);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.open.handle, kBlockGfn, 1);
     }},
    {"share_ffa of all (internal)",
     [](Cell& c) { return NameOf(c.world.mem().ShareFfa(c.page, kBlock)); }},
    {"unshare_ffa of all (internal)",
     [](Cell& c) { return NameOf(c.world.mem().UnshareFfa(c.page, kBlock)); }},
    {"hyp_donate_host of all (internal)",
     [](Cell& c) {
       return NameOf(c.world.mem().HypDonateHost({c.pfn(), kBlock}));
     }},
    {"topup_vm with all",
     [](Cell& c) {
       return Call(c, HF_TOPUP_VM, c.closed.handle, c.page, kBlock);
     }},
    {"host_share_hyp of a page",
     [](Cell& c) { return Call(c, HF_HOST_SHARE_HYP, c.page + kSome); }},
    {"host_donate_guest of a page",
     [](Cell& c) { return Donate(c, c.closed, c.page + kSome, 2); }},
    {"force_reclaim_guest_page of a page",
     [](Cell& c) {
       return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page + kSome, 1);
     }},
    {"access by the host to a page",
     [](Cell& c) { return HostAccess(c, c.page + kSome); }},
    {"access by the guest at all the gfns",
     [](Cell& c) { return AccessAtAll(c, c.open); }},
    {"access by the protected guest at all the gfns",
     [](Cell& c) { return AccessAtAll(c, c.closed); }},
    {"host_donate_guest of a block at G",
     [](Cell& c) { return Donate(c, c.closed, c.page, kBlockGfn, kBlock); }},
    {"host_donate_guest of a block elsewhere, another VM",
     [](Cell& c) {
       return Donate(c, c.closed2, c.page, kOtherBlockGfn, kBlock);
     }},
    {"host_donate_guest of a page of it elsewhere",
     [](Cell& c) {
       return Donate(c, c.closed, c.page + kSome, kOtherBlockGfn);
     }},
    {"force_reclaim_guest_page of all",
     [](Cell& c) {
       return Call(c, HF_FORCE_RECLAIM_GUEST_PAGE, c.page, kBlock);
     }},
    {"MEM_SHARE of all at G",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kBlockGfn, kBlock);
     }},
    {"MEM_SHARE of a page at its gfn",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_SHARE, kBlockGfn + kSome);
     }},
    {"MEM_UNSHARE of all at G",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_UNSHARE, kBlockGfn, kBlock);
     }},
    {"MEM_UNSHARE of a page at its gfn",
     [](Cell& c) {
       return GuestCall(c, c.closed, HF_GUEST_MEM_UNSHARE, kBlockGfn + kSome);
     }},
    {"reclaim_dying_guest_page of all at G, VM dying",
     [](Cell& c) {
       Kill(c, c.closed);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.closed.handle, kBlockGfn,
                   kBlock);
     }},
    {"reclaim_dying_guest_page of a page, VM dying",
     [](Cell& c) {
       Kill(c, c.closed);
       return Call(c, HF_RECLAIM_DYING_GUEST_PAGE, c.closed.handle,
                   kBlockGfn + kSome, 1);
     }},
};

std::string RunRunCell(const std::string& call, const std::string& column,
                       const std::string& want, bool) {
  Cell c;
  c.page = c.world.Frames(kBlock, kBlock);
  kReachRun.at(column)(c);
  if (const std::string state = RunStateOf(c); state != column)
    return "not reached: it is " + state;
  if (const std::string trouble = c.world.Trouble(); !trouble.empty())
    return "before the call: " + trouble;
  const std::string result = kRunCalls.at(call)(c);
  const std::string state = RunStateOf(c);
  const std::string got = state == column ? result : result + ">" + state;
  if (got != want) return "is " + got;
  return c.world.Trouble();
}

// ---- The matrix -------------------------------------------------------------

// A line for each cell that is not what its row says.
template <class Rows, class States>
std::vector<std::string> Differences(const Rows& rows, const States& states,
                                     std::string (*run)(const std::string&,
                                                        const std::string&,
                                                        const std::string&,
                                                        bool poison),
                                     bool poison) {
  std::vector<std::string> differences;
  for (const auto& row : rows) {
    for (size_t i = 0; i < states.size(); ++i) {
      const std::string wrong =
          run(row.call, states[i].name, row.cells[i], poison);
      if (wrong.empty()) continue;
      differences.push_back(std::string(row.call) + " in state " +
                            states[i].name + ": wanted " + row.cells[i] + ", " +
                            wrong);
    }
  }
  return differences;
}

using None = std::vector<std::string>;

TEST(Matrix, EveryStateTimesEveryCall) {
  EXPECT_EQ(Differences(kPageRows, kPageStates, RunPageCell, false), None());
}

TEST(Matrix, EveryStateTimesEveryCallBesideAPoisonedGfn) {
  EXPECT_EQ(Differences(kPageRows, kPageStates, RunPageCell, true), None());
  EXPECT_EQ(Differences(kPoisonRows, kPageStates, RunPageCell, true), None());
}

TEST(Matrix, EveryRunTimesEveryCall) {
  if (kBlock == 0) GTEST_SKIP() << "no blocks with this granule";
  EXPECT_EQ(Differences(kRunRows, kRunStates, RunRunCell, false), None());
}

// No call that this file knows how to make is missing in the data.
TEST(Matrix, EveryCallHasARow) {
  std::set<std::string> rows;
  for (const auto& row : kPageRows) EXPECT_TRUE(rows.insert(row.call).second);
  for (const auto& row : kPoisonRows) EXPECT_TRUE(rows.insert(row.call).second);
  for (const auto& [call, action] : kPageCalls) EXPECT_EQ(rows.count(call), 1u);
  std::set<std::string> runs;
  for (const auto& row : kRunRows) EXPECT_TRUE(runs.insert(row.call).second);
  for (const auto& [call, action] : kRunCalls) EXPECT_EQ(runs.count(call), 1u);
}

// The check itself: a cell that says something else is found, and only that.
TEST(Matrix, AWrongCellIsReported) {
  struct Wrong {
    const char* call;
    const char* state;
    const char* cell;
    const char* is;
  };
  for (const Wrong& wrong : {
           Wrong{"host_share_hyp", "A", "EINVAL", "is EPERM"},
           Wrong{"host_share_hyp", "B", "0>A", "is 0>C"},
           Wrong{"host_share_hyp", "B", "0", "is 0>C"},
           Wrong{"host_share_hyp", "E", "0>C", "is EPERM"},
           Wrong{"force_reclaim_guest_page", "F", "0>B", "is 0>P"},
           Wrong{"access by the host", "F", "ok", "is abort"},
           Wrong{"MEM_SHARE at g", "P", "exit", "is -3"},
       }) {
    std::vector<matrix::PageRow> rows;
    for (const auto& row : kPageRows) {
      if (std::string(row.call) == wrong.call) rows.push_back(row);
    }
    ASSERT_EQ(rows.size(), 1u);
    for (size_t i = 0; i < kPageStates.size(); ++i) {
      if (std::string(kPageStates[i].name) == wrong.state)
        rows[0].cells[i] = wrong.cell;
    }
    EXPECT_EQ(Differences(rows, kPageStates, RunPageCell, false),
              std::vector{std::string(wrong.call) + " in state " + wrong.state +
                          ": wanted " + wrong.cell + ", " + wrong.is});
  }
}

// A broken invariant is found as well, though the result is right.
TEST(Matrix, ABrokenInvariantIsReported) {
  Cell c;
  c.page = c.world.Frames(1);
  ASSERT_EQ(Share(c, c.open, c.page, kGfn), "0");
  ASSERT_EQ(c.world.Trouble(), "");
  auto* record = const_cast<PageRecord*>(c.world.mem().RecordOf(c.pfn()));
  record->Increment();
  EXPECT_NE(c.world.Trouble().find("1 leaves map it"), std::string::npos);
  record->Decrement();
  record->set_host(PageState::kOwned);
  EXPECT_NE(c.world.Trouble(), "");
}

}  // namespace
}  // namespace holdfast::mem_protect
