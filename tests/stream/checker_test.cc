// SPDX-License-Identifier: Apache-2.0
//
// Streams by hand: one that is right, and from it one for each rule that is
// wrong in one way; the checker must say that, and nothing else.
#include "tests/stream/checker.h"

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "platforms/stream/text.h"

namespace holdfast::stream {

void PrintTo(Rule rule, std::ostream* os) { *os << RuleName(rule); }

namespace {

using testing::ElementsAre;

// Lines without their numbers.
using Lines = std::vector<std::string>;

Lines Of(absl::string_view text) {
  Lines lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    while (absl::ConsumePrefix(&line, " ")) {
    }
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

Lines operator+(Lines a, const Lines& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<Event> Read(const Lines& lines) {
  std::vector<Event> events;
  for (const std::string& line : lines) {
    const auto event = ReadEvent(absl::StrCat("#", events.size(), " ", line));
    EXPECT_TRUE(event.has_value()) << line << ": " << event.error();
    if (event.has_value()) events.push_back(*event);
  }
  return events;
}

// The first line from `from` on that has `part` in it becomes `by`; an empty
// one goes.
Lines Replace(Lines lines, absl::string_view part, absl::string_view by,
              size_t from = 0) {
  for (size_t i = from; i < lines.size(); ++i) {
    if (!absl::StrContains(lines[i], part)) continue;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    const Lines instead = Of(by);
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i),
                 instead.begin(), instead.end());
    return lines;
  }
  ADD_FAILURE() << "no line has '" << part << "'";
  return lines;
}
Lines Without(const Lines& lines, absl::string_view part, size_t from = 0) {
  return Replace(lines, part, "", from);
}

std::vector<Rule> RulesBroken(const Lines& lines) {
  std::vector<Rule> rules;
  for (const Finding& finding : Check(Read(lines)))
    rules.push_back(finding.rule);
  return rules;
}

// EL2's table (lock 0xe0), the host's (VMID 0, lock 0x40), a guest's (VMID 1,
// lock 0x41): 39 bits, pages of 4 KiB. The host has page 0x90000000 and the
// block at 0x90200000.
Lines Boot() {
  return Of(R"(
      cpu0 machine page_shift=12 pa_bits=39 features=0x8 vm_bytes=0x0 vm_vcpu_bytes=0x0 vcpu_bytes=0x0
      cpu0 hyp-table root=0x80000000 va_bits=39 lock=0xe0
      cpu0 table-page pa=0x80001000 nonzero=0
      cpu0 stage2-created vttbr=0x80001000 vtcr=0x59 lock=0x40
      cpu0 table-page pa=0x80004000 nonzero=0
      cpu0 stage2-created vttbr=0x1000080004000 vtcr=0x59 lock=0x41
      cpu0 lock lock=0x40
      cpu0 table-page pa=0x80002000 nonzero=0
      cpu0 table-page pa=0x80003000 nonzero=0
      cpu0 store-pte pa=0x80003000 old=0x0 new=0x900007ff
      cpu0 store-pte pa=0x80002400 old=0x0 new=0x80003003
      cpu0 publish-pte pa=0x80001010 old=0x0 new=0x80002003
      cpu0 publish-pte pa=0x80002408 old=0x0 new=0x902007fd
      cpu0 dsb-ishst
      cpu0 unlock lock=0x40
      cpu0 host-stage2 vttbr=0x80001000 vtcr=0x59)");
}

// By CPU 1, so that nothing hangs on CPU 0.
Lines FlushHost(absl::string_view ipa, int level = 3) {
  return Of(absl::StrCat(R"(
      cpu1 dsb-ishst
      cpu1 enter-context vttbr=0x80001000 vtcr=0x59
      cpu1 tlbi-ipas2e1is vmid=0 ipa=)",
                         ipa, " level=", level, R"(
      cpu1 dsb-ish
      cpu1 tlbi-vmalle1is vmid=0
      cpu1 dsb-ish
      cpu1 isb
      cpu1 leave-context vttbr=0x80001000 vtcr=0x59)"));
}
Lines FlushGuest(absl::string_view ipa) {
  return Of(absl::StrCat(R"(
      cpu1 dsb-ishst
      cpu1 enter-context vttbr=0x1000080004000 vtcr=0x59
      cpu1 tlbi-ipas2e1is vmid=1 ipa=)",
                         ipa, R"( level=3
      cpu1 dsb-ish
      cpu1 tlbi-vmalle1is vmid=1
      cpu1 dsb-ish
      cpu1 isb
      cpu1 leave-context vttbr=0x1000080004000 vtcr=0x59)"));
}

// A change of the host's table and what it owes.
Lines HostChange(const Lines& lines) {
  return Boot() + Of("cpu1 lock lock=0x40") + lines +
         Of("cpu1 unlock lock=0x40");
}
Lines HostUnmap() {
  return HostChange(Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0") +
                    FlushHost("0x90000000"));
}

// Page 0x90000000 to the guest, at ipa 0x1000.
Lines Donate() {
  return Of(R"(
      cpu1 lock lock=0x40
      cpu1 lock lock=0x41
      cpu1 page-state pfn=0x90000 host=3 hyp=3 count=0
      cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x2)") +
         FlushHost("0x90000000") + Of(R"(
      cpu1 clean-invalidate pa=0x90000000 size=0x1000
      cpu1 table-page pa=0x80005000 nonzero=0
      cpu1 table-page pa=0x80006000 nonzero=0
      cpu1 store-pte pa=0x80006008 old=0x0 new=0x900007ff
      cpu1 store-pte pa=0x80005000 old=0x0 new=0x80006007
      cpu1 publish-pte pa=0x80004000 old=0x0 new=0x80005007
      cpu1 dsb-ishst
      cpu1 unlock lock=0x41
      cpu1 unlock lock=0x40)");
}
// And back, by force.
Lines Reclaim() {
  return Of(R"(
      cpu1 lock lock=0x40
      cpu1 lock lock=0x41
      cpu1 store-pte pa=0x80006008 old=0x900007ff new=0x6)") +
         FlushGuest("0x1000") + Of(R"(
      cpu1 zero-page pa=0x90000000
      cpu1 publish-pte pa=0x80003000 old=0x2 new=0x900007ff
      cpu1 dsb-ishst
      cpu1 page-state pfn=0x90000 host=0 hyp=3 count=0
      cpu1 unlock lock=0x41
      cpu1 unlock lock=0x40)");
}
// Page 0x90001000, not mapped yet, to EL2.
Lines ToHyp() {
  return Of(R"(
      cpu2 lock lock=0x40
      cpu2 lock lock=0xe0
      cpu2 page-state pfn=0x90001 host=3 hyp=3 count=0
      cpu2 store-pte pa=0x80003008 old=0x0 new=0x2
      cpu2 dsb-ishst
      cpu2 page-state pfn=0x90001 host=3 hyp=0 count=0
      cpu2 table-page pa=0x80007000 nonzero=0
      cpu2 table-page pa=0x80008000 nonzero=0
      cpu2 store-pte pa=0x80008008 old=0x0 new=0x40000090001703
      cpu2 store-pte pa=0x80007400 old=0x0 new=0x80008007
      cpu2 publish-pte pa=0x80000010 old=0x0 new=0x80007007
      cpu2 dsb-ishst
      cpu2 isb
      cpu2 unlock lock=0xe0
      cpu2 unlock lock=0x40)");
}
Lines FromHyp() {
  return Of(R"(
      cpu2 zero-page pa=0x90001000
      cpu2 lock lock=0x40
      cpu2 lock lock=0xe0
      cpu2 store-pte pa=0x80008008 old=0x40000090001703 new=0x0
      cpu2 dsb-ishst
      cpu2 tlbi-vale2is va=0x90001000
      cpu2 dsb-ish
      cpu2 isb
      cpu2 page-state pfn=0x90001 host=3 hyp=3 count=0
      cpu2 publish-pte pa=0x80003008 old=0x2 new=0x900017ff
      cpu2 dsb-ishst
      cpu2 page-state pfn=0x90001 host=0 hyp=3 count=0
      cpu2 unlock lock=0xe0
      cpu2 unlock lock=0x40)");
}

Lines All() { return Boot() + Donate() + Reclaim() + ToHyp() + FromHyp(); }

std::string Findings(const Lines& lines) {
  std::string text;
  for (const Finding& finding : Check(Read(lines)))
    absl::StrAppend(&text, ToString(finding), "\n");
  return text;
}

TEST(Checker, FindsNothingInWhatIsRight) {
  EXPECT_EQ(Findings(All()), "");
  EXPECT_EQ(Findings(HostUnmap()), "");
  EXPECT_EQ(Findings({}), "");
}

TEST(Checker, Counts) {
  Checker checker;
  const std::vector<Event> events = Read(All());
  for (const Event& event : events) checker.Feed(event);
  checker.Finish();
  const Counts counts = checker.counts();
  EXPECT_EQ(counts.events, events.size());
  EXPECT_EQ(counts.locks, 9u);
  EXPECT_EQ(counts.stores, 10u);
  EXPECT_EQ(counts.old, 3u);
  EXPECT_EQ(counts.handovers, 4u);
  EXPECT_EQ(counts.zeroed, 2u);
  EXPECT_EQ(counts.tlbis, 5u);
}

// ---- Break before make ------------------------------------------------------

// D8.17.1 lists what needs a break: type, size, output address, attributes.
TEST(Checker, ValidToValid) {
  struct Case {
    const char* what;
    const char* after;
  };
  for (const Case& test : {
           Case{"address", "0x911117ff"},
           Case{"MemAttr", "0x900007fb"},
           Case{"shareability", "0x900006ff"},
           Case{"contiguous", "0x100000900007ff"},
       }) {
    EXPECT_THAT(
        RulesBroken(HostChange(
            Of(absl::StrCat("cpu1 store-pte pa=0x80003000 old=0x900007ff new=",
                            test.after)) +
            FlushHost("0x90000000"))),
        ElementsAre(Rule::kBreakBeforeMake))
        << test.what;
  }
  // Block to table, and table to block.
  EXPECT_THAT(RulesBroken(HostChange(Of(R"(
                  cpu1 table-page pa=0x80009000 nonzero=0
                  cpu1 publish-pte pa=0x80002408 old=0x902007fd new=0x80009003)") +
                                     FlushHost("0x90200000", 2))),
              ElementsAre(Rule::kBreakBeforeMake));
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 publish-pte pa=0x80002400 old=0x80003003 "
                     "new=0x900007fd") +
                  Replace(FlushHost("0x90000000"), "tlbi-ipas2e1is",
                          "cpu1 tlbi-ripas2e1is vmid=0 ipa=0x90000000 "
                          "size=0x200000"))),
              ElementsAre(Rule::kBreakBeforeMake));
}

