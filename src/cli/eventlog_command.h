#ifndef VMATTEST_CLI_EVENTLOG_COMMAND_H_
#define VMATTEST_CLI_EVENTLOG_COMMAND_H_

#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace vmattest::cli {

// `vmattest eventlog show|verify|boot`: event logs, without a daemon. Texts
// from the files are quoted. All return an exit code (cli/exit_code.h).

// A file of `eventlog export`, or a bare CEL-JSON array or CEL-TLV log.
struct EventLogShowArgs {
  std::string file;
  bool json = false;  // one CEL-JSON record a line
};
int RunEventLogShow(const EventLogShowArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr);

struct EventLogVerifyArgs {
  std::string file;
  std::string anchors;
  std::optional<std::string> nonce;  // hex
  std::vector<std::string> require;  // signature algorithms
  std::optional<std::chrono::seconds> max_age;
  uint64_t from_record = 1;
  bool json = false;
};
int RunEventLogVerify(const EventLogVerifyArgs& args,
                      std::ostream& out = std::cout,
                      std::ostream& err = std::cerr);

// A firmware's log as the kernel gives it, or the one in a file of
// `eventlog export`.
struct EventLogBootArgs {
  std::string file;
  std::string bank = "sha256";
  bool json = false;
};
int RunEventLogBoot(const EventLogBootArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_EVENTLOG_COMMAND_H_
