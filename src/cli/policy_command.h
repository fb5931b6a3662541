#ifndef VMATTEST_CLI_POLICY_COMMAND_H_
#define VMATTEST_CLI_POLICY_COMMAND_H_

#include <iostream>
#include <string>

namespace vmattest::cli {

struct PolicyCheckArgs {
  std::string file;
  // Of the VM that the estimate is for.
  uint64_t memory_mib = 4096;
};

// `vmattest policy check`: reads a snapshot policy and says what it means, and
// what it would cost for a VM of that size, offline. 0: it is one. 2: it is
// not, and why.
int RunPolicyCheck(const PolicyCheckArgs& args, std::ostream& out = std::cout,
                   std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_POLICY_COMMAND_H_