TEST(Checker, ValidToValidThatNeedsNoBreak) {
  for (const char* after : {
           "0x9000077f",         // not writable
           "0x900003ff",         // access flag
           "0x600000900007ff",   // execute never
           "0x7800000900007ff",  // software's bits
       }) {
    EXPECT_EQ(
        Findings(HostChange(Of(absl::StrCat("cpu1 store-pte pa=0x80003000 "
                                            "old=0x900007ff new=",
                                            after)) +
                            Of("cpu1 dsb-ishst"))),
        "")
        << after;
  }
  // The count in a table's descriptor; hardware that sets the access flag.
  EXPECT_EQ(
      Findings(HostChange(Of("cpu1 store-pte pa=0x80002400 old=0x80003003 "
                             "new=0x80003007"))),
      "");
  EXPECT_EQ(
      Findings(Boot() + Of("cpu1 hardware-af pa=0x80003000 old=0x900003ff "
                           "new=0x900007ff")),
      "");
}

TEST(Checker, MadeOverOld) {
  const Lines remake =
      HostChange(Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0") +
                 FlushHost("0x90000000") +
                 Of("cpu1 publish-pte pa=0x80003000 old=0x0 new=0x900017ff\n"
                    "cpu1 dsb-ishst"));
  EXPECT_EQ(Findings(remake), "");
  const Lines early =
      HostChange(Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0\n"
                    "cpu1 publish-pte pa=0x80003000 old=0x0 new=0x900017ff") +
                 FlushHost("0x90000000"));
  EXPECT_THAT(RulesBroken(early), ElementsAre(Rule::kMakeOverOld));
  // The same translation again is no other.
  EXPECT_EQ(Findings(HostChange(
                Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0\n"
                   "cpu1 publish-pte pa=0x80003000 old=0x0 new=0x900007ff") +
                FlushHost("0x90000000"))),
            "");
}

