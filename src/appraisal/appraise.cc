#include "appraisal/appraise.h"

#include <fmt/format.h>

#include <algorithm>

#include "appraisal/demands.h"
#include "evidence/envelope.h"
#include "reference/reason_codes.h"

namespace vmattest::appraisal {
namespace {

using reference::Reference;

verifier::Policy PolicyOf(const Request& request) {
  verifier::Policy policy;
  policy.nonce = request.nonce;
  policy.expected_vm_uuid = request.vm_uuid;
  if (!request.nonce) {
    policy.max_age = request.max_age;
  }
  return policy;
}

void Add(Failure failure, Decision& decision) {
  decision.verdict.reasons.push_back(std::move(failure.reason));
  decision.fixes.push_back(std::move(failure.fix));
}

// Of a VM, whether or not it is the one that was asked about.
bool IsConfiguration(const verifier::Claims& claims) {
  return claims.payload_type == evidence::kConfigPayloadType;
}

Failure NoReference(const verifier::Claims& claims) {
  return {{std::string(reference::reason::kNone), claims.vm_uuid,
           "a reference that names the VM, valid now", "none"},
          fmt::format("approve a reference for VM {}", claims.vm_uuid)};
}

WallTime ExpiryOf(const Reference& reference, WallTime now) {
  const WallTime end(
      std::chrono::milliseconds(reference.header.not_after_unix_ms));
  return std::min(end, now + std::chrono::seconds(reference.verdict_seconds));
}

// Everything but genuineness: `decision` holds what the verifier said.
void Judge(const Reference* chosen, WallTime now, Decision& decision) {
  if (chosen == nullptr) {
    Add(NoReference(decision.claims), decision);
    return;
  }
  decision.reference_name = chosen->name;
  decision.reference_revision = chosen->revision;
  decision.mode = chosen->mode;
  decision.expires = ExpiryOf(*chosen, now);
  decision.pcrs_demanded = !chosen->pcrs.empty();
  for (Failure& failure : Demand(decision.claims, *chosen)) {
    Add(std::move(failure), decision);
  }
}

absl::StatusOr<Decision> CheckGenuine(const Request& request,
                                      const verifier::Anchors& hosts,
                                      WallTime now) {
  ASSIGN_OR_RETURN(
      verifier::Appraisal appraisal,
      verifier::Verify(request.evidence, hosts, PolicyOf(request), now));
  Decision decision;
  decision.genuine = appraisal.genuine;
  decision.claims = std::move(appraisal.claims);
  decision.expires = now + kRefusalLifetime;
  for (Reason& reason : appraisal.verdict.reasons) {
    std::string fix = FixFor(reason);
    Add({std::move(reason), std::move(fix)}, decision);
  }
  const bool passed = appraisal.verdict.trusted();
  if (!passed && decision.verdict.reasons.empty()) {
    decision.genuine = false;  // no pass, no reason: not believed (rule S39)
  }
  return decision;
}

bool MayBeJudged(const Decision& decision) {
  return decision.genuine && IsConfiguration(decision.claims);
}

// Trusted if and only if every check ran and none failed.
void Conclude(Decision& decision) {
  if (MayBeJudged(decision) && !decision.reference_name.empty() &&
      decision.verdict.reasons.empty()) {
    decision.verdict.outcome = Verdict::Outcome::kTrusted;
  }
}

void CheckRequestedHost(const Request& request, Decision& decision) {
  const std::string& found = decision.claims.host_id;
  if (request.host_id && *request.host_id != found) {
    Add({{std::string(reference::reason::kHostRequested), "host_id",
          *request.host_id, found},
         fmt::format("send evidence of host {}", *request.host_id)},
        decision);
  }
}

}  // namespace

absl::StatusOr<Decision> Appraise(const Request& request,
                                  const verifier::Anchors& hosts,
                                  const std::vector<Reference>& references,
                                  WallTime now) {
  ASSIGN_OR_RETURN(Decision decision, CheckGenuine(request, hosts, now));
  if (MayBeJudged(decision)) {
    CheckRequestedHost(request, decision);
    Judge(reference::Select(references, decision.claims.vm_uuid, now), now,
          decision);
  }
  Conclude(decision);
  return decision;
}

namespace {

// Within what can be reckoned with: a host's clock may say anything.
WallTime MadeAt(const verifier::Claims& claims) {
  constexpr int64_t kYear9999 = 253'370'764'800'000;
  return WallTime(std::chrono::milliseconds(
      std::clamp<int64_t>(claims.time_unix_ms, 0, kYear9999)));
}

// The active references and the proposed one, as if it were in force.
std::vector<Reference> With(const std::vector<Reference>& active,
                            Reference proposed, WallTime now) {
  const int64_t now_unix_ms = now.time_since_epoch().count();
  std::vector<Reference> references;
  for (const Reference& reference : active) {
    if (reference.name != proposed.name) {
      references.push_back(reference);
    }
  }
  proposed.header.not_before_unix_ms = now_unix_ms;
  proposed.header.not_after_unix_ms =
      now_unix_ms + std::chrono::milliseconds(kRefusalLifetime).count();
  references.push_back(std::move(proposed));
  return references;
}

}  // namespace

absl::StatusOr<std::vector<Flip>> Simulate(const std::vector<Bytes>& recorded,
                                           const verifier::Anchors& hosts,
                                           const std::vector<Reference>& active,
                                           const Reference& proposed) {
  std::vector<Flip> flips;
  for (const Bytes& evidence : recorded) {
    Request request;
    request.evidence = evidence;
    // Nothing is from the future at the end of time.
    ASSIGN_OR_RETURN(
        Decision before,
        CheckGenuine(request, hosts, WallTime::max() - kRefusalLifetime));
    if (!MayBeJudged(before)) {
      continue;  // refused whatever the references are
    }
    const WallTime made = MadeAt(before.claims);
    Decision after = before;
    const std::string& vm_uuid = before.claims.vm_uuid;
    Judge(reference::Select(active, vm_uuid, made), made, before);
    const std::vector<Reference> then = With(active, proposed, made);
    Judge(reference::Select(then, vm_uuid, made), made, after);
    Conclude(before);
    Conclude(after);
    const bool allowed_before = before.verdict.trusted();
    const bool allowed_after = after.verdict.trusted();
    if (allowed_before != allowed_after) {
      flips.push_back(
          {vm_uuid, allowed_before, allowed_after,
           std::move((allowed_before ? after : before).verdict.reasons)});
    }
  }
  return flips;
}

}  // namespace vmattest::appraisal
