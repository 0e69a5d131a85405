// SPDX-License-Identifier: Apache-2.0
//
// Calls on several CPUs at once: threads as simulated CPUs, with an adversarial
// TLB. Each race has an outcome that holds whoever is faster.
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "hyp/hypervisor.h"
#include "mem_protect/mem_protect.h"
#include "tests/world/world.h"

namespace holdfast::hyp {
namespace {

using tests::HostVm;
using tests::Reply;
using tests::World;

// What a guest writes. The host must never read it.
constexpr uint64_t kSecret = 0x5ec2e7'0000'0000;

class ConcurrentTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(world_.Trouble(), ""); }

  std::string Call(uint64_t id, uint64_t x1 = 0, uint64_t x2 = 0,
                   uint64_t x3 = 0, uint64_t x4 = 0, uint64_t x5 = 0) {
    return tests::ToString(world_.Call(id, x1, x2, x3, x4, x5));
  }
  // Runs on CPUs 1, 2, ... at once, from the same moment on; CPU 0 is the
  // test's.
  void Race(const std::vector<std::function<void()>>& bodies) {
    std::atomic<size_t> ready{0};
    std::vector<std::function<void()>> runs = {[] {}};
    for (const std::function<void()>& body : bodies) {
      runs.push_back([&] {
        ++ready;
        while (ready < bodies.size()) std::this_thread::yield();
        body();
      });
    }
    world_.machine().RunParallel(std::move(runs));
  }
  // Reclaims, drains and finalises a VM that is dying; how many pages came back
  // that were not poisoned is not known to a host, so only errors count here.
  void Bury(uint64_t handle) {
    for (uint64_t gfn = 0; gfn != HF_NO_GFN;) {
      const Reply reply =
          world_.Call(HF_RECLAIM_DYING_GUEST_PAGE, handle, gfn, 1);
      ASSERT_TRUE(reply.ok() || reply.result() == -HF_ENOENT)
          << tests::ToString(reply);
      gfn = reply.x2;
    }
    Reply drain;
    do {
      drain = world_.Call(HF_DRAIN_VM, handle);
      ASSERT_EQ(tests::ToString(drain), "0");
    } while (drain.x2 != 0);
    std::string result;
    do {
      result = Call(HF_FINALIZE_TEARDOWN_VM, handle);
      // A forced reclaim elsewhere holds a reference for a moment.
    } while (result == "-EBUSY");
    ASSERT_EQ(result, "0");
  }
  void Kill(uint64_t handle) {
    std::string result;
    do {
      result = Call(HF_START_TEARDOWN_VM, handle);
    } while (result == "-EBUSY");
    ASSERT_EQ(result, "0");
  }
  bool Host(uint64_t pfn) { return world_.Load(pfn * kPageSize).has_value(); }

  World world_{World::Options{.cpus = 4}};
};

TEST_F(ConcurrentTest, ForcedReclaimOfOnePageOneWins) {
  const HostVm vm = world_.MakeVm(1);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  const uint64_t page = world_.Frames(1);
  for (uint64_t round = 0; round < 200; ++round) {
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, round, 1), "0");
    ASSERT_TRUE(world_.GuestStore(vm.handle, round * kPageSize, kSecret));
    std::string result[3];
    const auto force = [&](int i) {
      result[i] = Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1);
    };
    Race({[&] { force(0); }, [&] { force(1); }, [&] { force(2); }});
    int won = 0;
    for (const std::string& one : result) {
      won += one == "0";
      EXPECT_TRUE(one == "0" || one == "-EAGAIN") << one;
    }
    EXPECT_EQ(won, 1);
    ASSERT_EQ(world_.Load(page * kPageSize), 0u);
  }
}

TEST_F(ConcurrentTest, DonateAgainstForce) {
  const HostVm vm = world_.MakeVm(1);
  constexpr uint64_t kGfns = 400;
  constexpr uint64_t kPages = 40;
  const uint64_t first = world_.Frames(kPages);
  std::atomic<bool> done{false};
  uint64_t taken = 0;
  Race({[&] {
          ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
          for (uint64_t gfn = 0; gfn < kGfns;) {
            const std::string result =
                Call(HF_HOST_DONATE_GUEST, first + gfn % kPages, gfn, 1);
            if (result == "0") {
              ++gfn;
            } else {
              ASSERT_EQ(result, "-EPERM");  // the guest has the page still
              std::this_thread::yield();
            }
          }
          ASSERT_EQ(Call(HF_VCPU_PUT), "0");
          done = true;
        },
        [&] {
          do {
            for (uint64_t i = 0; i < kPages; ++i) {
              const std::string result =
                  Call(HF_FORCE_RECLAIM_GUEST_PAGE, first + i, 1);
              if (result == "0") ++taken;
              ASSERT_TRUE(result == "0" || result == "-EAGAIN") << result;
            }
          } while (!done);
        }});
  uint64_t left = 0;
  for (uint64_t i = 0; i < kPages; ++i) left += !Host(first + i);
  EXPECT_EQ(kGfns - taken, left);
}

