#ifndef VMATTEST_CLI_SEAL_COMMAND_H_
#define VMATTEST_CLI_SEAL_COMMAND_H_

#include <iostream>
#include <string>
#include <vector>

#include "cli/connection.h"
#include "cli/seal_approve.h"

// `vmattest seal`: which boots may unseal the host's post-quantum keys
// (docs/formats/seal-approval.md).

namespace vmattest::cli {

struct SealStatusArgs {
  ConnectionArgs connection;
  bool json = false;
};
// 0: unsealed, or off by configuration. 1: a boot that nobody approved, with
// the reason. 3: seeds or daemon are not there.
int RunSealStatus(const SealStatusArgs& args, std::ostream& out = std::cout);

struct SealApproveCommandArgs : SealApproveArgs {
  ConnectionArgs connection;
  bool current = false;  // ask the daemon for the status
};
// Writes an approval file. Offline unless `current`.
int RunSealApprove(const SealApproveCommandArgs& args,
                   std::ostream& out = std::cout);

struct SealInstallArgs {
  ConnectionArgs connection;
  std::vector<std::string> files;
  bool current_boot = false;  // by the host's own authority instead
  bool revoke_older = false;
};
// 0: the keys are unsealed. 1: installed, and still they are not.
int RunSealInstall(const SealInstallArgs& args, std::ostream& out = std::cout);

struct SealRevokeArgs {
  ConnectionArgs connection;
};
// Makes void all approvals made before now, also those of this boot.
int RunSealRevoke(const SealRevokeArgs& args, std::ostream& out = std::cout);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SEAL_COMMAND_H_
