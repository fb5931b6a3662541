#ifndef VMATTEST_VERIFIER_DISCLOSURE_H_
#define VMATTEST_VERIFIER_DISCLOSURE_H_

#include <chrono>
#include <span>

#include "absl/status/statusor.h"
#include "vmattest/verifier/verifier.h"

// Checks single leaves of a configuration offline, without the others
// (docs/formats/disclosure.md). Stateless; callable from any thread.

namespace vmattest::verifier {

// The checks of Verify, in the same order; in place of "the leaves give the
// signed root", each disclosed leaf must lead to it. Of the policy,
// expected_leaves and refuse_unavailable are about the disclosed leaves alone:
// what was not shown is not missed. The claims' leaves are the disclosed ones,
// with full paths. A bad disclosure is a verdict with reasons, never an error.
// FAILED_PRECONDITION: no anchors, nothing can be decided.
absl::StatusOr<Appraisal> VerifyDisclosure(
    std::span<const uint8_t> disclosure, const Anchors& anchors,
    const Policy& policy, std::chrono::sys_time<std::chrono::milliseconds> now);

}  // namespace vmattest::verifier

#endif  // VMATTEST_VERIFIER_DISCLOSURE_H_