// ---- Left unclean -----------------------------------------------------------

// Each step of an invalidation that is left out, or done wrong.
TEST(Checker, Unclean) {
  const Lines good = HostUnmap();
  const size_t from = Boot().size();
  const auto ish = [&](size_t nth) {
    size_t at = from;
    while (nth-- > 0) {
      while (good[at] != "cpu1 dsb-ish") ++at;
      ++at;
    }
    return at;
  };
  struct Case {
    const char* what;
    Lines lines;
  };
  for (const Case& test : {
           Case{"no TLBI", Without(good, "tlbi-ipas2e1is")},
           Case{"no DSB before", Without(good, "dsb-ishst", from)},
           Case{"DSB NSH before",
                Replace(good, "dsb-ishst", "cpu1 dsb-nsh", from)},
           Case{"no DSB between", Without(good, "dsb-ish", ish(0) + 4)},
           Case{"no combined TLBI", Without(good, "tlbi-vmalle1is")},
           Case{"no DSB after", Without(good, "dsb-ish", ish(1))},
           Case{"local TLBI", Replace(good, "tlbi-ipas2e1is",
                                      "cpu1 tlbi-ipas2e1 vmid=0 "
                                      "ipa=0x90000000 level=3")},
           Case{"local combined TLBI",
                Replace(good, "tlbi-vmalle1is", "cpu1 tlbi-vmalle1 vmid=0")},
           Case{"other page", Replace(good, "tlbi-ipas2e1is",
                                      "cpu1 tlbi-ipas2e1is vmid=0 "
                                      "ipa=0x90001000 level=3")},
           Case{"other level", Replace(good, "tlbi-ipas2e1is",
                                       "cpu1 tlbi-ipas2e1is vmid=0 "
                                       "ipa=0x90000000 level=2")},
           Case{"DSB of another CPU",
                Replace(good, "dsb-ish", "cpu0 dsb-ish", ish(1))},
           Case{"DSB before, of another CPU",
                Replace(good, "dsb-ishst", "cpu0 dsb-ishst", from)},
           Case{"DSB between, of another CPU",
                Replace(good, "dsb-ish", "cpu0 dsb-ish", ish(0) + 4)},
           Case{"range too short",
                Replace(good, "tlbi-ipas2e1is",
                        "cpu1 tlbi-ripas2e1is vmid=0 ipa=0x8fff0000 "
                        "size=0x10000")},
           Case{"another VMID",
                HostChange(
                    Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0\n"
                       "cpu1 dsb-ishst\n"
                       "cpu1 enter-context vttbr=0x1000080004000 vtcr=0x59\n"
                       "cpu1 tlbi-vmalls12e1is vmid=1\n"
                       "cpu1 dsb-ish\n"
                       "cpu1 leave-context vttbr=0x1000080004000 "
                       "vtcr=0x59"))},
           Case{"VMID not completed",
                HostChange(
                    Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0\n"
                       "cpu1 dsb-ishst\n"
                       "cpu1 enter-context vttbr=0x80001000 vtcr=0x59\n"
                       "cpu1 tlbi-vmalls12e1is vmid=0\n"
                       "cpu1 leave-context vttbr=0x80001000 vtcr=0x59"))},
       }) {
    EXPECT_THAT(RulesBroken(test.lines), ElementsAre(Rule::kUnclean))
        << test.what << "\n"
        << Findings(test.lines);
  }
  // By the wrong VMID: the guest's table is what the TLBI acts on.
  Lines wrong = Boot() + Of("cpu1 lock lock=0x40") +
                Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0") +
                FlushGuest("0x90000000") + Of("cpu1 unlock lock=0x40");
  EXPECT_THAT(RulesBroken(wrong), ElementsAre(Rule::kUnclean));
}

TEST(Checker, OtherWaysToComeClean) {
  const Lines unmap =
      Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0\n"
         "cpu1 dsb-ish\n");
  const Lines enter = Of("cpu1 enter-context vttbr=0x80001000 vtcr=0x59");
  const Lines leave =
      Of("cpu1 dsb-ish\n"
         "cpu1 leave-context vttbr=0x80001000 vtcr=0x59");
  EXPECT_EQ(Findings(HostChange(unmap + enter +
                                Of("cpu1 tlbi-vmalls12e1is vmid=0") + leave)),
            "");
  EXPECT_EQ(Findings(HostChange(unmap + Of("cpu1 tlbi-alle1is\n"
                                           "cpu1 dsb-ish"))),
            "");
  EXPECT_EQ(Findings(Replace(HostUnmap(), "tlbi-ipas2e1is",
                             "cpu1 tlbi-ripas2e1is vmid=0 ipa=0x8fff0000 "
                             "size=0x11000")),
            "");
  EXPECT_EQ(Findings(Replace(HostUnmap(), "tlbi-ipas2e1is",
                             "cpu1 tlbi-ipas2e1is vmid=0 ipa=0x90000000 "
                             "level=any")),
            "");
}

