// SPDX-License-Identifier: Apache-2.0
#include "platforms/qemu_virt/secrets.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "platforms/aarch64/sysreg.h"
#include "platforms/qemu_virt/siphash.h"

namespace holdfast::qemu_virt {

HOLDFAST_READ_ONLY_AFTER_INIT uint64_t g_return_key[2];
// NOLINTNEXTLINE(bugprone-reserved-identifier)
HOLDFAST_READ_ONLY_AFTER_INIT uint64_t __stack_chk_guard;

Secrets MakeSecrets(std::span<std::byte> dtb, const DtbBytes& seed) {
  using aarch64::CntpctEl0;
  using aarch64::IdAa64Isar0El1;
  constexpr uint32_t kEnough = 16;
  const bool random = IdAa64Isar0El1::Rndr::Get(IdAa64Isar0El1::Read()) != 0;
  const std::span<std::byte> firmware = dtb.subspan(seed.offset, seed.size);

  // Key, two words of more seed, time, two random words, and which output.
  std::array<uint64_t, 4> words = {};
  std::memcpy(words.data(), firmware.data(),
              std::min(firmware.size(), sizeof(words)));
  std::array<uint64_t, 6> message = {words[2], words[3], CntpctEl0::Read()};
  if (random) {
    message[3] = aarch64::Rndr::Read();
    message[4] = aarch64::Rndr::Read();
  }
  const auto next = [&] {
    ++message[5];
    return SipHash({words[0], words[1]}, message);
  };

  Secrets secrets = {.return_key = {next(), next()}, .stack_canary = next()};
  secrets.good = random || seed.size >= kEnough;
  for (std::byte& byte : firmware) byte = static_cast<std::byte>(next());
  return secrets;
}

// What the compiler calls where a frame's canary has changed. What that frame
// returns to cannot be trusted either: the report names it, and that is all.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" [[noreturn]] void __stack_chk_fail() {
  Panic("stack", 0, "a stack frame was overwritten: its canary has changed");
}

}  // namespace holdfast::qemu_virt
