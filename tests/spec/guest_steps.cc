// SPDX-License-Identifier: Apache-2.0
//
// vcpu_run, and what each trap of a guest becomes: docs/guests.md, PSCI
// (DEN0022), the SMCCC (DEN0028), and the syndromes of the Arm ARM.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/spec/call_steps.h"
#include "tests/spec/transitions.h"

namespace holdfast::spec {
namespace {

constexpr uint64_t kUnknownCall = ~uint64_t{0};  // -1 in x0

constexpr uint64_t Field(uint64_t word, unsigned high, unsigned low) {
  return word >> low & (~uint64_t{0} >> (63 - (high - low)));
}
// ESR_EL2 (Arm ARM D19.2.37).
uint64_t ClassOf(uint64_t esr) { return Field(esr, 31, 26); }
constexpr uint64_t kWfx = 0x01, kHvc = 0x16, kSmc = 0x17, kMsr = 0x18,
                   kFetchAbort = 0x20, kDataAbort = 0x24;

GuestTurn GoesOn() { return {}; }
GuestTurn Stops(RunExit exit) {
  return {.kind = GuestTurn::Kind::kStops, .exit = exit};
}

Guest& Self(Run& run) { return run.guests()[run.cpu.loaded->handle]; }
GuestCpu& Core(Run& run) { return Self(run).cpus[run.cpu.loaded->index]; }

bool Exists(Run& run, uint64_t index) {
  Run::Section section(run);
  const Slot* slot = VmOf(run, run.cpu.loaded->handle);
  return slot != nullptr && index < slot->vcpu_count &&
         slot->vcpus.contains(static_cast<uint32_t>(index));
}

std::optional<RunExit> Ended(Run& run) {
  switch (Self(run).ended) {
    case Guest::Ended::kOff:
      return RunExit{.exit = HF_EXIT_SYSTEM_OFF};
    case Guest::Ended::kReset:
      return RunExit{.exit = HF_EXIT_SYSTEM_RESET};
    case Guest::Ended::kNo:
      break;
  }
  return std::nullopt;
}

// ---- What the host answers --------------------------------------------------

bool IsGood(const RunAnswer& answer) {
  if (answer.answered > 1 || answer.interrupts > HF_MAX_INTERRUPTS)
    return false;
  return std::all_of(
      answer.intid.begin(),
      answer.intid.begin() + static_cast<ptrdiff_t>(answer.interrupts),
      [](uint32_t id) { return id >= HF_FIRST_SPI && id < HF_SPI_END; });
}

// What a load of so many bytes makes of a value (Arm ARM C6.2: LDR, LDRB,
// LDRSW, ...).
uint64_t AsLoaded(const Waits& load, uint64_t value) {
  const unsigned bits = load.bytes * 8u;
  uint64_t loaded = Field(value, bits - 1, 0);
  if (load.is_signed && Field(value, bits - 1, bits - 1) == 1)
    loaded = loaded - (uint64_t{1} << (bits - 1)) * 2;  // two's complement
  return load.is_wide ? loaded : Field(loaded, 31, 0);
}

void TakeAnswer(GuestCpu& core, const RunAnswer& answer) {
  const bool answered = answer.answered == 1;
  switch (core.waits.kind) {
    case Waits::Kind::kNothing:
      break;
    case Waits::Kind::kLoad:
      if (answered && core.waits.to < core.x.size())
        core.x[core.waits.to] = AsLoaded(core.waits, answer.mmio_value);
      [[fallthrough]];
    case Waits::Kind::kStore:
      if (answered) core.pc += 4;  // else the access is made again
      break;
    case Waits::Kind::kCall:
      if (answered) {
        std::copy(answer.result.begin(), answer.result.end(), core.x.begin());
      } else {
        core.x[0] = kUnknownCall;
      }
      break;
  }
  core.waits = {};
  for (uint64_t i = 0; i < answer.interrupts; ++i)
    core.interrupts.insert(answer.intid[i]);
}

// ---- PSCI -------------------------------------------------------------------

enum class Psci : uint8_t {
  kNone,
  kSmcccVersion,
  kVersion,
  kSuspend,
  kCpuOff,
  kCpuOn,
  kAffinityInfo,
  kSystemOff,
  kSystemReset,
  kFeatures,
};

// The id is 32 bits.
Psci PsciOf(uint64_t x0) {
  switch (Field(x0, 31, 0)) {
    case 0x8000'0000:
      return Psci::kSmcccVersion;
    case 0x8400'0000:
      return Psci::kVersion;
    case 0x8400'0001:
    case 0xc400'0001:
      return Psci::kSuspend;
    case 0x8400'0002:
      return Psci::kCpuOff;
    case 0x8400'0003:
    case 0xc400'0003:
      return Psci::kCpuOn;
    case 0x8400'0004:
    case 0xc400'0004:
      return Psci::kAffinityInfo;
    case 0x8400'0008:
      return Psci::kSystemOff;
    case 0x8400'0009:
      return Psci::kSystemReset;
    case 0x8400'000a:
      return Psci::kFeatures;
    default:
      return Psci::kNone;
  }
}

GuestTurn Waits0(const GuestCpu& core, uint64_t deadline) {
  if (!core.interrupts.empty()) return GoesOn();
  return Stops({.exit = HF_EXIT_WAIT, .value = deadline});
}

// 0; INVALID_PARAMETERS, ALREADY_ON, ON_PENDING.
int64_t CpuOn(Run& run, uint64_t target, uint64_t entry, uint64_t context) {
  if (!Exists(run, target)) return -2;
  GuestCpu& core = Self(run).cpus[target];
  if (core.power == GuestCpu::Power::kOn) return -4;
  if (core.power == GuestCpu::Power::kPending) return -5;
  core.power = GuestCpu::Power::kPending;
  core.entry = entry;
  core.context = context;
  return 0;
}

// ON 0, OFF 1, ON_PENDING 2; INVALID_PARAMETERS. As it was when EL2 looked.
int64_t AffinityInfo(Run& run, uint64_t target, uint64_t level) {
  if (!Exists(run, target) || level != 0) return -2;
  const Guests& then =
      run.guests_at_table() != nullptr ? *run.guests_at_table() : run.guests();
  switch (then.at(run.cpu.loaded->handle).cpus.at(target).power) {
    case GuestCpu::Power::kOn:
      return 0;
    case GuestCpu::Power::kOff:
      return 1;
    case GuestCpu::Power::kPending:
      break;
  }
  return 2;
}

GuestTurn PsciCall(Run& run, Psci function, const GuestTrapped& trap) {
  GuestCpu& core = Core(run);
  // A 32-bit call has its arguments in w1 to w3.
  const unsigned high = Field(core.x[0], 30, 30) != 0 ? 63 : 31;
  const uint64_t a = Field(core.x[1], high, 0), b = Field(core.x[2], high, 0),
                 c = Field(core.x[3], high, 0);
  const auto answer = [&](int64_t x0) {
    core.x[0] = static_cast<uint64_t>(x0);
  };
  switch (function) {
    case Psci::kNone:
      break;
    case Psci::kSmcccVersion:
      answer(0x1'0002);
      break;
    case Psci::kVersion:
      answer(0x1'0001);
      break;
    case Psci::kFeatures:
      answer(PsciOf(a) != Psci::kNone ? 0 : -1);
      break;
    case Psci::kSuspend:
      answer(0);
      return Waits0(core, trap.deadline);
    case Psci::kAffinityInfo:
      answer(AffinityInfo(run, a, b));
      break;
    case Psci::kCpuOn: {
      const int64_t result = CpuOn(run, a, b, c);
      answer(result);
      if (result != 0) break;
      return Stops({.exit = HF_EXIT_CPU_ON, .value = a});
    }
    case Psci::kCpuOff:
      core.power = GuestCpu::Power::kOff;
      return Stops({.exit = HF_EXIT_OFF});
    case Psci::kSystemOff:
      Self(run).ended = Guest::Ended::kOff;
      return Stops({.exit = HF_EXIT_SYSTEM_OFF});
    case Psci::kSystemReset:
      Self(run).ended = Guest::Ended::kReset;
      return Stops({.exit = HF_EXIT_SYSTEM_RESET});
  }
  return GoesOn();
}

// ---- SGIs -------------------------------------------------------------------

// ICC_SGI1R_EL1 (Arm ARM D19.8.22): the cores that a write of it is for, of
// those that there are. Affinity n is vCPU n.
std::vector<uint32_t> SgiTargets(const Slot& slot, uint32_t self,
                                 uint64_t value) {
  std::vector<uint32_t> targets;
  const bool others = Field(value, 40, 40) == 1;
  for (const auto& [index, vcpu] : slot.vcpus) {
    bool is_one;
    if (others) {
      is_one = index != self;
    } else {
      is_one = Field(value, 55, 48) == 0 && Field(value, 39, 32) == 0 &&
               Field(value, 23, 16) == index >> 8 &&
               Field(value, 47, 44) == Field(index, 7, 4) &&
               Field(value, index & 15, index & 15) == 1;
    }
    if (is_one) targets.push_back(index);
  }
  return targets;
}

// What was written, if the trap is a write of that register (op0 3, op1 0, c12,
// c11, op2 5): ISS of EC 0x18.
std::optional<uint64_t> SgiWritten(const GuestCpu& core,
                                   const GuestTrapped& trap) {
  const uint64_t iss = Field(trap.esr, 24, 0);
  const bool is_read = Field(iss, 0, 0) == 1;
  if (ClassOf(trap.esr) != kMsr || is_read || Field(iss, 21, 20) != 3 ||
      Field(iss, 16, 14) != 0 || Field(iss, 13, 10) != 12 ||
      Field(iss, 4, 1) != 11 || Field(iss, 19, 17) != 5) {
    return std::nullopt;
  }
  const uint64_t from = Field(iss, 9, 5);
  return from == 31 ? 0 : core.x[from];
}

GuestTurn Sgi(Run& run, uint64_t value) {
  Core(run).pc += 4;
  Run::Section section(run);
  const Slot* slot = VmOf(run, run.cpu.loaded->handle);
  if (slot == nullptr) return GoesOn();
  RunExit exit{.exit = HF_EXIT_KICK, .value = Field(value, 40, 40)};
  bool any = false;
  for (uint32_t index : SgiTargets(*slot, run.cpu.loaded->index, value)) {
    if (index == run.cpu.loaded->index) continue;
    any = true;
    if (index < 256) {
      exit.x[index / 64] |= uint64_t{1} << index % 64;
    } else {
      exit.value = 1;  // there is no bit for it
    }
  }
  return any ? Stops(exit) : GoesOn();
}

// ---- Aborts and calls -------------------------------------------------------

// HPFAR_EL2 43:4 are IPA 51:12 (D19.2.58).
uint64_t PageIn(const Exit& exit) {
  return Field(exit.hpfar, 43, 4) << 12 & ~(kPageSize - 1);
}
bool IsTranslation(uint64_t esr) {
  const uint64_t status = Field(esr, 5, 0);
  return (status >= 0x04 && status <= 0x07) || status == 0x2b;
}

bool IsPoison(Run& run, uint64_t ipa) {
  const uint64_t gfn = ipa >> kPageShift;
  if (!run.layout().IsGfn(gfn)) return false;
  Run::Section section(run);
  const EntryAt at = Find(run.vm(run.cpu.loaded->handle), gfn);
  return at.entry != nullptr && at.entry->poisoned;
}

// A protected guest says where its devices are; another's host knows.
bool IsDevice(Run& run, uint64_t ipa) {
  if (!run.loaded_is_protected()) return true;
  Run::Section section(run);
  const auto& devices = run.vm(run.cpu.loaded->handle).devices;
  return std::any_of(devices.begin(), devices.end(), [&](const Device& at) {
    return ipa >= at.first && ipa < at.first + at.size;
  });
}

GuestTurn Fault(const Exit& exit) {
  const bool fetch = ClassOf(exit.esr) == kFetchAbort;
  uint64_t syndrome = 0;
  if (fetch) syndrome |= HF_ACCESS_FETCH;
  if (!fetch && Field(exit.esr, 6, 6) == 1) syndrome |= HF_ACCESS_WRITE;
  if (Field(exit.esr, 7, 7) == 1) syndrome |= HF_ACCESS_WALK;
  if (!IsTranslation(exit.esr)) syndrome |= HF_ACCESS_PERMISSION;
  return Stops(
      {.exit = HF_EXIT_FAULT, .syndrome = syndrome, .ipa = PageIn(exit)});
}

GuestTurn Abort(Run& run, const GuestTrapped& trap) {
  GuestCpu& core = Core(run);
  const Exit exit = run.cpu.exit;
  const uint64_t esr = exit.esr;
  if (GuestAbort(run, exit).resumes) return GoesOn();
  if (trap.poison_aborts && IsTranslation(esr) && IsPoison(run, PageIn(exit))) {
    core.takes_abort = true;
    return GoesOn();
  }
  // A device: a load or store of one register (ISV), not by a walk, where
  // nothing is.
  const bool decoded = ClassOf(esr) == kDataAbort && Field(esr, 24, 24) == 1 &&
                       Field(esr, 7, 7) == 0;
  GuestTurn turn = Fault(exit);
  if (!decoded || !IsTranslation(esr) || !IsDevice(run, PageIn(exit)))
    return turn;
  const bool store = Field(esr, 6, 6) == 1;
  const auto bytes = static_cast<uint8_t>(1 << Field(esr, 23, 22));
  const auto rt = static_cast<uint8_t>(Field(esr, 20, 16));
  turn.exit.exit = HF_EXIT_MMIO;
  turn.exit.ipa += Field(exit.far, 11, 0);
  turn.exit.syndrome |= uint64_t{bytes} << 8;
  if (store && rt != 31) turn.exit.value = Field(core.x[rt], bytes * 8u - 1, 0);
  core.waits = {.kind = store ? Waits::Kind::kStore : Waits::Kind::kLoad};
  if (!store) {
    core.waits.bytes = bytes;
    core.waits.is_signed = Field(esr, 21, 21) == 1;
    core.waits.is_wide = Field(esr, 15, 15) == 1;
    core.waits.to = rt;
  }
  return turn;
}

GuestTurn Hvc(Run& run, const GuestTrapped& trap) {
  GuestCpu& core = Core(run);
  if (Field(trap.esr, 15, 0) != 0) {
    core.x[0] = kUnknownCall;
    return GoesOn();
  }
  const Psci psci = PsciOf(core.x[0]);
  if (psci != Psci::kNone) return PsciCall(run, psci, trap);
  const std::array<uint64_t, 4> x = {core.x[0], core.x[1], core.x[2],
                                     core.x[3]};
  const GuestOutcome outcome = GuestCall(run, x, core.pc);
  std::copy(outcome.x.begin(), outcome.x.end(), core.x.begin());
  core.pc = outcome.pc;
  if (outcome.resumes) return GoesOn();
  // It shares what is not there: as if it had stored there.
  if (ClassOf(run.cpu.exit.esr) == kDataAbort) return Fault(run.cpu.exit);
  core.waits = {.kind = Waits::Kind::kCall};
  return Stops({.exit = HF_EXIT_CALL, .x = outcome.x});
}

GuestTurn Sync(Run& run, const GuestTrapped& trap) {
  GuestCpu& core = Core(run);
  switch (ClassOf(trap.esr)) {
    case kWfx:
      core.pc += 4;
      if (Field(trap.esr, 0, 0) == 1)  // WFE
        return Stops({.exit = HF_EXIT_WAIT, .value = 0});
      return Waits0(core, trap.deadline);
    case kSmc:
      core.x[0] = kUnknownCall;
      core.pc += 4;  // a trapped SMC returns to itself
      return GoesOn();
    case kHvc:
      return Hvc(run, trap);
    case kFetchAbort:
    case kDataAbort:
      return Abort(run, trap);
    default:
      break;
  }
  if (const auto value = SgiWritten(core, trap)) return Sgi(run, *value);
  core.takes_undefined = true;
  return GoesOn();
}

template <class Map, class Gone>
void EraseIf(Map& map, Gone gone) {
  for (auto at = map.begin(); at != map.end();)
    at = gone(at->first) ? map.erase(at) : std::next(at);
}

}  // namespace

// C: a run page that says what one may (EINVAL).
GuestTurn RunBegins(Run& run, const RunAnswer& answer) {
  if (!IsGood(answer)) return {.kind = GuestTurn::Kind::kRefused};
  if (const auto exit = Ended(run)) return Stops(*exit);
  GuestCpu& core = Core(run);
  if (core.power == GuestCpu::Power::kPending) {
    GuestCpu fresh;
    fresh.power = GuestCpu::Power::kOn;
    fresh.pc = core.entry;
    fresh.x[0] = core.context;
    core = fresh;
  }
  if (core.power != GuestCpu::Power::kOn) return Stops({.exit = HF_EXIT_OFF});
  TakeAnswer(core, answer);
  return GoesOn();
}

GuestTurn GuestTraps(Run& run, const GuestTrapped& trap) {
  run.cpu.exit = {trap.esr, trap.far, trap.hpfar};
  GuestTurn turn;
  switch (trap.kind) {
    case GuestTrapped::Kind::kInterrupt:
      turn = Stops({.exit = HF_EXIT_INTERRUPT});
      break;
    case GuestTrapped::Kind::kSError:
      turn = Stops({.exit = HF_EXIT_SERROR});
      break;
    case GuestTrapped::Kind::kSync:
      turn = Sync(run, trap);
      break;
  }
  // Ended, by another core perhaps: it stops at this trap.
  if (turn.kind == GuestTurn::Kind::kGoesOn) {
    if (const auto exit = Ended(run)) return Stops(*exit);
  }
  return turn;
}

void SgiAtTable(Guests& guests, const VmTable& table, const LoadedVcpu& sender,
                const GuestTrapped& trap) {
  const auto slot = table.slots.find(sender.handle);
  if (slot == table.slots.end()) return;
  Guest& guest = guests[sender.handle];
  const auto value = SgiWritten(guest.cpus[sender.index], trap);
  if (!value.has_value()) return;
  for (uint32_t index : SgiTargets(slot->second, sender.index, *value)) {
    guest.cpus[index].interrupts.insert(
        static_cast<uint32_t>(Field(*value, 27, 24)));
  }
}

void Follow(Guests& guests, const VmTable& table) {
  EraseIf(guests, [&](uint64_t handle) {
    const auto slot = table.slots.find(handle);
    return slot == table.slots.end() || !slot->second.IsVm();
  });
  for (const auto& [handle, slot] : table.slots) {
    if (!slot.IsVm()) continue;
    Guest& guest = guests[handle];
    EraseIf(guest.cpus, [&vcpus = slot.vcpus](uint64_t index) {
      return !vcpus.contains(static_cast<uint32_t>(index));
    });
    for (const auto& [index, vcpu] : slot.vcpus) {
      if (guest.cpus.contains(index)) continue;
      GuestCpu core;
      if (index == 0) {
        core.power = GuestCpu::Power::kPending;
        core.entry = HF_GUEST_ENTRY;
      }
      guest.cpus[index] = core;
    }
  }
}

std::string ToString(const RunExit& exit) {
  return absl::StrFormat(
      "exit %u, syndrome %#x, ipa %#x, value %#x, x %#x %#x %#x %#x", exit.exit,
      exit.syndrome, exit.ipa, exit.value, exit.x[0], exit.x[1], exit.x[2],
      exit.x[3]);
}

std::string ToString(const GuestCpu& cpu) {
  constexpr const char* kPower[] = {"off", "pending", "on"};
  std::string text =
      absl::StrFormat("%s, pc %#x, x0..x5 %#x %#x %#x %#x %#x %#x",
                      kPower[static_cast<int>(cpu.power)], cpu.pc, cpu.x[0],
                      cpu.x[1], cpu.x[2], cpu.x[3], cpu.x[4], cpu.x[5]);
  if (cpu.takes_abort) text += ", takes an abort";
  if (cpu.takes_undefined) text += ", takes an undefined instruction";
  for (uint32_t id : cpu.interrupts)
    text += absl::StrFormat(", interrupt %u", id);
  if (cpu.waits.kind != Waits::Kind::kNothing) text += ", waits for the host";
  return text;
}

}  // namespace holdfast::spec
