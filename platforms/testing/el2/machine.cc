// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include "base/check.h"
#include "gtest/gtest.h"
#include "platforms/aarch64/barrier.h"
#include "platforms/aarch64/cache.h"
#include "platforms/aarch64/cpu.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/aarch64/tlbi.h"
#include "test_machine.h"

namespace holdfast {
namespace {

// The RAM there is; the machine there is, and which of its CPUs runs.
struct Hardware {
  uint64_t ram_start = 0, ram_end = 0;
  sim::Machine* machine = nullptr;  // for the recorder
  sim::Machine* bound = nullptr;
  unsigned bound_index = 0;
  CpuLocal board_local;
};
constinit Hardware g_hardware;

}  // namespace

namespace testing_el2 {

void SetTestRam(uint64_t start, uint64_t size) {
  g_hardware.ram_start = start;
  g_hardware.ram_end = start + size;
}

}  // namespace testing_el2

namespace aarch64 {

// The recorder's way out (recorder_on/).
void BoardRecord(stream::Event event) {
  if (g_hardware.machine != nullptr) g_hardware.machine->Record(event);
}

}  // namespace aarch64

namespace sim {

// ---- RAM --------------------------------------------------------------------

Ram::Ram(std::vector<RamRange> ranges) : ranges_(std::move(ranges)) {
  for (const RamRange& range : ranges_) {
    const uint64_t start = range.base.value() & ~(kPageSize - 1);
    const uint64_t end =
        (range.base.value() + range.size + kPageSize - 1) & ~(kPageSize - 1);
    if (start < g_hardware.ram_start || end > g_hardware.ram_end)
      Machine::Abandon("there is no RAM where it wants some");
    aarch64::ZeroRange(start, end - start);
  }
}

bool Ram::Contains(PhysAddr pa, uint64_t size) const {
  for (const RamRange& range : ranges_) {
    if (pa >= range.base && size != 0 && size <= range.size &&
        pa - range.base <= range.size - size) {
      return true;
    }
  }
  return false;
}

uint64_t Ram::Load(PhysAddr pa, unsigned bytes) const {
  uint64_t value = 0;
  std::memcpy(&value, At(pa), bytes);
  return value;
}

void Ram::Store(PhysAddr pa, unsigned bytes, uint64_t value) const {
  std::memcpy(At(pa), &value, bytes);
}

void Ram::Fill(PhysAddr pa, uint64_t size, uint64_t word) const {
  auto* const words = static_cast<uint64_t*>(At(pa));
  for (uint64_t i = 0; i < size / 8; ++i) words[i] = word;
}

// ---- The walkers ------------------------------------------------------------

namespace {

extern "C" uint64_t FetchAt(uint64_t pc, uint64_t spsr);

// A context in VTTBR_EL2 and VTCR_EL2 for a while. Stage 1 of EL1 and EL0 is
// off, so that addresses are IPAs. EL2's own use of the registers
// (platforms/aarch64/stage2_switch.h) is never in between.
class InContext {
 public:
  explicit InContext(const Stage2Context& context)
      : vttbr_(aarch64::VttbrEl2::Read()), vtcr_(aarch64::VtcrEl2::Read()) {
    HOLDFAST_CHECK(!aarch64::This().stage2_entered);
    HOLDFAST_CHECK((aarch64::SctlrEl1::Read() & aarch64::SctlrEl1::kM) == 0 &&
                   (aarch64::HcrEl2::Read() & aarch64::HcrEl2::kVm) != 0);
    // The test may have written a table by other ways than EL2's.
    aarch64::DsbIsh();
    aarch64::VttbrEl2::Write(context.vttbr());
    aarch64::VtcrEl2::Write(context.vtcr);
    aarch64::Isb();
  }
  ~InContext() {
    aarch64::VttbrEl2::Write(vttbr_);
    aarch64::VtcrEl2::Write(vtcr_);
    aarch64::Isb();
  }

