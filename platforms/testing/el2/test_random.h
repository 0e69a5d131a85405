// SPDX-License-Identifier: Apache-2.0
//
// As much of absl/random as tests at EL2 use. The sequence is not Abseil's, and
// always the same.
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_TEST_RANDOM_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_TEST_RANDOM_H_

#include <cstdint>
#include <random>
#include <type_traits>

#include "base/check.h"

namespace absl {

// SplitMix64: a counter, well mixed.
class BitGen {
 public:
  BitGen() = default;
  // A std::seed_seq; what it holds makes no difference.
  template <class Seed>
  explicit BitGen(Seed&) {}

  uint64_t operator()() {
    state_ += 0x9e37'79b9'7f4a'7c15;
    uint64_t word = state_;
    word = (word ^ word >> 30) * 0xbf58'476d'1ce4'e5b9;
    word = (word ^ word >> 27) * 0x94d0'49bb'1331'11eb;
    return word ^ word >> 31;
  }

 private:
  uint64_t state_ = 1;
};

// Of all values; of [low, high).
template <class T>
T Uniform(BitGen& random) {
  return static_cast<T>(random());
}
template <class T = void, class A, class B>
auto Uniform(BitGen& random, A low, B high) {
  using R = std::conditional_t<std::is_void_v<T>, std::common_type_t<A, B>, T>;
  const R first = static_cast<R>(low), end = static_cast<R>(high);
  HOLDFAST_CHECK(first < end);
  return static_cast<R>(
      first + static_cast<R>(random() % static_cast<uint64_t>(end - first)));
}

}  // namespace absl

// A probability is a double, and the code at EL2 has no floating-point
// registers: so it must be folded before there is code.
#define HOLDFAST_PER_MILLE(probability) \
  (std::integral_constant<unsigned,     \
                          static_cast<unsigned>((probability) * 1000)>::value)
#define Bernoulli(random, probability) \
  Uniform<uint64_t>(random, 0, 1000) < HOLDFAST_PER_MILLE(probability)

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_TEST_RANDOM_H_
