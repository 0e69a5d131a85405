// SPDX-License-Identifier: Apache-2.0
#ifndef HOLDFAST_PLATFORMS_TOOLCHAIN_TESTS_EL2_HEADERS_H_
#define HOLDFAST_PLATFORMS_TOOLCHAIN_TESTS_EL2_HEADERS_H_

#include <array>
#include <atomic>
#include <bit>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/base/attributes.h"
#include "absl/base/thread_annotations.h"
#include "tl/expected.hpp"

namespace holdfast {

// Uses a little of everything, so that the headers are not only parsed.
tl::expected<std::uint64_t, int> SumOf(std::span<const std::uint64_t> words);

}  // namespace holdfast

#endif  // HOLDFAST_PLATFORMS_TOOLCHAIN_TESTS_EL2_HEADERS_H_
