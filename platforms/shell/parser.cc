// SPDX-License-Identifier: Apache-2.0
#include "platforms/shell/parser.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/result.h"
#include "hyp/abi.h"
#include "platforms/shell/syntax.h"

namespace holdfast::shell {
namespace {

// The words of one line, taken from left to right.
class Line {
 public:
  Line(std::vector<Word> words, size_t end, const ParseContext& context)
      : words_(std::move(words)), end_(end), context_(context) {}

  const ParseContext& context() const { return context_; }
  const Names& names() const { return context_.names; }
  bool done() const { return next_ == words_.size(); }
  const Word& Peek() const { return words_[next_]; }
  const Word& Take() { return words_[next_++]; }
  // Column of the next word, or of the line's end.
  size_t column() const { return done() ? end_ : Peek().column; }
  // What the command that is being read looks like.
  void set_syntax(const Syntax* syntax) { syntax_ = syntax; }

  tl::unexpected<BadLine> Wrong(const std::string& what) const {
    return Bad(column(), what, syntax_->usage);
  }
  Parsed<Word> Need(const std::string& what) {
    if (done()) return Wrong(absl::StrCat(what, " is missing"));
    return Take();
  }
  Parsed<uint64_t> NeedNumber(const std::string& what) {
    HOLDFAST_TRY_ASSIGN(const Word word, Need(what));
    return NumberOf(word, names(), what);
  }
  Parsed<unsigned> NeedCpu() {
    const size_t at = column();
    HOLDFAST_TRY_ASSIGN(const uint64_t cpu, NeedNumber("CPU"));
    if (cpu >= context_.cpus) {
      return Bad(at, absl::StrCat("there is no CPU ", Show(cpu)),
                 context_.cpus == 1 ? "0: the machine has one CPU"
                                    : absl::StrCat("0 to ", context_.cpus - 1));
    }
    return static_cast<unsigned>(cpu);
  }
  Parsed<std::monostate> NeedEnd() const {
    if (done()) return std::monostate();
    return Wrong(absl::StrCat("'", Peek().text, "' is too much"));
  }

