// SPDX-License-Identifier: Apache-2.0
//
// docs/abi.md against the code: names, numbers and fields, and that each error
// it lists is answered, in the order it gives. Each case below makes a call
// that fails one numbered check of the document and no earlier one; where it
// can, it would fail later checks as well.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hyp/calls.h"
#include "tests/abi/document.h"
#include "tests/world/world.h"

namespace holdfast::tests {
namespace {

using abi::DocumentedCall;

const std::vector<DocumentedCall>& Document() {
  static const std::vector<DocumentedCall> calls = [] {
    std::string wrong;
    auto read = abi::ReadDocument("docs/abi.md", &wrong);
    EXPECT_EQ(wrong, "");
    return read;
  }();
  return calls;
}

constexpr uint64_t kWild = ~uint64_t{0};  // no frame, no handle
constexpr uint64_t kBeyondPa = 1u << (kPaBits - kPageShift);
constexpr uint64_t kUartPfn = kUartBase / kPageSize;
constexpr uint64_t kGapPfn = kFwCfgBase / kPageSize;
constexpr uint64_t kNoMapPfn = kNoMapBase / kPageSize;
// The last page of the second RAM region, which ends in its middle.
constexpr uint64_t kHalfPfn = (kRam2Base + kRam2Size) / kPageSize;
constexpr uint64_t kRwx = HF_PROT_R | HF_PROT_W | HF_PROT_PX | HF_PROT_UX;
constexpr uint64_t kBlock = mem_protect::MemProtect::kBlockPages;

// A machine with a VM of each kind, and pages in the states that the cases
// want.
struct Scene {
  explicit Scene(CpuFeatures features = {.pa_bits = kPaBits,
                                         .fwb = false,
                                         .xnx = true})
      : world(World::Options{.features = features}),
        vm(world.MakeVm(3)),
        lent(world.MakeVm(2, 16, /*is_protected=*/false)),
        host_page(world.Frames(1)),
        hyp_page(vm.memory),
        shared(world.Frames(1)) {
    Ok(HF_HOST_SHARE_HYP, shared);
  }

  void Ok(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0, uint64_t x3 = 0,
          uint64_t x4 = 0, uint64_t x5 = 0) {
    const Reply reply = world.Call(id, x1, x2, x3, x4, x5);
    EXPECT_TRUE(reply.ok()) << std::hex << id << ": " << ToString(reply);
  }
  void Load(const HostVm& which, uint64_t index = 0) {
    Ok(HF_VCPU_LOAD, which.handle, index);
  }
  // A page of `vm` at `gfn`; `vm` is loaded already.
  uint64_t Donate(uint64_t gfn) {
    const uint64_t page = world.Frames(1);
    Ok(HF_HOST_DONATE_GUEST, page, gfn, 1);
    return page;
  }
  // The guest's shares, loaded: one page at gfn 0, a block at gfn kBlock.
  void Lend() {
    Load(lent);
    Ok(HF_HOST_SHARE_GUEST, world.Frames(1), 0, 1, kRwx);
    Ok(HF_HOST_SHARE_GUEST, world.Frames(kBlock, kBlock), kBlock, kBlock, kRwx);
  }
  void Die(const HostVm& which) {
    world.Call(HF_VCPU_PUT);
    Ok(HF_START_TEARDOWN_VM, which.handle);
  }
  uint64_t Reserved() { return world.Call(HF_RESERVE_VM).x1; }