// A VM dies while its pages are taken back by force: each comes back once,
// zeroed.
TEST_F(ConcurrentTest, TeardownAgainstForce) {
  for (int round = 0; round < 25; ++round) {
    const HostVm vm = world_.MakeVm(1);
    ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
    constexpr uint64_t kPages = 24;
    const uint64_t first = world_.Frames(kPages);
    for (uint64_t i = 0; i < kPages; ++i) {
      ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, first + i, i * 5, 1), "0");
      ASSERT_TRUE(world_.GuestStore(vm.handle, i * 5 * kPageSize, kSecret));
    }
    ASSERT_EQ(Call(HF_VCPU_PUT), "0");
    std::atomic<bool> done{false};
    Race({[&] {
            Kill(vm.handle);
            Bury(vm.handle);
            done = true;
          },
          [&] {
            for (uint64_t i = 0; !done; i = (i + 7) % kPages) {
              const std::string result =
                  Call(HF_FORCE_RECLAIM_GUEST_PAGE, first + i, 1);
              ASSERT_TRUE(result == "0" || result == "-EAGAIN") << result;
            }
          }});
    for (uint64_t i = 0; i < kPages; ++i)
      EXPECT_TRUE(world_.Holds(first + i, 0)) << i;
    ASSERT_EQ(world_.Trouble(), "");
  }
}

// Once teardown has begun nothing can be loaded; while something is, it cannot
// begin.
TEST_F(ConcurrentTest, LoadAgainstTeardown) {
  for (int round = 0; round < 30; ++round) {
    const HostVm vm = world_.MakeVm(2, 0);
    std::atomic<bool> dying{false};
    std::atomic<unsigned> attempts{0};
    const auto load = [&](uint64_t index) {
      for (;;) {
        const bool was_dying = dying;
        const std::string result = Call(HF_VCPU_LOAD, vm.handle, index);
        if (result == "-EINVAL") return;
        ASSERT_EQ(result, "0");
        EXPECT_FALSE(was_dying) << "loaded though teardown has begun";
        EXPECT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "-EBUSY")
            << "torn down while loaded";
        const unsigned seen = attempts;
        ASSERT_EQ(Call(HF_VCPU_PUT), "0");
        // The other side gets its turn, or nothing would ever be torn down.
        while (attempts == seen) std::this_thread::yield();
      }
    };
    Race({[&] { load(0); }, [&] { load(1); },
          [&] {
            while (Call(HF_START_TEARDOWN_VM, vm.handle) != "0") ++attempts;
            dying = true;
            ++attempts;
          }});
    Bury(vm.handle);
  }
}

TEST_F(ConcurrentTest, OneVcpuIsLoadedByOneCpu) {
  const HostVm vm = world_.MakeVm(1);
  std::atomic<int> inside{0};
  std::atomic<int> loads{0};
  const auto body = [&] {
    for (int i = 0; i < 400; ++i) {
      const std::string result = Call(HF_VCPU_LOAD, vm.handle, 0);
      if (result == "0") {
        EXPECT_EQ(inside.fetch_add(1), 0) << "two CPUs have one vCPU";
        ++loads;
        inside.fetch_sub(1);
        ASSERT_EQ(Call(HF_VCPU_PUT), "0");
      } else {
        ASSERT_EQ(result, "-EBUSY");
      }
    }
  };
  Race({body, body, body});
  EXPECT_GT(loads, 0);
}

