// SPDX-License-Identifier: Apache-2.0
//
// GoogleTest's words, as far as the tests that also run at EL2 use them,
// without exceptions, RTTI, files or processes. Tests register themselves
// before main (the image's runner calls the constructors); one failed
// expectation prints file, line and both values.
//
// What there is not: death tests. EXPECT_DEATH does not evaluate its statement;
// it is counted as the host's. A test that has nothing else to say is too.
#ifndef HOLDFAST_PLATFORMS_TESTING_EL2_GTEST_GTEST_H_
#define HOLDFAST_PLATFORMS_TESTING_EL2_GTEST_GTEST_H_

#include <concepts>
#include <cstdint>
#include <ios>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "test_text.h"

namespace testing {

// ---- How values are printed -------------------------------------------------

namespace internal {

std::string Quoted(std::string_view text);

template <class T>
concept Textual = std::convertible_to<const T&, std::string_view>;

template <class T>
concept Rangeable = requires(const T& t) {
  t.begin();
  t.end();
};

template <class T>
std::string Print(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
    return "null";
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    std::string text = holdfast::testing_el2::NumberText(value);
    if (text.size() > 2)
      text += " (0x" + holdfast::testing_el2::NumberText(value, 16) + ")";
    return text;
  } else if constexpr (std::is_pointer_v<T> && !Textual<T>) {
    if constexpr (std::is_function_v<std::remove_pointer_t<T>>) {
      return "a function";
    } else {
      return "0x" + holdfast::testing_el2::NumberText(
                        reinterpret_cast<uintptr_t>(value), 16);
    }
  } else if constexpr (Textual<T>) {
    if constexpr (std::is_pointer_v<T>) {
      if (value == nullptr) return "null";
    }
    return Quoted(std::string_view(value));
  } else if constexpr (Rangeable<T>) {
    std::string text = "{";
    size_t count = 0;
    for (const auto& element : value) {
      if (count++ != 0) text += ", ";
      if (count > 32) {
        text += "...";
        break;
      }
      text += Print(element);
    }
    return text + "}";
  } else if constexpr (requires {
                         value.first;
                         value.second;
                       }) {
    return "(" + Print(value.first) + ", " + Print(value.second) + ")";
  } else if constexpr (requires {
                         value.has_value();
                         *value;
                       }) {
    return value.has_value() ? "(" + Print(*value) + ")" : "(nothing)";
  } else if constexpr (requires { value.raw(); }) {
    return Print(value.raw());
  } else if constexpr (requires { value.value(); }) {
    return Print(value.value());
  } else {
    std::string text = holdfast::testing_el2::NumberText(sizeof(T)) + " bytes:";
    const auto* bytes = reinterpret_cast<const unsigned char*>(&value);
    for (size_t i = 0; i < sizeof(T) && i < 32; ++i) {
      text += bytes[i] < 16 ? " 0" : " ";
      text += holdfast::testing_el2::NumberText(bytes[i], 16);
    }
    return text;
  }
}

}  // namespace internal

template <class T>
std::string PrintToString(const T& value) {
  return internal::Print(value);
}

// ---- Messages ---------------------------------------------------------------

class Message {
 public:
  template <class T>
  Message& operator<<(const T& value) {
    if constexpr (internal::Textual<T>) {
      text_ += std::string_view(value);
    } else if constexpr (std::is_same_v<T, char>) {
      text_ += value;
    } else if constexpr (std::is_same_v<T, bool>) {
      text_ += value ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
      text_ += holdfast::testing_el2::NumberText(value, base_);
    } else if constexpr (requires { value.GetString(); }) {
      text_ += value.GetString();
    } else {
      text_ += internal::Print(value);
    }
    return *this;
  }
  Message& operator<<(std::ios_base& (*manipulator)(std::ios_base&)) {
    base_ = manipulator == &std::hex ? 16 : 10;
    return *this;
  }
  const std::string& GetString() const { return text_; }

 private:
  std::string text_;
  unsigned base_ = 10;
};

