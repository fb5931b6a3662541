#ifndef VMATTEST_CLI_APPRAISAL_JSON_H_
#define VMATTEST_CLI_APPRAISAL_JSON_H_

#include <string>

#include "appraisal/appraise.h"
#include "vmattest/verifier/verifier.h"

namespace vmattest::cli {

// The object that `vmattest verify --json` prints: docs/formats/evidence.md.
// Text that is not UTF-8 is replaced.
std::string AppraisalToJson(const verifier::Appraisal& appraisal);
// The same with "fix" in each reason, and "reference" and "mode" of the one
// that counted.
std::string DecisionToJson(const appraisal::Decision& decision);
// The same as the first with the leaves that were disclosed, as
// "claims"."leaves".
std::string DisclosureToJson(const verifier::Appraisal& appraisal);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_APPRAISAL_JSON_H_