  World world;
  const HostVm vm;
  const HostVm lent;
  const uint64_t host_page;
  const uint64_t hyp_page;
  const uint64_t shared;
};

struct Case {
  const char* call;
  unsigned check;  // number in the document
  const char* error;
  const char* what;
  std::function<Reply(Scene&)> make;
};

// clang-format off
#define CALL(...) [](Scene& s) { return s.world.Call(__VA_ARGS__); }
#define AFTER(before, ...) [](Scene& s) { before; return s.world.Call(__VA_ARGS__); }

// Arguments that make a range "not the host's memory", for calls that take one.
#define NOT_HOST_MEMORY(call, check, before, id, ...)                                                         \
  {call, check, "EINVAL", "beyond the PA size", AFTER(before; const uint64_t pfn = kBeyondPa, id, __VA_ARGS__)}, \
  {call, check, "EINVAL", "no number at all", AFTER(before; const uint64_t pfn = kWild, id, __VA_ARGS__)},       \
  {call, check, "EINVAL", "a region's half page", AFTER(before; const uint64_t pfn = kHalfPfn, id, __VA_ARGS__)}, \
  {call, check, "EPERM", "a gap", AFTER(before; const uint64_t pfn = kGapPfn, id, __VA_ARGS__)},                 \
  {call, check, "EPERM", "MMIO", AFTER(before; const uint64_t pfn = kUartPfn, id, __VA_ARGS__)},                 \
  {call, check, "EPERM", "NOMAP", AFTER(before; const uint64_t pfn = kNoMapPfn, id, __VA_ARGS__)}

std::vector<Case> Cases() {
  return {
    NOT_HOST_MEMORY("host_share_hyp", 1, , HF_HOST_SHARE_HYP, pfn),
    {"host_share_hyp", 2, "EPERM", "EL2's", CALL(HF_HOST_SHARE_HYP, s.hyp_page)},
    {"host_share_hyp", 2, "EPERM", "shared already", CALL(HF_HOST_SHARE_HYP, s.shared)},

    NOT_HOST_MEMORY("host_unshare_hyp", 1, , HF_HOST_UNSHARE_HYP, pfn),
    {"host_unshare_hyp", 2, "EPERM", "not shared", CALL(HF_HOST_UNSHARE_HYP, s.host_page)},
    {"host_unshare_hyp", 3, "EBUSY", "a run page", CALL(HF_HOST_UNSHARE_HYP, s.vm.run_pages[0])},

    {"host_donate_guest", 1, "EINVAL", "nothing loaded", CALL(HF_HOST_DONATE_GUEST, kWild, kWild, 1)},
    {"host_donate_guest", 1, "EINVAL", "a non-protected vCPU", AFTER(s.Load(s.lent), HF_HOST_DONATE_GUEST, s.hyp_page, kWild, 1)},
    NOT_HOST_MEMORY("host_donate_guest", 2, s.Load(s.vm), HF_HOST_DONATE_GUEST, pfn, kWild, 1),
    {"host_donate_guest", 2, "EINVAL", "no pages", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.host_page, kWild, 0)},
    {"host_donate_guest", 2, "EINVAL", "pages beyond the PA size", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.hyp_page, kWild, kBeyondPa)},
    {"host_donate_guest", 3, "EPERM", "EL2's", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.hyp_page, kWild, 1)},
    {"host_donate_guest", 3, "EPERM", "shared", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.shared, kWild, 1)},
    {"host_donate_guest", 4, "ERANGE", "no gfn", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.host_page, kWild, 1)},
    {"host_donate_guest", 4, "ERANGE", "the first gfn beyond", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.host_page, kBeyondPa, 1)},
    {"host_donate_guest", 4, "ERANGE", "the last one beyond", AFTER(s.Load(s.vm), HF_HOST_DONATE_GUEST, s.host_page, kBeyondPa - 1, 2)},
    {"host_donate_guest", 5, "EPERM", "a page is there", AFTER(s.Load(s.vm); s.Donate(7), HF_HOST_DONATE_GUEST, s.host_page, 7, 1)},
    {"host_donate_guest", 5, "EPERM", "poison is there", AFTER(s.Load(s.vm); s.Ok(HF_FORCE_RECLAIM_GUEST_PAGE, s.Donate(7), 1), HF_HOST_DONATE_GUEST, s.host_page, 7, 1)},
    {"host_donate_guest", 6, "ENOMEM", "no stock", [](Scene& s) {
       const HostVm poor = s.world.MakeVm(1, 0);
       s.Load(poor);
       const Reply reply = s.world.Call(HF_HOST_DONATE_GUEST, s.host_page, 7, 1);
       EXPECT_EQ(reply.x2, s.world.mem().stage2_shape().levels - 1);
       return reply;
     }},

    {"host_share_guest", 1, "EINVAL", "nothing loaded", CALL(HF_HOST_SHARE_GUEST, kWild, kWild, 0, kWild)},
    {"host_share_guest", 1, "EINVAL", "a protected vCPU", AFTER(s.Load(s.vm), HF_HOST_SHARE_GUEST, s.host_page, 0, 1, kRwx)},
    {"host_share_guest", 2, "EINVAL", "prot", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.host_page, kWild, 1, kRwx | 16)},
    {"host_share_guest", 3, "EINVAL", "beyond the PA size", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, kBeyondPa, kWild, 1, kRwx)},
    {"host_share_guest", 3, "EINVAL", "no pages", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.host_page, kWild, 0, kRwx)},
    {"host_share_guest", 3, "EINVAL", "two pages", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.hyp_page, kWild, 2, kRwx)},
    {"host_share_guest", 3, "EINVAL", "pfn unaligned", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.world.Frames(kBlock, kBlock) + 1, 0, kBlock, kRwx)},
    {"host_share_guest", 3, "EINVAL", "gfn unaligned", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.world.Frames(kBlock, kBlock), 1, kBlock, kRwx)},
    {"host_share_guest", 4, "EINVAL", "a region's half page", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, kHalfPfn, kWild, 1, kRwx)},
    {"host_share_guest", 4, "EPERM", "MMIO", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, kUartPfn, kWild, 1, kRwx)},
    {"host_share_guest", 4, "EPERM", "NOMAP", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, kNoMapPfn, kWild, 1, kRwx)},
    {"host_share_guest", 5, "ERANGE", "no gfn", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.hyp_page, kWild, 1, kRwx)},
    {"host_share_guest", 6, "EPERM", "taken", AFTER(s.Lend(), HF_HOST_SHARE_GUEST, s.host_page, 0, 1, kRwx)},
    {"host_share_guest", 7, "EPERM", "EL2's", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.hyp_page, 0, 1, kRwx)},
    {"host_share_guest", 7, "EPERM", "shared with EL2", AFTER(s.Load(s.lent), HF_HOST_SHARE_GUEST, s.shared, 0, 1, kRwx)},
    {"host_share_guest", 7, "EPERM", "shared with the secure world", AFTER(s.Load(s.lent); EXPECT_TRUE(s.world.mem().ShareFfa(s.host_page, 1).has_value()), HF_HOST_SHARE_GUEST, s.host_page, 0, 1, kRwx)},
    {"host_share_guest", 8, "EBUSY", "counted to the end", [](Scene& s) {
       s.Load(s.lent);
       s.Ok(HF_HOST_SHARE_GUEST, s.host_page, 0, 1, kRwx);
       // As if 2^28 - 2 other mappings had been made: a word of EL2's memory.
       auto& record = const_cast<mem_protect::PageRecord&>(*s.world.mem().RecordOf(Pfn(s.host_page)));
       while (record.count() < mem_protect::PageRecord::kMaxCount) record.Increment();
       const Reply reply = s.world.Call(HF_HOST_SHARE_GUEST, s.host_page, 1, 1, kRwx);
       while (record.count() > 1) record.Decrement();
       return reply;
     }},
    {"host_share_guest", 9, "ENOMEM", "no stock", [](Scene& s) {
       s.Load(s.world.MakeVm(1, 0, /*is_protected=*/false));
       const Reply reply = s.world.Call(HF_HOST_SHARE_GUEST, s.host_page, 0, 1, kRwx);
       EXPECT_EQ(reply.x2, s.world.mem().stage2_shape().levels - 1);
       return reply;
     }},

    {"host_unshare_guest", 1, "EINVAL", "no handle", CALL(HF_HOST_UNSHARE_GUEST, kWild, kWild, 0)},
    {"host_unshare_guest", 1, "EINVAL", "bits above a handle", CALL(HF_HOST_UNSHARE_GUEST, s.lent.handle | 1 << 16, 0, 1)},
    {"host_unshare_guest", 1, "EINVAL", "a protected VM", CALL(HF_HOST_UNSHARE_GUEST, s.vm.handle, 0, 1)},
    {"host_unshare_guest", 2, "EINVAL", "two pages", CALL(HF_HOST_UNSHARE_GUEST, s.lent.handle, kWild, 2)},
    {"host_unshare_guest", 2, "EINVAL", "unaligned", CALL(HF_HOST_UNSHARE_GUEST, s.lent.handle, 1, kBlock)},
    {"host_unshare_guest", 3, "ERANGE", "no gfn", CALL(HF_HOST_UNSHARE_GUEST, s.lent.handle, kWild, 1)},
    {"host_unshare_guest", 4, "ENOENT", "nothing", CALL(HF_HOST_UNSHARE_GUEST, s.lent.handle, 3, 1)},
    {"host_unshare_guest", 5, "E2BIG", "a page of a block", AFTER(s.Lend(), HF_HOST_UNSHARE_GUEST, s.lent.handle, kBlock, 1)},
    {"host_unshare_guest", 5, "E2BIG", "a block of pages", AFTER(s.Lend(), HF_HOST_UNSHARE_GUEST, s.lent.handle, 0, kBlock)},

    {"host_relax_perms_guest", 1, "EINVAL", "nothing loaded", CALL(HF_HOST_RELAX_PERMS_GUEST, kWild, kWild)},
    {"host_relax_perms_guest", 1, "EINVAL", "a protected vCPU", AFTER(s.Load(s.vm), HF_HOST_RELAX_PERMS_GUEST, 0, kRwx)},
    {"host_relax_perms_guest", 2, "EINVAL", "prot", AFTER(s.Load(s.lent), HF_HOST_RELAX_PERMS_GUEST, kWild, 16)},
    {"host_relax_perms_guest", 3, "ERANGE", "no gfn", AFTER(s.Load(s.lent), HF_HOST_RELAX_PERMS_GUEST, kWild, kRwx)},
    {"host_relax_perms_guest", 4, "EAGAIN", "nothing", AFTER(s.Load(s.lent), HF_HOST_RELAX_PERMS_GUEST, 3, kRwx)},

    {"host_wrprotect_guest", 1, "EINVAL", "a protected VM", CALL(HF_HOST_WRPROTECT_GUEST, s.vm.handle, kWild, 2)},
    {"host_wrprotect_guest", 2, "EINVAL", "two pages", CALL(HF_HOST_WRPROTECT_GUEST, s.lent.handle, kWild, 2)},
    {"host_wrprotect_guest", 3, "ERANGE", "no gfn", CALL(HF_HOST_WRPROTECT_GUEST, s.lent.handle, kWild, 1)},

    {"host_test_clear_young_guest", 1, "EINVAL", "a protected VM", CALL(HF_HOST_TEST_CLEAR_YOUNG_GUEST, s.vm.handle, kWild, 2, 1)},
    {"host_test_clear_young_guest", 2, "EINVAL", "two pages", CALL(HF_HOST_TEST_CLEAR_YOUNG_GUEST, s.lent.handle, kWild, 2, 1)},
    {"host_test_clear_young_guest", 3, "ERANGE", "no gfn", CALL(HF_HOST_TEST_CLEAR_YOUNG_GUEST, s.lent.handle, kWild, 1, 1)},

    {"host_mkyoung_guest", 1, "EINVAL", "a protected vCPU", AFTER(s.Load(s.vm), HF_HOST_MKYOUNG_GUEST, kWild)},
    {"host_mkyoung_guest", 2, "ERANGE", "no gfn", AFTER(s.Load(s.lent), HF_HOST_MKYOUNG_GUEST, kWild)},

    {"tlb_flush_vmid", 1, "EINVAL", "a protected VM", CALL(HF_TLB_FLUSH_VMID, s.vm.handle)},
    {"tlb_flush_vmid", 1, "EINVAL", "no handle", CALL(HF_TLB_FLUSH_VMID, 0)},

    {"force_reclaim_guest_page", 1, "EINVAL", "no pages", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, kWild, 0)},
    {"force_reclaim_guest_page", 2, "EFAULT", "no number at all", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, kWild, 1)},
    {"force_reclaim_guest_page", 2, "EFAULT", "beyond the PA size", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, kBeyondPa, 1)},
    {"force_reclaim_guest_page", 2, "EFAULT", "MMIO", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, kUartPfn, 1)},
    {"force_reclaim_guest_page", 2, "EFAULT", "NOMAP", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, kNoMapPfn, 1)},
    {"force_reclaim_guest_page", 3, "EAGAIN", "the host's", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, s.host_page, 1)},
    {"force_reclaim_guest_page", 3, "EAGAIN", "shared with EL2", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, s.shared, 1)},
    {"force_reclaim_guest_page", 3, "EAGAIN", "shared by its guest", [](Scene& s) {
       s.Load(s.vm);
       const uint64_t page = s.Donate(7);
       EXPECT_EQ(s.world.GuestCall(HF_GUEST_MEM_SHARE, 7 * kPageSize).result(), 0);
       return s.world.Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1);
     }},
    {"force_reclaim_guest_page", 4, "EPERM", "EL2's", CALL(HF_FORCE_RECLAIM_GUEST_PAGE, s.hyp_page, 1)},

    {"reclaim_dying_guest_page", 1, "EINVAL", "a live VM", CALL(HF_RECLAIM_DYING_GUEST_PAGE, s.vm.handle, kWild, 1)},
    {"reclaim_dying_guest_page", 1, "EINVAL", "no handle", CALL(HF_RECLAIM_DYING_GUEST_PAGE, kWild, kWild, 1)},
    {"reclaim_dying_guest_page", 2, "EINVAL", "no pages", AFTER(s.Die(s.vm), HF_RECLAIM_DYING_GUEST_PAGE, s.vm.handle, kWild, 0)},
    {"reclaim_dying_guest_page", 3, "ERANGE", "no gfn", AFTER(s.Die(s.vm), HF_RECLAIM_DYING_GUEST_PAGE, s.vm.handle, kWild, 1)},
    {"reclaim_dying_guest_page", 4, "ENOENT", "nothing", [](Scene& s) {
       s.Load(s.vm);
       s.Donate(9);
       s.Die(s.vm);
       const Reply reply = s.world.Call(HF_RECLAIM_DYING_GUEST_PAGE, s.vm.handle, 3, 1);
       EXPECT_EQ(reply.x2, 9u);
       return reply;
     }},
    {"reclaim_dying_guest_page", 5, "E2BIG", "a block", AFTER(s.Lend(); s.Die(s.lent), HF_RECLAIM_DYING_GUEST_PAGE, s.lent.handle, kBlock, 1)},
    {"reclaim_dying_guest_page", 6, "EPERM", "borrowed", AFTER(s.Lend(); s.Die(s.lent), HF_RECLAIM_DYING_GUEST_PAGE, s.lent.handle, 0, 1)},

    {"reserve_vm", 1, "ENOMEM", "all handles", [](Scene& s) {
       Reply reply;
       for (unsigned i = 0; i < 255; ++i) {
         reply = s.world.Call(HF_RESERVE_VM);
         if (!reply.ok()) EXPECT_EQ(i, 253u);  // two are the scene's
         if (!reply.ok()) break;
       }
       return reply;
     }},

    {"unreserve_vm", 1, "EINVAL", "a live VM", CALL(HF_UNRESERVE_VM, s.vm.handle)},
    {"unreserve_vm", 1, "EINVAL", "a free slot", CALL(HF_UNRESERVE_VM, s.lent.handle + 1)},

    {"vm_frames_needed", 1, "EINVAL", "no vCPU", CALL(HF_VM_FRAMES_NEEDED, 0)},
    {"vm_frames_needed", 1, "EINVAL", "too many", CALL(HF_VM_FRAMES_NEEDED, HF_MAX_VCPUS + 1)},

    {"init_vm", 1, "EINVAL", "a live VM", CALL(HF_INIT_VM, s.vm.handle, s.hyp_page, s.hyp_page, 0, kWild)},
    {"init_vm", 2, "EINVAL", "no vCPU", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, s.hyp_page, 0, 1)},
    {"init_vm", 2, "EINVAL", "too many vCPUs", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, s.hyp_page, HF_MAX_VCPUS + 1, 1)},
    {"init_vm", 2, "EINVAL", "a flag", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, s.hyp_page, 1, 2)},
    {"init_vm", 3, "EINVAL", "memory beyond the PA size", CALL(HF_INIT_VM, s.Reserved(), kBeyondPa, s.world.Frames(2, 2), 1, 1)},
    {"init_vm", 3, "EINVAL", "root beyond the PA size", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, kWild, 1, 1)},
    {"init_vm", 3, "EINVAL", "root unaligned", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, s.world.Frames(4, 4) + 1, 1, 1)},
    {"init_vm", 4, "EINVAL", "the runs overlap", [](Scene& s) {
       const uint64_t run = s.world.Frames(4, 4);
       return s.world.Call(HF_INIT_VM, s.Reserved(), run, run, 1, 1);
     }},
    {"init_vm", 4, "EPERM", "memory in MMIO", CALL(HF_INIT_VM, s.Reserved(), kUartPfn, s.world.Frames(2, 2), 1, 1)},
    {"init_vm", 4, "EPERM", "root in NOMAP", CALL(HF_INIT_VM, s.Reserved(), s.host_page, kNoMapPfn, 1, 1)},
    {"init_vm", 5, "EPERM", "EL2's", CALL(HF_INIT_VM, s.Reserved(), s.hyp_page, s.world.Frames(2, 2), 1, 1)},
    {"init_vm", 5, "EPERM", "shared", CALL(HF_INIT_VM, s.Reserved(), s.shared, s.world.Frames(2, 2), 1, 1)},

    {"init_vcpu", 1, "ENOENT", "a reserved handle", CALL(HF_INIT_VCPU, s.Reserved(), kWild, kWild, kWild)},
    {"init_vcpu", 1, "ENOENT", "no handle", CALL(HF_INIT_VCPU, kWild, 0, s.host_page, s.shared)},
    {"init_vcpu", 2, "EINVAL", "dying", AFTER(s.Die(s.vm), HF_INIT_VCPU, s.vm.handle, 0, kWild, kWild)},
    {"init_vcpu", 2, "EINVAL", "no such index", CALL(HF_INIT_VCPU, s.vm.handle, 3, s.hyp_page, kWild)},
    {"init_vcpu", 2, "EINVAL", "it has that vCPU", CALL(HF_INIT_VCPU, s.vm.handle, 0, s.hyp_page, kWild)},
    NOT_HOST_MEMORY("init_vcpu", 3, const HostVm fresh = s.world.MakeVm(1); s.Die(fresh); while (s.world.Call(HF_DRAIN_VM, fresh.handle).x2 != 0) {} s.Ok(HF_FINALIZE_TEARDOWN_VM, fresh.handle); const uint64_t handle = s.Reserved(); s.Ok(HF_INIT_VM, handle, fresh.memory, fresh.root, 1, 1), HF_INIT_VCPU, handle, 0, pfn, s.host_page),
    {"init_vcpu", 4, "EPERM", "EL2's", [](Scene& s) {
       const uint64_t handle = s.Reserved();
       s.Ok(HF_INIT_VM, handle, s.world.Frames(s.vm.memory_frames), s.world.Frames(s.vm.root_frames, s.vm.root_frames), 1, 1);
       return s.world.Call(HF_INIT_VCPU, handle, 0, s.hyp_page, s.host_page);
     }},
    {"init_vcpu", 5, "EPERM", "not shared", [](Scene& s) {
       const uint64_t handle = s.Reserved();
       s.Ok(HF_INIT_VM, handle, s.world.Frames(s.vm.memory_frames), s.world.Frames(s.vm.root_frames, s.vm.root_frames), 1, 1);
       return s.world.Call(HF_INIT_VCPU, handle, 0, s.world.Frames(s.vm.vcpu_frames), s.host_page);
     }},
    {"init_vcpu", 6, "EBUSY", "a run page already", [](Scene& s) {
       const uint64_t handle = s.Reserved();
       s.Ok(HF_INIT_VM, handle, s.world.Frames(s.vm.memory_frames), s.world.Frames(s.vm.root_frames, s.vm.root_frames), 1, 1);
       return s.world.Call(HF_INIT_VCPU, handle, 0, s.world.Frames(s.vm.vcpu_frames), s.vm.run_pages[0]);
     }},

    {"topup_vm", 1, "ENOENT", "no handle", CALL(HF_TOPUP_VM, kWild, kWild, 0)},
    {"topup_vm", 2, "EINVAL", "dying", AFTER(s.Die(s.vm), HF_TOPUP_VM, s.vm.handle, s.hyp_page, 1)},
    {"topup_vm", 3, "EINVAL", "no pages", CALL(HF_TOPUP_VM, s.vm.handle, s.hyp_page, 0)},
    NOT_HOST_MEMORY("topup_vm", 3, , HF_TOPUP_VM, s.vm.handle, pfn, 1),
    {"topup_vm", 4, "EPERM", "EL2's", CALL(HF_TOPUP_VM, s.vm.handle, s.hyp_page, 1)},
    {"topup_vm", 4, "EPERM", "the second is shared", CALL(HF_TOPUP_VM, s.vm.handle, s.shared - 1, 2)},

    {"start_teardown_vm", 1, "EINVAL", "no handle", CALL(HF_START_TEARDOWN_VM, kWild)},
    {"start_teardown_vm", 2, "EBUSY", "loaded", AFTER(s.Load(s.vm), HF_START_TEARDOWN_VM, s.vm.handle)},
    {"start_teardown_vm", 3, "EINVAL", "dying", AFTER(s.Die(s.vm), HF_START_TEARDOWN_VM, s.vm.handle)},

    {"drain_vm", 1, "EINVAL", "a live VM", CALL(HF_DRAIN_VM, s.vm.handle)},
    {"drain_vm", 2, "EBUSY", "a page", [](Scene& s) {
       s.Load(s.vm);
       s.Donate(7);
       s.Die(s.vm);
       const Reply reply = s.world.Call(HF_DRAIN_VM, s.vm.handle);
       EXPECT_EQ(reply.x2, 1u);
       return reply;
     }},

    {"finalize_teardown_vm", 1, "EINVAL", "no handle", CALL(HF_FINALIZE_TEARDOWN_VM, kWild)},
    {"finalize_teardown_vm", 2, "EBUSY", "loaded", [](Scene& s) {
       s.Load(s.vm);
       const Reply reply = s.world.Call(HF_FINALIZE_TEARDOWN_VM, s.vm.handle);
       EXPECT_EQ(reply.x2, 0u);
       return reply;
     }},
    {"finalize_teardown_vm", 3, "EINVAL", "a live VM", CALL(HF_FINALIZE_TEARDOWN_VM, s.vm.handle)},
    {"finalize_teardown_vm", 4, "EBUSY", "stock and vCPUs", [](Scene& s) {
       s.Die(s.vm);
       const Reply reply = s.world.Call(HF_FINALIZE_TEARDOWN_VM, s.vm.handle);
       EXPECT_EQ(reply.x2, 16u + 3u);
       return reply;
     }},

    {"vcpu_load", 1, "EBUSY", "one is loaded", AFTER(s.Load(s.vm), HF_VCPU_LOAD, kWild, kWild)},
    {"vcpu_load", 2, "ENOENT", "no handle", CALL(HF_VCPU_LOAD, kWild, kWild)},
    {"vcpu_load", 3, "EINVAL", "dying", AFTER(s.Die(s.vm), HF_VCPU_LOAD, s.vm.handle, 0)},
    {"vcpu_load", 3, "EINVAL", "no such index", CALL(HF_VCPU_LOAD, s.vm.handle, 3)},
    {"vcpu_load", 4, "ENOENT", "never initialised", [](Scene& s) {
       const uint64_t handle = s.Reserved();
       s.Ok(HF_INIT_VM, handle, s.world.Frames(s.vm.memory_frames), s.world.Frames(s.vm.root_frames, s.vm.root_frames), 1, 1);
       return s.world.Call(HF_VCPU_LOAD, handle, 0);
     }},
    {"vcpu_load", 5, "EBUSY", "loaded elsewhere", [](Scene& s) {
       s.Load(s.vm);
       Reply reply;
       s.world.machine().RunParallel({[] {}, [&] { reply = s.world.Call(HF_VCPU_LOAD, s.vm.handle, 0); }});
       return reply;
     }},

    {"vcpu_put", 1, "EINVAL", "nothing loaded", CALL(HF_VCPU_PUT)},

    {"vcpu_run", 1, "EINVAL", "nothing loaded", CALL(HF_VCPU_RUN)},
    {"vcpu_run", 2, "EINVAL", "answered is neither", AFTER(s.Load(s.vm); EXPECT_TRUE(s.world.Store(s.vm.run_pages[0] * kPageSize + offsetof(hf_run_page, answered), 2)), HF_VCPU_RUN)},
    {"vcpu_run", 2, "EINVAL", "an interrupt that is none", AFTER(s.Load(s.vm); EXPECT_TRUE(s.world.Store(s.vm.run_pages[0] * kPageSize + offsetof(hf_run_page, interrupts), 1)), HF_VCPU_RUN)},
    {"vcpu_in_poison_fault", 1, "EINVAL", "nothing loaded", CALL(HF_VCPU_IN_POISON_FAULT)},
    {"vcpu_in_poison_fault", 2, "EINVAL", "it never ran", AFTER(s.Load(s.vm), HF_VCPU_IN_POISON_FAULT)},
    {"vcpu_in_poison_fault", 2, "EINVAL", "it made a call", AFTER(s.Load(s.vm); s.world.GuestCall(0), HF_VCPU_IN_POISON_FAULT)},
    {"vcpu_in_poison_fault", 3, "ERANGE", "beyond the input size", AFTER(s.Load(s.vm); EXPECT_FALSE(s.world.GuestLoad(s.vm.handle, uint64_t{1} << kPaBits).has_value()), HF_VCPU_IN_POISON_FAULT)},
    {"vcpu_in_poison_fault", 4, "EINVAL", "no table", AFTER(s.Load(s.vm); EXPECT_FALSE(s.world.GuestLoad(s.vm.handle, 0).has_value()), HF_VCPU_IN_POISON_FAULT)},

    {"set_abort_style", 1, "EINVAL", "a third style", CALL(HF_SET_ABORT_STYLE, 2)},
  };
}
// clang-format on