TEST_F(ConcurrentTest, DrainOnTwoCpusReturnsEachFrameOnce) {
  for (int round = 0; round < 6; ++round) {
    constexpr uint64_t kStock = 900;
    const HostVm vm = world_.MakeVm(4, 0);
    const uint64_t first = tests::kRam2Base / kPageSize;
    for (uint64_t done = 0; done < kStock;) {
      const Reply reply =
          world_.Call(HF_TOPUP_VM, vm.handle, first + done, kStock - done);
      ASSERT_TRUE(reply.ok());
      done += reply.x2;
    }
    ASSERT_EQ(Call(HF_START_TEARDOWN_VM, vm.handle), "0");
    std::atomic<uint64_t> returned{0};
    const auto drain = [&] {
      Reply reply;
      do {
        reply = world_.Call(HF_DRAIN_VM, vm.handle);
        ASSERT_EQ(tests::ToString(reply), "0");
        returned += reply.x3;
      } while (reply.x2 != 0);
    };
    Race({drain, drain});
    EXPECT_EQ(returned, kStock + 4 * vm.vcpu_frames);
    EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
    EXPECT_TRUE(world_.Holds(first, 0));
    EXPECT_TRUE(world_.Holds(first + kStock - 1, 0));
  }
}

TEST_F(ConcurrentTest, TopupAgainstTeardown) {
  for (int round = 0; round < 60; ++round) {
    const HostVm vm = world_.MakeVm(1, 0);
    const uint64_t first = tests::kRam2Base / kPageSize;
    uint64_t given = 0;
    Race({[&] {
            for (;;) {
              const std::string result =
                  Call(HF_TOPUP_VM, vm.handle, first + given, 1);
              if (result != "0") {
                EXPECT_EQ(result, "-EINVAL");
                return;
              }
              ++given;
            }
          },
          [&] { Kill(vm.handle); }});
    uint64_t returned = 0;
    Reply drain;
    do {
      drain = world_.Call(HF_DRAIN_VM, vm.handle);
      ASSERT_TRUE(drain.ok());
      returned += drain.x3;
    } while (drain.x2 != 0);
    EXPECT_EQ(returned, given + vm.vcpu_frames);
    EXPECT_EQ(Call(HF_FINALIZE_TEARDOWN_VM, vm.handle), "0");
    EXPECT_TRUE(Host(first + given)) << "a refused top-up took its frame";
  }
}

TEST_F(ConcurrentTest, InitOfOneHandleOneWins) {
  const uint64_t memory_frames = world_.Call(HF_VM_FRAMES_NEEDED, 1).x1;
  const uint64_t root_frames = world_.Call(HF_VM_FRAMES_NEEDED, 1).x2;
  for (int round = 0; round < 60; ++round) {
    const uint64_t handle = world_.Call(HF_RESERVE_VM).x1;
    uint64_t memory[2];
    uint64_t root[2];
    std::string result[2];
    for (int i : {0, 1}) {
      memory[i] = world_.Frames(memory_frames);
      root[i] = world_.Frames(root_frames, root_frames);
    }
    const auto init = [&](int i) {
      result[i] =
          Call(HF_INIT_VM, handle, memory[i], root[i], 1, HF_VM_PROTECTED);
    };
    Race({[&] { init(0); }, [&] { init(1); }});
    const int winner = result[0] == "0" ? 0 : 1;
    EXPECT_EQ(result[winner], "0");
    EXPECT_EQ(result[1 - winner], "-EINVAL");
    EXPECT_FALSE(Host(memory[winner]));
    EXPECT_TRUE(Host(memory[1 - winner]));
    EXPECT_TRUE(Host(root[1 - winner]));
    Kill(handle);
    Bury(handle);
  }
}

// The same frames for two VMs: one gets them whole.
TEST_F(ConcurrentTest, InitWithTheSameMemoryOneWins) {
  const uint64_t root_frames = world_.Call(HF_VM_FRAMES_NEEDED, 1).x2;
  for (int round = 0; round < 60; ++round) {
    const uint64_t handle[] = {world_.Call(HF_RESERVE_VM).x1,
                               world_.Call(HF_RESERVE_VM).x1};
    const uint64_t memory = world_.Frames(1);
    const uint64_t root[] = {world_.Frames(root_frames, root_frames),
                             world_.Frames(root_frames, root_frames)};
    std::string result[2];
    const auto init = [&](int i) {
      result[i] =
          Call(HF_INIT_VM, handle[i], memory, root[i], 1, HF_VM_PROTECTED);
    };
    Race({[&] { init(0); }, [&] { init(1); }});
    const int winner = result[0] == "0" ? 0 : 1;
    EXPECT_EQ(result[winner], "0");
    EXPECT_EQ(result[1 - winner], "-EPERM");
    EXPECT_TRUE(Host(root[1 - winner]));
    EXPECT_EQ(Call(HF_UNRESERVE_VM, handle[1 - winner]), "0");
    Kill(handle[winner]);
    Bury(handle[winner]);
  }
}