class AssertionResult {
 public:
  explicit AssertionResult(bool success) : success_(success) {}
  // NOLINTNEXTLINE: as GoogleTest's, for EXPECT_TRUE.
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, AssertionResult> &&
             std::is_constructible_v<bool, const T&>)
  explicit AssertionResult(const T& value)
      : success_(static_cast<bool>(value)) {}

  explicit operator bool() const { return success_; }
  const char* message() const { return message_.GetString().c_str(); }
  template <class T>
  AssertionResult& operator<<(const T& value) {
    message_ << value;
    return *this;
  }

 private:
  bool success_;
  Message message_;
};
inline AssertionResult AssertionSuccess() { return AssertionResult(true); }
inline AssertionResult AssertionFailure() { return AssertionResult(false); }

// ---- Tests ------------------------------------------------------------------

class Test {
 public:
  virtual ~Test() = default;
  static void SetUpTestSuite() {}
  static void TearDownTestSuite() {}
  static bool HasFailure();
  static bool HasFatalFailure();

  // By the runner.
  void Run();

 protected:
  Test() = default;
  virtual void SetUp() {}
  virtual void TearDown() {}
  virtual void TestBody() = 0;
};

template <class T>
class WithParamInterface {
 public:
  using ParamType = T;
  static const T& GetParam() { return *parameter_; }
  static const T* parameter_;
};
template <class T>
const T* WithParamInterface<T>::parameter_ = nullptr;

template <class T>
class TestWithParam : public Test, public WithParamInterface<T> {};

template <class P>
struct TestParamInfo {
  P param;
  size_t index;
};

template <class... Ts>
struct Types {};

namespace internal {

// A test that the runner will run. Static storage.
struct TestCase {
  const char* suite;
  const char* name;
  std::string variant;  // of a typed or parameterized test
  Test* (*make)(const void* parameter);
  const void* parameter = nullptr;
};
// In the order of registration.
std::vector<TestCase>& Cases();

inline bool Register(TestCase test) {
  Cases().push_back(std::move(test));
  return true;
}
template <class T>
Test* Make(const void*) {
  return new T;
}

// TYPED_TEST.
template <template <class> class Body, class... Ts>
bool RegisterTyped(const char* suite, const char* name, Types<Ts...>) {
  int index = 0;
  (Register({.suite = suite,
             .name = name,
             .variant = holdfast::testing_el2::NumberText(index++),
             .make = &Make<Body<Ts>>}),
   ...);
  return true;
}

// TEST_P: which bodies a fixture has; and INSTANTIATE_TEST_SUITE_P, which may
// come before or after, with which parameters they run. Both hang from the
// fixture's type.
template <class Fixture>
struct Parameterized {
  struct Body {
    const char* name;
    Test* (*make)(const void*);
  };
  struct Instance {
    const char* suite;
    std::string variant;
    const void* parameter;
  };
  static std::vector<Body>& Bodies() {
    static auto& bodies = *new std::vector<Body>;
    return bodies;
  }
  static std::vector<Instance>& Instances() {
    static auto& instances = *new std::vector<Instance>;
    return instances;
  }
  static void Add(const Body& body, const Instance& instance) {
    Register({.suite = instance.suite,
              .name = body.name,
              .variant = instance.variant,
              .make = body.make,
              .parameter = instance.parameter});
  }
  static bool AddBody(const Body& body) {
    for (const Instance& instance : Instances()) Add(body, instance);
    Bodies().push_back(body);
    return true;
  }
  template <class Values>
  static bool Instantiate(const char* prefix, const char* suite,
                          const Values& values) {
    return Instantiate(
        prefix, suite, values,
        [](const TestParamInfo<typename Fixture::ParamType>& info) {
          return holdfast::testing_el2::NumberText(info.index);
        });
  }
  template <class Values, class Name>
  static bool Instantiate(const char* prefix, const char* suite,
                          const Values& values, const Name& name) {
    using P = typename Fixture::ParamType;
    size_t index = 0;
    for (const auto& value : values) {
      const auto* parameter = new P(value);
      const Instance instance = {
          suite,
          std::string(prefix) + "/" +
              name(TestParamInfo<P>{*parameter, index++}),
          parameter};
      for (const Body& body : Bodies()) Add(body, instance);
      Instances().push_back(instance);
    }
    return true;
  }
};
template <class Fixture, class Body>
Test* MakeWith(const void* parameter) {
  using P = typename Fixture::ParamType;
  WithParamInterface<P>::parameter_ = static_cast<const P*>(parameter);
  return new Body;
}

// ---- What expectations do ---------------------------------------------------

enum class Severity : uint8_t { kOk, kExpect, kAssert, kSkip };

// Prints a failure, or notes that the test is skipped; ends the message that
// was streamed into the expectation.
class Report {
 public:
  Report(Severity severity, const char* file, int line, std::string what)
      : severity_(severity), file_(file), line_(line), what_(std::move(what)) {}
  // NOLINTNEXTLINE(misc-unconventional-assign-operator)
  void operator=(const Message& message) const;

