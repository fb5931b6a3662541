#ifndef VMATTEST_CLI_KEY_COMMAND_H_
#define VMATTEST_CLI_KEY_COMMAND_H_

#include <iostream>
#include <string>

namespace vmattest::cli {

// `vmattest key generate|show|public`: keys of people who sign documents, and
// of a Trust Authority. Without a daemon. All return an exit code
// (cli/exit_code.h).

struct KeyGenerateArgs {
  std::string name;          // "alice@ops"
  std::string out;           // private key; the public one is OUT.pub
  std::string level = "65";  // of ML-DSA, or "none"
  bool json = false;
};
// 3: no ML-DSA in this process, or a file could not be written.
int RunKeyGenerate(const KeyGenerateArgs& args, std::ostream& out = std::cout,
                   std::ostream& err = std::cerr);

struct KeyShowArgs {
  std::string file;  // public or private
  bool json = false;
};
int RunKeyShow(const KeyShowArgs& args, std::ostream& out = std::cout,
               std::ostream& err = std::cerr);

struct KeyPublicArgs {
  std::string file;  // public or private
  std::string out;   // empty: standard output
};
int RunKeyPublic(const KeyPublicArgs& args, std::ostream& out = std::cout,
                 std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_KEY_COMMAND_H_