TEST(Checker, SaysWhatWasLeftAndSinceWhen) {
  const std::vector<Finding> findings =
      Check(Read(Without(HostUnmap(), "tlbi-ipas2e1is")));
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(ToString(findings[0]),
            "#25 unclean: the lock is released with vmid 0's old leaf "
            "0x90000000 -> 0x90000000 (out since #17, not invalidated) "
            "(since #17)");
}

TEST(Checker, UncleanIsSaidOnce) {
  EXPECT_THAT(RulesBroken(Without(HostUnmap(), "tlbi-ipas2e1is") +
                          Of("cpu1 lock lock=0x40\n"
                             "cpu1 unlock lock=0x40")),
              ElementsAre(Rule::kUnclean));
}

TEST(Checker, UncleanAtTheEnd) {
  // With no lock to release, and with one that is still held.
  Lines lines = Boot();
  lines = Replace(lines, "vttbr=0x80001000",
                  "cpu0 stage2-created vttbr=0x80001000 vtcr=0x59 lock=0x0");
  lines = lines + Of("cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x0");
  EXPECT_THAT(RulesBroken(lines), ElementsAre(Rule::kUnclean));
  EXPECT_EQ(Findings(Boot() + Of("cpu1 lock lock=0x40\n"
                                 "cpu1 store-pte pa=0x80003000 old=0x900007ff "
                                 "new=0x0")),
            "");
}

// A table that goes takes all of its leaves with it, and itself.
TEST(Checker, UnlinkedTable) {
  const Lines drop = Of("cpu1 store-pte pa=0x80002400 old=0x80003003 new=0x0");
  EXPECT_EQ(Findings(HostChange(
                drop + Replace(FlushHost("0x90000000"), "tlbi-ipas2e1is",
                               "cpu1 tlbi-ripas2e1is vmid=0 ipa=0x90000000 "
                               "size=0x200000"))),
            "");
  // A hint at the leaves' level leaves what it passes by; the table is at 2.
  EXPECT_EQ(Findings(HostChange(drop + FlushHost("0x90000000", 3))), "");
  EXPECT_THAT(
      RulesBroken(HostChange(drop)),
      ElementsAre(Rule::kUnclean, Rule::kUnclean, Rule::kUnfinishedStores));
  EXPECT_THAT(RulesBroken(HostChange(drop + FlushHost("0x90000000", 2))),
              ElementsAre(Rule::kUnclean, Rule::kUnclean));
}

TEST(Checker, UnfinishedStores) {
  const Lines good =
      HostChange(Of("cpu1 publish-pte pa=0x80003010 old=0x0 new=0x900027ff\n"
                    "cpu1 dsb-ishst"));
  EXPECT_EQ(Findings(good), "");
  EXPECT_THAT(RulesBroken(Without(good, "dsb-ishst", Boot().size())),
              ElementsAre(Rule::kUnfinishedStores));
  EXPECT_THAT(
      RulesBroken(Replace(good, "dsb-ishst", "cpu0 dsb-ish", Boot().size())),
      ElementsAre(Rule::kUnfinishedStores));
  EXPECT_THAT(
      RulesBroken(Replace(good, "dsb-ishst", "cpu1 dsb-nsh", Boot().size())),
      ElementsAre(Rule::kUnfinishedStores));
}

// ---- Tables -----------------------------------------------------------------

TEST(Checker, StoreWithoutLock) {
  EXPECT_THAT(
      RulesBroken(Boot() + Of("cpu1 store-pte pa=0x80003010 old=0x0 new=0x2")),
      ElementsAre(Rule::kStoreWithoutLock));
  // Another CPU's lock, another table's lock.
  EXPECT_THAT(
      RulesBroken(Boot() + Of("cpu0 lock lock=0x40\n"
                              "cpu1 lock lock=0x41\n"
                              "cpu1 store-pte pa=0x80003010 old=0x0 new=0x2")),
      ElementsAre(Rule::kStoreWithoutLock));
  // A page's state is the host lock's too.
  EXPECT_THAT(
      RulesBroken(Boot() + Of("cpu1 page-state pfn=0x90005 host=1 hyp=3 "
                              "count=0")),
      ElementsAre(Rule::kStoreWithoutLock));
}

TEST(Checker, PlainLink) {
  EXPECT_THAT(RulesBroken(Replace(All(), "publish-pte pa=0x80004000",
                                  "cpu1 store-pte pa=0x80004000 old=0x0 "
                                  "new=0x80005007")),
              ElementsAre(Rule::kPlainLink));
}

TEST(Checker, PrefilledTable) {
  EXPECT_THAT(RulesBroken(Without(All(), "table-page pa=0x80005000")),
              ElementsAre(Rule::kPrefilledTable));
  EXPECT_THAT(RulesBroken(Replace(All(), "table-page pa=0x80005000",
                                  "cpu1 table-page pa=0x80005000 nonzero=1")),
              ElementsAre(Rule::kPrefilledTable));
  // Zeroed is as good.
  EXPECT_EQ(Findings(Replace(All(), "table-page pa=0x80005000",
                             "cpu1 zero-page pa=0x80005000")),
            "");
  // A root too.
  EXPECT_THAT(RulesBroken(Without(Boot(), "table-page pa=0x80004000")),
              ElementsAre(Rule::kPrefilledTable));
  // A recycled page was zero once: that is over.
  const Lines recycle =
      HostChange(Of("cpu1 store-pte pa=0x80002400 old=0x80003003 new=0x0") +
                 FlushHost("0x90000000") +
                 Of("cpu1 table-page pa=0x80003000 nonzero=0\n"
                    "cpu1 publish-pte pa=0x80002410 old=0x0 new=0x80003003\n"
                    "cpu1 dsb-ishst"));
  EXPECT_EQ(Findings(recycle), "");
  EXPECT_THAT(
      RulesBroken(Without(recycle, "table-page pa=0x80003000", Boot().size())),
      ElementsAre(Rule::kPrefilledTable));
}

