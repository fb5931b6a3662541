#ifndef VMATTEST_CLI_EXIT_CODE_H_
#define VMATTEST_CLI_EXIT_CODE_H_

#include "base/status.h"

namespace vmattest::cli {

// What every command ends with.
inline constexpr int kExitGood = 0;
inline constexpr int kExitNotTrustworthy = 1;  // with reasons
inline constexpr int kExitUsage = 2;           // or unreadable input
inline constexpr int kExitUndecided = 3;       // no answer: daemon away...

// The code for an error that kept a command from its answer.
inline int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitGood;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return kExitUsage;
    default:
      return kExitUndecided;
  }
}

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_EXIT_CODE_H_
