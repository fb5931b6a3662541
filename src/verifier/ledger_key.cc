#include "vmattest/verifier/ledger_key.h"

#include "crypto/digest.h"
#include "verifier/appraise.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

CheckResult CheckLog(const Context& context, const std::string& log) {
  if (!context.ledger_key) {
    return CheckResult::Fail(reason::kPayloadTypeUnexpected,
                             "envelope.payload_type",
                             std::string(evidence::kLedgerKeyPayloadType),
                             context.evidence.envelope.payload_type);
  }
  if (context.ledger_key->log != log) {
    return CheckResult::Fail(reason::kStatementField, "statement.log", log,
                             context.ledger_key->log);
  }
  std::vector<Reason> reasons = HostDemands(context);
  return reasons.empty() ? CheckResult::Pass()
                         : CheckResult::Fail(std::move(reasons));
}

}  // namespace

absl::StatusOr<LedgerKeyAppraisal> VerifyLedgerKey(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const Policy& policy, const std::string& log,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  if (anchors.host_ids().empty()) {
    return absl::FailedPreconditionError("no anchors: no host is believed");
  }
  Context context(anchors, policy, now);
  CheckResult result = RunChecks(evidence, context);
  LedgerKeyAppraisal appraisal;
  appraisal.genuine = result.passed();
  if (appraisal.genuine) {
    result = CheckLog(context, log);
  }
  appraisal.verdict = ToVerdict(result);
  appraisal.claims = MakeClaims(context, appraisal.genuine);
  if (context.ledger_key) {
    appraisal.log = context.ledger_key->log;
    appraisal.key_spki = context.ledger_key->key_spki;
  }
  return appraisal;
}

absl::StatusOr<LedgerKeyAppraisal> VerifyBoundLedgerKey(
    std::span<const uint8_t> evidence, const LedgerKeyBinding& binding,
    const Anchors& anchors, const Policy& policy, const std::string& log,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  ASSIGN_OR_RETURN(LedgerKeyAppraisal appraisal,
                   VerifyLedgerKey(evidence, anchors, policy, log, now));
  if (!appraisal.verdict.trusted()) {
    return appraisal;
  }
  std::vector<Reason> reasons;
  const auto demand = [&reasons](const char* element,
                                 const std::string& expected,
                                 const std::string& found) {
    if (expected != found) {
      reasons.push_back(
          {std::string(reason::kStatementField), element, expected, found});
    }
  };
  demand("entry.key_evidence_hash", ToHex(binding.evidence_hash),
         ToHex(Hash(HashAlgorithm::kSha256, evidence)));
  demand("entry.host_id", binding.host_id, appraisal.claims.host_id);
  demand("entry.key_spki", ToHex(binding.key_spki), ToHex(appraisal.key_spki));
  if (!reasons.empty()) {
    appraisal.verdict = ToVerdict(CheckResult::Fail(std::move(reasons)));
  }
  return appraisal;
}

}  // namespace vmattest::verifier
