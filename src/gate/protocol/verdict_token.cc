#include "gate/protocol/verdict_token.h"

#include <utility>

namespace vmattest::gate {
namespace {

constexpr std::chrono::seconds kLeeway{5};

Verdict Fail(std::string code, std::string element, std::string expected,
             std::string found) {
  Verdict verdict;
  verdict.reasons.push_back({std::move(code), std::move(element),
                             std::move(expected), std::move(found)});
  return verdict;
}

Verdict Pass() {
  return {.outcome = Verdict::Outcome::kTrusted, .reasons = {}};
}

Verdict CheckSubject(const token::Ear& ear, const TokenDemands& demands) {
  bool about_vm = false;
  for (const auto& [name, part] : ear.submodules) {
    if (!part.vm_uuid.empty() && part.vm_uuid != demands.vm_uuid) {
      return Fail("reply-vm", name, demands.vm_uuid, part.vm_uuid);
    }
    if (!part.host_id.empty() && !demands.host_id.empty() &&
        part.host_id != demands.host_id) {
      return Fail("reply-host", name, demands.host_id, part.host_id);
    }
    about_vm = about_vm || part.vm_uuid == demands.vm_uuid;
  }
  return about_vm ? Pass() : Fail("reply-vm", "submods", demands.vm_uuid, "");
}

Verdict CheckAffirming(const token::Ear& ear) {
  if (!ear.expires) {
    return Fail("reply-verdict", "exp", "a time", "none");
  }
  for (const auto& [name, part] : ear.submodules) {
    if (part.status != token::Tier::kAffirming) {
      return Fail("reply-verdict", name, "affirming",
                  std::string(token::ToString(part.status)));
    }
  }
  return Pass();
}

}  // namespace

CheckedToken CheckVerdictToken(std::string_view jwt,
                               std::span<const token::VerificationKey> keys,
                               const TokenDemands& demands) {
  token::VerifyOptions options;
  options.now = demands.now;
  options.leeway = kLeeway;
  options.profile = std::string(token::kProfile);
  options.nonce = demands.nonce;
  token::OpenedEar opened = token::VerifyEar(jwt, keys, options);
  CheckedToken checked;
  checked.verdict = std::move(opened.verdict);
  if (!checked.verdict.trusted()) {
    return checked;
  }
  checked.verdict = CheckSubject(opened.ear, demands);
  if (!checked.verdict.trusted()) {
    return checked;
  }
  checked.genuine = true;
  checked.verdict = CheckAffirming(opened.ear);
  checked.ear = std::move(opened.ear);
  return checked;
}

}  // namespace vmattest::gate
