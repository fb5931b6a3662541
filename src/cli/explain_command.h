#ifndef VMATTEST_CLI_EXPLAIN_COMMAND_H_
#define VMATTEST_CLI_EXPLAIN_COMMAND_H_

#include <iostream>
#include <string>

namespace vmattest::cli {

struct ExplainArgs {
  std::string file;       // evidence, or what `vmattest measure --json` wrote
  std::string reference;  // as cli/reference.h has it
  bool json = false;
};

// `vmattest explain`: names the leaves of FILE that differ from the reference.
// Compares, does not verify: that is `vmattest verify`. 0: the same. 1: they
// differ. 2: bad arguments or unreadable input. 3: only roots are known, and
// they are not even of one size.
int RunExplain(const ExplainArgs& args, std::ostream& out = std::cout,
               std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_EXPLAIN_COMMAND_H_
