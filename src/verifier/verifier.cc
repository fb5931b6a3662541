#include "vmattest/verifier/verifier.h"

#include "evidence/config_tree.h"
#include "verifier/appraise.h"
#include "verifier/checks/checks.h"
#include "verifier/key_certification.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr std::string_view kAkPinned = "pinned";
constexpr std::string_view kAkUnknown = "unknown";
constexpr std::string_view kNonceChecked = "nonce";
constexpr std::string_view kNotChecked = "not-checked";
constexpr std::string_view kVerified = "verified";
constexpr std::string_view kUnchecked = "unchecked";

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
  for (const evidence::Signature& signature :
       context.evidence.envelope.signatures) {
    const bool verified =
        &signature == context.pq ? context.pq_verified : context.quote_verified;
    claims.signatures.push_back(
        {signature.algorithm, std::string(verified ? kVerified : kUnchecked)});
  }
  if (context.quote != nullptr) {
    claims.batch_size = context.quote->batch.size;
    claims.pcr_banks = context.quote->pcr_banks;
  }
  claims.ak = kAkUnknown;
  claims.freshness = kNotChecked;
  claims.leaves = ShownLeaves(context);
  claims.inside = context.statement.inside;
  if (header.host) {
    claims.log_size = header.host->log_size;
    claims.log_head = header.host->log_head;
    claims.unmanaged_vms = header.host->unmanaged_vms;
  }
  return claims;
}

using Check = CheckResult (*)(const Context&);
constexpr Check kChecks[] = {
    CheckQuoteStructure, CheckPcrs,  CheckClock,     CheckNonce,
    CheckTimeWindow,     CheckBatch, CheckStatement,
};

// Genuine, but no configuration: nobody may take it for one.
CheckResult NotAConfiguration(const Context& context) {
  return CheckResult::Fail(reason::kPayloadTypeUnexpected,
                           "envelope.payload_type",
                           std::string(evidence::kConfigPayloadType),
                           context.evidence.envelope.payload_type);
}

CheckResult CheckSignatures(Context& context) {
  if (CheckResult result = CheckKeyChain(context); !result.passed()) {
    return result;
  }
  context.quote_verified = true;
  return CheckPqSignature(context);
}

}  // namespace

CheckResult RunChecks(std::span<const uint8_t> bytes, Context& context) {
  if (CheckResult result = CheckStructure(bytes, context); !result.passed()) {
    return result;
  }
  context.host = context.anchors.Find(context.statement.header.host_id);
  if (CheckResult result = CheckSignatures(context); !result.passed()) {
    return result;
  }
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

Claims MakeClaims(const Context& context, bool genuine) {
  Claims claims = ReadClaims(context);
  if (context.host != nullptr) {
    claims.hostname = context.host->identity.hostname;
    claims.ak_name = context.host->ak.name;
  }
  if (genuine) {
    claims.ak = kAkPinned;
    if (context.policy.nonce) {
      claims.freshness = kNonceChecked;
    }
  }
  return claims;
}

std::vector<ConfigLeaf> ShownLeaves(const Context& context) {
  if (!context.disclosed) {
    return evidence::Flatten(context.evidence.leaves,
                             context.evidence.subtrees);
  }
  std::vector<ConfigLeaf> leaves;
  for (const evidence::DisclosedLeaf& disclosed : *context.disclosed) {
    leaves.push_back({evidence::FullPath(disclosed), disclosed.leaf.type,
                      disclosed.leaf.value});
  }
  return leaves;
}

absl::StatusOr<Appraisal> AppraiseConfig(std::span<const uint8_t> bytes,
                                         Context& context) {
  if (context.anchors.host_ids().empty()) {
    return absl::FailedPreconditionError("no anchors: no host is believed");
  }
  Appraisal appraisal;
  CheckResult result = RunChecks(bytes, context);
  appraisal.genuine = result.passed();
  if (appraisal.genuine) {
    result = context.host_log || context.state || context.ledger_key
                 ? NotAConfiguration(context)
                 : CheckPolicy(context);
  }
  appraisal.verdict = ToVerdict(result);
  appraisal.claims = MakeClaims(context, appraisal.genuine);
  return appraisal;
}

absl::StatusOr<Appraisal> Verify(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const Policy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  Context context(anchors, policy, now);
  return AppraiseConfig(evidence, context);
}

}  // namespace vmattest::verifier
