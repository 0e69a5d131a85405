// SPDX-License-Identifier: Apache-2.0
#include "platforms/sim/machine.h"

#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/event_ring.h"
#include "platforms/sim/machine_backend.h"

namespace holdfast::sim {

constinit Cpu unbound_cpu;

namespace {

// Its address is the thread's identity.
thread_local char thread_identity;

}  // namespace

Machine::Machine(MachineConfig config)
    : config_(std::move(config)),
      ram_(config_.ram),
      cpus_(new Cpu[config_.cpus]),
      parts_(new CpuPart[config_.cpus]),
      model_(ram_, {.cpus = config_.cpus,
                    .page_shift = config_.page_shift,
                    .features = config_.features,
                    .adversarial_tlb = config_.adversarial_tlb,
                    .check_table_isolation = config_.check_table_isolation,
                    .record_events = config_.record_events,
                    .range_tlbi = config_.range_tlbi,
                    .tlbi_needs_repeat = config_.tlbi_needs_repeat,
                    .print_violations = config_.print_violations,
                    .seed = config_.seed}) {
  HOLDFAST_CHECK(config_.cpus >= 1 && config_.cpus <= kMaxCpus);
  HOLDFAST_CHECK(config_.page_shift == 5 || config_.page_shift == 12 ||
                 config_.page_shift == 14 || config_.page_shift == 16);
  for (unsigned i = 0; i < config_.cpus; ++i) {
    Cpu& cpu = cpus_[i];
    cpu.local.index = i;
    cpu.ram_bias = ram_.bias();
    cpu.hooks = config_.hooks;
    cpu.records = config_.hooks && config_.record_events;
    cpu.page_shift = config_.page_shift;
    cpu.has_range_tlbi = config_.range_tlbi;
    cpu.tlbi_needs_repeat = config_.tlbi_needs_repeat;
    cpu.machine = this;
  }
}

Machine::~Machine() = default;

Cpu& Machine::cpu(unsigned index) {
  HOLDFAST_CHECK(index < config_.cpus);
  return cpus_[index];
}

void Machine::RunParallel(std::vector<std::function<void()>> functions) {
  Cpu* const mine = std::exchange(current_cpu, &unbound_cpu);
  const void* const identity =
      mine->machine == nullptr
          ? nullptr
          : mine->bound_thread.exchange(nullptr, std::memory_order_acq_rel);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < functions.size(); ++i) {
    threads.emplace_back([this, i, &functions] {
      OnCpu on_cpu(*this, i);
      functions[i]();
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (mine->machine != nullptr) {
    HOLDFAST_CHECK(mine->bound_thread.exchange(
                       identity, std::memory_order_acq_rel) == nullptr);
  }
  current_cpu = mine;
}

void Machine::RunOnAllCpus(const std::function<void(unsigned)>& function) {
  std::vector<std::function<void()>> functions;
  for (unsigned i = 0; i < config_.cpus; ++i) {
    functions.emplace_back([i, &function] { function(i); });
  }
  RunParallel(std::move(functions));
}

std::vector<Violation> Machine::violations() const {
  Holder holder(mutex_);
  return model_.violations();
}

void Machine::ClearViolations() {
  Holder holder(mutex_);
  model_.ClearViolations();
}

std::vector<Event> Machine::events() const {
  Holder holder(mutex_);
  return model_.events();
}

void Machine::ClearEvents() {
  Holder holder(mutex_);
  model_.ClearEvents();
}

std::vector<StaleEntry> Machine::StaleEntries() const {
  Holder holder(mutex_);
  return model_.tlb().Entries();
}

std::vector<StaleEntry> Machine::StaleEntries(Vmid vmid) const {
  Holder holder(mutex_);
  return model_.tlb().Entries(vmid);
}

std::string Machine::console() const {
  Holder holder(mutex_);
  return console_;
}

OnCpu::OnCpu(Machine& machine, unsigned index) : previous_(current_cpu) {
  Cpu& cpu = machine.cpu(index);
  const void* expected = nullptr;
  outermost_ = cpu.bound_thread.compare_exchange_strong(
      expected, &thread_identity, std::memory_order_acq_rel);
  HOLDFAST_CHECK(outermost_ || expected == &thread_identity);
  current_cpu = &cpu;
}

OnCpu::~OnCpu() {
  if (outermost_)
    current_cpu->bound_thread.store(nullptr, std::memory_order_release);
  current_cpu = previous_;
}

// ---- Accesses ---------------------------------------------------------------

void Machine::EnableHostStage2(unsigned cpu, const Stage2Context& context) {
  HOLDFAST_CHECK(cpu < config_.cpus);
  Holder access(parts_[cpu].in_access);
  parts_[cpu].host = context;
  Holder holder(mutex_);
  model_.Record(cpu, EventType::kHostStage2, context.vttbr(), context.vtcr);
}

bool Machine::HostStage2Enabled(unsigned cpu) {
  HOLDFAST_CHECK(cpu < config_.cpus);
  Holder access(parts_[cpu].in_access);
  return parts_[cpu].host.has_value();
}

template <class T>
Access<T> Machine::Perform(unsigned cpu, const Stage2Context* guest, Ipa ipa,
                           AccessType type,
                           absl::FunctionRef<Access<T>(PhysAddr)> use) {
  HOLDFAST_CHECK(cpu < config_.cpus);
  if (config_.hooks && config_.scheduling_point) {
    config_.scheduling_point(cpu, SchedulingPoint::kAccess, ipa.value());
  }
  CpuPart& part = parts_[cpu];
  Holder access(part.in_access);
  const Stage2Context* context = guest;
  if (context == nullptr && part.host.has_value()) context = &*part.host;
  PhysAddr pa(ipa.value());
  if (context != nullptr) {
    Holder holder(mutex_);
    const Outcome outcome = model_.Translate(cpu, *context, ipa, type);
    if (!outcome.pa.has_value()) return tl::unexpected(outcome.fault);
    pa = *outcome.pa;
  }
  if (context != nullptr) TableTranslated(ram_.At(context->root));
  Access<T> result = use(pa);
  if (!result.has_value()) {
    result =
        tl::unexpected(Fault{.kind = FaultKind::kExternal,
                             .level = 0,
                             .ipa = ipa,
                             .is_write = type.kind == AccessType::Kind::kWrite,
                             .is_exec = type.kind == AccessType::Kind::kExec});
  }
  return result;
}

std::optional<uint64_t> Machine::AccessDevice(unsigned cpu, PhysAddr pa,
                                              unsigned bytes, bool is_write,
                                              uint64_t value) {
  Holder holder(device_mutex_);
  for (Device& device : devices_) {
    const MmioWindow& window = device.window;
    if (pa < window.base || window.size < bytes ||
        pa - window.base > window.size - bytes) {
      continue;
    }
    const uint64_t offset = pa - window.base;
    if (is_write) {
      if (window.write) {
        window.write(offset, bytes, value);
      } else {
        std::memcpy(&device.registers[offset], &value, bytes);
      }
    } else if (window.read) {
      value = window.read(offset, bytes);
    } else {
      value = 0;
      std::memcpy(&value, &device.registers[offset], bytes);
    }
    mmio_accesses_.push_back({.cpu = cpu,
                              .pa = pa,
                              .bytes = bytes,
                              .is_write = is_write,
                              .value = value});
    return value;
  }
  return std::nullopt;
}

Access<uint64_t> Machine::Read(unsigned cpu, const Stage2Context* guest,
                               Ipa ipa, unsigned bytes, AccessType type) {
  HOLDFAST_CHECK(bytes != 0 && ipa.IsAligned(bytes));
  return Perform<uint64_t>(
      cpu, guest, ipa, type, [&](PhysAddr pa) -> Access<uint64_t> {
        if (ram_.Contains(pa, bytes)) return ram_.Load(pa, bytes);
        if (const auto value =
                AccessDevice(cpu, pa, bytes, /*is_write=*/false, 0))
          return *value;
        return tl::unexpected(Fault{});
      });
}

Access<void> Machine::Write(unsigned cpu, const Stage2Context* guest, Ipa ipa,
                            unsigned bytes, uint64_t value) {
  HOLDFAST_CHECK(bytes != 0 && ipa.IsAligned(bytes));
  return Perform<void>(
      cpu, guest, ipa, kWriteAccess, [&](PhysAddr pa) -> Access<void> {
        if (ram_.Contains(pa, bytes)) {
          ram_.Store(pa, bytes, value);
          return {};
        }
        if (AccessDevice(cpu, pa, bytes, /*is_write=*/true, value).has_value())
          return {};
        return tl::unexpected(Fault{});
      });
}

Access<void> Machine::FillPage(unsigned cpu, const Stage2Context* guest,
                               Ipa page, uint64_t word) {
  HOLDFAST_CHECK(page.IsAligned(page_size()));
  return Perform<void>(cpu, guest, page, kWriteAccess,
                       [&](PhysAddr pa) -> Access<void> {
                         if (!ram_.Contains(pa, page_size()))
                           return tl::unexpected(Fault{});
                         ram_.Fill(pa, page_size(), word);
                         return {};
                       });
}

Access<bool> Machine::PageIs(unsigned cpu, const Stage2Context* guest, Ipa page,
                             uint64_t word) {
  HOLDFAST_CHECK(page.IsAligned(page_size()));
  return Perform<bool>(
      cpu, guest, page, kReadAccess, [&](PhysAddr pa) -> Access<bool> {
        if (!ram_.Contains(pa, page_size())) return tl::unexpected(Fault{});
        for (uint64_t offset = 0; offset < page_size(); offset += 8) {
          if (ram_.Load(pa + offset, 8) != word) return false;
        }
        return true;
      });
}

Access<uint64_t> Machine::HostRead(unsigned cpu, Ipa ipa, unsigned bytes) {
  return Read(cpu, nullptr, ipa, bytes, kReadAccess);
}
Access<void> Machine::HostWrite(unsigned cpu, Ipa ipa, unsigned bytes,
                                uint64_t value) {
  return Write(cpu, nullptr, ipa, bytes, value);
}
Access<uint32_t> Machine::HostExec(unsigned cpu, Ipa ipa, bool privileged) {
  return Read(cpu, nullptr, ipa, 4, privileged ? kExecAccess : kUserExecAccess)
      .map([](uint64_t word) { return static_cast<uint32_t>(word); });
}
Access<void> Machine::HostFillPage(unsigned cpu, Ipa page, uint64_t word) {
  return FillPage(cpu, nullptr, page, word);
}
Access<bool> Machine::HostPageIs(unsigned cpu, Ipa page, uint64_t word) {
  return PageIs(cpu, nullptr, page, word);
}

Access<uint64_t> Machine::GuestRead(unsigned cpu, const Stage2Context& context,
                                    Ipa ipa, unsigned bytes) {
  return Read(cpu, &context, ipa, bytes, kReadAccess);
}
Access<void> Machine::GuestWrite(unsigned cpu, const Stage2Context& context,
                                 Ipa ipa, unsigned bytes, uint64_t value) {
  return Write(cpu, &context, ipa, bytes, value);
}
Access<uint32_t> Machine::GuestExec(unsigned cpu, const Stage2Context& context,
                                    Ipa ipa, bool privileged) {
  return Read(cpu, &context, ipa, 4, privileged ? kExecAccess : kUserExecAccess)
      .map([](uint64_t word) { return static_cast<uint32_t>(word); });
}
Access<void> Machine::GuestFillPage(unsigned cpu, const Stage2Context& context,
                                    Ipa page, uint64_t word) {
  return FillPage(cpu, &context, page, word);
}
Access<bool> Machine::GuestPageIs(unsigned cpu, const Stage2Context& context,
                                  Ipa page, uint64_t word) {
  return PageIs(cpu, &context, page, word);
}

WalkResult Machine::WalkTables(const Stage2Context& context, Ipa ipa) const {
  Holder holder(mutex_);
  const auto format =
      Stage2Format::From(context.vtcr, config_.page_shift, config_.features);
  if (!format.has_value()) return {};
  return Walk(ram_, *format, context.root, ipa);
}

void Machine::WaitForAccesses(unsigned cpu) {
  for (unsigned i = 0; i < config_.cpus; ++i) {
    if (i != cpu) Holder access(parts_[i].in_access);
  }
}

void Machine::AddMmio(MmioWindow window) {
  Holder holder(device_mutex_);
  std::vector<uint8_t> registers;
  if (!window.read || !window.write) registers.resize(window.size);
  devices_.push_back({std::move(window), std::move(registers)});
}

std::vector<MmioAccess> Machine::mmio_accesses() const {
  Holder holder(device_mutex_);
  return mmio_accesses_;
}

// ---- The facade -------------------------------------------------------------

// Its way into the private parts of a machine.
class Facade {
 public:
  static Machine& Of(Cpu& cpu) {
    if (cpu.machine == nullptr) hooks::NotOnACpu();
    return *cpu.machine;
  }
  // Lets a scheduler run.
  static void Point(Cpu& cpu, SchedulingPoint point, uint64_t address) {
    const auto& hook = Of(cpu).config_.scheduling_point;
    if (hook) hook(cpu.local.index, point, address);
  }
  // Calls `function(model, index)` under the machine's lock.
  template <class Function>
  static auto WithModel(Cpu& cpu, Function&& function) {
    Machine& machine = Of(cpu);
    Holder holder(machine.mutex_);
    return function(machine.model_, cpu.local.index);
  }
  static void Wait(Cpu& cpu) { Of(cpu).WaitForAccesses(cpu.local.index); }
  static bool Capture(Cpu& cpu, const char* bytes, size_t size) {
    Machine& machine = Of(cpu);
    if (!machine.config_.capture_console) return false;
    Holder holder(machine.mutex_);
    machine.console_.append(bytes, size);
    return true;
  }
};

namespace hooks {

void NotOnACpu() {
  std::fprintf(stderr,
               "panic: this thread is no simulated CPU; make one of it with "
               "sim::OnCpu\n");
  std::abort();
}

void* PhysToVirt(Cpu& cpu, PhysAddr address) {
  const Ram& ram = Facade::Of(cpu).ram();
  if (!ram.Contains(address, 1)) [[unlikely]] {
    Facade::WithModel(cpu, [&](Model& model, unsigned index) {
      model.Report(index, ViolationKind::kNotRam,
                   absl::StrFormat("PhysToVirt(%#x)", address.value()));
    });
  }
  return ram.At(address);
}

PhysAddr VirtToPhys(Cpu& cpu, const void* address) {
  const PhysAddr pa(reinterpret_cast<uintptr_t>(address) -
                    Facade::Of(cpu).ram().bias());
  if (!Facade::Of(cpu).ram().Contains(pa, 1)) [[unlikely]] {
    Facade::WithModel(cpu, [&](Model& model, unsigned index) {
      model.Report(index, ViolationKind::kNotRam,
                   absl::StrFormat("VirtToPhys(%p)", address));
    });
  }
  return pa;
}

void ZeroPage(Cpu& cpu, PhysAddr page) {
  Machine& machine = Facade::Of(cpu);
  const uint64_t size = uint64_t{1} << cpu.page_shift;
  if (cpu.hooks && !Facade::WithModel(cpu, [&](Model& model, unsigned index) {
        return model.PageOperation(index, EventType::kZeroPage, page, size);
      })) {
    return;
  }
  machine.ram().Fill(page, size, 0);
}

void CleanInvalidateToPoc(Cpu& cpu, PhysAddr start, uint64_t size) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.PageOperation(index, EventType::kCleanInvalidate, start, size);
  });
}
void InvalidateICache(Cpu& cpu, PhysAddr start, uint64_t size) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.PageOperation(index, EventType::kInvalidateICache, start, size);
  });
}

