#ifndef VMATTEST_CLI_VERIFY_STATE_H_
#define VMATTEST_CLI_VERIFY_STATE_H_

#include <iostream>

#include "base/bytes.h"
#include "cli/verify_command.h"
#include "vmattest/verifier/state.h"

namespace vmattest::cli {

// Whether the file is evidence about memory; by its payload's type alone.
bool IsStateEvidence(ByteView file);

// The rest of `vmattest verify` for such a file. `lines` prints what all
// evidence has.
// INVALID_ARGUMENT: --subset is none.
absl::StatusOr<verifier::StateAppraisal> AppraiseState(
    const VerifyArgs& args, const verifier::Policy& policy, ByteView file,
    const verifier::Anchors& anchors);

// Beside what every appraisal shows.
void PrintState(const verifier::StateClaims& claims, std::ostream& out);
std::string StateToJson(const verifier::StateAppraisal& appraisal);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_VERIFY_STATE_H_