 private:
  std::vector<Word> words_;
  size_t next_ = 0;
  const size_t end_;
  const ParseContext& context_;
  const Syntax* syntax_ = nullptr;
};

// "name=value": both, or nothing if there is no "=".
std::optional<std::pair<Word, Word>> Split(const Word& word) {
  const size_t at = word.text.find('=');
  if (at == std::string::npos || at == 0) return std::nullopt;
  return std::pair{Word{word.text.substr(0, at), word.column},
                   Word{word.text.substr(at + 1), word.column + at + 1}};
}

std::string OrNearest(const std::string& word,
                      const std::vector<std::string>& list) {
  const std::string nearest = Nearest(word, list);
  return nearest.empty() ? absl::StrJoin(list, ", ") : nearest;
}

Parsed<Command> ReadCommand(Line& line);

// ---- The machine
// --------------------------------------------------------------

Parsed<Command> ReadMachine(Line& line) {
  MachineCommand machine;
  if (line.done()) return line.Wrong("nothing is said of the machine");
  while (!line.done()) {
    const Word word = line.Take();
    const auto setting = Split(word);
    if (!setting.has_value())
      return Bad(word.column, absl::StrCat("'", word.text, "' sets nothing"),
                 SyntaxOf("machine")->usage);
    const auto& [name, value] = *setting;
    if (name.text == "granule") {
      if (value.text == "4k") {
        machine.granule = 12;
      } else if (value.text == "16k") {
        machine.granule = 14;
      } else if (value.text == "64k") {
        machine.granule = 16;
      } else {
        return Bad(value.column,
                   absl::StrCat("there is no granule '", value.text, "'"),
                   "4k, 16k or 64k");
      }
    } else if (name.text == "ipa") {
      HOLDFAST_TRY_ASSIGN(const uint64_t bits,
                          NumberOf(value, line.names(), "bits"));
      if (bits < 36 || bits > 48) {
        return Bad(value.column,
                   absl::StrCat("addresses of ", Show(bits), " bits"),
                   "36 to 48");
      }
      machine.ipa_bits = static_cast<unsigned>(bits);
    } else if (name.text == "block") {
      HOLDFAST_TRY_ASSIGN(const uint64_t size,
                          SizeOf(value, line.names(), "a block's size"));
      machine.block = size;
    } else if (name.text == "tlb") {
      if (value.text != "adversarial" && value.text != "plain") {
        return Bad(value.column,
                   absl::StrCat("there is no TLB '", value.text, "'"),
                   "adversarial, or plain");
      }
      machine.adversarial_tlb = value.text == "adversarial";
    } else if (name.text == "seed") {
      HOLDFAST_TRY_ASSIGN(machine.seed,
                          NumberOf(value, line.names(), "a seed"));
    } else {
      return Bad(name.column,
                 absl::StrCat("a machine has no '", name.text, "'"),
                 "granule, ipa, block, tlb or seed");
    }
  }
  return Command{machine};
}

Parsed<Command> ReadRam(Line& line) {
  RamCommand ram;
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(ram.base, line.NeedNumber("the address"));
  HOLDFAST_TRY_ASSIGN(const Word size, line.Need("the size"));
  HOLDFAST_TRY_ASSIGN(ram.size, SizeOf(size, line.names(), "the size"));
  if (ram.size == 0)
    return Bad(size.column, "an empty range of RAM", "a size above 0");
  if (ram.base + ram.size < ram.base) {
    return Bad(at, "the range wraps round the end of all addresses",
               "a range that ends before");
  }
  if (!line.done() && line.Peek().text == "nomap") {
    line.Take();
    ram.no_map = true;
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{ram};
}

Parsed<Command> ReadCpus(Line& line) {
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const uint64_t count, line.NeedNumber("the count"));
  if (count == 0 || count > kMaxCpus) {
    return Bad(at, absl::StrCat("a machine of ", Show(count), " CPUs"),
               absl::StrCat("1 to ", kMaxCpus));
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{CpusCommand{static_cast<unsigned>(count)}};
}

// ---- Calls
// --------------------------------------------------------------------

Parsed<CallCommand> ReadCallBody(Line& line) {
  CallCommand call;
  HOLDFAST_TRY_ASSIGN(const Word name, line.Need("the call's name"));
  call.call = CallNamed(name.text);
  if (call.call == nullptr) {
    return Bad(name.column, absl::StrCat("no call is '", name.text, "'"),
               OrNearest(name.text, CallNames()));
  }
  const auto& fields = call.call->fields;
  const unsigned count = call.call->arguments();
  const std::string usage = absl::StrCat("call ", CallUsage(*call.call));
  std::array<bool, std::tuple_size_v<hyp::Args>> given{};
  unsigned next = 0;
  while (!line.done()) {
    const Word word = line.Take();
    Word value = word;
    unsigned field = next;
    if (const auto named = Split(word)) {
      for (field = 0; field < count; ++field) {
        if (named->first.text == fields[field]) break;
      }
      if (field == count) {
        return Bad(
            word.column,
            absl::StrCat(name.text, " has no field '", named->first.text, "'"),
            usage);
      }
      value = named->second;
    } else if (field >= count) {
      return Bad(
          word.column,
          absl::StrCat("'", word.text, "' is too much: ", name.text, " takes ",
                       count, count == 1 ? " value" : " values"),
          usage);
    }
    if (given[field]) {
      return Bad(word.column, absl::StrCat(fields[field], " is given twice"),
                 usage);
    }
    HOLDFAST_TRY_ASSIGN(call.x[field],
                        NumberOf(value, line.names(), fields[field]));
    given[field] = true;
    next = field + 1;
  }
  for (unsigned field = 0; field < count; ++field) {
    if (!given[field]) {
      return Bad(line.column(), absl::StrCat(fields[field], " is missing"),
                 usage);
    }
  }
  return call;
}

Parsed<Command> ReadCall(Line& line) {
  HOLDFAST_TRY_ASSIGN(const CallCommand call, ReadCallBody(line));
  return Command{call};
}

// The word "call", and what follows.
Parsed<CallCommand> ReadCallAfterWord(Line& line) {
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need("call"));
  if (word.text != "call") {
    return Bad(at, absl::StrCat("'", word.text, "' is no call"),
               "call NAME [FIELD=]VALUE...");
  }
  return ReadCallBody(line);
}

Parsed<Command> ReadLet(Line& line) {
  HOLDFAST_TRY_ASSIGN(const Word name, line.Need("the name"));
  if (!IsName(name.text)) {
    return Bad(name.column, absl::StrCat("'", name.text, "' cannot be a name"),
               "letters, digits and _, a digit not first: let vm = call ...");
  }
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const Word equals, line.Need("="));
  if (equals.text != "=")
    return Bad(at, absl::StrCat("'", equals.text, "' instead of ="),
               SyntaxOf("let")->usage);
  HOLDFAST_TRY_ASSIGN(CallCommand call, ReadCallAfterWord(line));
  call.keep_as = name.text;
  return Command{call};
}

Parsed<Command> ReadFinish(Line& line) {
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(CallCommand call, ReadCallAfterWord(line));
  switch (call.call->id) {
    case HF_HOST_DONATE_GUEST:
    case HF_FORCE_RECLAIM_GUEST_PAGE:
    case HF_TOPUP_VM:
    case HF_DRAIN_VM:
    case HF_RECLAIM_DYING_GUEST_PAGE:
      call.finish = true;
      return Command{call};
    default:
      return Bad(at, absl::StrCat(call.call->name, " does all it does at once"),
                 "call, or finish call host_donate_guest, "
                 "force_reclaim_guest_page, topup_vm, drain_vm or "
                 "reclaim_dying_guest_page");
  }
}

Parsed<Command> ReadHvc(Line& line) {
  HvcCommand hvc;
  HOLDFAST_TRY_ASSIGN(hvc.x[0], line.NeedNumber("the function id"));
  for (size_t i = 1; !line.done(); ++i) {
    if (i == hvc.x.size())
      return line.Wrong("a call has five arguments, x1 to x5");
    HOLDFAST_TRY_ASSIGN(hvc.x[i], line.NeedNumber("an argument"));
  }
  return Command{hvc};
}

// ---- Accesses
// -----------------------------------------------------------------

Parsed<Command> ReadAccess(Line& line, std::optional<VcpuName> vcpu,
                           const Word& verb) {
  AccessCommand access;
  access.vcpu = vcpu;
  if (verb.text == "write") {
    access.kind = AccessKind::kWrite;
  } else if (verb.text == "exec") {
    access.kind = AccessKind::kExec;
  }
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(access.address, line.NeedNumber("the address"));
  if (access.kind == AccessKind::kExec && access.address % 4 != 0) {
    return Bad(at, "instructions are at multiples of 4",
               Show(access.address / 4 * 4));
  }
  if (access.kind == AccessKind::kWrite) {
    HOLDFAST_TRY_ASSIGN(access.value, line.NeedNumber("the value"));
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{access};
}

Parsed<Command> ReadHost(Line& line) {
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const Word verb, line.Need("what the host does"));
  if (verb.text != "read" && verb.text != "write" && verb.text != "exec") {
    return Bad(at, absl::StrCat("the host cannot '", verb.text, "'"),
               SyntaxOf("host")->usage);
  }
  return ReadAccess(line, std::nullopt, verb);
}

Parsed<VcpuName> ReadVcpu(Line& line) {
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need("the VM"));
  VcpuName vcpu;
  const size_t dot = word.text.rfind('.');
  HOLDFAST_TRY_ASSIGN(vcpu.handle,
                      NumberOf({word.text.substr(0, dot), word.column},
                               line.names(), "a VM's handle"));
  if (dot != std::string::npos) {
    HOLDFAST_TRY_ASSIGN(
        vcpu.index, NumberOf({word.text.substr(dot + 1), word.column + dot + 1},
                             line.names(), "a vCPU"));
  }
  return vcpu;
}

