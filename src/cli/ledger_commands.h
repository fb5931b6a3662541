#ifndef VMATTEST_CLI_LEDGER_COMMANDS_H_
#define VMATTEST_CLI_LEDGER_COMMANDS_H_

#include "cli/command.h"

namespace vmattest::cli {

// `ledger` and what is below it.
void AddLedgerCommands(CLI::App& app, Run* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_LEDGER_COMMANDS_H_
