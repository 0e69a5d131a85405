// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/fibre.h"

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "platforms/sim/cpu.h"
#include "platforms/sim/machine.h"

namespace holdfast::sim {
namespace {

TEST(Fibre, GoesOnWhereItPaused) {
  std::string said;
  Fibre* self = nullptr;
  Fibre fibre([&] {
    // Its frames outlive the pauses.
    std::string mine = "a";
    self->Pause();
    mine += "b";
    self->Pause();
    said = mine + "c";
  });
  self = &fibre;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(fibre.ended());
    EXPECT_EQ(said, "");
    fibre.Resume();
  }
  EXPECT_TRUE(fibre.ended());
  EXPECT_EQ(said, "abc");
}

TEST(Fibre, ManyTakeTurns) {
  std::string said;
  std::vector<std::unique_ptr<Fibre>> fibres;
  for (char name = 'a'; name < 'd'; ++name) {
    fibres.push_back(std::make_unique<Fibre>([&, name] {
      Fibre& self = *fibres[static_cast<size_t>(name - 'a')];
      for (int turn = 0; turn < 3; ++turn) {
        said += name;
        self.Pause();
      }
    }));
  }
  for (int turn = 0; turn < 4; ++turn) {
    for (const auto& fibre : fibres) fibre->Resume();
  }
  EXPECT_EQ(said, "abcabcabc");
  for (const auto& fibre : fibres) EXPECT_TRUE(fibre->ended());
}

// Each is a CPU of its own, and whoever resumes them another.
TEST(Fibre, TheCpuGoesWithIt) {
  Machine machine({.ram = {{PhysAddr(0x4000'0000), 1 << 20}}, .cpus = 3});
  OnCpu on_cpu(machine, 2);
  std::vector<std::unique_ptr<Fibre>> fibres;
  for (unsigned cpu = 0; cpu < 2; ++cpu) {
    fibres.push_back(std::make_unique<Fibre>([&, cpu] {
      OnCpu inside(machine, cpu);
      for (int turn = 0; turn < 2; ++turn) {
        fibres[cpu]->Pause();
        EXPECT_EQ(current_cpu->local.index, cpu);
      }
    }));
  }
  for (int turn = 0; turn < 3; ++turn) {
    for (const auto& fibre : fibres) {
      fibre->Resume();
      EXPECT_EQ(current_cpu->local.index, 2u);
    }
  }
}

// Stacks are used again; a deep one leaves nothing that hurts the next.
TEST(Fibre, StacksAreUsedAgain) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    Fibre fibre([&] {
      volatile char deep[64 << 10] = {};
      deep[i] = 1;
      sum += static_cast<uint64_t>(deep[i]);
    });
    fibre.Resume();
  }
  EXPECT_EQ(sum, 1000u);
}

TEST(Fibre, MayNeverBegin) {
  Fibre fibre([] { FAIL(); });
  EXPECT_FALSE(fibre.ended());
}

using FibreDeathTest = testing::Test;
TEST(FibreDeathTest, HasAnEndToItsStack) {
  // Not a tail call, and not to be computed in advance.
  struct Deep {
    static uint64_t Down(volatile uint64_t* depth) {
      volatile char frame[4096] = {};
      *depth = *depth + 1;
      if (*depth == 0) return 0;  // in theory
      return Down(depth) + static_cast<uint64_t>(frame[*depth % 4096]);
    }
  };
  volatile uint64_t depth = 0;
  Fibre fibre([&] { Deep::Down(&depth); });
  EXPECT_DEATH(fibre.Resume(), "");
}

}  // namespace
}  // namespace holdfast::sim