std::string GuestCallNames() {
  return absl::StrJoin(kGuestCalls, ", ",
                       [](std::string* out, const GuestCall& call) {
                         absl::StrAppend(out, call.name);
                       });
}

Parsed<Command> ReadGuestCall(Line& line, const VcpuName& vcpu) {
  GuestCallCommand call;
  call.vcpu = vcpu;
  HOLDFAST_TRY_ASSIGN(const Word name, line.Need("the call's name"));
  call.name = name.text;
  if (const GuestCall* known = GuestCallNamed(name.text)) {
    call.x[0] = known->id;
    if (known->takes_ipa && line.done()) {
      return Bad(line.column(), "ipa is missing",
                 absl::StrCat("guest HANDLE call ", name.text, " IPA"));
    }
  } else {
    const auto id = NumberOf(name, line.names(), "a guest's call");
    if (!id.has_value()) {
      return Bad(name.column,
                 absl::StrCat("no call of a guest is '", name.text, "'"),
                 absl::StrCat(GuestCallNames(), ", or a function id"));
    }
    call.x[0] = *id;
  }
  // More than a call takes may be given: it must refuse that.
  for (size_t i = 1; !line.done(); ++i) {
    if (i == call.x.size()) return line.Wrong("a guest's call has x1 to x3");
    HOLDFAST_TRY_ASSIGN(call.x[i], line.NeedNumber("an argument"));
  }
  return Command{call};
}

