#ifndef VMATTEST_CLI_TRUST_COMMANDS_H_
#define VMATTEST_CLI_TRUST_COMMANDS_H_

#include "cli/command.h"

namespace vmattest::cli {

// `trust`, and what of `ledger` speaks to one. After AddLedgerCommands().
void AddTrustCommands(CLI::App& app, Run* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_TRUST_COMMANDS_H_