 private:
  Severity severity_;
  const char* file_;
  int line_;
  std::string what_;
};

void CountExpectation();
bool HostOnly();  // counts a death test; false

// What went wrong, if something did.
struct Outcome {
  bool ok = true;
  std::string what = {};
  explicit operator bool() const { return ok; }
};

template <class A, class B>
Outcome Differs(const char* a_text, const char* b_text, const char* relation,
                const A& a, const B& b) {
  std::string what = std::string("Expected: ") + a_text + " " + relation + " " +
                     b_text + "\n  " + a_text + "\n    is " + Print(a);
  what += std::string("\n  ") + b_text + "\n    is " + Print(b);
  return {false, std::move(what)};
}

// Comparisons of integers of both signs are the test's business.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wsign-compare"
#define HOLDFAST_COMPARISON(name, operation)                                \
  template <class A, class B>                                               \
  Outcome Compare##name(const char* a_text, const char* b_text, const A& a, \
                        const B& b) {                                       \
    CountExpectation();                                                     \
    if (a operation b) return {};                                           \
    return Differs(a_text, b_text, #operation, a, b);                       \
  }
HOLDFAST_COMPARISON(Eq, ==)
HOLDFAST_COMPARISON(Ne, !=)
HOLDFAST_COMPARISON(Lt, <)
HOLDFAST_COMPARISON(Le, <=)
HOLDFAST_COMPARISON(Gt, >)
HOLDFAST_COMPARISON(Ge, >=)
#undef HOLDFAST_COMPARISON
#pragma clang diagnostic pop

inline Outcome CompareStr(const char* a_text, const char* b_text, const char* a,
                          const char* b) {
  CountExpectation();
  if (std::string_view(a) == b) return {};
  return Differs(a_text, b_text, "==", a, b);
}
inline Outcome CompareStrNe(const char* a_text, const char* b_text,
                            const char* a, const char* b) {
  CountExpectation();
  if (std::string_view(a) != b) return {};
  return Differs(a_text, b_text, "!=", a, b);
}
inline Outcome IsBool(const char* text, const AssertionResult& result,
                      bool wanted) {
  CountExpectation();
  if (static_cast<bool>(result) == wanted) return {};
  std::string what = std::string(text) + "\n    is " +
                     (wanted ? "false" : "true") + ", expected " +
                     (wanted ? "true" : "false");
  if (*result.message() != '\0')
    what += std::string(" (") + result.message() + ")";
  return {false, std::move(what)};
}

class Trace {
 public:
  Trace(const char* file, int line, const Message& message);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
};

// Fatal failures of the test so far.
unsigned FatalFailures();

}  // namespace internal

// ---- Parameters -------------------------------------------------------------

inline std::vector<bool> Bool() { return {false, true}; }
template <class First, class... Rest>
std::vector<First> Values(const First& first, const Rest&... rest) {
  return {first, static_cast<First>(rest)...};
}

// Ends the test that runs, from any depth and without destructors: what it
// needs is not here.
[[noreturn]] void LeaveTest(const char* why);

