#ifndef VMATTEST_CLI_REFERENCES_COMMAND_H_
#define VMATTEST_CLI_REFERENCES_COMMAND_H_

#include <iostream>
#include <string>

#include "cli/verifier_connection.h"

namespace vmattest::cli {

struct ReferencesArgs {
  enum class Action : uint8_t {
    kPut,
    kList,
    kGet,
    kLearn,
    kSimulate,
    kPutOrder
  };
  Action action = Action::kList;
  std::string file;  // a document; of simulate: that, or YAML
  std::string name;  // of get and learn
  uint64_t revision = 0;
  std::string vm;     // of learn
  std::string out;    // of get and learn; else printed
  uint32_t most = 0;  // of simulate
  bool json = false;
  VerifierArgs connection;
};

// `vmattest references`, the reference values that a verifier has, and
// `vmattest orders put`, a break-glass order on its way to a host. 0: done,
// and, of simulate, nothing would flip. 1: something would. 2: usage. 3: no
// verifier, or it refused.
int RunReferences(const ReferencesArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFERENCES_COMMAND_H_
