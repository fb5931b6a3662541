#ifndef VMATTEST_CLI_HOST_IDENTITY_COMMAND_H_
#define VMATTEST_CLI_HOST_IDENTITY_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct HostIdentityArgs {
  ConnectionArgs connection;
  std::string out;       // file; empty: standard output
  bool only_id = false;  // the host's id alone, instead of the JSON
};

// `vmattest host-identity`: the JSON that a folder of trust anchors holds. Ask
// for it over a path that you trust: whoever answers is pinned.
int RunHostIdentity(const HostIdentityArgs& args,
                    std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_HOST_IDENTITY_COMMAND_H_