TEST(Checker, TableInUse) {
  // Recycled before walkers have left it.
  const Lines early =
      HostChange(Of("cpu1 store-pte pa=0x80002400 old=0x80003003 new=0x0\n"
                    "cpu1 table-page pa=0x80003000 nonzero=0\n"
                    "cpu1 publish-pte pa=0x80002410 old=0x0 new=0x80003003") +
                 FlushHost("0x90000000"));
  EXPECT_THAT(RulesBroken(early), ElementsAre(Rule::kTableInUse));
  // Linked twice.
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 publish-pte pa=0x80002410 old=0x0 new=0x80003003\n"
                     "cpu1 dsb-ishst"))),
              ElementsAre(Rule::kTableInUse));
  // Mapped: a page, a block.
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 publish-pte pa=0x80003010 old=0x0 new=0x800047ff\n"
                     "cpu1 dsb-ishst"))),
              ElementsAre(Rule::kTableInUse));
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 publish-pte pa=0x80002410 old=0x0 new=0x800007fd\n"
                     "cpu1 dsb-ishst"))),
              ElementsAre(Rule::kTableInUse));
  // Zeroed while it is walked.
  EXPECT_THAT(RulesBroken(Boot() + Of("cpu1 zero-page pa=0x80003000")),
              ElementsAre(Rule::kTableInUse));
  // A table in a page that the host has.
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 table-page pa=0x90000000 nonzero=0\n"
                     "cpu1 publish-pte pa=0x80002410 old=0x0 new=0x90000003\n"
                     "cpu1 dsb-ishst"))),
              ElementsAre(Rule::kTableInUse));
}

TEST(Checker, ReservedEncoding) {
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 publish-pte pa=0x80003010 old=0x0 new=0x900027fd\n"
                     "cpu1 dsb-ishst"))),
              ElementsAre(Rule::kReservedEncoding));
}

// ---- Owners -----------------------------------------------------------------

TEST(Checker, HandoverToGuest) {
  // The host's old translation may still be cached: the leaf, and the page.
  for (const char* part : {"tlbi-ipas2e1is", "tlbi-vmalle1is"}) {
    EXPECT_THAT(RulesBroken(Without(Boot() + Donate(), part)),
                ElementsAre(Rule::kHandover, Rule::kHandover, Rule::kNotCleaned,
                            Rule::kUnclean))
        << part;
  }
  // The host's table still has it.
  const Lines kept =
      Without(Boot() + Donate(), "store-pte pa=0x80003000", Boot().size());
  EXPECT_THAT(RulesBroken(kept), ElementsAre(Rule::kHandover, Rule::kNotCleaned,
                                             Rule::kStateAndTable))
      << Findings(kept);
  // EL2 still counts it as the host's.
  EXPECT_THAT(RulesBroken(Without(Boot() + Donate(), "page-state")),
              ElementsAre(Rule::kHandover));
}

// A guest that loses a page and gets it back within one of EL2's sections (its
// block is split) has had it all the time; after the host had it, not.
TEST(Checker, APageThatAGuestGetsBackIsNoHandover) {
  const Lines again = Of(R"(
      cpu1 lock lock=0x41
      cpu1 store-pte pa=0x80006008 old=0x900007ff new=0x0)") +
                      FlushGuest("0x1000") + Of(R"(
      cpu1 publish-pte pa=0x80006008 old=0x0 new=0x900007ff
      cpu1 dsb-ishst
      cpu1 unlock lock=0x41)");
  EXPECT_EQ(Findings(Boot() + Donate() + again), "");
  const Lines late = Of(R"(
      cpu1 lock lock=0x40
      cpu1 lock lock=0x41
      cpu1 page-state pfn=0x90000 host=3 hyp=3 count=0
      cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x2)") +
                     FlushHost("0x90000000") + Of(R"(
      cpu1 publish-pte pa=0x80006008 old=0x6 new=0x900007ff
      cpu1 dsb-ishst
      cpu1 unlock lock=0x41
      cpu1 unlock lock=0x40)");
  EXPECT_THAT(RulesBroken(Boot() + Donate() + Reclaim() + late),
              ElementsAre(Rule::kNotCleaned));
}

TEST(Checker, HandoverToHost) {
  const Lines good = Boot() + Donate() + Reclaim();
  const size_t from = (Boot() + Donate()).size();
  // The guest may still use it when it is zeroed, mapped, given.
  EXPECT_THAT(RulesBroken(Without(good, "tlbi-ipas2e1is", from)),
              ElementsAre(Rule::kZeroedInUse, Rule::kHandover, Rule::kHandover,
                          Rule::kNotZeroed, Rule::kUnclean));
  // It still has it.
  EXPECT_THAT(
      RulesBroken(Without(good, "store-pte pa=0x80006008", from)),
      ElementsAre(Rule::kZeroedInUse, Rule::kHandover, Rule::kNotZeroed));
}

