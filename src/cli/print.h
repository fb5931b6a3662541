#ifndef VMATTEST_CLI_PRINT_H_
#define VMATTEST_CLI_PRINT_H_

#include <string>
#include <string_view>

#include "base/status.h"

namespace vmattest::cli {

// One line on standard output, at once: a reader of a pipe waits for it.
void PrintLine(std::string_view text);

// "vmattest: REASON: message" on standard error; returns ExitCodeOf(status).
int Fail(const absl::Status& status);

// Text that came from elsewhere, for a terminal: control bytes escaped.
std::string Printable(std::string_view text);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_PRINT_H_
