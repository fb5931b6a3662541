#ifndef VMATTEST_CLI_DISCLOSE_COMMAND_H_
#define VMATTEST_CLI_DISCLOSE_COMMAND_H_

#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/connection.h"

namespace vmattest::cli {

struct DiscloseArgs {
  ConnectionArgs connection;
  std::string vm;                   // UUID or name
  std::vector<std::string> leaves;  // full paths: "memory/max"
  // As in AttestArgs.
  std::optional<std::string> nonce;
  std::string algorithm;
  std::string content;
  std::string inside;
  bool fresh = false;
  std::string out;
  bool json = false;
};

// `vmattest disclose`: asks the daemon for single leaves of a VM, measured and
// signed now, and writes them as they came: a file for `vmattest verify`, that
// shows nothing of the others (docs/formats/disclosure.md).
int RunDisclose(const DiscloseArgs& args, std::ostream& out = std::cout,
                std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_DISCLOSE_COMMAND_H_
