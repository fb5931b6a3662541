#ifndef VMATTEST_CLI_KEYS_COMMAND_H_
#define VMATTEST_CLI_KEYS_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct KeysArgs {
  enum class Action : uint8_t { kList, kRotate, kRevoke, kReEnroll };
  Action action = Action::kList;
  std::string purpose;  // "config"...; of rotate and revoke; "all" to rotate
  uint32_t epoch = 0;   // of revoke
  std::string host_id;  // of re-enroll: the old one
  bool json = false;
  ConnectionArgs connection;
};

// `vmattest keys`: the host's purpose keys and what an operator does with them.
// 0: done. 2: usage. 3: no daemon, no TPM, or the daemon refused.
int RunKeys(const KeysArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_KEYS_COMMAND_H_