// What a walker may still take for a table is nobody's yet, not even its former
// owner's.
TEST(Checker, HandoverOfTable) {
  const Lines give =
      HostChange(Of("cpu1 page-state pfn=0x80003 host=3 hyp=0 count=0\n"
                    "cpu1 store-pte pa=0x80002400 old=0x80003003 new=0x0") +
                 FlushHost("0x90000000") +
                 Of("cpu1 zero-page pa=0x80003000\n"
                    "cpu1 page-state pfn=0x80003 host=0 hyp=3 count=0"));
  EXPECT_EQ(Findings(give), "");
  EXPECT_THAT(RulesBroken(Without(give, "tlbi-vmalle1is")),
              ElementsAre(Rule::kZeroedInUse, Rule::kHandover, Rule::kNotZeroed,
                          Rule::kUnclean, Rule::kUnclean));
}

TEST(Checker, HandoverOfBorrowedPage) {
  // Guest pages that the host lends: bits 56:55 are 2.
  const Lines lend = Boot() + Of(R"(
      cpu1 lock lock=0x40
      cpu1 lock lock=0x41
      cpu1 page-state pfn=0x90000 host=1 hyp=3 count=1
      cpu1 table-page pa=0x80005000 nonzero=0
      cpu1 table-page pa=0x80006000 nonzero=0
      cpu1 store-pte pa=0x80006008 old=0x0 new=0x1000000900007ff
      cpu1 store-pte pa=0x80005000 old=0x0 new=0x80006007
      cpu1 publish-pte pa=0x80004000 old=0x0 new=0x80005007
      cpu1 dsb-ishst
      cpu1 unlock lock=0x41
      cpu1 unlock lock=0x40)");
  const Lines back =
      Of("cpu1 lock lock=0x40\n"
         "cpu1 lock lock=0x41\n"
         "cpu1 store-pte pa=0x80006008 old=0x1000000900007ff new=0x0") +
      FlushGuest("0x1000") +
      Of("cpu1 page-state pfn=0x90000 host=0 hyp=3 count=0\n"
         "cpu1 unlock lock=0x41\n"
         "cpu1 unlock lock=0x40");
  EXPECT_EQ(Findings(lend + back), "");
  EXPECT_THAT(RulesBroken(Without(lend, "page-state")),
              ElementsAre(Rule::kHandover));
  // Taken back with the guest still in, in its table or a TLB.
  EXPECT_THAT(RulesBroken(Without(lend + back, "tlbi-vmalle1is")),
              ElementsAre(Rule::kHandover, Rule::kUnclean));
  EXPECT_THAT(
      RulesBroken(Without(lend + back, "store-pte pa=0x80006008", lend.size())),
      ElementsAre(Rule::kHandover));
}

// A guest lets the host in, and ends that: its leaf's state says so.
TEST(Checker, HandoverOfGuestsShare) {
  const Lines share = Boot() + Donate() + Of(R"(
      cpu1 lock lock=0x40
      cpu1 lock lock=0x41
      cpu1 store-pte pa=0x80006008 old=0x900007ff new=0x800000900007ff
      cpu1 publish-pte pa=0x80003000 old=0x2 new=0x900007ff
      cpu1 dsb-ishst
      cpu1 page-state pfn=0x90000 host=2 hyp=3 count=0
      cpu1 unlock lock=0x41
      cpu1 unlock lock=0x40)");
  const Lines unshare =
      Of("cpu1 lock lock=0x40\n"
         "cpu1 lock lock=0x41\n"
         "cpu1 page-state pfn=0x90000 host=3 hyp=3 count=0\n"
         "cpu1 store-pte pa=0x80003000 old=0x900007ff new=0x2") +
      FlushHost("0x90000000") +
      Of("cpu1 store-pte pa=0x80006008 old=0x800000900007ff new=0x900007ff\n"
         "cpu1 unlock lock=0x41\n"
         "cpu1 unlock lock=0x40");
  EXPECT_EQ(Findings(share + unshare), "");
  EXPECT_THAT(
      RulesBroken(Without(share + unshare, "tlbi-vmalle1is", share.size())),
      ElementsAre(Rule::kHandover, Rule::kUnclean));
}

TEST(Checker, HandoverToAndFromHyp) {
  const Lines good = Boot() + ToHyp() + FromHyp();
  EXPECT_EQ(Findings(good), "");
  // To EL2 while the host's table has it: 0x90000000 is mapped.
  const Lines mapped = Boot() + Of(R"(
      cpu2 lock lock=0x40
      cpu2 page-state pfn=0x90000 host=3 hyp=0 count=0
      cpu2 unlock lock=0x40)");
  EXPECT_THAT(RulesBroken(mapped),
              ElementsAre(Rule::kHandover, Rule::kStateAndTable));
  // Back, while EL2's table has it.
  EXPECT_THAT(RulesBroken(Without(good, "store-pte pa=0x80008008",
                                  (Boot() + ToHyp()).size())),
              ElementsAre(Rule::kHandover));
  // Back, with EL2's own translation in some TLB.
  EXPECT_THAT(RulesBroken(Without(good, "tlbi-vale2is")),
              ElementsAre(Rule::kHandover, Rule::kHandover, Rule::kUnclean));
  EXPECT_THAT(RulesBroken(Without(good, "cpu2 dsb-ish", good.size() - 8)),
              ElementsAre(Rule::kHandover, Rule::kHandover, Rule::kUnclean));
}

