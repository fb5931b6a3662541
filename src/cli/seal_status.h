#ifndef VMATTEST_CLI_SEAL_STATUS_H_
#define VMATTEST_CLI_SEAL_STATUS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "vmattest/types/tpm.h"

namespace vmattest::cli {

// What `vmattest seal status` says, and `vmattest seal approve` reads on a
// machine that has the authority's key and no way to the host.
struct SealStatus {
  std::string state;
  std::string detail;
  std::string host_id;
  Bytes authority;  // TPM2B_PUBLIC
  uint64_t counter = 0;
  Bytes counter_name;
  uint64_t approvals = 0;
  PcrValues pcrs;
};

// One JSON object; bytes are hexadecimal, PCRs by number.
std::string SealStatusToJson(const SealStatus& status);

// INVALID_ARGUMENT names the element that is missing or wrong. Other elements
// are passed over.
absl::StatusOr<SealStatus> SealStatusFromJson(std::string_view json);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_SEAL_STATUS_H_
