#ifndef VMATTEST_CLI_ATTEST_COMMAND_H_
#define VMATTEST_CLI_ATTEST_COMMAND_H_

#include <iostream>
#include <optional>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct AttestArgs {
  ConnectionArgs connection;
  std::string vm;                    // UUID or name
  std::optional<std::string> nonce;  // hex; none: random, and printed
  std::string algorithm;             // empty: the daemon's
  std::string content;               // full, chain, none; empty: the daemon's
  std::string inside;                // none, inventory, full; empty: as above
  bool fresh = false;
  bool omit_leaves = false;
  std::string out;  // file; empty: standard output, if that is no terminal
  bool json = false;
};

// `vmattest attest`: asks the daemon for evidence about a VM and writes it as
// it came. Prints the nonce that `vmattest verify` must be given: on `err` if
// the evidence itself goes to standard output.
int RunAttest(const AttestArgs& args, std::ostream& out = std::cout,
              std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_ATTEST_COMMAND_H_
