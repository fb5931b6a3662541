#ifndef VMATTEST_CLI_RESULT_KEYS_COMMAND_H_
#define VMATTEST_CLI_RESULT_KEYS_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/verifier_connection.h"

namespace vmattest::cli {

struct ResultKeysArgs {
  std::string step;  // "prepare", "activate", "retire"; empty: list
  std::string out;   // file for the JWK set; empty: none is written
  bool json = false;
  VerifierArgs connection;
};

// `vmattest result-keys`: the keys that a verifier signs results with, and
// their exchange. 0: done. 2: usage. 3: no verifier, or it refused.
int RunResultKeys(const ResultKeysArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_RESULT_KEYS_COMMAND_H_