TEST(AbiDocument, HasEveryCallWithItsNumberAndFields) {
  std::vector<std::string> documented;
  for (const DocumentedCall& call : Document()) {
    documented.push_back(absl::StrCat(call.name, " ", absl::Hex(call.id), "(",
                                      absl::StrJoin(call.fields, ", "), ")"));
  }
  std::vector<std::string> served;
  for (const hyp::Call& call : hyp::kCalls) {
    std::vector<const char*> fields(call.fields.begin(),
                                    call.fields.begin() + call.arguments());
    served.push_back(absl::StrCat(call.name, " ", absl::Hex(call.id), "(",
                                  absl::StrJoin(fields, ", "), ")"));
  }
  EXPECT_THAT(documented, testing::UnorderedElementsAreArray(served));
}

TEST(AbiDocument, NamesFollowTheReference) {
  for (const DocumentedCall& call : Document()) {
    if (!call.reference.empty()) EXPECT_EQ(call.reference, call.name);
  }
}

// A call that needs something loaded says so in its first check.
TEST(AbiDocument, WhatMustBeLoadedIsCheckedFirst) {
  for (const DocumentedCall& call : Document()) {
    const hyp::Call* served = hyp::FindCall(call.id);
    ASSERT_NE(served, nullptr) << call.name;
    const bool says =
        !call.checks.empty() &&
        call.checks[0].text.find("loaded") != std::string::npos &&
        call.checks[0].errors == std::vector<std::string>{"EINVAL"};
    EXPECT_EQ(says, served->needs != hyp::Needs::kNothing) << call.name;
  }
}