void StorePte(Cpu& cpu, uint64_t* entry, uint64_t value, bool release) {
  const PhysAddr pa(reinterpret_cast<uintptr_t>(entry) -
                    Facade::Of(cpu).ram().bias());
  Facade::Point(cpu, SchedulingPoint::kTableStore, pa.value());
#if HOLDFAST_SIM_TSAN
  if (release) {
    const std::optional<PhysAddr> root = Facade::WithModel(
        cpu, [&](Model& model, unsigned) { return model.RootOf(pa); });
    if (root.has_value()) TablePublished(Facade::Of(cpu).ram().At(*root));
  }
#endif
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.StorePte(index, pa, entry, value, release);
  });
}

void Barrier(Cpu& cpu, BarrierKind kind) {
  Facade::Point(cpu, SchedulingPoint::kBarrier, 0);
  const bool wait = Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    return model.Barrier(index, kind);
  });
  // New accesses cannot use what was invalidated any more; those that had begun
  // may be between translation and data.
  if (wait) Facade::Wait(cpu);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void EnterStage2Context(Cpu& cpu, const Stage2Context& context) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.EnterContext(index, context);
  });
}
void LeaveStage2Context(Cpu& cpu) {
  Facade::WithModel(
      cpu, [&](Model& model, unsigned index) { model.LeaveContext(index); });
}

