#ifndef VMATTEST_BASE_STATUS_H_
#define VMATTEST_BASE_STATUS_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Errors are absl::Status up to the edge; the code tells the caller what to do:
//   INVALID_ARGUMENT     your input is wrong, do not retry
//   NOT_FOUND            the named thing does not exist
//   FAILED_PRECONDITION  fix the state first (key missing, lock-out)
//   UNAVAILABLE          retry later
//   ABORTED              it changed underneath; retry from the start
//   RESOURCE_EXHAUSTED   back off
//   DEADLINE_EXCEEDED    no answer in time
//   DATA_LOSS            stop and alarm
// A judgement ("not trustworthy") is a value (types/verdict.h), never a Status.

namespace vmattest {

// `status` with "`clause`: " put before its message. OK stays OK.
[[nodiscard]] absl::Status Annotate(const absl::Status& status,
                                    std::string_view clause);

// Builds a status from errno: ENOENT is NOT_FOUND, EACCES and EPERM are
// PERMISSION_DENIED, ENOSPC and EMFILE are RESOURCE_EXHAUSTED, EAGAIN is
// UNAVAILABLE, everything else INTERNAL. The message is "`clause`: strerror".
[[nodiscard]] absl::Status ErrnoStatus(int error, std::string_view clause);

}  // namespace vmattest

#define VMATTEST_CONCAT_INNER_(a, b) a##b
#define VMATTEST_CONCAT_(a, b) VMATTEST_CONCAT_INNER_(a, b)

// Returns from the enclosing function unless `expr` is OK.
#define RETURN_IF_ERROR(expr)                           \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      return status_;                                   \
    }                                                   \
  } while (false)

// The same, adding one clause of context.
#define RETURN_IF_ERROR_WITH(expr, clause)              \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      return ::vmattest::Annotate(status_, (clause));   \
    }                                                   \
  } while (false)

// ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or its error is returned.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(VMATTEST_CONCAT_(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) {                             \
    return std::move(tmp).status();            \
  }                                            \
  lhs = *std::move(tmp)

// The same, adding one clause of context.
#define ASSIGN_OR_RETURN_WITH(lhs, expr, clause)                           \
  ASSIGN_OR_RETURN_WITH_IMPL_(VMATTEST_CONCAT_(status_or_, __LINE__), lhs, \
                              expr, clause)
#define ASSIGN_OR_RETURN_WITH_IMPL_(tmp, lhs, expr, clause) \
  auto tmp = (expr);                                        \
  if (!tmp.ok()) {                                          \
    return ::vmattest::Annotate(tmp.status(), (clause));    \
  }                                                         \
  lhs = *std::move(tmp)

#endif  // VMATTEST_BASE_STATUS_H_
