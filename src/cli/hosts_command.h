#ifndef VMATTEST_CLI_HOSTS_COMMAND_H_
#define VMATTEST_CLI_HOSTS_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/verifier_connection.h"

namespace vmattest::cli {

struct HostsArgs {
  enum class Action : uint8_t { kList, kShow, kApprove, kRevoke, kAllowRebind };
  Action action = Action::kList;
  std::string host_id;
  std::string ak_name;  // hex, of approve and allow-rebind
  std::string reason;   // of revoke
  int hours = 24;       // of allow-rebind
  std::string out;      // of show: file for the signed record
  bool json = false;
  VerifierArgs connection;
};

// `vmattest hosts`: which hosts a verifier knows, and what an operator does
// with them. 0: done. 2: usage, or no such host. 3: no verifier, or it refused.
int RunHosts(const HostsArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_HOSTS_COMMAND_H_
