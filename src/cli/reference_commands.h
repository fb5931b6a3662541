#ifndef VMATTEST_CLI_REFERENCE_COMMANDS_H_
#define VMATTEST_CLI_REFERENCE_COMMANDS_H_

#include "cli/command.h"

namespace vmattest::cli {

// Adds `key` and `reference` with what is below them.
void AddReferenceCommands(CLI::App& app, Run* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFERENCE_COMMANDS_H_
