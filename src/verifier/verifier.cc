#include "vmattest/verifier/verifier.h"

#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr std::string_view kAkPinned = "pinned";
constexpr std::string_view kAkUnknown = "unknown";
constexpr std::string_view kNonceChecked = "nonce";
constexpr std::string_view kNotChecked = "not-checked";

Claims ReadClaims(const Context& context) {
  const evidence::StatementHeader& header = context.statement.header;
  Claims claims;
  claims.host_id = header.host_id;
  claims.vm_uuid = header.vm_uuid;
  claims.vm_name = header.vm_name;
  claims.vm_state = context.statement.vm_state;
  claims.payload_type = context.evidence.envelope.payload_type;
  claims.module_version = header.module_version;
  claims.nonce = header.nonce;
  claims.time_unix_ms = header.time_unix_ms;
  claims.measured_at = header.measured_at;
  claims.quoted_at = context.attest.clock;
  claims.algorithm = context.statement.algorithm;
  claims.root = context.statement.root;
  claims.leaf_count = context.statement.leaf_count;
  claims.content = context.statement.content;
  claims.xml_kind = context.statement.xml_kind;
  for (const evidence::CachedContent& cached : context.statement.cached) {
    claims.cached_paths.push_back(cached.path);
  }
  claims.signature_algorithms = header.signature_algorithms;
  if (context.quote != nullptr) {
    claims.batch_size = context.quote->batch.size;
    claims.pcr_banks = context.quote->pcr_banks;
  }
  claims.ak = kAkUnknown;
  claims.freshness = kNotChecked;
  claims.leaves = context.evidence.leaves;
  return claims;
}

using Check = CheckResult (*)(const Context&);
constexpr Check kChecks[] = {
    CheckKeyChain, CheckQuoteStructure, CheckPcrs,  CheckClock,
    CheckNonce,    CheckTimeWindow,     CheckBatch, CheckStatement,
};

// All but the policy.
CheckResult RunChecks(std::span<const uint8_t> bytes, Context& context) {
  if (CheckResult result = CheckStructure(bytes, context); !result.passed()) {
    return result;
  }
  context.host = context.anchors.Find(context.statement.header.host_id);
  for (const Check check : kChecks) {
    if (CheckResult result = check(context); !result.passed()) {
      return result;
    }
  }
  return CheckResult::Pass();
}

Verdict ToVerdict(const CheckResult& result) {
  Verdict verdict;
  if (result.passed()) {
    verdict.outcome = Verdict::Outcome::kTrusted;
    return verdict;
  }
  verdict.reasons = result.reasons();
  if (verdict.reasons.empty()) {
    verdict.reasons.push_back(
        {std::string(reason::kCheckIncomplete), "appraisal", "", ""});
  }
  return verdict;
}

}  // namespace

absl::StatusOr<Appraisal> Verify(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const Policy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  if (anchors.host_ids().empty()) {
    return absl::FailedPreconditionError("no anchors: no host is believed");
  }
  Context context(anchors, policy, now);
  Appraisal appraisal;
  CheckResult result = RunChecks(evidence, context);
  appraisal.genuine = result.passed();
  if (appraisal.genuine) {
    result = CheckPolicy(context);
  }
  appraisal.verdict = ToVerdict(result);
  appraisal.claims = ReadClaims(context);
  if (context.host != nullptr) {
    appraisal.claims.hostname = context.host->identity.hostname;
  }
  if (appraisal.genuine) {
    appraisal.claims.ak = kAkPinned;
    if (policy.nonce) {
      appraisal.claims.freshness = kNonceChecked;
    }
  }
  return appraisal;
}

}  // namespace vmattest::verifier