// ---- For the runner ---------------------------------------------------------

struct Results {
  unsigned passed = 0;
  unsigned failed = 0;
  unsigned skipped = 0;
  // Death tests: expectations that were left out, and tests of nothing else.
  unsigned host_only_expectations = 0;
  unsigned host_only_tests = 0;
};
// Runs every test for which `wanted` ("Suite.Name" or "Suite.Name/variant") is
// true. `write` gets whole lines.
Results RunTests(bool (*wanted)(std::string_view name),
                 void (*write)(std::string_view text));

}  // namespace testing

// ---- Macros -----------------------------------------------------------------

#define HOLDFAST_TEST_CLASS(suite_, name_) suite_##_##name_##_Test

#define HOLDFAST_TEST(suite_, name_, fixture_)                               \
  class HOLDFAST_TEST_CLASS(suite_, name_) final : public fixture_ {         \
    void TestBody() override;                                                \
  };                                                                         \
  [[maybe_unused]] static const bool suite_##_##name_##_registered =         \
      ::testing::internal::Register(                                         \
          {.suite = #suite_,                                                 \
           .name = #name_,                                                   \
           .variant = {},                                                    \
           .make = &::testing::internal::Make<HOLDFAST_TEST_CLASS(suite_,    \
                                                                  name_)>}); \
  void HOLDFAST_TEST_CLASS(suite_, name_)::TestBody()

#define TEST(suite_, name_) HOLDFAST_TEST(suite_, name_, ::testing::Test)
#define TEST_F(fixture_, name_) HOLDFAST_TEST(fixture_, name_, fixture_)

#define TYPED_TEST_SUITE(fixture_, types_) \
  using fixture_##_holdfast_types = types_

