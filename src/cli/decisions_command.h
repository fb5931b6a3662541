#ifndef VMATTEST_CLI_DECISIONS_COMMAND_H_
#define VMATTEST_CLI_DECISIONS_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/verifier_connection.h"

namespace vmattest::cli {

struct AppraiseArgs {
  std::string file;   // evidence; empty: the verifier asks the VM's host
  std::string nonce;  // hex
  std::string vm;
  std::string out;  // file for the result's JWT
  bool post_quantum = false;
  bool json = false;
  VerifierArgs connection;
};

// `vmattest appraise`: evidence to the verifier, or a VM that it shall ask
// about. 0: trusted. 1: not, with reasons. 2: usage. 3: no verifier, or it
// refused.
int RunAppraise(const AppraiseArgs& args, std::ostream& out = std::cout);

struct DecisionsArgs {
  enum class Action : uint8_t { kList, kShow, kWatch };
  Action action = Action::kList;
  std::string vm;
  uint64_t sequence = 0;  // of show; of watch: first what came after it
  uint64_t before = 0;
  int32_t count = 0;
  bool refused_only = false;
  std::string evidence;  // of show: file for it
  bool json = false;
  VerifierArgs connection;
};

// `vmattest decisions`. 0: done. 2: usage, or no such decision. 3: no verifier,
// or it refused.
int RunDecisions(const DecisionsArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_DECISIONS_COMMAND_H_