Parsed<Command> ReadGuest(Line& line) {
  HOLDFAST_TRY_ASSIGN(const VcpuName vcpu, ReadVcpu(line));
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const Word verb, line.Need("what the guest does"));
  if (verb.text == "call") return ReadGuestCall(line, vcpu);
  if (verb.text != "read" && verb.text != "write" && verb.text != "exec") {
    return Bad(at, absl::StrCat("a guest cannot '", verb.text, "'"),
               SyntaxOf("guest")->usage);
  }
  return ReadAccess(line, vcpu, verb);
}

Parsed<Command> ReadFillOrCompare(Line& line, bool compare) {
  FillCommand fill;
  fill.compare = compare;
  const size_t frame_at = line.column();
  HOLDFAST_TRY_ASSIGN(fill.pfn, line.NeedNumber("the frame"));
  if (fill.pfn >> (64 - kPageShift) != 0) {
    return Bad(frame_at,
               absl::StrCat("no address is in a frame ", Show(fill.pfn)),
               "a frame's number, or @ADDRESS for the frame of an address");
  }
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(const uint64_t byte, line.NeedNumber("the byte"));
  if (byte > 0xff)
    return Bad(at, absl::StrCat(Show(byte), " is no byte"), "0 to 0xff");
  fill.byte = static_cast<uint8_t>(byte);
  HOLDFAST_TRY(line.NeedEnd());
  return Command{fill};
}

Parsed<Command> ReadFill(Line& line) { return ReadFillOrCompare(line, false); }
Parsed<Command> ReadCompare(Line& line) {
  return ReadFillOrCompare(line, true);
}

// A command that is one word.
template <class T>
Parsed<Command> ReadWord(Line& line) {
  HOLDFAST_TRY(line.NeedEnd());
  return Command{T{}};
}

// ---- CPUs
// ---------------------------------------------------------------------

bool IsWorkOfACpu(const Command& command) {
  return command.As<CallCommand>() != nullptr ||
         command.As<HvcCommand>() != nullptr ||
         command.As<GuestCallCommand>() != nullptr ||
         command.As<AccessCommand>() != nullptr ||
         command.As<FillCommand>() != nullptr ||
         command.As<ResumeCommand>() != nullptr;
}

Parsed<Command> ReadOn(Line& line) {
  OnCommand on;
  HOLDFAST_TRY_ASSIGN(on.cpu, line.NeedCpu());
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(Command command, ReadCommand(line));
  if (!IsWorkOfACpu(command) && command.As<ExpectCommand>() == nullptr) {
    return Bad(
        at, "that is nothing a CPU does",
        "on CPU call, hvc, host, guest, fill, compare, resume or expect");
  }
  on.command = std::make_shared<const Command>(std::move(command));
  return Command{on};
}

Parsed<Command> ReadStart(Line& line) {
  StartCommand start;
  HOLDFAST_TRY_ASSIGN(start.cpu, line.NeedCpu());
  const size_t at = line.column();
  HOLDFAST_TRY_ASSIGN(Command command, ReadCommand(line));
  if (!IsWorkOfACpu(command)) {
    return Bad(at, "that is nothing a CPU can be in the middle of",
               "start CPU call, hvc, host, guest, fill, compare or resume");
  }
  start.command = std::make_shared<const Command>(std::move(command));
  return Command{start};
}

