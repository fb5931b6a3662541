#ifndef VMATTEST_TESTS_SUPPORT_MATCHERS_H_
#define VMATTEST_TESTS_SUPPORT_MATCHERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace vmattest::testing {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <class T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

// EXPECT_THAT(F(), IsOk());
MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// EXPECT_THAT(F(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("disk")));
MATCHER_P(StatusIs, code, "has the code") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}
MATCHER_P2(StatusIs, code, message, "has the code and a matching message") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         ::testing::ExplainMatchResult(
             message, std::string(StatusOf(arg).message()), result_listener);
}

}  // namespace vmattest::testing

// Stops the test unless `expr` is OK; declares or assigns `lhs`.
#define ASSERT_OK_AND_ASSIGN(lhs, expr)                                        \
  ASSERT_OK_AND_ASSIGN_IMPL_(VMATTEST_TEST_CONCAT_(test_status_or_, __LINE__), \
                             lhs, expr)
#define VMATTEST_TEST_CONCAT_INNER_(a, b) a##b
#define VMATTEST_TEST_CONCAT_(a, b) VMATTEST_TEST_CONCAT_INNER_(a, b)
#define ASSERT_OK_AND_ASSIGN_IMPL_(tmp, lhs, expr)  \
  auto tmp = (expr);                                \
  ASSERT_TRUE(tmp.ok()) << tmp.status().ToString(); \
  lhs = *std::move(tmp)

#endif  // VMATTEST_TESTS_SUPPORT_MATCHERS_H_