#define TYPED_TEST(fixture_, name_)                                          \
  template <class T>                                                         \
  class HOLDFAST_TEST_CLASS(fixture_, name_) final : public fixture_<T> {    \
    using TestFixture = fixture_<T>;                                         \
    using TypeParam = T;                                                     \
    void TestBody() override;                                                \
  };                                                                         \
  [[maybe_unused]] static const bool fixture_##_##name_##_registered =       \
      ::testing::internal::RegisterTyped<HOLDFAST_TEST_CLASS(                \
          fixture_, name_)>(#fixture_, #name_, fixture_##_holdfast_types()); \
  template <class T>                                                         \
  void HOLDFAST_TEST_CLASS(fixture_, name_)<T>::TestBody()

#define TEST_P(fixture_, name_)                                              \
  class HOLDFAST_TEST_CLASS(fixture_, name_) final : public fixture_ {       \
    void TestBody() override;                                                \
  };                                                                         \
  [[maybe_unused]] static const bool fixture_##_##name_##_registered =       \
      ::testing::internal::Parameterized<fixture_>::AddBody(                 \
          {#name_,                                                           \
           &::testing::internal::MakeWith<fixture_, HOLDFAST_TEST_CLASS(     \
                                                        fixture_, name_)>}); \
  void HOLDFAST_TEST_CLASS(fixture_, name_)::TestBody()

#define INSTANTIATE_TEST_SUITE_P(prefix_, fixture_, ...)                 \
  [[maybe_unused]] static const bool prefix_##_##fixture_##_registered = \
      ::testing::internal::Parameterized<fixture_>::Instantiate(         \
          #prefix_, #fixture_, __VA_ARGS__)

// `else` so that each is one statement, and a message may follow; `switch` so
// that it is no `if` that another `else` could go with.
#define HOLDFAST_ALONE \
  switch (0)           \
  case 0:              \
  default:
#define HOLDFAST_EXPECT(outcome)                                             \
  HOLDFAST_ALONE                                                             \
  if (const ::testing::internal::Outcome holdfast_outcome = (outcome))       \
    ;                                                                        \
  else                                                                       \
    ::testing::internal::Report(::testing::internal::Severity::kExpect,      \
                                __FILE__, __LINE__, holdfast_outcome.what) = \
        ::testing::Message()
#define HOLDFAST_ASSERT(outcome)                                           \
  HOLDFAST_ALONE                                                           \
  if (const ::testing::internal::Outcome holdfast_outcome = (outcome))     \
    ;                                                                      \
  else                                                                     \
    return ::testing::internal::Report(                                    \
               ::testing::internal::Severity::kAssert, __FILE__, __LINE__, \
               holdfast_outcome.what) = ::testing::Message()

#define HOLDFAST_COMPARE(name, a, b) \
  ::testing::internal::Compare##name(#a, #b, a, b)
#define EXPECT_EQ(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Eq, a, b))
#define EXPECT_NE(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Ne, a, b))
#define EXPECT_LT(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Lt, a, b))
#define EXPECT_LE(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Le, a, b))
#define EXPECT_GT(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Gt, a, b))
#define EXPECT_GE(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Ge, a, b))
#define EXPECT_STREQ(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(Str, a, b))
#define EXPECT_STRNE(a, b) HOLDFAST_EXPECT(HOLDFAST_COMPARE(StrNe, a, b))
#define ASSERT_EQ(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Eq, a, b))
#define ASSERT_NE(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Ne, a, b))
#define ASSERT_LT(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Lt, a, b))
#define ASSERT_LE(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Le, a, b))
#define ASSERT_GT(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Gt, a, b))
#define ASSERT_GE(a, b) HOLDFAST_ASSERT(HOLDFAST_COMPARE(Ge, a, b))

#define HOLDFAST_BOOL(condition, wanted)  \
  ::testing::internal::IsBool(#condition, \
                              ::testing::AssertionResult(condition), wanted)
#define EXPECT_TRUE(condition) HOLDFAST_EXPECT(HOLDFAST_BOOL(condition, true))
#define EXPECT_FALSE(condition) HOLDFAST_EXPECT(HOLDFAST_BOOL(condition, false))
#define ASSERT_TRUE(condition) HOLDFAST_ASSERT(HOLDFAST_BOOL(condition, true))
#define ASSERT_FALSE(condition) HOLDFAST_ASSERT(HOLDFAST_BOOL(condition, false))

#define ADD_FAILURE() \
  HOLDFAST_EXPECT((::testing::internal::Outcome{false, "Failed"}))
#define FAIL() HOLDFAST_ASSERT((::testing::internal::Outcome{false, "Failed"}))
#define GTEST_SKIP()                                                       \
  return ::testing::internal::Report(::testing::internal::Severity::kSkip, \
                                     __FILE__, __LINE__, "skipped") =      \
             ::testing::Message()

#define HOLDFAST_JOIN2(a, b) a##b
#define HOLDFAST_JOIN(a, b) HOLDFAST_JOIN2(a, b)
#define SCOPED_TRACE(message)                                                \
  const ::testing::internal::Trace HOLDFAST_JOIN(holdfast_trace_, __LINE__)( \
      __FILE__, __LINE__, ::testing::Message() << (message))

#define HOLDFAST_NO_FATAL(statement)                               \
  [&]() -> ::testing::internal::Outcome {                          \
    const unsigned before = ::testing::internal::FatalFailures();  \
    statement;                                                     \
    if (::testing::internal::FatalFailures() == before) return {}; \
    return {false, #statement " failed"};                          \
  }()
#define EXPECT_NO_FATAL_FAILURE(statement) \
  HOLDFAST_EXPECT(HOLDFAST_NO_FATAL(statement))
#define ASSERT_NO_FATAL_FAILURE(statement) \
  HOLDFAST_ASSERT(HOLDFAST_NO_FATAL(statement))

// Compiled, but not evaluated.
#define EXPECT_DEATH(statement, pattern) \
  HOLDFAST_ALONE                         \
  if (::testing::internal::HostOnly()) { \
    statement;                           \
  } else /* NOLINT */                    \
    ::testing::Message()

#endif  // HOLDFAST_PLATFORMS_TESTING_EL2_GTEST_GTEST_H_
