#ifndef VMATTEST_CLI_SNAPSHOT_COMMANDS_H_
#define VMATTEST_CLI_SNAPSHOT_COMMANDS_H_

#include "CLI/App.hpp"
#include "cli/command.h"

namespace vmattest::cli {

// `vmattest snapshot ...` and `vmattest policy ...`.
void AddSnapshotCommands(CLI::App& app, Run* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SNAPSHOT_COMMANDS_H_
