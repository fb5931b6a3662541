#ifndef VMATTEST_WIRE_SEAL_APPROVAL_H_
#define VMATTEST_WIRE_SEAL_APPROVAL_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "evidence/seal_policy.h"

// The seal approval file, docs/formats/seal-approval.md. Callable from any
// thread.

namespace vmattest::wire {

inline constexpr size_t kMaxSealApprovalSize = 64u << 10;

// Approvals of one boot, by purpose. INVALID_ARGUMENT: none, two for one
// purpose, or they differ in more than purpose and signature.
absl::StatusOr<std::string> SealApprovalsToJson(
    std::vector<evidence::SealApproval> approvals);

// Strict: INVALID_ARGUMENT for anything that SealApprovalsToJson would not
// have written in the same bytes, naming what is wrong. The signatures are
// well-formed; whether they hold is evidence::ApprovalHolds' to say.
absl::StatusOr<std::vector<evidence::SealApproval>> SealApprovalsFromJson(
    std::string_view json);

}  // namespace vmattest::wire

#endif  // VMATTEST_WIRE_SEAL_APPROVAL_H_
