#ifndef VMATTEST_CLI_REFERENCE_COMMAND_H_
#define VMATTEST_CLI_REFERENCE_COMMAND_H_

#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace vmattest::cli {

// `vmattest reference ...`: reference values as files, without a daemon
// (docs/references.md). All return an exit code (cli/exit_code.h).

struct ReferenceNewArgs {
  std::string name;
  std::vector<std::string> vms;  // UUIDs, or "*"
  std::optional<std::string> out;
};
int RunReferenceNew(const ReferenceNewArgs& args, std::ostream& out = std::cout,
                    std::ostream& err = std::cerr);

struct ReferenceCheckArgs {
  std::string file;  // YAML
  bool json = false;
};
int RunReferenceCheck(const ReferenceCheckArgs& args,
                      std::ostream& out = std::cout,
                      std::ostream& err = std::cerr);

struct ReferenceSignArgs {
  std::string file;  // YAML
  std::string key;
  std::string out;
  uint32_t days = 365;  // unless the YAML's header says more
};
int RunReferenceSign(const ReferenceSignArgs& args,
                     std::ostream& out = std::cout,
                     std::ostream& err = std::cerr);

struct ReferenceVerifyArgs {
  std::string file;  // document
  std::string approvers;
  bool json = false;
};
// 1: nobody of the approvers signed it, or it is not valid now.
int RunReferenceVerify(const ReferenceVerifyArgs& args,
                       std::ostream& out = std::cout,
                       std::ostream& err = std::cerr);

struct ReferenceShowArgs {
  std::string file;  // document
  bool json = false;
};
// Signatures are not checked, and it says so.
int RunReferenceShow(const ReferenceShowArgs& args,
                     std::ostream& out = std::cout,
                     std::ostream& err = std::cerr);

struct ReferenceLearnArgs {
  std::string file;  // evidence
  std::string anchors;
  std::string name;
  bool rules_only = false;  // without the root: for editing
  std::optional<std::string> out;
};
// 1: the evidence is not genuine.
int RunReferenceLearn(const ReferenceLearnArgs& args,
                      std::ostream& out = std::cout,
                      std::ostream& err = std::cerr);

struct ReferenceSimulateArgs {
  std::vector<std::string> files;        // evidence
  std::string proposed;                  // YAML
  std::vector<std::string> active;       // documents
  std::optional<std::string> approvers;  // of `active`
  std::string anchors;
  bool json = false;
};
// 1: something would flip.
int RunReferenceSimulate(const ReferenceSimulateArgs& args,
                         std::ostream& out = std::cout,
                         std::ostream& err = std::cerr);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_REFERENCE_COMMAND_H_
