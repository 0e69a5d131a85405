// SPDX-License-Identifier: Apache-2.0
//
// Text without a C library: Print("cpu ", 3, " at ", Hex(address), "\n").
// A Sink is anything that takes (const char*, size_t).
#ifndef HOLDFAST_PLATFORMS_QEMU_VIRT_PRINT_H_
#define HOLDFAST_PLATFORMS_QEMU_VIRT_PRINT_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace holdfast::qemu_virt {

struct Hex {
  explicit constexpr Hex(uint64_t v, unsigned d = 0)
      : value(v), min_digits(d) {}
  uint64_t value;
  unsigned min_digits;
};

// Collects one line, so that lines of different CPUs mix less.
class LineBuffer {
 public:
  void Add(std::string_view text) {
    for (const char c : text) {
      if (size_ < sizeof(bytes_)) bytes_[size_++] = c;
    }
  }
  void Add(const char* text) { Add(std::string_view(text)); }
  void Add(Hex hex) {
    Add("0x");
    for (unsigned digit = 16; digit-- > 0;) {
      const uint64_t rest = hex.value >> (4 * digit);
      if (rest == 0 && digit != 0 && digit >= hex.min_digits) continue;
      const char c = "0123456789abcdef"[rest & 15];
      Add(std::string_view(&c, 1));
    }
  }
  template <std::integral T>
  void Add(T number) {
    uint64_t rest = static_cast<uint64_t>(number);
    if (number < 0) {
      Add("-");
      rest = 0 - rest;
    }
    char digits[20];
    size_t at = sizeof(digits);
    do {
      digits[--at] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    Add(std::string_view(digits + at, sizeof(digits) - at));
  }
  const char* data() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  size_t size_ = 0;
  char bytes_[240];
};

template <class Sink, class... Parts>
void PrintTo(Sink&& sink, const Parts&... parts) {
  LineBuffer line;
  (line.Add(parts), ...);
  sink(line.data(), line.size());
}

}  // namespace holdfast::qemu_virt

#endif  // HOLDFAST_PLATFORMS_QEMU_VIRT_PRINT_H_