// While a page goes to a guest and is taken back, the host keeps reading and
// writing it. It never reads what the guest wrote, and nothing it writes
// reaches the guest.
TEST_F(ConcurrentTest, HostNeverSeesAGuestsContentNorWritesIt) {
  const HostVm vm = world_.MakeVm(1);
  const uint64_t page = world_.Frames(1);
  const uint64_t address = page * kPageSize;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> refusals{0};
  const auto host = [&](uint64_t mine) {
    while (!done) {
      const std::optional<uint64_t> value = world_.Load(address);
      if (value.has_value()) {
        ++reads;
        ASSERT_NE(*value & kSecret, kSecret)
            << "the host reads " << std::hex << *value;
      } else {
        ++refusals;
      }
      static_cast<void>(world_.Store(address, mine));
    }
  };
  Race({[&] {
          ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
          for (uint64_t gfn = 0; gfn < 300; ++gfn) {
            // They meet: the host is there once before, and once while the page
            // is the guest's.
            const auto wait = [](const std::atomic<uint64_t>& count) {
              for (const uint64_t before = count;
                   count == before && !HasFailure();)
                std::this_thread::yield();
            };
            wait(reads);
            ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
            wait(refusals);
            for (uint64_t i = 0; i < 10; ++i) {
              ASSERT_TRUE(
                  world_.GuestStore(vm.handle, gfn * kPageSize, kSecret + i));
              ASSERT_EQ(world_.GuestLoad(vm.handle, gfn * kPageSize),
                        kSecret + i)
                  << "the host wrote a guest's page";
            }
            ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
          }
          done = true;
        },
        [&] { host(1); }, [&] { host(2); }});
}

// A guest that runs on while its page is taken: it keeps what it has until the
// moment it loses it, and what it writes then is lost, not the host's to read.
TEST_F(ConcurrentTest, GuestLosesThePageAtOnce) {
  const HostVm vm = world_.MakeVm(1);
  ASSERT_EQ(Call(HF_VCPU_LOAD, vm.handle, 0), "0");
  for (uint64_t gfn = 0; gfn < 150; ++gfn) {
    const uint64_t page = tests::kRam2Base / kPageSize + gfn;
    ASSERT_EQ(Call(HF_HOST_DONATE_GUEST, page, gfn, 1), "0");
    std::atomic<bool> touched{false};
    Race({[&] {
            while (world_.GuestStore(vm.handle, gfn * kPageSize, kSecret))
              touched = true;
            touched = true;
          },
          [&] {
            while (!touched) std::this_thread::yield();
            ASSERT_EQ(Call(HF_FORCE_RECLAIM_GUEST_PAGE, page, 1), "0");
            for (int i = 0; i < 20; ++i)
              ASSERT_EQ(world_.Load(page * kPageSize), 0u);
          }});
  }
}

// A run page that is unshared while a vCPU is made with it: one of the two.
TEST_F(ConcurrentTest, ShareAndInitVcpuOnOneRunPage) {
  const HostVm vm = world_.MakeVm(1);
  for (int round = 0; round < 60; ++round) {
    const uint64_t handle = world_.Call(HF_RESERVE_VM).x1;
    const uint64_t memory_frames = world_.Call(HF_VM_FRAMES_NEEDED, 1).x1;
    const uint64_t root_frames = world_.Call(HF_VM_FRAMES_NEEDED, 1).x2;
    ASSERT_EQ(Call(HF_INIT_VM, handle, world_.Frames(memory_frames),
                   world_.Frames(root_frames, root_frames), 1, HF_VM_PROTECTED),
              "0");
    const uint64_t run = world_.Frames(1);
    const uint64_t vcpu = world_.Frames(vm.vcpu_frames);
    ASSERT_EQ(Call(HF_HOST_SHARE_HYP, run), "0");
    std::string init;
    std::string unshare;
    Race({[&] { init = Call(HF_INIT_VCPU, handle, 0, vcpu, run); },
          [&] { unshare = Call(HF_HOST_UNSHARE_HYP, run); }});
    if (init == "0") {
      EXPECT_EQ(unshare, "-EBUSY");
    } else {
      EXPECT_EQ(init, "-EPERM");
      EXPECT_EQ(unshare, "0");
      EXPECT_TRUE(Host(vcpu));
    }
    Kill(handle);
    Bury(handle);
  }
}

}  // namespace
}  // namespace holdfast::hyp
