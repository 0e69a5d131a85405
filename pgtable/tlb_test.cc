// SPDX-License-Identifier: Apache-2.0
//
// The invalidation sequences, instruction by instruction, as the specification
// and the Arm ARM (D8.17) have them.
#include "pgtable/tlb.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "pgtable/geometry.h"
#include "test_machine.h"
#include "test_text.h"

namespace holdfast::pgtable {
namespace {

using testing::ElementsAre;
using G = Granule4K;

class TlbTest : public testing::Test {
 protected:
  static sim::MachineConfig Config(bool range_tlbi, bool repeat) {
    sim::MachineConfig config;
    config.ram = {{PhysAddr(0x4000'0000), 1 << 20}};
    config.page_shift = G::kPageShift;
    config.record_events = true;
    config.range_tlbi = range_tlbi;
    config.tlbi_needs_repeat = repeat;
    return config;
  }
  // What `sequence` does, each word one instruction.
  template <class Sequence>
  static std::vector<std::string> Run(Sequence sequence, bool range_tlbi = true,
                                      bool repeat = false) {
    sim::Machine machine(Config(range_tlbi, repeat));
    sim::OnCpu on_cpu(machine, 0);
    machine::OnStage2Created(Context(), nullptr);
    machine.ClearEvents();
    sequence();
    std::vector<std::string> story;
    for (const sim::Event& event : machine.events()) {
      std::string word = sim::EventTypeName(event.type);
      switch (event.type) {
        case sim::EventType::kTlbiIpas2e1is:
          absl::StrAppendFormat(&word, " %#x level %d", event.b,
                                static_cast<int>(event.c));
          break;
        case sim::EventType::kTlbiRipas2e1is:
          absl::StrAppendFormat(&word, " %#x size %#x", event.b, event.c);
          break;
        case sim::EventType::kTlbiVale2is:
        case sim::EventType::kTlbiVae2is:
          absl::StrAppendFormat(&word, " %#x", event.a);
          break;
        case sim::EventType::kViolation:
          word += " !";
          break;
        default:
          break;
      }
      story.push_back(std::move(word));
    }
    return story;
  }
  static Stage2Context Context() {
    return {Vmid(3), PhysAddr(0x4000'0000),
            Vtcr<G>(ShapeFor<G>(48), {.pa_bits = 48})};
  }
};

TEST_F(TlbTest, OneAddress) {
  EXPECT_THAT(Run([] { tlb::InvalidateIpa(Context(), Ipa(0x5000), Level(3)); }),
              ElementsAre("dsb-ishst", "enter-context",
                          "tlbi-ipas2e1is 0x5000 level 3", "dsb-ish",
                          "tlbi-vmalle1is", "dsb-ish", "isb", "leave-context"));
}

TEST_F(TlbTest, ARange) {
  EXPECT_THAT(
      Run([] { tlb::InvalidateRange<G>(Context(), Ipa(0x5000), 0x3000); }),
      ElementsAre("dsb-ishst", "enter-context",
                  "tlbi-ripas2e1is 0x5000 size 0x3000", "dsb-ish",
                  "tlbi-vmalle1is", "dsb-ish", "isb", "leave-context"));
}

TEST_F(TlbTest, ALongRangeIsCutInChunks) {
  EXPECT_THAT(Run([] {
                tlb::InvalidateRange<G>(Context(), Ipa(0x1000), 0x2'0000'1000);
              }),
              ElementsAre("dsb-ishst", "enter-context",
                          "tlbi-ripas2e1is 0x1000 size 0x200000000",
                          "tlbi-ripas2e1is 0x200001000 size 0x1000", "dsb-ish",
                          "tlbi-vmalle1is", "dsb-ish", "isb", "leave-context"));
}

TEST_F(TlbTest, AVeryLongRangeIsTheWholeVmid) {
  const std::vector<std::string> whole =
      Run([] { tlb::InvalidateVmid(Context()); });
  EXPECT_THAT(whole,
              ElementsAre("dsb-ishst", "enter-context", "tlbi-vmalls12e1is",
                          "dsb-ish", "isb", "leave-context"));
  const uint64_t limit = tlb::kWholeVmidPages * G::kPageSize;
  EXPECT_EQ(Run([=] {
              tlb::InvalidateRange<G>(Context(), Ipa(0), limit + G::kPageSize);
            }),
            whole);
  EXPECT_NE(Run([=] { tlb::InvalidateRange<G>(Context(), Ipa(0), limit); }),
            whole);
}

TEST_F(TlbTest, WithoutRangeTlbiItIsTheWholeVmid) {
  EXPECT_EQ(Run([] { tlb::InvalidateRange<G>(Context(), Ipa(0x5000), 0x3000); },
                false),
            Run([] { tlb::InvalidateVmid(Context()); }));
}

TEST_F(TlbTest, AllVmids) {
  EXPECT_THAT(Run([] { tlb::InvalidateAllVmids(); }),
              ElementsAre("dsb-ish", "tlbi-alle1is", "dsb-ish"));
}

TEST_F(TlbTest, AVcpuThatComesToAnotherCpu) {
  EXPECT_THAT(Run([] { tlb::InvalidateCpuContext(Context()); }),
              ElementsAre("dsb-nsh", "enter-context", "tlbi-vmalle1",
                          "ic-iallu", "dsb-nsh", "isb", "leave-context"));
}

TEST_F(TlbTest, TheErratumDoesAllOfItTwice) {
  EXPECT_THAT(
      Run([] { tlb::InvalidateIpa(Context(), Ipa(0x5000), Level(2)); }, true,
          true),
      ElementsAre("dsb-ishst", "enter-context", "tlbi-ipas2e1is 0x5000 level 2",
                  "dsb-ish", "tlbi-ipas2e1is 0x5000 level 2", "dsb-ish",
                  "tlbi-vmalle1is", "dsb-ish", "tlbi-vmalle1is", "dsb-ish",
                  "isb", "leave-context"));
  EXPECT_THAT(
      Run([] { tlb::InvalidateVmid(Context()); }, true, true),
      ElementsAre("dsb-ishst", "enter-context", "tlbi-vmalls12e1is", "dsb-ish",
                  "tlbi-vmalls12e1is", "dsb-ish", "isb", "leave-context"));
  EXPECT_THAT(Run([] { tlb::InvalidateAllVmids(); }, true, true),
              ElementsAre("dsb-ish", "tlbi-alle1is", "dsb-ish", "tlbi-alle1is",
                          "dsb-ish"));
  EXPECT_THAT(Run(
                  [] {
                    tlb::InvalidateHypVa(HypVa(0x7000), false);
                    tlb::CompleteHyp();
                  },
                  true, true),
              ElementsAre("tlbi-vale2is 0x7000", "dsb-ish",
                          "tlbi-vale2is 0x7000", "dsb-ish", "isb"));
}

TEST_F(TlbTest, EL2sOwn) {
  EXPECT_THAT(Run([] {
                tlb::InvalidateHypVa(HypVa(0x7000), false);
                tlb::InvalidateHypVa(HypVa(0x7000), true);
                tlb::CompleteHyp();
              }),
              ElementsAre("tlbi-vale2is 0x7000", "tlbi-vae2is 0x7000",
                          "dsb-ish", "isb"));
  EXPECT_THAT(Run([] { tlb::PublishHyp(); }), ElementsAre("dsb-ishst", "isb"));
}

}  // namespace
}  // namespace holdfast::pgtable
