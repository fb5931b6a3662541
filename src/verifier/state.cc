#include "vmattest/verifier/state.h"

#include <algorithm>

#include "fmt/format.h"
#include "verifier/appraise.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr std::string_view kOrder[] = {"live", "paused", "point-in-time"};
constexpr std::string_view kSeverities[] = {"info", "low", "medium", "high",
                                            "critical"};

template <size_t kSize>
size_t Place(const std::string_view (&order)[kSize], std::string_view word) {
  return static_cast<size_t>(
      std::find(std::begin(order), std::end(order), word) - std::begin(order));
}

size_t Rank(std::string_view consistency) { return Place(kOrder, consistency); }

CheckResult NotAboutMemory(const Context& context) {
  return CheckResult::Fail(reason::kPayloadTypeUnexpected,
                           "envelope.payload_type",
                           std::string(evidence::kStatePayloadType),
                           context.evidence.envelope.payload_type);
}

std::string SubsetOf(const evidence::StateStatement& statement) {
  return fmt::format("{}@{}", statement.policy_id, statement.policy_version);
}

void CheckSubset(const evidence::StateStatement& statement,
                 const StatePolicy& policy, std::vector<Reason>& reasons) {
  if (!policy.approved_subsets) {
    return;
  }
  const auto approved = policy.approved_subsets->find(SubsetOf(statement));
  if (approved == policy.approved_subsets->end()) {
    std::vector<std::string> names;
    for (const auto& [name, digest] : *policy.approved_subsets) {
      names.push_back(name);
    }
    reasons.push_back(
        {std::string(reason::kSubsetNotApproved), "statement.policy_id",
         fmt::format("{}", fmt::join(names, " or ")), SubsetOf(statement)});
  } else if (!approved->second.empty() &&
             approved->second != statement.policy_digest) {
    reasons.push_back({std::string(reason::kSubsetNotApproved),
                       "statement.policy_digest", ToHex(approved->second),
                       ToHex(statement.policy_digest)});
  }
}

void CheckComplete(const evidence::StateStatement& statement,
                   std::vector<Reason>& reasons) {
  for (const evidence::RegionState& region : statement.regions) {
    if (!region.unavailable.empty()) {
      reasons.push_back({std::string(reason::kContentUnavailable),
                         fmt::format("regions '{}'", region.name), "measured",
                         region.unavailable});
    } else if (region.unreadable_pages + region.torn_pages != 0) {
      reasons.push_back(
          {std::string(reason::kContentUnavailable),
           fmt::format("regions '{}'", region.name), "every page",
           fmt::format("{} of {} unreadable, {} torn", region.unreadable_pages,
                       region.pages, region.torn_pages)});
    }
  }
}

void CheckKernel(const evidence::StateStatement& statement,
                 const StatePolicy& policy, std::vector<Reason>& reasons) {
  if (policy.kernel_build_id &&
      *policy.kernel_build_id != statement.kernel_build_id) {
    reasons.push_back(
        {std::string(reason::kKernelUnexpected), "statement.kernel_build_id",
         ToHex(*policy.kernel_build_id),
         statement.kernel_build_id.empty() ? statement.semantics
                                           : ToHex(statement.kernel_build_id)});
  }
  if (policy.code_hash && *policy.code_hash != statement.code_hash) {
    reasons.push_back({std::string(reason::kCodeHashUnexpected),
                       "statement.code_hash", ToHex(*policy.code_hash),
                       statement.code_hash.empty()
                           ? statement.code_hash_state
                           : ToHex(statement.code_hash)});
  }
  if (policy.refuse_findings.empty()) {
    return;
  }
  if (statement.semantics != "linux") {
    reasons.push_back({std::string(reason::kGuestFinding),
                       "statement.semantics", "linux", statement.semantics});
  }
  for (const evidence::StateFinding& finding : statement.findings) {
    if (Place(kSeverities, finding.severity) >=
        Place(kSeverities, policy.refuse_findings)) {
      reasons.push_back({std::string(reason::kGuestFinding),
                         fmt::format("{}: {}", finding.code, finding.element),
                         finding.expected, finding.found});
    }
  }
}

