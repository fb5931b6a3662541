#ifndef VMATTEST_CLI_SNAPSHOT_COMMAND_H_
#define VMATTEST_CLI_SNAPSHOT_COMMAND_H_

#include <iostream>
#include <optional>
#include <string>

#include "cli/connection.h"

namespace vmattest::cli {

struct SnapshotArgs {
  ConnectionArgs connection;
  std::string vm;                    // UUID or name
  std::string policy;                // capture: its id; estimate: its file
  std::string id;                    // get
  std::optional<std::string> nonce;  // hex; none: random, and printed
  std::string guest_report;          // capture: file, for the verifier
  std::string out;                   // file of the evidence
  std::string pages;                 // get: file of the page digests
  bool json = false;
};

// `vmattest snapshot capture`: has the daemon measure a VM's memory and writes
// the evidence; progress goes to `err`, if that is a terminal.
int RunSnapshotCapture(const SnapshotArgs& args, std::ostream& out = std::cout,
                       std::ostream& err = std::cerr);
// `... list`: what is kept of a VM, the newest first.
int RunSnapshotList(const SnapshotArgs& args, std::ostream& out = std::cout);
// `... get`: one of those, and its page digests.
int RunSnapshotGet(const SnapshotArgs& args, std::ostream& out = std::cout,
                   std::ostream& err = std::cerr);
// `vmattest policy check --vm`: has the daemon look what the policy in the file
// `policy` would select of a VM that runs.
int RunPolicyEstimate(const SnapshotArgs& args, std::ostream& out = std::cout);
// `vmattest policy list`: what the daemon has.
int RunPolicyList(const SnapshotArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SNAPSHOT_COMMAND_H_
