// SPDX-License-Identifier: Apache-2.0
//
// What a compromised host can try from EL1 without a VM: memory and devices
// that are not its own, SMCs that firmware must not see, traps. EL2 must refuse
// each and live; what an honest host needs must work.
#include "platforms/qemu_virt/layout.h"
#include "platforms/qemu_virt/payload/runtime.h"

namespace holdfast::payload {
namespace {

constexpr uint64_t kNotSupported = ~uint64_t{0};
constexpr uint64_t kPsciVersion = 0x8400'0000;
constexpr uint64_t kPsciFeatures = 0x8400'000a;
constexpr uint64_t kCpuOn = 0xc400'0003;
constexpr uint64_t kMemProtect = 0x8400'0013;
constexpr uint64_t kSdeiVersion = 0xc400'0020;
constexpr uint64_t kSdeiRegister = 0xc400'0021;

void SmcFilter() {
  Expect(Smc(kPsciVersion).x[0] >> 16 >= 1, "PSCI_VERSION answers");
  Expect(Smc(kPsciVersion | 0x1'0000).x[0] >> 16 >= 1,
         "the SVE hint does not matter");
  Expect(Smc(kPsciFeatures, {kCpuOn}).x[0] == 0, "CPU_ON is a feature");
  Expect(Smc(kPsciFeatures, {kMemProtect}).x[0] == kNotSupported,
         "denied calls are no feature");
  Expect(Smc(kMemProtect).x[0] == kNotSupported, "MEM_PROTECT is denied");
  Expect(Smc(kSdeiVersion).x[0] == kNotSupported, "SDEI is denied");
  Expect(Smc(kSdeiRegister, {0, 0x4040'0000}).x[0] == kNotSupported,
         "SDEI register is denied");
  Expect(Smc(0).x[0] == kNotSupported, "id 0 is denied");
  Expect(Smc(kNotSupported).x[0] == kNotSupported, "all ones is denied");
  Expect(Smc(kPsciVersion | uint64_t{1} << 32).x[0] == kNotSupported,
         "bits above 31 are not cut");
  Expect(SmcWithImmediate(kPsciVersion).x[0] == kNotSupported,
         "SMC #1 is denied");
  Expect(Smc(kCpuOn, {0xff, 0x4040'0000, 0}).x[0] == ~uint64_t{1},
         "CPU_ON of no CPU");
  Expect(Smc(kCpuOn, {CpuMpidr(0), 0x4040'0000, 0}).x[0] != 0,
         "CPU_ON of a running CPU");
  Print("host: smc filter done\n");
}

void Refused(const Fault& fault, const char* what) {
  Expect(fault && fault.IsExternalAbort(), what);
}

void Memory() {
  uint64_t value = 0;
  const Fault read = TryRead64(HF_IMAGE_BASE, &value);
  Refused(read, "reading EL2's image");
  Expect(read.exception_class() == 0x25,
         "it is a data abort of the same level");
  Expect(read.far == HF_IMAGE_BASE, "FAR_EL1 is the address");
  const Fault write = TryWrite64(HF_IMAGE_BASE + 0x1238, 1);
  Refused(write, "writing EL2's image");
  Expect((write.esr & 0x40) != 0, "WnR says write");
  Expect(write.far == HF_IMAGE_BASE + 0x1238, "FAR_EL1 is the byte's address");
  const Fault fetch = TryExecute(HF_IMAGE_BASE);
  Refused(fetch, "executing EL2's image");
  Expect(fetch.exception_class() == 0x21,
         "it is an instruction abort of the same level");
  // What EL2 keeps is the end of RAM, where the device tree says that none is.
  const qemu_virt::DtbRange& memory = Machine().memory[0];
  Refused(TryRead64(memory.base + memory.size, &value),
          "reading EL2's carve-out");
  Refused(TryWrite64(memory.base + memory.size, 1), "writing EL2's carve-out");
  Expect(!TryRead64(memory.base + memory.size - 8, &value),
         "the host's last word is readable");
  Refused(TryRead64(uint64_t{200} << 30, &value), "reading where no memory is");
  const uint64_t page = AllocatePages(1);
  *reinterpret_cast<volatile uint32_t*>(page) = kRetInstruction;
  SyncCode(page, 4);
  Expect(!TryExecute(page), "the host can execute its own memory");
  Print("host: memory done\n");
}

void Devices() {
  uint64_t value = 0;
  Refused(TryRead64(0x0902'0000, &value), "fw_cfg is hidden");
  Refused(TryFwCfgDma(HF_IMAGE_BASE), "fw_cfg DMA is hidden");
  Refused(TryRead64(0x0a00'0000, &value), "virtio-mmio is hidden");
  Refused(TryRead64(0x1000'0000, &value), "PCIe MMIO is hidden");
  Refused(TryRead64(uint64_t{0x40'1000'0000}, &value),
          "PCIe configuration is hidden");
  Refused(TryRead64(0x0808'0000, &value), "the ITS is hidden");
  Refused(TryRead64(0x0000'0000, &value), "flash is hidden");
  Expect(!TryRead64(0x0800'0008, &value), "the GIC distributor is the host's");
  Expect(!TryRead64(0x080a'0008, &value),
         "the GIC redistributor is the host's");
  Expect(!TryRead64(0x0901'0fe0, &value), "the RTC is the host's");
  const Fault fetch = TryExecute(HF_UART_BASE);
  Expect(static_cast<bool>(fetch), "a device is not executable");
  Print("host: devices done\n");
}

// The redistributors' LPI tables are DMA. What an honest host needs must work.
void Redistributors() {
  constexpr uint64_t kGicdTyper = 0x0800'0004, kGicr = 0x080a'0000,
                     kStride = 0x2'0000;
  constexpr uint64_t kTyper = 0x08, kWaker = 0x14, kPropbaser = 0x70,
                     kPendbaser = 0x78;
  constexpr uint64_t kPidr2 = 0xffe8;
  uint64_t value = 0;
  if (Machine().bootargs.find("lpi") != std::string_view::npos) {
    Expect(!TryRead32(kGicdTyper, &value) && (value & 1u << 17) != 0,
           "this machine has LPIs");
  }
  for (unsigned cpu = 0; cpu < CpuCount(); ++cpu) {
    const uint64_t frame = kGicr + cpu * kStride;
    Expect(!TryRead64(frame + kTyper, &value) && (value & 1) == 0,
           "TYPER says: no LPIs");
    Expect((value >> 32) == CpuMpidr(cpu), "TYPER says whose it is");
    Expect(!TryRead32(frame + kPidr2, &value) && (value >> 4 & 0xf) == 3,
           "PIDR2 says GICv3");
    for (const uint64_t base : {kPropbaser, kPendbaser}) {
      Expect(!TryWrite64(frame + base, HF_IMAGE_BASE | 0x780),
             "a table's address is ignored");
      Expect(!TryRead64(frame + base, &value) && value == 0,
             "it reads as zero");
    }
    Expect(!TryWrite32(frame, 1), "EnableLPIs is ignored");
    Expect(!TryRead32(frame, &value) && (value & 1) == 0, "LPIs stay off");
    Expect(!TryWrite32(frame + kWaker, 0), "WAKER can be written");
    Expect(!TryRead32(frame + kWaker, &value) && (value & 6) == 0,
           "and wakes it up");
    Expect(!TryRead32(frame + 0x1'0080, &value), "the SGI frame is the host's");
  }
  // Out of turn: unaligned, and a redistributor that has no CPU.
  Expect(static_cast<bool>(TryRead64(kGicr + 4, &value)),
         "an unaligned access faults");
  Refused(TryRead32(kGicr + 8 * kStride, &value), "a redistributor too many");
  Print("host: redistributors done\n");
}

void Traps() {
  const Fault undefined = TryUndefinedRegister();
  Expect(undefined && undefined.exception_class() == 0,
         "a trapped register is undefined");
  const CallResult unknown = Hvc(0xc600'01ff, {1, 2, 3});
  Expect(unknown.x[0] == kNotSupported && unknown.x[1] == 0 &&
             unknown.x[2] == 0 && unknown.x[3] == 0,
         "an unknown call");
  register uint64_t x0 asm("x0") = 0xc600'0100;
  asm volatile("hvc #1" : "+r"(x0) : : "memory");
  Expect(x0 == kNotSupported, "HVC #1");
  Print("host: traps done\n");
}

// The keys that sign return addresses are one set for all levels: EL2 must not
// leave its own to the host, nor change the host's.
void Keys() {
  uint64_t isar1, isar2;
  asm volatile("mrs %0, id_aa64isar1_el1" : "=r"(isar1));
  asm volatile("mrs %0, S3_0_C0_C6_2" : "=r"(isar2));
  if ((isar1 & 0xff0) == 0 && (isar2 & 0xf000) == 0) return;
  RunOnCpus(CpuCount(), [&](unsigned cpu) {
    const auto read = [](uint64_t& low, uint64_t& high) {
      asm volatile("mrs %0, S3_0_C2_C1_0" : "=r"(low));
      asm volatile("mrs %0, S3_0_C2_C1_1" : "=r"(high));
    };
    uint64_t low, high;
    read(low, high);
    Expect(low == 0 && high == 0, "a CPU starts without EL2's key");
    const uint64_t mine = 0x1111'2222'3333'4444 * (cpu + 1);
    asm volatile("msr S3_0_C2_C1_0, %0" : : "r"(mine));
    asm volatile("msr S3_0_C2_C1_1, %0" : : "r"(~mine));
    asm volatile("isb");
    Hvc(0xc600'01ff);
    read(low, high);
    Expect(low == mine && high == ~mine, "the host's key outlives a call");
    uint64_t value;
    Expect(TryRead64(HF_IMAGE_BASE, &value).IsExternalAbort(), "an abort");
    read(low, high);
    Expect(low == mine && high == ~mine, "the host's key outlives an abort");
    asm volatile("msr S3_0_C2_C1_0, xzr");
    asm volatile("msr S3_0_C2_C1_1, xzr");
  });
  Print("host: keys done\n");
}

void Cpus() {
  std::atomic<unsigned> ran{0};
  for (unsigned round = 0; round < 3; ++round) {
    RunOnCpus(CpuCount(), [&](unsigned cpu) {
      uint64_t value;
      Expect(CpuIndex() == cpu, "the context argument arrives");
      Expect(TryRead64(HF_IMAGE_BASE, &value).IsExternalAbort(),
             "stage 2 is on on every CPU");
      ran.fetch_add(1);
    });
  }
  Expect(ran.load() == 3 * CpuCount(), "every CPU comes back after CPU_OFF");
  Print("host: cpus done\n");
}

}  // namespace

int PayloadMain() {
  SmcFilter();
  Memory();
  Devices();
  Redistributors();
  Traps();
  Keys();
  Cpus();
  if (AllExpectationsMet()) Print("host: all attacks refused\n");
  return 0;
}

}  // namespace holdfast::payload