Parsed<Command> ReadStep(Line& line) {
  StepCommand step;
  HOLDFAST_TRY_ASSIGN(step.cpu, line.NeedCpu());
  if (!line.done()) {
    const size_t at = line.column();
    HOLDFAST_TRY_ASSIGN(step.points, line.NeedNumber("the number of steps"));
    if (step.points == 0) return Bad(at, "no step at all", "1 or more");
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{step};
}

Parsed<Command> ReadJoin(Line& line) {
  JoinCommand join;
  if (!line.done() && line.Peek().text == "all") {
    line.Take();
  } else {
    HOLDFAST_TRY_ASSIGN(join.cpu, line.NeedCpu());
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{join};
}

// ---- expect
// -------------------------------------------------------------------

// All names of errors, "-EPERM" and so on.
std::vector<std::string> ErrorNames() {
  std::vector<std::string> names;
  for (int number = 1; number < 200; ++number) {
    const std::string name = ErrnoName(static_cast<Errno>(number));
    if (name != "E?") names.push_back(absl::StrCat("-", name));
  }
  return names;
}

Parsed<Command> ReadExpectedPage(Line& line) {
  ExpectCommand expect{.kind = ExpectCommand::Kind::kPage};
  HOLDFAST_TRY_ASSIGN(expect.pfn, line.NeedNumber("the frame"));
  HOLDFAST_TRY_ASSIGN(const Word state, line.Need("the state"));
  const auto owner = OwnerNamed(state.text);
  if (!owner.has_value()) {
    return Bad(state.column,
               absl::StrCat("there is no state '", state.text, "'"),
               absl::StrJoin(kOwners, ", ", [](std::string* out, Owner each) {
                 absl::StrAppend(out, OwnerName(each));
               }));
  }
  expect.owner = *owner;
  return Command{expect};
}

// One of a few words.
Parsed<Command> ReadExpectedWord(Line& line, ExpectCommand::Kind kind,
                                 const std::string& what,
                                 const std::vector<std::string>& list) {
  ExpectCommand expect{.kind = kind};
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need(what));
  for (const std::string& known : list) {
    if (word.text == known) {
      expect.text = word.text;
      return Command{expect};
    }
  }
  return Bad(word.column, absl::StrCat("'", word.text, "' is no ", what),
             absl::StrJoin(list, ", "));
}

Parsed<Command> ReadExpectedResult(Line& line, const Word& word) {
  ExpectCommand expect{.kind = ExpectCommand::Kind::kResult};
  const std::vector<std::string> errors = ErrorNames();
  for (const std::string& known : errors) {
    if (word.text == known) expect.text = known;
  }
  for (const char* known : {"done", "same", "differs", "not-served",
                            "-INVALID_PARAMETER", "-NOT_SUPPORTED"}) {
    if (word.text == known) expect.text = known;
  }
  if (expect.text.empty()) {
    const auto number = NumberOf(word, line.names(), "a result");
    if (!number.has_value()) {
      if (word.text[0] == '$' || word.text[0] == '@')
        return tl::unexpected(number.error());
      return Bad(word.column, absl::StrCat("'", word.text, "' is no result"),
                 absl::StrCat("0, a number, done, same, differs, not-served, ",
                              OrNearest(word.text, errors)));
    }
    expect.value = *number;
  }
  if (!line.done()) {
    const Word extra = line.Take();
    const auto setting = Split(extra);
    if (!setting.has_value() || setting->first.text != "x2") {
      return Bad(extra.column, absl::StrCat("'", extra.text, "' is too much"),
                 "x2=N");
    }
    HOLDFAST_TRY_ASSIGN(expect.x2,
                        NumberOf(setting->second, line.names(), "x2"));
  }
  return Command{expect};
}

Parsed<Command> ReadExpect(Line& line) {
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need("what to expect"));
  Parsed<Command> command = [&]() -> Parsed<Command> {
    if (word.text == "page") return ReadExpectedPage(line);
    if (word.text == "value") {
      ExpectCommand expect{.kind = ExpectCommand::Kind::kValue};
      HOLDFAST_TRY_ASSIGN(expect.value, line.NeedNumber("the value"));
      return Command{expect};
    }
    if (word.text == "abort") {
      return ReadExpectedWord(line, ExpectCommand::Kind::kAbort,
                              "kind of abort",
                              {"external", "translation", "permission"});
    }
    if (word.text == "exit") {
      return ReadExpectedWord(line, ExpectCommand::Kind::kExit,
                              "reason to exit",
                              {"data-abort", "instruction-abort", "hvc"});
    }
    return ReadExpectedResult(line, word);
  }();
  if (!command.has_value()) return command;
  HOLDFAST_TRY(line.NeedEnd());
  return command;
}