// EL2's own translations go by address only, and tables not by VALE2IS.
TEST(Checker, HypTlb) {
  const Lines good = Boot() + ToHyp() + FromHyp();
  const std::vector<Rule> stale = {Rule::kHandover, Rule::kHandover,
                                   Rule::kUnclean};
  EXPECT_EQ(RulesBroken(Replace(good, "tlbi-vale2is", "cpu2 tlbi-alle1is")),
            stale);
  EXPECT_EQ(RulesBroken(Replace(good, "tlbi-vale2is",
                                "cpu2 tlbi-vale2is va=0x90002000")),
            stale);
  EXPECT_EQ(RulesBroken(Without(good, "cpu2 dsb-ishst", good.size() - 11)),
            stale);
  const auto drop = [](absl::string_view tlbi) {
    return Boot() + ToHyp() +
           Of(absl::StrCat("cpu2 lock lock=0xe0\n"
                           "cpu2 store-pte pa=0x80007400 old=0x80008007 "
                           "new=0x0\n"
                           "cpu2 dsb-ishst\n",
                           tlbi,
                           "\ncpu2 dsb-ish\n"
                           "cpu2 isb\n"
                           "cpu2 unlock lock=0xe0"));
  };
  EXPECT_EQ(Findings(drop("cpu2 tlbi-vae2is va=0x90001000")), "");
  EXPECT_THAT(RulesBroken(drop("cpu2 tlbi-vale2is va=0x90001000")),
              ElementsAre(Rule::kUnclean));
}

// Until the first host runs, EL2 changes a table that no CPU has.
TEST(Checker, HypTableBeforeItIsUsed) {
  const Lines lines = Without(Boot(), "host-stage2") + ToHyp() +
                      Without(FromHyp(), "tlbi-vale2is");
  EXPECT_EQ(Findings(lines), "");
}

TEST(Checker, NotZeroed) {
  EXPECT_THAT(RulesBroken(Without(All(), "zero-page pa=0x90000000")),
              ElementsAre(Rule::kNotZeroed));
  EXPECT_THAT(RulesBroken(Without(All(), "zero-page pa=0x90001000")),
              ElementsAre(Rule::kNotZeroed));
  // Zero as a table page is, but perhaps in EL2's cache only.
  const Lines stock = Replace(All(), "zero-page pa=0x90001000",
                              "cpu2 table-page pa=0x90001000 nonzero=0\n"
                              "cpu2 clean-invalidate pa=0x90001000 "
                              "size=0x1000");
  EXPECT_EQ(Findings(stock), "");
  EXPECT_THAT(RulesBroken(Without(stock, "clean-invalidate pa=0x90001000")),
              ElementsAre(Rule::kNotZeroed));
  // Written again since.
  EXPECT_THAT(
      RulesBroken(Replace(All(), "zero-page pa=0x90001000",
                          "cpu2 zero-page pa=0x90001000\n"
                          "cpu2 store-pte pa=0x90001008 old=0x0 new=0x2")),
      ElementsAre(Rule::kNotZeroed));
}

TEST(Checker, NotCleaned) {
  EXPECT_THAT(RulesBroken(Without(All(), "clean-invalidate")),
              ElementsAre(Rule::kNotCleaned));
  // Too early: the host could still write it.
  Lines early = Without(All(), "clean-invalidate");
  early = Replace(early, "page-state pfn=0x90000",
                  "cpu1 page-state pfn=0x90000 host=3 hyp=3 count=0\n"
                  "cpu1 clean-invalidate pa=0x90000000 size=0x1000");
  EXPECT_THAT(RulesBroken(early), ElementsAre(Rule::kNotCleaned));
}

// Only where the CPU does not see to it itself.
TEST(Checker, NotFetchedAnew) {
  const Lines donate =
      Replace(Boot() + Donate(), "machine page_shift",
              "cpu0 machine page_shift=12 pa_bits=39 features=0x0 "
              "vm_bytes=0x0 vm_vcpu_bytes=0x0 vcpu_bytes=0x0");
  const Lines fetch = Of("cpu1 invalidate-icache pa=0x90000000 size=0x1000");
  EXPECT_THAT(RulesBroken(Boot() + Donate()), ElementsAre());
  EXPECT_THAT(RulesBroken(donate), ElementsAre(Rule::kNotFetchedAnew));
  EXPECT_EQ(Findings(Replace(donate, "clean-invalidate",
                             "cpu1 clean-invalidate pa=0x90000000 size=0x1000\n"
                             "cpu1 invalidate-icache pa=0x90000000 "
                             "size=0x1000")),
            "");
  // Too early: the host could still write it.
  EXPECT_THAT(
      RulesBroken(Replace(donate, "page-state pfn=0x90000",
                          "cpu1 invalidate-icache pa=0x90000000 size=0x1000\n"
                          "cpu1 page-state pfn=0x90000 host=3 hyp=3 count=0")),
      ElementsAre(Rule::kNotFetchedAnew));
}

TEST(Checker, OtherVcpu) {
  const Lines begin = Boot() + Of(R"(
      cpu0 vm-state handle=0x1000 state=3 vcpus=2 protected=1 memory=0x80010000 root=0x80004000
      cpu1 vcpu handle=0x1000 index=0 loaded=1
      cpu1 vcpu handle=0x1000 index=0 loaded=0
      cpu1 call-enter id=0x7 x1=0x1000 x2=0x1 x3=0x0 x4=0x0 x5=0x0)");
  const Lines end = Of("cpu1 call-exit id=0x7 x1=0x0 x2=0x0 x3=0x0 x0=0x0");
  const Lines flush = Of(R"(
      cpu1 enter-context vttbr=0x1000080004000 vtcr=0x59
      cpu1 tlbi-vmalle1 vmid=1
      cpu1 dsb-nsh
      cpu1 leave-context vttbr=0x1000080004000 vtcr=0x59)");
  const Lines again = Of("cpu1 vcpu handle=0x1000 index=0 loaded=1");
  const Lines other = Of("cpu1 vcpu handle=0x1000 index=1 loaded=1");
  EXPECT_EQ(Findings(begin + again + end), "");
  EXPECT_EQ(Findings(begin + other + flush + end), "");
  EXPECT_THAT(RulesBroken(begin + other + end), ElementsAre(Rule::kOtherVcpu));
  EXPECT_THAT(RulesBroken(begin + other + Without(flush, "dsb-nsh") + end),
              ElementsAre(Rule::kOtherVcpu));
  // Of another CPU, or another VM.
  EXPECT_THAT(
      RulesBroken(begin + other +
                  Of("cpu0 enter-context vttbr=0x1000080004000 vtcr=0x59\n"
                     "cpu0 tlbi-vmalle1 vmid=1\n"
                     "cpu0 dsb-nsh\n"
                     "cpu0 leave-context vttbr=0x1000080004000 "
                     "vtcr=0x59") +
                  end),
      ElementsAre(Rule::kOtherVcpu));
  EXPECT_THAT(RulesBroken(begin + other + FlushHost("0x0") + end),
              ElementsAre(Rule::kOtherVcpu));
  // On another CPU it was not loaded before.
  EXPECT_EQ(
      Findings(begin + end + Of("cpu2 vcpu handle=0x1000 index=1 loaded=1")),
      "");
}

