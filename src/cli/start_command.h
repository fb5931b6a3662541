#ifndef VMATTEST_CLI_START_COMMAND_H_
#define VMATTEST_CLI_START_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct StartArgs {
  std::string vm;
  bool keep_paused = false;
  bool json = false;
  ConnectionArgs connection;
};

// `vmattest start`: has the daemon start a VM paused, compare what was started
// with what was approved, and let it run (strict mode; docs/gate.md). 0: it
// runs. 1: refused before or after it was started, with code and sentence on
// `err`. 2: no such VM. 3: it could not be started, or not be told.
int RunStart(const StartArgs& args, std::ostream& out = std::cout,
             std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_START_COMMAND_H_
