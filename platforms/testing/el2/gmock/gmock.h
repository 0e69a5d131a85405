// SPDX-License-Identifier: Apache-2.0
//
// The matchers of GoogleMock that tests at EL2 use. A matcher is anything with
// Matches(value) and Describe(); any other value means equality.
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_GMOCK_GMOCK_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_GMOCK_GMOCK_H_

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"

namespace testing {
namespace internal {

template <class M, class V>
bool Matches(const M& matcher, const V& value) {
  if constexpr (requires { matcher.Describe(); }) {
    return matcher.Matches(value);
  } else {
    return value == matcher;
  }
}
template <class M>
std::string Describe(const M& matcher) {
  if constexpr (requires { matcher.Describe(); }) {
    return matcher.Describe();
  } else {
    return Print(matcher);
  }
}

struct EmptyMatcher {
  template <class V>
  bool Matches(const V& value) const {
    return value.empty();
  }
  std::string Describe() const { return "empty"; }
};

struct SubstringMatcher {
  std::string part;
  bool Matches(std::string_view value) const {
    return value.find(part) != std::string_view::npos;
  }
  std::string Describe() const { return "has " + Quoted(part); }
};

template <class... Ms>
struct ElementsMatcher {
  std::tuple<Ms...> elements;
  template <class V>
  bool Matches(const V& value) const {
    auto at = value.begin();
    const bool same = std::apply(
        [&](const auto&... element) {
          return ((at != value.end() && internal::Matches(element, *at) &&
                   (++at, true)) &&
                  ...);
        },
        elements);
    return same && at == value.end();
  }
  std::string Describe() const {
    std::string text = "elements:";
    std::apply(
        [&](const auto&... element) {
          ((text += " " + internal::Describe(element)), ...);
        },
        elements);
    return text;
  }
};

template <class M>
struct ContainsMatcher {
  M element;
  template <class V>
  bool Matches(const V& value) const {
    for (const auto& each : value) {
      if (internal::Matches(element, each)) return true;
    }
    return false;
  }
  std::string Describe() const {
    return "contains " + internal::Describe(element);
  }
};

template <class... Ms>
struct AnyMatcher {
  std::tuple<Ms...> choices;
  template <class V>
  bool Matches(const V& value) const {
    return std::apply(
        [&](const auto&... choice) {
          return (internal::Matches(choice, value) || ...);
        },
        choices);
  }
  std::string Describe() const {
    std::string text = "any of:";
    std::apply(
        [&](const auto&... choice) {
          ((text += " " + internal::Describe(choice)), ...);
        },
        choices);
    return text;
  }
};

template <class V, class M>
Outcome CompareThat(const char* v_text, const char*, const V& value,
                    const M& matcher) {
  CountExpectation();
  if (internal::Matches(matcher, value)) return {};
  return {false, std::string(v_text) + "\n    is " + Print(value) +
                     "\n  expected: " + internal::Describe(matcher)};
}

}  // namespace internal

inline internal::EmptyMatcher IsEmpty() { return {}; }
inline internal::SubstringMatcher HasSubstr(std::string part) {
  return {std::move(part)};
}
template <class... Ms>
internal::ElementsMatcher<std::decay_t<const Ms>...> ElementsAre(
    const Ms&... elements) {
  return {{elements...}};
}
template <class M>
internal::ContainsMatcher<std::decay_t<const M>> Contains(const M& element) {
  return {element};
}
template <class... Ms>
internal::AnyMatcher<std::decay_t<const Ms>...> AnyOf(const Ms&... choices) {
  return {{choices...}};
}

}  // namespace testing

#define EXPECT_THAT(value, matcher) \
  HOLDFAST_EXPECT(HOLDFAST_COMPARE(That, value, (matcher)))
#define ASSERT_THAT(value, matcher) \
  HOLDFAST_ASSERT(HOLDFAST_COMPARE(That, value, (matcher)))

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_GMOCK_GMOCK_H_
