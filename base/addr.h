// SPDX-License-Identifier: Apache-2.0
//
// Addresses and names as types. None converts to another or to an integer by
// itself: an IPA that is used as a physical address does not compile.
//
//   PhysAddr  byte address of physical memory
//   Ipa       byte address as a guest or the host sees it (input of stage 2)
//   HypVa     byte address as EL2 sees it (input of EL2's stage 1)
//   Pfn, Gfn  the same by page: physical, guest
//   VmHandle  16-bit name of a VM, given by EL2
//   Vmid      the VMID that tags stage-2 TLB entries
//   Level     level of a translation table, -1..3
//
// `+` and `-` on addresses are checked in every build (they may only be used on
// values EL2 knows to be sane). A number that came from a host or a guest goes
// through FromUntrusted(), which says whether it is one.
#ifndef HOLDFAST_BASE_ADDR_H_
#define HOLDFAST_BASE_ADDR_H_

#include <compare>
#include <cstdint>
#include <optional>

#include "base/check.h"
#include "base/granule.h"

namespace holdfast {

// A byte address. `Tag` makes each kind its own type.
template <class Tag>
class Address {
 public:
  constexpr Address() = default;
  constexpr explicit Address(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }
  constexpr auto operator<=>(const Address&) const = default;

  // Checked: wrapping round the end of the address space is a bug of EL2's.
  constexpr Address operator+(uint64_t bytes) const {
    HOLDFAST_CHECK(value_ + bytes >= value_);
    return Address(value_ + bytes);
  }
  constexpr Address operator-(uint64_t bytes) const {
    HOLDFAST_CHECK(bytes <= value_);
    return Address(value_ - bytes);
  }
  // Bytes from `other` up to this one.
  constexpr uint64_t operator-(Address other) const {
    HOLDFAST_CHECK(other.value_ <= value_);
    return value_ - other.value_;
  }
  constexpr Address& operator+=(uint64_t bytes) {
    return *this = *this + bytes;
  }

  // `size` is a power of two.
  constexpr bool IsAligned(uint64_t size) const {
    return (value_ & (size - 1)) == 0;
  }
  constexpr Address AlignDown(uint64_t size) const {
    return Address(value_ & ~(size - 1));
  }

 private:
  uint64_t value_ = 0;
};

using PhysAddr = Address<struct PhysAddrTag>;
using Ipa = Address<struct IpaTag>;
using HypVa = Address<struct HypVaTag>;

// A page number of the build's granule; `Addr` is the address kind it counts.
template <class Addr>
class FrameNumber {
 public:
  constexpr FrameNumber() = default;
  constexpr explicit FrameNumber(uint64_t value) : value_(value) {}

  // The frame `raw` names in a space of `bits` address bits, or nothing if that
  // space has no such frame. For numbers a host or guest passed.
  static constexpr std::optional<FrameNumber> FromUntrusted(uint64_t raw,
                                                            unsigned bits) {
    if (bits < kPageShift || bits > 63) return std::nullopt;
    if (raw >> (bits - kPageShift) != 0) return std::nullopt;
    return FrameNumber(raw);
  }
  static constexpr FrameNumber Of(Addr address) {
    return FrameNumber(address.value() >> kPageShift);
  }

  constexpr uint64_t value() const { return value_; }
  constexpr Addr address() const {
    HOLDFAST_CHECK(value_ >> (64 - kPageShift) == 0);
    return Addr(value_ << kPageShift);
  }
  constexpr auto operator<=>(const FrameNumber&) const = default;
  constexpr FrameNumber operator+(uint64_t frames) const {
    HOLDFAST_CHECK(value_ + frames >= value_);
    return FrameNumber(value_ + frames);
  }
  constexpr uint64_t operator-(FrameNumber other) const {
    HOLDFAST_CHECK(other.value_ <= value_);
    return value_ - other.value_;
  }

 private:
  uint64_t value_ = 0;
};

using Pfn = FrameNumber<PhysAddr>;
using Gfn = FrameNumber<Ipa>;

// A small integer with a name. No arithmetic.
template <class Tag, class Rep>
class Name {
 public:
  constexpr Name() = default;
  constexpr explicit Name(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Name&) const = default;

 private:
  Rep value_ = 0;
};

using VmHandle = Name<struct VmHandleTag, uint16_t>;
using Vmid = Name<struct VmidTag, uint16_t>;
// The host's stage 2 has VMID 0; guests have slot index + 1.
inline constexpr Vmid kHostVmid{0};

// Level of a table or entry, -1 (top, only with 52-bit inputs) to 3 (pages).
using Level = Name<struct LevelTag, int8_t>;
inline constexpr Level kPageLevel{3};

}  // namespace holdfast

#endif  // HOLDFAST_BASE_ADDR_H_