void Tlbi(Cpu& cpu, TlbiKind kind, uint64_t address, uint64_t size, int level) {
  Facade::Point(cpu, SchedulingPoint::kTlbi, address);
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.Tlbi(index, kind, address, size, level);
  });
}

void IcIallu(Cpu& cpu) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.Record(index, EventType::kIcIallu);
  });
}

void LockWait(Cpu& cpu) {
  if (cpu.hooks) Facade::Point(cpu, SchedulingPoint::kLockWait, 0);
  // A holder that is not running cannot let go: there may be more CPUs than
  // cores.
  constexpr unsigned kSpins = 64;
  if (++cpu.lock_spins % kSpins != 0) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  } else {
    sched_yield();
  }
}

void OnLockRequested(Cpu& cpu, const void* lock) {
  Facade::Point(cpu, SchedulingPoint::kLockRequested,
                reinterpret_cast<uintptr_t>(lock));
}
void OnLockAcquired(Cpu& cpu, const void* lock) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.LockAcquired(index, lock);
  });
  Facade::Point(cpu, SchedulingPoint::kLockAcquired,
                reinterpret_cast<uintptr_t>(lock));
}
void OnLockReleased(Cpu& cpu, const void* lock) {
  Facade::Point(cpu, SchedulingPoint::kLockReleased,
                reinterpret_cast<uintptr_t>(lock));
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.LockReleased(index, lock);
  });
}

