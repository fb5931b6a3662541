#include "cli/print.h"

#include <cstdio>
#include <string>

#include "cli/exit_code.h"
#include "fmt/format.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::cli {

void PrintLine(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (text.empty() || text.back() != '\n') {
    std::fputc('\n', stdout);
  }
  std::fflush(stdout);
}

int Fail(const absl::Status& status) {
  const std::string line =
      fmt::format("vmattest: {}: {}\n", rpc::ReasonOf(status).reason,
                  Printable(std::string(status.message())));
  std::fputs(line.c_str(), stderr);
  return ExitCodeOf(status);
}

}  // namespace vmattest::cli
