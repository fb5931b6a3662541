#ifndef VMATTEST_CLI_SEAL_APPROVE_H_
#define VMATTEST_CLI_SEAL_APPROVE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/seal_status.h"

namespace vmattest::cli {

struct SealApproveArgs {
  std::string status;                 // file that `seal status --json` printed
  std::string authority_key;          // PEM of the private key
  std::string out;                    // file
  std::vector<std::string> purposes;  // empty: all
  // "N=HEX": what the boot to come measures; else as the status says.
  std::vector<std::string> pcrs;
  std::optional<uint64_t> counter_limit;  // else the counter of the status
};

// The content of an approval file for the host and boot that `status` is of,
// signed with the authority's key. INVALID_ARGUMENT: the arguments, or a key
// that is not the host's seal authority. NOT_FOUND, PERMISSION_DENIED: the key
// file. Needs no daemon.
absl::StatusOr<std::string> MakeSealApprovals(const SealApproveArgs& args,
                                              SealStatus status);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SEAL_APPROVE_H_
