#ifndef VMATTEST_VERIFIER_APPRAISE_H_
#define VMATTEST_VERIFIER_APPRAISE_H_

#include <span>

#include "verifier/context.h"

// What appraisals of every payload type have in common.

namespace vmattest::verifier {

// All checks of evidence but the policy; fills `context`.
CheckResult RunChecks(std::span<const uint8_t> bytes, Context& context);

// A result without a pass and without reasons is not trusted either (S39).
Verdict ToVerdict(const CheckResult& result);

// What the evidence says, as far as `context` was filled.
Claims MakeClaims(const Context& context, bool genuine);

// The leaves that are there, those of subtrees and of disclosures with their
// full paths.
std::vector<ConfigLeaf> ShownLeaves(const Context& context);

// All of these, and the policy, for evidence of a VM's configuration.
// FAILED_PRECONDITION: no anchors.
absl::StatusOr<Appraisal> AppraiseConfig(std::span<const uint8_t> bytes,
                                         Context& context);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_APPRAISE_H_