TEST(AbiDocument, EachCaseFailsAsItSays) {
  for (const Case& a_case : Cases()) {
    SCOPED_TRACE(absl::StrCat(a_case.call, ": ", a_case.what));
    Scene scene;
    EXPECT_EQ(ToString(a_case.make(scene)), absl::StrCat("-", a_case.error));
    EXPECT_EQ(scene.world.Trouble(), "");
  }
}

// Rights that take FEAT_XNX, on a CPU without it (check 2 of two calls).
TEST(AbiDocument, RightsThatTheCpuCannotExpress) {
  Scene scene({.pa_bits = kPaBits, .fwb = false, .xnx = false});
  scene.Load(scene.lent);
  EXPECT_EQ(ToString(scene.world.Call(HF_HOST_SHARE_GUEST, scene.host_page,
                                      kWild, 1, HF_PROT_R | HF_PROT_PX)),
            "-EINVAL");
  EXPECT_EQ(
      ToString(scene.world.Call(HF_HOST_RELAX_PERMS_GUEST, kWild, HF_PROT_UX)),
      "-EINVAL");
}

// Every error of the document has a case, and every case a line there.
TEST(AbiDocument, EachErrorHasACaseAndEachCaseALine) {
  std::set<std::string> documented;
  for (const DocumentedCall& call : Document()) {
    for (size_t i = 0; i < call.checks.size(); ++i) {
      EXPECT_FALSE(call.checks[i].errors.empty())
          << call.name << ": " << call.checks[i].text;
      for (const std::string& error : call.checks[i].errors)
        documented.insert(absl::StrCat(call.name, " ", i + 1, " ", error));
    }
  }
  std::set<std::string> produced;
  for (const Case& a_case : Cases()) {
    produced.insert(
        absl::StrCat(a_case.call, " ", a_case.check, " ", a_case.error));
  }
  EXPECT_EQ(documented, produced);
}

}  // namespace
}  // namespace holdfast::tests
