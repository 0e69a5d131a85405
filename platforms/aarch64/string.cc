// SPDX-License-Identifier: Apache-2.0
//
// What a freestanding compiler, and libstdc++ headers, may call by themselves.
// Volatile-free loops; -fno-builtin (BUILD) keeps the compiler from turning
// them into calls of themselves.
#include <cstddef>
#include <cstdint>

extern "C" {

void* memset(void* to, int byte, size_t size) {
  auto* bytes = static_cast<uint8_t*>(to);
  const uint64_t word = 0x0101010101010101u * static_cast<uint8_t>(byte);
  // Words only where aligned: with the MMU off all memory is Device, which
  // faults on unaligned accesses (Arm ARM B2.8.2).
  if ((reinterpret_cast<uintptr_t>(bytes) & 7) == 0) {
    for (; size >= 32; size -= 32, bytes += 32) {
      auto* const words = reinterpret_cast<uint64_t*>(bytes);
      words[0] = words[1] = words[2] = words[3] = word;
    }
    for (; size >= 8; size -= 8, bytes += 8)
      *reinterpret_cast<uint64_t*>(bytes) = word;
  }
  for (; size != 0; --size) *bytes++ = static_cast<uint8_t>(byte);
  return to;
}

void* memcpy(void* to, const void* from, size_t size) {
  auto* target = static_cast<uint8_t*>(to);
  const auto* source = static_cast<const uint8_t*>(from);
  if (((reinterpret_cast<uintptr_t>(target) |
        reinterpret_cast<uintptr_t>(source)) &
       7) == 0) {
    for (; size >= 32; size -= 32, target += 32, source += 32) {
      auto* const words = reinterpret_cast<uint64_t*>(target);
      const auto* const from_words = reinterpret_cast<const uint64_t*>(source);
      const uint64_t a = from_words[0], b = from_words[1], c = from_words[2],
                     d = from_words[3];
      words[0] = a;
      words[1] = b;
      words[2] = c;
      words[3] = d;
    }
    for (; size >= 8; size -= 8, target += 8, source += 8) {
      *reinterpret_cast<uint64_t*>(target) =
          *reinterpret_cast<const uint64_t*>(source);
    }
  }
  for (; size != 0; --size) *target++ = *source++;
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  auto* target = static_cast<uint8_t*>(to);
  const auto* source = static_cast<const uint8_t*>(from);
  if (reinterpret_cast<uintptr_t>(target) -
          reinterpret_cast<uintptr_t>(source) >=
      size) {
    return memcpy(to, from, size);
  }
  while (size != 0) {
    --size;
    target[size] = source[size];
  }
  return to;
}

int memcmp(const void* left, const void* right, size_t size) {
  const auto* a = static_cast<const uint8_t*>(left);
  const auto* b = static_cast<const uint8_t*>(right);
  for (; size != 0; --size, ++a, ++b) {
    if (*a != *b) return *a < *b ? -1 : 1;
  }
  return 0;
}

void* memchr(const void* in, int byte, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(in);
  for (; size != 0; --size, ++bytes) {
    if (*bytes == static_cast<uint8_t>(byte))
      return const_cast<uint8_t*>(bytes);
  }
  return nullptr;
}

size_t strlen(const char* text) {
  size_t size = 0;
  while (text[size] != '\0') ++size;
  return size;
}

// Stack frames' canary, for programs that make none of their own.
// NOLINTBEGIN(bugprone-reserved-identifier)
[[gnu::weak]] uint64_t __stack_chk_guard = 0x0a0d'00ff'7e57'c0de;
[[gnu::weak]] [[noreturn]] void __stack_chk_fail() { __builtin_trap(); }
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