CheckResult CheckStatePolicy(const Context& context,
                             const StatePolicy& policy) {
  const evidence::StateStatement& statement = *context.state;
  std::vector<Reason> reasons = HostDemands(context);
  CheckSubset(statement, policy, reasons);
  if (Rank(statement.consistency) < Rank(policy.min_consistency)) {
    reasons.push_back({std::string(reason::kConsistency),
                       "statement.consistency", policy.min_consistency,
                       statement.consistency});
  }
  if (policy.expected_root && *policy.expected_root != statement.root) {
    reasons.push_back({std::string(reason::kStateRootUnexpected),
                       "statement.root", ToHex(*policy.expected_root),
                       ToHex(statement.root)});
  }
  CheckKernel(statement, policy, reasons);
  if (policy.refuse_unavailable) {
    CheckComplete(statement, reasons);
  }
  return reasons.empty() ? CheckResult::Pass()
                         : CheckResult::Fail(std::move(reasons));
}

StateClaims ClaimsOf(const evidence::StateStatement& statement) {
  StateClaims claims;
  claims.subset = SubsetOf(statement);
  claims.policy_digest = statement.policy_digest;
  claims.cause = statement.cause;
  claims.consistency_requested = statement.consistency_requested;
  claims.consistency = statement.consistency;
  claims.pause_us = statement.pause_us;
  claims.reader = statement.reader;
  claims.map_proof = statement.map_proof;
  claims.page_bytes = statement.page_bytes;
  for (const evidence::RegionState& region : statement.regions) {
    claims.regions.push_back({region.name, region.severity, region.bytes,
                              region.pages, region.unreadable_pages,
                              region.torn_pages, region.root,
                              region.unavailable});
  }
  claims.code_hash = statement.code_hash;
  claims.code_hash_state = statement.code_hash_state;
  claims.notes = statement.notes;
  claims.semantics = statement.semantics;
  claims.kernel_release = statement.kernel_release;
  claims.kernel_build_id = statement.kernel_build_id;
  for (const evidence::StateFinding& finding : statement.findings) {
    claims.findings.push_back({finding.code, finding.severity, finding.element,
                               finding.expected, finding.found});
  }
  claims.records_root = statement.records_root;
  claims.record_count = statement.record_count;
  claims.cpu_state = statement.cpu_state;
  return claims;
}

}  // namespace

absl::StatusOr<StateAppraisal> VerifyState(
    std::span<const uint8_t> evidence, const Anchors& anchors,
    const StatePolicy& policy,
    std::chrono::sys_time<std::chrono::milliseconds> now) {
  if (anchors.host_ids().empty()) {
    return absl::FailedPreconditionError("no anchors: no host is believed");
  }
  if (Rank(policy.min_consistency) == std::size(kOrder)) {
    return absl::InvalidArgumentError(
        fmt::format("no consistency '{}'", policy.min_consistency));
  }
  if (!policy.refuse_findings.empty() &&
      Place(kSeverities, policy.refuse_findings) == std::size(kSeverities)) {
    return absl::InvalidArgumentError(
        fmt::format("no severity '{}'", policy.refuse_findings));
  }
  Context context(anchors, policy.evidence, now);
  CheckResult result = RunChecks(evidence, context);
  StateAppraisal appraisal;
  appraisal.genuine = result.passed();
  if (appraisal.genuine) {
    result = context.state ? CheckStatePolicy(context, policy)
                           : NotAboutMemory(context);
  }
  appraisal.verdict = ToVerdict(result);
  appraisal.claims = MakeClaims(context, appraisal.genuine);
  if (context.state) {
    appraisal.state = ClaimsOf(*context.state);
  }
  return appraisal;
}

}  // namespace vmattest::verifier
