#ifndef VMATTEST_CLI_EVENTLOG_EXPORT_COMMAND_H_
#define VMATTEST_CLI_EVENTLOG_EXPORT_COMMAND_H_

#include <iostream>
#include <optional>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct EventLogExportArgs {
  ConnectionArgs connection;
  std::optional<std::string> nonce;  // hex; none: random, and printed
  std::string out;                   // file; empty: standard output
  // Only the records, for other programs; these cannot be verified.
  bool cel_json = false;
  bool cel = false;  // TLV
};

// `vmattest eventlog export`: asks the daemon for its event log and the
// evidence for it. Prints the nonce that `eventlog verify` must be given, on
// `err` if the log itself goes to standard output.
int RunEventLogExport(const EventLogExportArgs& args,
                      std::ostream& out = std::cout,
                      std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_EVENTLOG_EXPORT_COMMAND_H_
