// SPDX-License-Identifier: Apache-2.0
#include "tests/story/race.h"

#include <atomic>

#include "hyp/abi.h"
#include "tests/story/vm.h"

namespace holdfast::story {
namespace {

constexpr uint64_t kPages = 16;
constexpr uint64_t kPattern = 0xbad'5ec2e7;
// Donations to one VM before it is torn down.
constexpr unsigned kPerVm = 128;

struct Shared {
  Host& host;
  Vm& vm;
  uint64_t pages;  // first of kPages frames
  unsigned rounds;
  std::atomic<bool> done{false};

  // Of the CPU that donates.
  uint64_t donated = 0;
  uint64_t vms = 0;
  uint64_t odd_replies = 0;
  // Of the CPU that takes back.
  uint64_t forced = 0;
  uint64_t odd_force_replies = 0;
};

bool Is(const Reply& reply, int64_t x1) {
  return reply.x0 == 0 && static_cast<int64_t>(reply.x1) == x1;
}

void TearDown(Shared& shared) {
  Host& host = shared.host;
  const uint64_t handle = shared.vm.handle();
  // The other CPU may hold a reference for the length of one call.
  const auto until = [&](auto call) {
    for (;;) {
      const Reply reply = call();
      if (!Is(reply, -HF_EBUSY)) return reply;
    }
  };
  if (!Is(host.Call(HF_VCPU_PUT), 0)) ++shared.odd_replies;
  if (!Is(until([&] { return host.Call(HF_START_TEARDOWN_VM, handle); }), 0))
    ++shared.odd_replies;
  for (uint64_t gfn = 0; gfn != HF_NO_GFN;) {
    const Reply reply = host.Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, gfn, 1);
    if (!Is(reply, 0) && !Is(reply, -HF_ENOENT)) ++shared.odd_replies;
    gfn = reply.x2;
  }
  Reply drain;
  do {
    drain = host.Call(HF_DRAIN_VM, handle);
  } while (Is(drain, 0) && drain.x2 != 0);
  if (!Is(drain, 0)) ++shared.odd_replies;
  if (!Is(until([&] { return host.Call(HF_FINALIZE_TEARDOWN_VM, handle); }),
          0)) {
    ++shared.odd_replies;
  }
  if (!Is(host.Call(HF_HOST_UNSHARE_HYP, shared.vm.run_page()), 0))
    ++shared.odd_replies;
}

void Donate(Shared& shared) {
  Host& host = shared.host;
  while (shared.donated < shared.rounds) {
    if (!shared.vm.MakeQuietly()) ++shared.odd_replies;
    ++shared.vms;
    for (unsigned i = 0; i < kPerVm; ++i) {
      const uint64_t page = shared.pages + i % kPages;
      // Ours only if the other CPU has taken it back; then it may be written.
      host.Store(page * host.page_size() + 8, kPattern);
      const Reply reply = shared.vm.Donate(page, i);
      if (Is(reply, 0)) {
        ++shared.donated;
      } else if (!Is(reply, -HF_EPERM)) {
        ++shared.odd_replies;
      }
    }
    TearDown(shared);
  }
  shared.done.store(true, std::memory_order_release);
}

void TakeBack(Shared& shared) {
  Host& host = shared.host;
  for (uint64_t i = 0; !shared.done.load(std::memory_order_acquire); ++i) {
    const uint64_t page = shared.pages + i * 7 % kPages;
    const Reply reply = host.Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1);
    if (Is(reply, 0)) {
      ++shared.forced;
    } else if (!Is(reply, -HF_EAGAIN)) {
      ++shared.odd_force_replies;
    }
  }
}

}  // namespace

void Race(Teller& tell, unsigned rounds) {
  tell.Step(
      "Two CPUs race: one donates and tears down VMs, one takes pages by "
      "force.");
  Host& host = tell.host();
  Vm vm(host);
  Shared shared{host, vm, host.Frames(kPages, 1), rounds};
  host.OnTwoCpus(
      [](void* context, unsigned i) {
        Shared& both = *static_cast<Shared*>(context);
        if (i == 0) {
          Donate(both);
        } else {
          TakeBack(both);
        }
      },
      &shared);

  uint64_t lost = 0;
  const auto look = [&](uint64_t first, uint64_t count) {
    for (uint64_t frame = first; frame < first + count; ++frame) {
      if (!host.Load(frame * host.page_size()).done) ++lost;
    }
  };
  look(shared.pages, kPages);
  vm.ForEachRange(look);

  tell.Number("VMs made and torn down", shared.vms, shared.vms > 0);
  tell.Number("pages donated", shared.donated, shared.donated >= rounds);
  tell.Number("    of them taken back by force", shared.forced,
              shared.forced <= shared.donated);
  tell.Number("replies that no order of events explains",
              shared.odd_replies + shared.odd_force_replies,
              shared.odd_replies + shared.odd_force_replies == 0);
  tell.Number("pages lost", lost, lost == 0);
}

}  // namespace holdfast::story