TEST(Checker, ZeroedInUse) {
  EXPECT_THAT(RulesBroken(Boot() + Of("cpu1 zero-page pa=0x90000000")),
              ElementsAre(Rule::kZeroedInUse));
}

// ---- VMIDs, contexts, locks, the stream itself ------------------------------

TEST(Checker, VmidReuse) {
  const Lines end = Boot() + Donate() + Reclaim();
  const Lines flush =
      Of("cpu0 dsb-ishst\n"
         "cpu0 enter-context vttbr=0x1000080004000 vtcr=0x59\n"
         "cpu0 tlbi-vmalls12e1is vmid=1\n"
         "cpu0 dsb-ish\n"
         "cpu0 leave-context vttbr=0x1000080004000 vtcr=0x59");
  const Lines clear =
      Of("cpu0 lock lock=0x41\n"
         "cpu0 store-pte pa=0x80004000 old=0x80005007 new=0x0") +
      flush + Of("cpu0 unlock lock=0x41");
  const Lines again =
      Of("cpu0 stage2-destroyed vttbr=0x1000080004000 vtcr=0x59\n"
         "cpu0 table-page pa=0x80004000 nonzero=0\n"
         "cpu0 stage2-created vttbr=0x1000080004000 vtcr=0x59 lock=0x41");
  EXPECT_EQ(Findings(end + clear + again), "");
  EXPECT_EQ(
      Findings(end + clear + Of("cpu0 tlbi-alle1is\ncpu0 dsb-ish") + again),
      "");
  // By IPA is not enough for all that the VMID may have.
  const Lines by_ipa =
      Of("cpu1 lock lock=0x41\n"
         "cpu1 store-pte pa=0x80004000 old=0x80005007 new=0x0") +
      FlushGuest("0x1000") + Of("cpu1 unlock lock=0x41");
  EXPECT_THAT(RulesBroken(end + by_ipa + again), ElementsAre(Rule::kVmidReuse));
  // Nor is one that no DSB completes.
  EXPECT_THAT(
      RulesBroken(end + by_ipa + Without(flush, "cpu0 dsb-ish", 1) + again),
      ElementsAre(Rule::kVmidReuse));
}

TEST(Checker, Contexts) {
  EXPECT_THAT(RulesBroken(Boot() + Of("cpu0 tlbi-vmalle1is vmid=0")),
              ElementsAre(Rule::kContext));
  EXPECT_THAT(RulesBroken(Boot() + Of("cpu0 leave-context vttbr=0x0 "
                                      "vtcr=0x0")),
              ElementsAre(Rule::kContext));
  EXPECT_THAT(
      RulesBroken(Boot() + Of("cpu0 enter-context vttbr=0x80001000 vtcr=0x59\n"
                              "cpu0 enter-context vttbr=0x80001000 "
                              "vtcr=0x59")),
      ElementsAre(Rule::kContext));
  EXPECT_THAT(
      RulesBroken(Boot() + Of("cpu0 enter-context vttbr=0x80001000 vtcr=0x59\n"
                              "cpu0 tlbi-vmalle1is vmid=1")),
      ElementsAre(Rule::kContext));
  for (const char* other :
       {"vttbr=0x80002000 vtcr=0x59", "vttbr=0x80001000 vtcr=0x19",
        "vttbr=0x7000080001000 vtcr=0x59"}) {
    EXPECT_THAT(
        RulesBroken(Boot() + Of(absl::StrCat("cpu0 enter-context ", other))),
        ElementsAre(Rule::kContext))
        << other;
  }
  EXPECT_THAT(RulesBroken(Boot() + Of("cpu0 stage2-created "
                                      "vttbr=0x1000080009000 vtcr=0x59 "
                                      "lock=0x0")),
              ElementsAre(Rule::kContext));
}

TEST(Checker, Locks) {
  EXPECT_THAT(RulesBroken(Of("cpu0 lock lock=0x1\ncpu1 lock lock=0x1")),
              ElementsAre(Rule::kLock));
  EXPECT_THAT(RulesBroken(Of("cpu0 lock lock=0x1\ncpu1 unlock lock=0x1")),
              ElementsAre(Rule::kLock));
  EXPECT_THAT(RulesBroken(Of("cpu0 unlock lock=0x1")),
              ElementsAre(Rule::kLock));
}

TEST(Checker, Stream) {
  // A table that changed behind the stream's back.
  EXPECT_THAT(RulesBroken(HostChange(
                  Of("cpu1 store-pte pa=0x80003010 old=0x4 new=0x2"))),
              ElementsAre(Rule::kStream));
  EXPECT_THAT(RulesBroken(Of("cpu0 call-enter id=0x1 x1=0x0 x2=0x0 x3=0x0 "
                             "x4=0x0 x5=0x0\n"
                             "cpu0 call-exit id=0x2 x1=0x0 x2=0x0 x3=0x0 "
                             "x0=0x0")),
              ElementsAre(Rule::kStream));
}

}  // namespace
}  // namespace holdfast::stream