void OnStage2Created(Cpu& cpu, const Stage2Context& context, const void* lock) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.Stage2Created(index, context, lock);
  });
}
void OnStage2Destroyed(Cpu& cpu, const Stage2Context& context) {
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.Stage2Destroyed(index, context);
  });
}

void OnTablePage(Cpu& cpu, PhysAddr page) {
  const uint64_t size = uint64_t{1} << cpu.page_shift;
  const Ram& ram = Facade::Of(cpu).ram();
  if (!ram.Contains(page, size)) return;
  uint64_t nonzero = 0;
  for (uint64_t offset = 0; offset < size; offset += 8)
    nonzero += ram.Load(page + offset, 8) != 0;
  Facade::WithModel(cpu, [&](Model& model, unsigned index) {
    model.Record(index, EventType::kTablePage, page.value(), nonzero);
  });
}

void OnNote(Cpu& cpu, const Event& event) {
  Facade::WithModel(cpu, [&](Model& model, unsigned) { model.Record(event); });
}

void ConsoleWrite(Cpu& cpu, const char* bytes, size_t size) {
  if (!Facade::Capture(cpu, bytes, size)) std::fwrite(bytes, 1, size, stderr);
}

GuestTrap RunGuest(Cpu& cpu, machine::GuestState& guest,
                   const Stage2Context& stage2) {
  if (cpu.machine == nullptr) NotOnACpu();
  const auto& program = cpu.machine->config().guest;
  return program ? program(cpu.local.index, stage2, guest) : GuestTrap{};
}

}  // namespace hooks
}  // namespace holdfast::sim

namespace holdfast {

void Panic(const char* file, int line, const char* what) {
  const sim::Cpu& cpu = *sim::current_cpu;
  if (cpu.machine == nullptr) {
    std::fprintf(stderr, "panic: %s:%d: %s (on no simulated CPU)\n", file, line,
                 what);
    std::abort();
  }
  std::fprintf(stderr, "panic: %s:%d: %s (CPU %u)\n", file, line, what,
               cpu.local.index);
  for (unsigned i = EventRing::kEvents; i-- > 0;) {
    const holdfast::Event& event = cpu.local.events.Back(i);
    if (event.kind == EventKind::kNone) continue;
    std::fprintf(stderr, "  event %u: %s %#llx %#llx %#llx\n", event.sequence,
                 EventKindName(event.kind),
                 static_cast<unsigned long long>(event.a),
                 static_cast<unsigned long long>(event.b),
                 static_cast<unsigned long long>(event.c));
  }
  std::abort();
}

}  // namespace holdfast
