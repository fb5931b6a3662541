// Hostile approval files and seal statuses.

#include <cstdlib>

#include "cli/seal_status.h"
#include "wire/seal_approval.h"

namespace vmattest {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void Run(std::string_view text) {
  if (const auto approvals = wire::SealApprovalsFromJson(text);
      approvals.ok()) {
    const auto again = wire::SealApprovalsToJson(*approvals);
    Require(again.ok() && *again == text);
  }
  if (const auto status = cli::SealStatusFromJson(text); status.ok()) {
    const std::string json = cli::SealStatusToJson(*status);
    const auto again = cli::SealStatusFromJson(json);
    Require(again.ok() && cli::SealStatusToJson(*again) == json);
  }
}

}  // namespace
}  // namespace vmattest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
