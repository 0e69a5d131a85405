// SPDX-License-Identifier: Apache-2.0
//
// Every command is read as it is meant, and every mistake is answered with what
// is wrong and what would be right.
#include "platforms/shell/parser.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hyp/abi.h"
#include "platforms/shell/syntax.h"

namespace holdfast::shell {
namespace {

using testing::HasSubstr;

Parsed<Command> Read(const std::string& line) {
  static const Names names = {{"vm", 0x1000}, {"page", 0x4030'0000}};
  return Parse(line, {.names = names, .cpus = 4});
}

template <class T>
T As(const std::string& line) {
  const Parsed<Command> command = Read(line);
  if (!command.has_value()) {
    ADD_FAILURE() << line << ": " << command.error().what;
    return T{};
  }
  const T* const is = command->As<T>();
  if (is == nullptr) ADD_FAILURE() << line << " is another command";
  return is != nullptr ? *is : T{};
}

TEST(Parser, ReadsNumbers) {
  EXPECT_EQ(As<CallCommand>("call host_share_hyp 12").x[0], 12u);
  EXPECT_EQ(As<CallCommand>("call host_share_hyp 0x40").x[0], 0x40u);
  EXPECT_EQ(As<CallCommand>("call host_share_hyp $vm").x[0], 0x1000u);
  EXPECT_EQ(As<CallCommand>("call host_share_hyp -1").x[0], ~uint64_t{0});
  EXPECT_EQ(As<CallCommand>("call host_share_hyp @0x40300000").x[0],
            0x4030'0000u >> kPageShift);
  EXPECT_EQ(As<CallCommand>("call host_share_hyp @$page").x[0],
            0x4030'0000u >> kPageShift);
  EXPECT_EQ(As<RamCommand>("ram 0x40000000 64M").size, 64u << 20);
  EXPECT_EQ(As<RamCommand>("ram 0x40000000 0x2000").size, 0x2000u);
}

TEST(Parser, ReadsFieldsByNameAndByPlace) {
  const auto call =
      As<CallCommand>("call init_vm handle=$vm 1 nr_vcpus=4 5 root_pfn=2");
  EXPECT_EQ(call.call->id, HF_INIT_VM);
  EXPECT_EQ(call.x, (hyp::Args{0x1000, 1, 2, 4, 5}));
}

TEST(Parser, ReadsEveryCommand) {
  EXPECT_EQ(*As<MachineCommand>("machine granule=16k ipa=40 tlb=plain").granule,
            14u);
  EXPECT_TRUE(As<RamCommand>("ram 0x50000000 1G nomap").no_map);
  EXPECT_EQ(As<CpusCommand>("cpus 2").count, 2u);
  EXPECT_EQ(As<CallCommand>("let x = call reserve_vm").keep_as, "x");
  EXPECT_TRUE(As<CallCommand>("finish call drain_vm $vm").finish);
  EXPECT_EQ(As<HvcCommand>("hvc 0xc6000130 1 2 3 4 5").x[5], 5u);
  EXPECT_EQ(As<GuestCallCommand>("guest $vm.1 call mem_share 0x1000").x[1],
            0x1000u);
  EXPECT_EQ(As<GuestCallCommand>("guest $vm call 0xc6000007 9").x[0],
            0xc600'0007u);
  EXPECT_EQ(As<AccessCommand>("guest 0x1000.3 exec 0x80").vcpu->index, 3u);
  EXPECT_EQ(As<AccessCommand>("host write 0x40 7").value, 7u);
  EXPECT_FALSE(As<FillCommand>("fill 1 0xff").compare);
  EXPECT_TRUE(As<FillCommand>("compare 1 0xff").compare);
  As<ResumeCommand>("resume");
  EXPECT_EQ(As<OnCommand>("on 3 call vcpu_put").cpu, 3u);
  EXPECT_NE(As<OnCommand>("on 1 expect 0").command->As<ExpectCommand>(),
            nullptr);
  EXPECT_EQ(As<StartCommand>("start 1 host read 0").cpu, 1u);
  EXPECT_EQ(As<StepCommand>("step 1 7").points, 7u);
  EXPECT_EQ(As<StepCommand>("step 1").points, 1u);
  EXPECT_FALSE(As<JoinCommand>("join all").cpu.has_value());
  EXPECT_EQ(As<ExpectCommand>("expect -ENOMEM x2=3").x2, 3u);
  EXPECT_EQ(As<ExpectCommand>("expect page 7 host+el2").owner, Owner::kHostEl2);
  EXPECT_EQ(As<ExpectCommand>("expect exit data-abort").text, "data-abort");
  EXPECT_EQ(As<ShowCommand>("show pages --svg map.svg").svg, "map.svg");
  EXPECT_EQ(As<ShowCommand>("show walk guest $vm 0x80").address, 0x80u);
  EXPECT_EQ(As<SnapshotCommand>("snapshot a").name, "a");
  EXPECT_EQ(As<RestoreCommand>("restore a").name, "a");
  As<ResetCommand>("reset");
  EXPECT_EQ(As<IncludeCommand>("include \"a b.hf\"").path, "a b.hf");
  EXPECT_EQ(As<EchoCommand>("echo  a  # b").text, " a  # b");
  EXPECT_EQ(As<RecordCommand>("record r.hf").path, "r.hf");
  EXPECT_EQ(As<RecordCommand>("record r.hf").what, RecordCommand::What::kLines);
  EXPECT_EQ(As<RecordCommand>("record chrome t.json").path, "t.json");
  EXPECT_EQ(As<RecordCommand>("record chrome t.json").what,
            RecordCommand::What::kChrome);
  EXPECT_EQ(As<RecordCommand>("record events t").what,
            RecordCommand::What::kEvents);
  EXPECT_EQ(As<RecordCommand>("record casemate t").what,
            RecordCommand::What::kCasemate);
  As<StopCommand>("stop");
  As<QuitCommand>("quit");
  EXPECT_EQ(As<HelpCommand>("help call").topic, "call");
  As<NothingCommand>("   # a comment");
  As<NothingCommand>("");
}

// Help has a row for each command, so that each can be read and completed.
TEST(Parser, KnowsEveryCommandOfTheTable) {
  for (const Syntax& syntax : kSyntax) {
    const Parsed<Command> command = Read(syntax.word);
    if (command.has_value()) continue;
    EXPECT_THAT(command.error().what, Not(HasSubstr("there is no command")))
        << syntax.word;
  }
}

TEST(Parser, SaysWhatIsWrongAndWhatWouldBeRight) {
  struct Case {
    const char* line;
    size_t column;
    const char* what;
    const char* right;
  };
  constexpr Case kCases[] = {
      {"cal host_share_hyp 1", 1, "no command 'cal'", "call"},
      {"host_share_hyp 1", 1, "no command", "call host_share_hyp pfn=N"},
      {"call host_shar_hyp 1", 6, "no call is 'host_shar_hyp'",
       "host_share_hyp"},
      {"call host_share_hyp", 21, "pfn is missing", "host_share_hyp pfn=N"},
      {"call host_share_hyp 1 2", 23, "'2' is too much", "pfn=N"},
      {"call host_share_hyp gfn=1", 21, "no field 'gfn'", "pfn=N"},
      {"call host_donate_guest pfn=1 pfn=2 nr_pages=1", 30, "given twice",
       "gfn=N"},
      {"call host_share_hyp 0xzz", 21, "'0xzz' is no number", "0x40"},
      {"call host_share_hyp $vn", 21, "nothing is called $vn", "$vm"},
      {"call host_share_hyp pfn=$vn", 25, "nothing is called $vn", "$vm"},
      {"let 1x = call reserve_vm", 5, "cannot be a name", "letters"},
      {"let x call reserve_vm", 7, "instead of =", "let NAME = call"},
      {"let x = host read 0", 9, "'host' is no call", "call NAME"},
      {"finish call host_share_hyp 1", 8, "at once", "drain_vm"},
      {"hvc 1 2 3 4 5 6 7", 17, "five arguments", "hvc ID"},
      {"guest $vm jump", 11, "cannot 'jump'", "read ADDRESS"},
      {"guest $vm call mem_shar 1", 16, "no call of a guest", "mem_share"},
      {"guest $vm call mem_share", 26, "ipa is missing", "IPA"},
      {"host exec 3", 11, "multiples of 4", "0"},
      {"host push 3", 6, "cannot 'push'", "host read"},
      {"fill 1 256", 8, "no byte", "0xff"},
      {"fill -1 0", 6, "no address", "@ADDRESS"},
      {"on 4 call vcpu_put", 4, "no CPU 4", "0 to 3"},
      {"on 1 quit", 6, "nothing a CPU does", "on CPU call"},
      {"start 1 expect 0", 9, "in the middle of", "start CPU call"},
      {"step 1 0", 8, "no step", "1 or more"},
      {"expect -EPREM", 8, "no result", "-EPERM"},
      {"expect abort soft", 14, "no kind of abort", "external"},
      {"expect exit nmi", 13, "no reason to exit", "data-abort"},
      {"expect page 1 MINE", 15, "no state 'MINE'", "HOST+EL2"},
      {"expect 0 x3=1", 10, "too much", "x2=N"},
      {"show pagez", 6, "cannot be shown", "page"},
      {"show tlb --svg x", 10, "no picture", "show"},
      {"show walk me 1", 11, "has no table", "walk host"},
      {"machine granule=8k", 17, "no granule '8k'", "4k, 16k or 64k"},
      {"machine ipa=99", 13, "bits", "36 to 48"},
      {"machine colour=red", 9, "no 'colour'", "seed"},
      {"machine tlb=soft", 13, "no TLB", "adversarial"},
      {"ram 0x40000000 0", 16, "empty", "above 0"},
      {"ram 0x40000000 6Q", 16, "no size", "64M"},
      {"ram -4096 1M", 5, "wraps", "ends before"},
      {"cpus 9", 6, "9 CPUs", "1 to 8"},
      {"include \"a", 9, "never closed", "\""},
      {"include", 9, "the file is missing", "include FILE"},
      {"reset now", 7, "too much", "reset"},
      {"help me", 6, "no command and no call", "help"},
  };
  for (const Case& each : kCases) {
    const Parsed<Command> command = Read(each.line);
    ASSERT_FALSE(command.has_value()) << each.line;
    EXPECT_EQ(command.error().column, each.column) << each.line;
    EXPECT_THAT(command.error().what, HasSubstr(each.what)) << each.line;
    EXPECT_THAT(command.error().right, HasSubstr(each.right)) << each.line;
  }
}

}  // namespace
}  // namespace holdfast::shell
