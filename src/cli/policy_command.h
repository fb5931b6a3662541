#ifndef VMATTEST_CLI_POLICY_COMMAND_H_
#define VMATTEST_CLI_POLICY_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "snapshot/policy.h"

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

// What a region would cost.
struct RegionCost {
  uint64_t bytes = 0;
  uint64_t parts = 0;
  std::string unavailable;
};

// What a policy means, region by region, with what it would cost in `of`.
void ExplainPolicy(const snapshot::Policy& policy,
                   const std::vector<RegionCost>& costs, const std::string& of,
                   std::ostream& out);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_POLICY_COMMAND_H_