// ---- show
// ---------------------------------------------------------------------

Parsed<Command> ReadShow(Line& line) {
  using What = ShowCommand::What;
  constexpr std::pair<const char*, What> kWhats[] = {
      {"page", What::kPage}, {"pages", What::kPages},
      {"vm", What::kVm},     {"vms", What::kVms},
      {"walk", What::kWalk}, {"stock", What::kStock},
      {"tlb", What::kTlb},   {"locks", What::kLocks},
      {"cpu", What::kCpu},   {"events", What::kEvents},
      {"diff", What::kDiff},
  };
  ShowCommand show;
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need("what to show"));
  bool found = false;
  std::vector<std::string> list;
  for (const auto& [name, what] : kWhats) {
    list.push_back(name);
    if (word.text != name) continue;
    show.what = what;
    found = true;
  }
  if (!found) {
    return Bad(word.column, absl::StrCat("'", word.text, "' cannot be shown"),
               OrNearest(word.text, list));
  }
  switch (show.what) {
    case What::kPage: {
      HOLDFAST_TRY_ASSIGN(show.number, line.NeedNumber("the frame"));
      if (!line.done()) {
        HOLDFAST_TRY_ASSIGN(show.count, line.NeedNumber("the count"));
      }
      break;
    }
    case What::kVm:
    case What::kStock: {
      HOLDFAST_TRY_ASSIGN(show.number, line.NeedNumber("the VM's handle"));
      break;
    }
    case What::kCpu: {
      HOLDFAST_TRY_ASSIGN(show.number, line.NeedCpu());
      break;
    }
    case What::kWalk: {
      const size_t at = line.column();
      HOLDFAST_TRY_ASSIGN(const Word whose, line.Need("whose table"));
      if (whose.text == "guest") {
        show.table = ShowCommand::Table::kGuest;
        HOLDFAST_TRY_ASSIGN(show.number, line.NeedNumber("the VM's handle"));
      } else if (whose.text == "hyp") {
        show.table = ShowCommand::Table::kHyp;
      } else if (whose.text != "host") {
        return Bad(at, absl::StrCat("'", whose.text, "' has no table"),
                   "walk host ADDRESS, guest HANDLE ADDRESS or hyp ADDRESS");
      }
      HOLDFAST_TRY_ASSIGN(show.address, line.NeedNumber("the address"));
      break;
    }
    default:
      break;
  }
  if (!line.done() && line.Peek().text == "--svg") {
    if (show.what != What::kPages && show.what != What::kWalk)
      return line.Wrong(absl::StrCat("there is no picture of ", word.text));
    line.Take();
    HOLDFAST_TRY_ASSIGN(const Word file, line.Need("the file"));
    show.svg = file.text;
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{show};
}

// ---- The session
// --------------------------------------------------------------