 private:
  const uint64_t vttbr_, vtcr_;
};

// Fault status codes (Arm ARM D24.2.40), also those of PAR_EL1.FST.
Fault FaultOf(uint64_t status, Ipa ipa) {
  constexpr FaultKind kKinds[] = {
      FaultKind::kAddressSize, FaultKind::kTranslation, FaultKind::kAccessFlag,
      FaultKind::kPermission};
  Fault fault = {.kind = FaultKind::kExternal, .level = 0, .ipa = ipa};
  if (status < 0x10) {
    fault.kind = kKinds[status >> 2];
    fault.level = static_cast<int>(status & 3);
  }
  return fault;
}

}  // namespace

const Stage2Context* Machine::Who(unsigned cpu,
                                  const Stage2Context* context) const {
  HOLDFAST_CHECK(cpu < config_.cpus);
  if (context != nullptr) return context;
  return hosts_[cpu].has_value() ? &*hosts_[cpu] : nullptr;
}

Access<PhysAddr> Machine::Translate(unsigned cpu, const Stage2Context* context,
                                    Ipa ipa, bool is_write) {
  if (config_.scheduling_point)
    config_.scheduling_point(cpu, SchedulingPoint::kAccess, ipa.value());
  const Stage2Context* const who = Who(cpu, context);
  if (who == nullptr) return PhysAddr(ipa.value());
  if (!aarch64::HasGranule(aarch64::IdAa64Mmfr0El1::Read(), config_.page_shift))
    Abandon("this CPU walks no tables of that granule");
  if (64 - (who->vtcr & 0x3f) > real_.features.pa_bits)
    Abandon("this CPU has no input of that size");
  uint64_t result = 0;
  {
    const InContext in(*who);
    if (is_write) {
      asm volatile("at s12e1w, %0" : : "r"(ipa.value()) : "memory");
    } else {
      asm volatile("at s12e1r, %0" : : "r"(ipa.value()) : "memory");
    }
    aarch64::Isb();
    result = aarch64::ParEl1::Read();
  }
  if ((result & aarch64::ParEl1::kFault) == 0) {
    return PhysAddr((result & aarch64::ParEl1::kAddressMask) |
                    (ipa.value() & 0xfff));
  }
  Fault fault = FaultOf(result >> 1 & 0x3f, ipa);
  fault.is_write = is_write;
  return tl::unexpected(fault);
}

Access<uint32_t> Machine::Fetch(unsigned cpu, const Stage2Context* context,
                                Ipa ipa, bool privileged) {
  HOLDFAST_CHECK(ipa.IsAligned(4));
  const auto refused = [&](Fault fault) {
    fault.is_write = false;
    fault.is_exec = true;
    return tl::unexpected(fault);
  };
  // What is to be fetched has to be put there first; nothing is executed that
  // cannot be read. (No table of EL2's says such a thing.)
  const auto pa = Translate(cpu, context, ipa, /*is_write=*/false);
  if (!pa.has_value() && pa.error().kind == FaultKind::kPermission)
    return refused(pa.error());
  const bool in_ram = pa.has_value() && ram_.Contains(*pa, 4);
  const Stage2Context* const who = Who(cpu, context);
  if (who == nullptr) {
    if (!in_ram) return refused(FaultOf(0x10, ipa));
    return static_cast<uint32_t>(ram_.Load(*pa, 4));
  }

  constexpr uint32_t kBrk = 0xd4200000 | 0x7e57 << 5;
  constexpr uint64_t kTde = uint64_t{1} << 8;
  using aarch64::EsrEl2;
  using aarch64::MdcrEl2;
  using aarch64::Spsr;
  uint32_t word = 0;
  const auto put = [&](uint32_t instruction) {
    if (!in_ram) return;
    ram_.Store(*pa, 4, instruction);
    aarch64::CleanInvalidateRangeToPoc(pa->value(), 4, real_.caches);
    asm volatile("ic ialluis" : : : "memory");
    aarch64::DsbIsh();
    aarch64::Isb();
  };
  if (in_ram) word = static_cast<uint32_t>(ram_.Load(*pa, 4));
  put(kBrk);
  uint64_t esr = 0;
  {
    const InContext in(*who);
    const uint64_t mdcr = MdcrEl2::Read();
    MdcrEl2::Write(mdcr | kTde);
    esr =
        FetchAt(ipa.value(), Spsr::kDaif | (privileged ? Spsr::kModeEl1h : 0));
    MdcrEl2::Write(mdcr);
    aarch64::Isb();
  }
  put(word);
  using aarch64::ExceptionClass;
  const auto ec = static_cast<ExceptionClass>(EsrEl2::Ec::Get(esr));
  if (ec == ExceptionClass::kInstructionAbortLower &&
      aarch64::FarEl2::Read() == ipa.value()) {
    return refused(FaultOf(EsrEl2::FaultStatus::Get(esr), ipa));
  }
  // Our instruction was executed; or whatever a device has there.
  HOLDFAST_CHECK(!in_ram || (ec == ExceptionClass::kBrk64 &&
                             EsrEl2::Immediate::Get(esr) == 0x7e57));
  return word;
}

// ---- Accesses ---------------------------------------------------------------

uint8_t* Machine::DeviceAt(PhysAddr pa, unsigned bytes) {
  for (Device& device : devices_) {
    const MmioWindow& window = device.window;
    if (pa < window.base || window.size < bytes ||
        pa - window.base > window.size - bytes) {
      continue;
    }
    if (device.registers.empty()) device.registers.resize(window.size);
    return &device.registers[pa - window.base];
  }
  return nullptr;
}

Access<uint64_t> Machine::Read(unsigned cpu, const Stage2Context* context,
                               Ipa ipa, unsigned bytes) {
  HOLDFAST_CHECK(bytes != 0 && ipa.IsAligned(bytes));
  const auto pa = Translate(cpu, context, ipa, /*is_write=*/false);
  if (!pa.has_value()) return tl::unexpected(pa.error());
  if (ram_.Contains(*pa, bytes)) return ram_.Load(*pa, bytes);
  uint64_t value = 0;
  const uint8_t* const device = DeviceAt(*pa, bytes);
  if (device == nullptr) return tl::unexpected(FaultOf(0x10, ipa));
  std::memcpy(&value, device, bytes);
  return value;
}

Access<void> Machine::Write(unsigned cpu, const Stage2Context* context, Ipa ipa,
                            unsigned bytes, uint64_t value) {
  HOLDFAST_CHECK(bytes != 0 && ipa.IsAligned(bytes));
  const auto pa = Translate(cpu, context, ipa, /*is_write=*/true);
  if (!pa.has_value()) return tl::unexpected(pa.error());
  if (ram_.Contains(*pa, bytes)) {
    ram_.Store(*pa, bytes, value);
    return {};
  }
  if (uint8_t* const device = DeviceAt(*pa, bytes)) {
    std::memcpy(device, &value, bytes);
    return {};
  }
  Fault fault = FaultOf(0x10, ipa);
  fault.is_write = true;
  return tl::unexpected(fault);
}

Access<void> Machine::FillPage(unsigned cpu, const Stage2Context* context,
                               Ipa page, uint64_t word) {
  HOLDFAST_CHECK(page.IsAligned(page_size()));
  const auto pa = Translate(cpu, context, page, /*is_write=*/true);
  if (!pa.has_value()) return tl::unexpected(pa.error());
  if (!ram_.Contains(*pa, page_size()))
    return tl::unexpected(FaultOf(0x10, page));
  ram_.Fill(*pa, page_size(), word);
  return {};
}

Access<bool> Machine::PageIs(unsigned cpu, const Stage2Context* context,
                             Ipa page, uint64_t word) {
  HOLDFAST_CHECK(page.IsAligned(page_size()));
  const auto pa = Translate(cpu, context, page, /*is_write=*/false);
  if (!pa.has_value()) return tl::unexpected(pa.error());
  if (!ram_.Contains(*pa, page_size()))
    return tl::unexpected(FaultOf(0x10, page));
  const auto* const words = static_cast<const uint64_t*>(ram_.At(*pa));
  for (uint64_t i = 0; i < page_size() / 8; ++i) {
    if (words[i] != word) return false;
  }
  return true;
}

Access<uint64_t> Machine::HostRead(unsigned cpu, Ipa ipa, unsigned bytes) {
  return Read(cpu, nullptr, ipa, bytes);
}
Access<void> Machine::HostWrite(unsigned cpu, Ipa ipa, unsigned bytes,
                                uint64_t value) {
  return Write(cpu, nullptr, ipa, bytes, value);
}
Access<uint32_t> Machine::HostExec(unsigned cpu, Ipa ipa, bool privileged) {
  return Fetch(cpu, nullptr, ipa, privileged);
}
Access<void> Machine::HostFillPage(unsigned cpu, Ipa page, uint64_t word) {
  return FillPage(cpu, nullptr, page, word);
}
Access<bool> Machine::HostPageIs(unsigned cpu, Ipa page, uint64_t word) {
  return PageIs(cpu, nullptr, page, word);
}
Access<uint64_t> Machine::GuestRead(unsigned cpu, const Stage2Context& context,
                                    Ipa ipa, unsigned bytes) {
  return Read(cpu, &context, ipa, bytes);
}
Access<void> Machine::GuestWrite(unsigned cpu, const Stage2Context& context,
                                 Ipa ipa, unsigned bytes, uint64_t value) {
  return Write(cpu, &context, ipa, bytes, value);
}
Access<uint32_t> Machine::GuestExec(unsigned cpu, const Stage2Context& context,
                                    Ipa ipa, bool privileged) {
  return Fetch(cpu, &context, ipa, privileged);
}
Access<void> Machine::GuestFillPage(unsigned cpu, const Stage2Context& context,
                                    Ipa page, uint64_t word) {
  return FillPage(cpu, &context, page, word);
}
Access<bool> Machine::GuestPageIs(unsigned cpu, const Stage2Context& context,
                                  Ipa page, uint64_t word) {
  return PageIs(cpu, &context, page, word);
}

// ---- The machine ------------------------------------------------------------

namespace {

MachineConfig WithoutWhatIsNotHere(MachineConfig config,
                                   const aarch64::CpuProfile& real) {
  if (config.features.hafdbs && !real.features.hafdbs)
    Machine::Abandon("this CPU does not set access flags");
  config.features.xnx &= real.features.xnx;
  return config;
}

}  // namespace

Machine::Machine(MachineConfig config)
    : config_(WithoutWhatIsNotHere(std::move(config), aarch64::This().machine)),
      ram_(config_.ram),
      real_(aarch64::This().machine),
      locals_(std::make_unique<CpuLocal[]>(kMaxCpus)),
      hosts_(config_.cpus) {
  HOLDFAST_CHECK(g_hardware.machine == nullptr);
  for (unsigned i = 0; i < kMaxCpus; ++i) locals_[i].index = i;
  // The facade asks for no more than the CPU has.
  aarch64::CpuProfile& profile = aarch64::This().machine;
  profile.range_tlbi = real_.range_tlbi && config_.range_tlbi;
  profile.errata.repeat_tlbi = config_.tlbi_needs_repeat;
  g_hardware.machine = this;
}

Machine::~Machine() {
  HOLDFAST_CHECK(g_hardware.machine == this && g_hardware.bound != this);
  g_hardware.machine = nullptr;
  aarch64::This().machine = real_;
  // The next machine has other tables under the same VMIDs.
  aarch64::DsbIsh();
  aarch64::TlbiAlle1is();
  aarch64::DsbIsh();
  aarch64::Isb();
}

void Machine::Abandon(const char* why) {
  if (Machine* const machine = g_hardware.machine) {
    aarch64::This().machine = machine->real_;
    if (g_hardware.bound != nullptr)
      aarch64::This().local = g_hardware.board_local;
    g_hardware.machine = g_hardware.bound = nullptr;
  }
  testing::LeaveTest(why);
}

Cpu Machine::cpu(unsigned index) {
  HOLDFAST_CHECK(index < config_.cpus);
  if (g_hardware.bound == this && g_hardware.bound_index == index)
    return {aarch64::This().local};
  return {locals_[index]};
}

void Machine::RunParallel(const std::vector<std::function<void()>>& functions) {
  for (unsigned cpu = 0; cpu < functions.size(); ++cpu) {
    const OnCpu on(*this, cpu);
    functions[cpu]();
  }
}

void Machine::RunOnAllCpus(const std::function<void(unsigned cpu)>& function) {
  for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
    const OnCpu on(*this, cpu);
    function(cpu);
  }
}

void Machine::EnableHostStage2(unsigned cpu, const Stage2Context& context) {
  HOLDFAST_CHECK(cpu < config_.cpus);
  hosts_[cpu] = context;
}

std::vector<Event> Machine::events() const {
  if (!real_.ttl || (config_.range_tlbi && !real_.range_tlbi))
    Abandon("this CPU is given other instructions");
  return events_;
}

void Machine::AddMmio(const MmioWindow& window) {
  HOLDFAST_CHECK(!window.read && !window.write);
  devices_.push_back({window, {}});
}

void Machine::Record(const Event& event) {
  if (config_.record_events) {
    events_.push_back(event);
    events_.back().seq = next_seq_++;
  }
  if (!config_.scheduling_point) return;
  const auto at = [&](SchedulingPoint point) {
    config_.scheduling_point(event.cpu, point, event.a);
  };
  switch (event.type) {
    case EventType::kStorePte:
    case EventType::kPublishPte:
      return at(SchedulingPoint::kTableStore);
    case EventType::kLock:
      return at(SchedulingPoint::kLockAcquired);
    case EventType::kUnlock:
      return at(SchedulingPoint::kLockReleased);
    default:
      return;
  }
}

namespace {

// EL2's idea of which CPU this is goes to its place, and another one comes.
void Bind(Machine* machine, unsigned index, CpuLocal& from, CpuLocal& to) {
  CpuLocal& local = aarch64::This().local;
  from = local;
  local = to;
  g_hardware.bound = machine;
  g_hardware.bound_index = index;
}

}  // namespace

OnCpu::OnCpu(Machine& machine, unsigned index)
    : previous_(g_hardware.bound), previous_index_(g_hardware.bound_index) {
  HOLDFAST_CHECK(index < machine.cpus());
  Bind(&machine, index,
       previous_ != nullptr ? previous_->locals_[previous_index_]
                            : g_hardware.board_local,
       machine.locals_[index]);
}

OnCpu::~OnCpu() {
  Bind(previous_, previous_index_,
       g_hardware.bound->locals_[g_hardware.bound_index],
       previous_ != nullptr ? previous_->locals_[previous_index_]
                            : g_hardware.board_local);
}

}  // namespace sim
}  // namespace holdfast
