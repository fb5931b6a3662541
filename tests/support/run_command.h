#ifndef VMATTEST_TESTS_SUPPORT_RUN_COMMAND_H_
#define VMATTEST_TESTS_SUPPORT_RUN_COMMAND_H_

#include <string>
#include <vector>

#include "base/status.h"

namespace vmattest::testing {

// Runs a program, found by PATH, with nothing to read; its output and errors
// together. INTERNAL, with them, if its exit status is not 0.
absl::StatusOr<std::string> RunCommand(const std::vector<std::string>& words);

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_RUN_COMMAND_H_
