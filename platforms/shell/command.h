// SPDX-License-Identifier: Apache-2.0
//
// A line that was understood: every command as a value, with its names looked
// up and its numbers read. It says what to do, and does nothing.
#ifndef HOLDFAST_PLATFORMS_SHELL_COMMAND_H_
#define HOLDFAST_PLATFORMS_SHELL_COMMAND_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "hyp/calls.h"
#include "platforms/shell/owner.h"

namespace holdfast::shell {

// ---- The machine ------------------------------------------------------------

struct MachineCommand {
  std::optional<unsigned> granule;  // log2 of the page
  std::optional<unsigned> ipa_bits;
  std::optional<uint64_t> block;
  std::optional<bool> adversarial_tlb;
  std::optional<uint64_t> seed;
};
struct RamCommand {
  uint64_t base = 0;
  uint64_t size = 0;
  bool no_map = false;
};
struct CpusCommand {
  unsigned count = 0;
};

// ---- What a CPU does --------------------------------------------------------

struct CallCommand {
  const hyp::Call* call = nullptr;
  hyp::Args x{};
  bool finish = false;  // again and again, until it is done
  std::string keep_as;  // `let`: the name its value gets
};
struct HvcCommand {
  std::array<uint64_t, 6> x{};
};
struct VcpuName {
  uint64_t handle = 0;
  uint64_t index = 0;
};
struct GuestCallCommand {
  VcpuName vcpu;
  std::string name;
  std::array<uint64_t, 4> x{};  // x0: the id
};
enum class AccessKind : uint8_t { kRead, kWrite, kExec };
struct AccessCommand {
  std::optional<VcpuName> vcpu;  // else the host
  AccessKind kind = AccessKind::kRead;
  uint64_t address = 0;
  uint64_t value = 0;  // to write
};
struct FillCommand {
  uint64_t pfn = 0;
  uint8_t byte = 0;
  bool compare = false;
};
struct ResumeCommand {};

// ---- Which CPU, and when ----------------------------------------------------

struct Command;
struct OnCommand {
  unsigned cpu = 0;
  std::shared_ptr<const Command> command;
};
struct StartCommand {
  unsigned cpu = 0;
  std::shared_ptr<const Command> command;
};
struct StepCommand {
  unsigned cpu = 0;
  uint64_t points = 1;
};
struct JoinCommand {
  std::optional<unsigned> cpu;  // else all
};

// ---- What should have come of it --------------------------------------------

struct ExpectCommand {
  enum class Kind : uint8_t { kResult, kValue, kAbort, kExit, kPage };
  Kind kind = Kind::kResult;
  std::string text = {};  // result, abort, exit
  uint64_t value = 0;     // value
  uint64_t pfn = 0;       // page
  Owner owner = Owner::kHost;
  std::optional<uint64_t> x2 = {};
};

// ---- Looking ----------------------------------------------------------------

struct ShowCommand {
  enum class What : uint8_t {
    kPage,
    kPages,
    kVm,
    kVms,
    kWalk,
    kStock,
    kTlb,
    kLocks,
    kCpu,
    kEvents,
    kDiff,
  };
  enum class Table : uint8_t { kHost, kGuest, kHyp };
  What what = What::kPages;
  uint64_t number = 0;  // pfn, handle, CPU
  uint64_t count = 1;   // pages
  Table table = Table::kHost;
  uint64_t address = 0;  // to walk
  std::string svg;       // file
};

// ---- The session ------------------------------------------------------------

struct SnapshotCommand {
  std::string name;
};
struct RestoreCommand {
  std::string name;
};
struct ResetCommand {};
struct IncludeCommand {
  std::string path;
};
struct EchoCommand {
  std::string text;
};
struct RecordCommand {
  // The lines of the session, or the machine's event stream: as text, and for
  // others' tools.
  enum class What { kLines, kEvents, kCasemate, kChrome };
  What what = What::kLines;
  std::string path;
};
struct StopCommand {};
struct QuitCommand {};
struct HelpCommand {
  std::string topic;
};
struct NothingCommand {};  // an empty line, a comment

struct Command {
  std::variant<NothingCommand, MachineCommand, RamCommand, CpusCommand,
               CallCommand, HvcCommand, GuestCallCommand, AccessCommand,
               FillCommand, ResumeCommand, OnCommand, StartCommand, StepCommand,
               JoinCommand, ExpectCommand, ShowCommand, SnapshotCommand,
               RestoreCommand, ResetCommand, IncludeCommand, EchoCommand,
               RecordCommand, StopCommand, QuitCommand, HelpCommand>
      is;

  template <class T>
  const T* As() const {
    return std::get_if<T>(&is);
  }
};

}  // namespace holdfast::shell

#endif  // HOLDFAST_PLATFORMS_SHELL_COMMAND_H_
