// SPDX-License-Identifier: Apache-2.0
//
// Every command there is: how it is written, and what it does. Help, completion
// and the parser's errors speak from this one table.
#ifndef HOLDFAST_PLATFORMS_SHELL_SYNTAX_H_
#define HOLDFAST_PLATFORMS_SHELL_SYNTAX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hyp/calls.h"

namespace holdfast::shell {

struct Syntax {
  const char* word;
  const char* usage;
  const char* help;
};

inline constexpr std::array kSyntax = {
    Syntax{"machine",
           "machine [granule=4k|16k|64k] [ipa=BITS] [block=SIZE] "
           "[tlb=adversarial|plain] [seed=N]",
           "what machine it is; before the first call"},
    Syntax{"ram", "ram ADDRESS SIZE [nomap]",
           "a range of RAM; before the first call. EL2 takes the top"},
    Syntax{"cpus", "cpus COUNT", "how many CPUs; before the first call"},
    Syntax{"call", "call NAME [FIELD=]VALUE...", "a hypercall by the host"},
    Syntax{"let", "let NAME = call ...",
           "the same; its value is $NAME from then on"},
    Syntax{"hvc", "hvc ID ARG...", "the same, raw: prints x0..x3"},
    Syntax{"finish", "finish call NAME ...",
           "repeats a range call until it is done"},
    Syntax{
        "guest",
        "guest HANDLE[.VCPU] call NAME ARG... | read ADDRESS | write ADDRESS "
        "VALUE | exec ADDRESS",
        "what the guest's vCPU does on this CPU, where it must be loaded"},
    Syntax{"host", "host read ADDRESS | write ADDRESS VALUE | exec ADDRESS",
           "what the host does on this CPU"},
    Syntax{"fill", "fill PFN BYTE", "the host fills a frame"},
    Syntax{"compare", "compare PFN BYTE",
           "whether all of a frame is BYTE, as the host sees it"},
    Syntax{"resume", "resume",
           "the guest goes on where it left: what it did is done again"},
    Syntax{"on", "on CPU COMMAND", "does a command on that CPU (else CPU 0)"},
    Syntax{"start", "start CPU COMMAND",
           "begins one; it stops at the first scheduling point"},
    Syntax{"step", "step CPU [N]",
           "lets it go on to the next scheduling point, or N further"},
    Syntax{"join", "join CPU|all", "lets it go on to its end"},
    Syntax{
        "expect",
        "expect RESULT [x2=N] | value N | abort KIND | exit REASON | page PFN "
        "STATE",
        "what should have come of the last command"},
    Syntax{
        "show",
        "show page PFN [COUNT] | pages [--svg FILE] | vm HANDLE | vms | walk "
        "host|guest HANDLE|hyp ADDRESS [--svg FILE] | stock HANDLE | tlb | "
        "locks | cpu N | events | diff",
        "looks at the machine; changes nothing"},
    Syntax{"snapshot", "snapshot NAME", "remembers the state of all"},
    Syntax{"restore", "restore NAME", "goes back to a snapshot"},
    Syntax{"reset", "reset", "starts the machine anew, with no names"},
    Syntax{"include", "include FILE", "does the lines of a file"},
    Syntax{"echo", "echo TEXT", "prints the rest of the line"},
    Syntax{"record", "record FILE | events|casemate|chrome FILE",
           "writes lines, or what the machine does from boot on, until stop"},
    Syntax{"stop", "stop", "ends record"},
    Syntax{"help", "help [COMMAND | CALL]",
           "prints this, or what a call takes"},
    Syntax{"quit", "quit", "leaves"},
};

const Syntax* SyntaxOf(const std::string& word);
// `list` has the words a person may have meant: the nearest to `word`, or "".
std::string Nearest(const std::string& word,
                    const std::vector<std::string>& list);

// ---- Calls
// --------------------------------------------------------------------

const hyp::Call* CallNamed(const std::string& name);
std::vector<std::string> CallNames();
// "host_donate_guest pfn=N gfn=N".
std::string CallUsage(const hyp::Call& call);
// What must be loaded for it: "a vCPU of a protected VM", or "".
const char* NeedsText(hyp::Needs needs);

struct GuestCall {
  const char* name;
  uint32_t id;
  bool takes_ipa;
};
extern const std::array<GuestCall, 4> kGuestCalls;
const GuestCall* GuestCallNamed(const std::string& name);

// ---- Help
// -----------------------------------------------------------------------

// The lines of `help TOPIC`; nothing if there is no such topic.
std::optional<std::vector<std::string>> HelpOn(const std::string& topic);

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_SYNTAX_H_