// A command with one word behind it, a name or a file.
template <class T>
Parsed<Command> ReadWithText(Line& line, const std::string& what) {
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need(what));
  HOLDFAST_TRY(line.NeedEnd());
  return Command{T{word.text}};
}
Parsed<Command> ReadSnapshot(Line& line) {
  return ReadWithText<SnapshotCommand>(line, "its name");
}
Parsed<Command> ReadRestore(Line& line) {
  return ReadWithText<RestoreCommand>(line, "its name");
}
Parsed<Command> ReadInclude(Line& line) {
  return ReadWithText<IncludeCommand>(line, "the file");
}
Parsed<Command> ReadRecord(Line& line) {
  using What = RecordCommand::What;
  HOLDFAST_TRY_ASSIGN(const Word word, line.Need("the file"));
  RecordCommand record{What::kLines, word.text};
  constexpr std::pair<const char*, What> kTraces[] = {
      {"events", What::kEvents},
      {"casemate", What::kCasemate},
      {"chrome", What::kChrome}};
  for (const auto& [name, what] : kTraces) {
    if (word.text != name) continue;
    record.what = what;
    HOLDFAST_TRY_ASSIGN(const Word file, line.Need("the file"));
    record.path = file.text;
  }
  HOLDFAST_TRY(line.NeedEnd());
  return Command{record};
}
Parsed<Command> ReadHelp(Line& line) {
  if (line.done()) return Command{HelpCommand{}};
  const Word topic = line.Take();
  HOLDFAST_TRY(line.NeedEnd());
  if (SyntaxOf(topic.text) == nullptr && CallNamed(topic.text) == nullptr) {
    return Bad(topic.column,
               absl::StrCat("'", topic.text, "' is no command and no call"),
               "help, for all there is");
  }
  return Command{HelpCommand{topic.text}};
}

using Reader = Parsed<Command> (*)(Line&);
Reader ReaderOf(const std::string& word) {
  constexpr std::pair<const char*, Reader> kReaders[] = {
      {"machine", &ReadMachine},
      {"ram", &ReadRam},
      {"cpus", &ReadCpus},
      {"call", &ReadCall},
      {"let", &ReadLet},
      {"hvc", &ReadHvc},
      {"finish", &ReadFinish},
      {"guest", &ReadGuest},
      {"host", &ReadHost},
      {"fill", &ReadFill},
      {"compare", &ReadCompare},
      {"resume", &ReadWord<ResumeCommand>},
      {"on", &ReadOn},
      {"start", &ReadStart},
      {"step", &ReadStep},
      {"join", &ReadJoin},
      {"expect", &ReadExpect},
      {"show", &ReadShow},
      {"snapshot", &ReadSnapshot},
      {"restore", &ReadRestore},
      {"reset", &ReadWord<ResetCommand>},
      {"include", &ReadInclude},
      {"record", &ReadRecord},
      {"stop", &ReadWord<StopCommand>},
      {"help", &ReadHelp},
      {"quit", &ReadWord<QuitCommand>},
  };
  for (const auto& [name, reader] : kReaders) {
    if (word == name) return reader;
  }
  return nullptr;
}

Parsed<Command> ReadCommand(Line& line) {
  std::vector<std::string> list;
  for (const Syntax& syntax : kSyntax) list.push_back(syntax.word);
  if (line.done()) {
    return Bad(line.column(), "the command is missing",
               absl::StrJoin(list, ", "));
  }
  const Word word = line.Take();
  const Reader reader = ReaderOf(word.text);
  if (reader == nullptr) {
    std::string right = Nearest(word.text, list);
    if (right.empty() && CallNamed(word.text) != nullptr)
      right = absl::StrCat("call ", CallUsage(*CallNamed(word.text)));
    return Bad(word.column,
               absl::StrCat("there is no command '", word.text, "'"),
               right.empty() ? "help lists the commands" : right);
  }
  line.set_syntax(SyntaxOf(word.text));
  return reader(line);
}

// "echo TEXT" keeps blanks and # as they are.
std::optional<std::string> EchoText(const std::string& line) {
  const size_t start = line.find_first_not_of(" \t");
  if (start == std::string::npos || line.compare(start, 4, "echo") != 0)
    return std::nullopt;
  if (line.size() == start + 4) return "";
  if (line[start + 4] != ' ' && line[start + 4] != '\t') return std::nullopt;
  return line.substr(start + 5);
}

}  // namespace

Parsed<Command> Parse(const std::string& line, const ParseContext& context) {
  if (const auto echo = EchoText(line)) return Command{EchoCommand{*echo}};
  HOLDFAST_TRY_ASSIGN(std::vector<Word> words, Lex(line));
  if (words.empty()) return Command{NothingCommand{}};
  const Word& last = words.back();
  const size_t end = last.column + last.text.size() + 1;
  Line rest(std::move(words), end, context);
  return ReadCommand(rest);
}

}  // namespace holdfast::shell
