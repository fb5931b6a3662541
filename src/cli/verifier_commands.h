#ifndef VMATTEST_CLI_VERIFIER_COMMANDS_H_
#define VMATTEST_CLI_VERIFIER_COMMANDS_H_

#include <functional>

#include "CLI/App.hpp"

namespace vmattest::cli {

// Adds `hosts`, `references`, `appraise` and `decisions` with what is below
// them: what one asks a verifier. As AddCommands.
void AddVerifierCommands(CLI::App& app, std::function<int()>* run);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_VERIFIER_COMMANDS_H_
