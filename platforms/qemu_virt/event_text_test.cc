// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/event_text.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "hyp/abi.h"

namespace holdfast::qemu_virt {
namespace {

std::string Text(const Event& event) {
  LineBuffer line;
  AddEvent(line, event);
  return {line.data(), line.size()};
}
std::string Text(EventKind kind, uint64_t a, uint64_t b = 0, uint64_t c = 0) {
  return Text(Event{.kind = kind, .sequence = 0, .a = a, .b = b, .c = c});
}
uint64_t Minus(uint64_t number) { return 0 - number; }

TEST(EventTextTest, Calls) {
  EXPECT_EQ(Text(EventKind::kCallEnter, HF_RESERVE_VM, 1, 2), "reserve_vm()");
  EXPECT_EQ(Text(EventKind::kCallEnter, HF_HOST_SHARE_HYP, 0x40, 2),
            "host_share_hyp(0x40)");
  EXPECT_EQ(Text(EventKind::kCallEnter, HF_HOST_DONATE_GUEST, 0x40, 2),
            "host_donate_guest(0x40, 0x2, ...)");
  EXPECT_EQ(Text(EventKind::kCallEnter, HF_INIT_VM, 0x1000, 2),
            "init_vm(0x1000, 0x2, ...)");
}

TEST(EventTextTest, Returns) {
  EXPECT_EQ(Text(EventKind::kCallExit, HF_RESERVE_VM, 0x1000),
            "reserve_vm -> 0x1000");
  EXPECT_EQ(Text(EventKind::kCallExit, HF_DRAIN_VM, Minus(HF_EBUSY), 3),
            "drain_vm -> -EBUSY, 0x3");
  EXPECT_EQ(Text(EventKind::kCallExit, 0xc600'01ff, Minus(1)),
            "unknown call 0xc60001ff -> -EPERM");
}

TEST(EventTextTest, EveryErrorHasItsName) {
  // As Linux numbers them.
  const std::pair<uint64_t, const char*> names[] = {
      {1, "EPERM"},   {2, "ENOENT"},     {7, "E2BIG"},  {11, "EAGAIN"},
      {12, "ENOMEM"}, {14, "EFAULT"},    {16, "EBUSY"}, {22, "EINVAL"},
      {34, "ERANGE"}, {133, "EHWPOISON"}};
  for (const auto& [number, name] : names)
    EXPECT_STREQ(ErrnoName(number), name);
  EXPECT_EQ(ErrnoName(0), nullptr);
  EXPECT_EQ(ErrnoName(Minus(1)), nullptr);
}

TEST(EventTextTest, Smcs) {
  EXPECT_EQ(Text(EventKind::kSmc, 0xc400'0003, 0, 1), "smc CPU_ON(0x1, ...)");
  EXPECT_EQ(Text(EventKind::kSmc, 0x8400'0002), "smc CPU_OFF(0x0, ...)");
  EXPECT_EQ(Text(EventKind::kSmc, 0xc400'0020, Minus(1)),
            "smc 0xc4000020 denied");
  // By a name that is allowed, but with an immediate or more bits.
  EXPECT_EQ(Text(EventKind::kSmc, 0xc400'0003, Minus(1)), "smc CPU_ON denied");
  EXPECT_EQ(Text(EventKind::kSmc, 0x1'c400'0003, Minus(1)),
            "smc 0x1c4000003 denied");
}

TEST(EventTextTest, Aborts) {
  constexpr uint64_t kData = 0x24u << 26, kFetch = 0x20u << 26,
                     kWrite = 1u << 6;
  EXPECT_EQ(Text(EventKind::kHostAbort, 0x9000000, kData | 7, 0),
            "host read from 0x9000000, translation fault: mapped");
  EXPECT_EQ(Text(EventKind::kHostAbort, 0x9000000, kData | kWrite | 7, 1),
            "host write to 0x9000000, translation fault: refused");
  EXPECT_EQ(Text(EventKind::kHostAbort, 0x9000000, kFetch | 0xf, 1),
            "host fetch from 0x9000000, permission fault: refused");
}

TEST(EventTextTest, States) {
  EXPECT_EQ(Text(EventKind::kPageState, 0x403ff, 3, 1),
            "page 0x403ff: host no page; hyp owned");
  EXPECT_EQ(Text(EventKind::kPageState, 0x40200, 0x303, 512),
            "page 0x40200+512: host no page; hyp no page");
  EXPECT_EQ(Text(EventKind::kPageState, 1, 0x209, 1),
            "page 0x1: host ?; hyp borrowed");
  EXPECT_EQ(Text(EventKind::kGuestLeaf, 0x40, 0, 0x1000),
            "gfn 0x40 of VM 0x1000: entry 0x0");
  EXPECT_EQ(Text(EventKind::kVcpu, 0x1000, 3, 1),
            "vCPU 3 of VM 0x1000: loaded");
  EXPECT_EQ(Text(EventKind::kVcpu, 0x1000, 3, 0), "vCPU 3 of VM 0x1000: put");
  EXPECT_EQ(Text(EventKind::kVmState, 0x1000, 3), "VM 0x1000: live");
  EXPECT_EQ(Text(EventKind::kVmState, 0x1000, 5), "VM 0x1000: ?");
  EXPECT_EQ(Text(Event{}), "");
}

TEST(EventTextTest, Unfinished) {
  const auto text = [](const EventRing& events) -> std::string {
    LineBuffer line;
    const bool any = AddUnfinished(line, events);
    EXPECT_EQ(any, line.size() != 0);
    return {line.data(), line.size()};
  };
  EventRing ring;
  EXPECT_EQ(text(ring), "");
  ring.Record(EventKind::kCallEnter, HF_HOST_SHARE_HYP, 0x40);
  EXPECT_EQ(text(ring), "host_share_hyp(0x40)");
  ring.Record(EventKind::kPageState, 0x40, 1, 2);
  EXPECT_EQ(text(ring), "host_share_hyp(0x40)");
  ring.Record(EventKind::kCallExit, HF_HOST_SHARE_HYP, 0);
  EXPECT_EQ(text(ring), "");
  ring.Record(EventKind::kCallEnter, HF_HOST_SHARE_HYP, 0x40);
  ring.Record(EventKind::kHostAbort, 0x40, 1, 2);
  EXPECT_EQ(text(ring), "");
}

}  // namespace
}  // namespace holdfast::qemu_virt
