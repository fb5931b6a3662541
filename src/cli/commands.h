#ifndef VMATTEST_CLI_COMMANDS_H_
#define VMATTEST_CLI_COMMANDS_H_

#include <functional>

#include "CLI/App.hpp"

namespace vmattest::cli {

// Adds every command to `app`. Parsing sets `*run` to the one that was chosen;
// call it for the exit code.
void AddCommands(CLI::App& app, std::function<int()>* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_COMMANDS_H_
