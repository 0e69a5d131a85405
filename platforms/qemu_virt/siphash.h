// SPDX-License-Identifier: Apache-2.0
//
// SipHash-2-4 (Aumasson and Bernstein, 2012) over whole words: many secrets out
// of one, none of which tells of another or of that one.
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_SIPHASH_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_SIPHASH_H_

#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace holdfast::qemu_virt {

// Of `message` taken as little-endian bytes.
constexpr uint64_t SipHash(const std::array<uint64_t, 2>& key,
                           std::span<const uint64_t> message) {
  uint64_t v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d,
           v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (; count > 0; --count) {
      v0 += v1;
      v2 += v3;
      v1 = std::rotl(v1, 13) ^ v0;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 = std::rotl(v0, 32);
      v2 += v1;
      v0 += v3;
      v1 = std::rotl(v1, 17) ^ v2;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 = std::rotl(v2, 32);
    }
  };
  const auto absorb = [&](uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  for (const uint64_t word : message) absorb(word);
  absorb(uint64_t{message.size() * 8} << 56);  // what is left, and the length
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_SIPHASH_H_
