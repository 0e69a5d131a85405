// SPDX-License-Identifier: Apache-2.0
//
// An image that runs the libraries' tests at EL2 instead of a host, and leaves
// QEMU with status 0 if all passed. RAM before the image is theirs
// (el2_tests.ld): the first half is that of their machines, the second their
// heap and stack.
//
// Boot argument `only=TEXT`: those whose name has TEXT in it.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/spinlock.h"
#include "gtest/gtest.h"
#include "pgtable/attr.h"
#include "platforms/qemu_virt/board.h"
#include "platforms/qemu_virt/semihosting.h"
#include "runtime.h"
#include "test_machine.h"

namespace holdfast::qemu_virt {
namespace {

extern "C" const std::byte __tests_ram_start[], __text_start[];
extern "C" void (*const __constructors_start[])();
extern "C" void (*const __constructors_end[])();

constexpr uint64_t kStack = uint64_t{1} << 20;

// A copy: the device tree is the host's.
constinit char g_only[64] = {};

void MapTestRam(Board& board, uint64_t start, uint64_t size) {
  auto& table = board.hypervisor->mem().hyp_table();
  const SpinlockHolder hold(table.lock);
  HOLDFAST_CHECK(table
                     .Map(HypVa(start), PhysAddr(start), size,
                          *pgtable::HypAttr::For(pgtable::kHypData),
                          /*blocks=*/true)
                     .has_value());
}

[[noreturn]] void RunAll() {
  for (void (*const* constructor)() = __constructors_start;
       constructor != __constructors_end; ++constructor) {
    (*constructor)();
  }
  const testing::Results results = testing::RunTests(
      [](std::string_view name) {
        return name.find(std::string_view(g_only)) != std::string_view::npos;
      },
      [](std::string_view text) { UartWrite(text.data(), text.size()); });
  Print("el2 tests: ", results.passed, " passed, ", results.failed, " failed, ",
        results.skipped, " skipped; host only: ", results.host_only_tests,
        " tests and ", results.host_only_expectations,
        " expectations of a panic\n");
  ExitQemu(results.failed == 0 && results.passed != 0 ? 0 : 1);
}

// On a stack of another size. Nothing returns, so that no frame is left with a
// return address that was signed with another one.
[[noreturn]] void RunAllOn(uint64_t stack) {
  asm volatile(
      "mov sp, %0\n"
      "mov x29, xzr\n"
      "mov x30, xzr\n"
      "b %1\n"
      :
      : "r"(stack), "S"(&RunAll)
      : "memory");
  __builtin_unreachable();
}

}  // namespace

void BeforeHost(Board& board) {
  const auto start = reinterpret_cast<uint64_t>(__tests_ram_start);
  const uint64_t half = (reinterpret_cast<uint64_t>(__text_start) - start) / 2;
  MapTestRam(board, start, 2 * half);
  testing_el2::SetTestRam(start, half);
  testing_el2::InitHeap(start + half, half - kStack);
  RunAllOn(start + 2 * half);
}

// The image breaks nothing on request.
bool HandleFaultCall(TrapFrame&, uint64_t) { return false; }
void PretendCpuId(const BoardCpu&, aarch64::CpuId&) {}

// Called with the boot arguments, early.
void PretendAtBoot(std::string_view bootargs) {
  constexpr std::string_view kOnly = "only=";
  const size_t at = bootargs.find(kOnly);
  if (at == std::string_view::npos) return;
  const std::string_view value = bootargs.substr(at + kOnly.size());
  const size_t size = value.substr(0, value.find(' ')).size();
  HOLDFAST_CHECK(size < sizeof(g_only));
  value.copy(g_only, size);
}

}  // namespace holdfast::qemu_virt
